// Answers as they travel: a header of JSON, then the raw bytes of every array (the layout of safetensors).

export type Numbers =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | BigInt64Array;

export interface Answer {
  head: any;
  arrays: Record<string, Numbers>;
  shapes: Record<string, number[]>;
}

type View = new (buffer: ArrayBuffer) => Numbers;

const VIEWS: Record<string, View> = {
  F32: Float32Array,
  F64: Float64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  I64: BigInt64Array,
};

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** What an answer's bytes say. Every array is copied out, so that its start is aligned. */
export function decode(bytes: ArrayBuffer): Answer {
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const { __metadata__: metadata, ...entries } = header as { __metadata__?: { head?: string } } & Record<string, Entry>;
  const answer: Answer = { head: JSON.parse(metadata?.head ?? "{}"), arrays: {}, shapes: {} };
  for (const [name, entry] of Object.entries(entries as Record<string, Entry>)) {
    const [from, to] = entry.data_offsets;
    const view = VIEWS[entry.dtype];
    if (!view) throw new Error(`an answer holds ${entry.dtype}, which this page cannot read`);
    answer.arrays[name] = new view(bytes.slice(8 + length + from, 8 + length + to));
    answer.shapes[name] = entry.shape;
  }
  return answer;
}

// A value of a run as something that a matrix can be drawn from: windows of it, as they are needed.

import { ask } from "./ask";
import type { Entry, Outline } from "./outline";
import { extent, windowIndex, type Slice } from "./slicing";
import type { sides } from "./state";
import type { Block, Source } from "./tiles";

type Sides = typeof sides.value;

/** A slice of a value. What a mask hides is shown as masked, in what the mask made and in the softmax of it. */
export function windowed(outline: Outline, address: string, slice: Slice, of: Sides): Source {
  const entry = outline.by.get(address)!;
  const [rows, columns] = extent(entry, slice);
  const index = windowIndex(slice);
  const mask = maskOf(outline, entry, slice);
  return {
    key: JSON.stringify([of, address, index]),
    rows,
    columns,
    async load(seenRows, seenColumns, height, width, signal) {
      const two = slice.axes.length === 2;
      const places = { ...(two ? { rows: seenRows } : {}), ...(slice.axes.length ? { columns: seenColumns } : {}) };
      const params = { ...places, height, width };
      const [answer, allowed] = await Promise.all([
        ask("window", { ...of, ...params, address, index }, signal),
        mask && ask("window", { scene: of.scene, ...params, ...mask }, signal),
      ]);
      return block(answer, allowed);
    },
  };
}

/** Where it says what may be seen along the shown axes; null where nothing is hidden. */
function maskOf(outline: Outline, entry: Entry, slice: Slice): { address: string; index: (number | null)[] } | null {
  const step = entry.operator === "softmax" ? outline.by.get(entry.reads[0] ?? "") : entry;
  const allowed = step?.operator === "mask" ? outline.by.get(step.reads[1] ?? "") : undefined;
  if (!allowed) return null;
  const places = windowIndex(slice);
  const index = [...allowed.axes].map((letter) => places[entry.axes.indexOf(letter)] ?? null);
  const free = index.filter((place) => place === null).length;
  return free === slice.axes.length ? { address: allowed.address, index } : null;
}

type Given = Awaited<ReturnType<typeof ask>>;

function block({ head, arrays, shapes }: Given, allowed: Given | null): Block {
  const [height, width] = shapes.values as [number, number];
  return {
    rows: head.rows,
    columns: head.columns,
    factor: head.factor,
    height,
    width,
    values: arrays.values as Float32Array,
    minimum: head.minimum ?? "0",
    maximum: head.maximum ?? "0",
    texts: head.texts,
    bits: head.bits,
    rowLabels: head.row_labels ?? undefined,
    columnLabels: head.column_labels ?? undefined,
    masked: allowed ? Uint8Array.from(allowed.arrays.values as Float32Array, (value) => (value === 0 ? 1 : 0)) : undefined,
  };
}

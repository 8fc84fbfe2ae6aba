// What the stream's screen looks at. It is a part of the view, so that a link leads back to it.

import type { Token } from "../model";
import { go, settle, state } from "../state";

export interface Streaming {
  /** Where in the text; null: its end. */
  position: number | null;
  /** The token that is followed through the layers; null: the one that is expected there. */
  token: number | null;
  /** The first position of the table. */
  from: number;
  /** Whether every part is listed, heads one by one, or each block's together. */
  every: boolean;
  order: "place" | "size";
}

const FIRST: Streaming = { position: null, token: null, from: 0, every: false, order: "place" };

export function streaming(): Streaming {
  return { ...FIRST, ...(state.value.view.stream as Partial<Streaming> | undefined) };
}

/** Look at something else. kept: the browser's Back leads back. */
export function stream(next: Partial<Streaming>, kept = false): void {
  (kept ? go : settle)({ stream: { ...streaming(), ...next } });
}

export interface Part {
  name: string;
  address: string | null;
  head: number | null;
  value: string;
  short: string;
  share: number;
  running: string;
}

export interface SplitHead {
  token: Token;
  position: number;
  address: string;
  index: number[];
  parts: Part[];
  blocks: Part[];
  total: string;
  stored: { text: string; bits: string; dtype: string };
  error: string;
  ulp: string;
  held: { norm: string; address: string; index: number[]; text: string }[];
  note: string;
}

export interface Guess extends Token {
  logit: string;
  bits: string;
  probability: string;
}

export interface LensHead {
  layers: string[];
  readout: string[];
  note: string;
  from: number;
  to: number;
  count: number;
  tokens: Token[];
  token: Token | null;
  /** By layer, by position, the most likely tokens. */
  top: Guess[][][];
  norms: string[][];
  chosen: { rank: number; logit: string; bits: string; probability: string }[][] | null;
}

// What the screen of the next token looks at: settings, where in the text, the list, and which number is explained.

import type { Token } from "../model";
import { go, settle, state } from "../state";

export interface Settings {
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
  repetition_penalty: number;
  seed: number;
}

export interface Choosing {
  settings: Settings;
  /** After which position is chosen; null: the end of the text. */
  position: number | null;
  /** How many tokens the text had when it began to be continued; null: it was not. */
  begun: number | null;
  find: string;
  order: "logit" | "id";
  /** The number of the choice that is explained. */
  open: { address: string; index: number[] } | null;
}

const FIRST: Choosing = {
  settings: { temperature: 1, top_k: null, top_p: null, min_p: null, repetition_penalty: 1, seed: 0 },
  position: null,
  begun: null,
  find: "",
  order: "logit",
  open: null,
};

export function choosing(): Choosing {
  const given = state.value.view.next as Partial<Choosing> | undefined;
  return { ...FIRST, ...given, settings: { ...FIRST.settings, ...given?.settings } };
}

/** Look at something else. kept: the browser's Back leads back. */
export function choose(next: Partial<Choosing>, kept = false): void {
  (kept ? go : settle)({ next: { ...choosing(), ...next } });
}

/** The settings as Python wants them: with temperature 0 nothing is drawn, so there is nothing to rule out. */
export function sent({ temperature, top_k, top_p, min_p, ...rest }: Settings): Partial<Settings> {
  return temperature === 0 ? { temperature, ...rest } : { temperature, top_k, top_p, min_p, ...rest };
}

export interface Cell {
  text: string;
  short: string;
  bits: string;
  probability?: string;
}

export interface Row extends Token {
  numbers: Record<string, Cell>;
}

export interface Drawn {
  explanation: string;
  before: number;
  uniform: string | null;
  low?: string;
  high?: string;
}

export interface NextHead {
  position: number;
  count: number;
  vocabulary: number;
  from: number;
  columns: { address: string; operator: string; settings: Record<string, number> }[];
  rows: Row[];
  chosen: Token & { place: number | null };
  drawn: Drawn;
  left: number;
  histogram: { counts: number[]; edges: string[]; chosen: number };
}

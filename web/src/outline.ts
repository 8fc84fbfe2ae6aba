// Everything there is in the shown scene, in the order of the program.

import { useAnswer } from "./ask";
import { ready } from "./runs";
import { shown } from "./state";

export interface Entry {
  address: string;
  axes: string;
  shape: number[];
  dtype: string;
  kind: "input" | "value" | "side" | "weight" | "gradient";
  operator: string;
  reads: string[];
  block: number | null;
  parameters: number;
}

export interface Outline {
  entries: Entry[];
  by: Map<string, Entry>;
  /** Which values are made from an address. */
  readers: Map<string, string[]>;
}

const made = new WeakMap<object, Outline>();

export function useOutline(): { outline: Outline | null; error: string | null } {
  const { changes: _, ...plain } = shown.value; // edits change numbers, never what there is
  const { answer, error, stale } = useAnswer("outline", ready.value ? { scene: plain } : null);
  if (!answer || stale) return { outline: null, error };
  const entries = answer.head.entries as Entry[];
  let outline = made.get(entries);
  if (!outline) made.set(entries, (outline = { entries, by: new Map(entries.map((each) => [each.address, each])), readers: readersOf(entries) }));
  return { outline, error };
}

function readersOf(entries: Entry[]): Map<string, string[]> {
  const readers = new Map<string, string[]>();
  for (const { address, reads } of entries)
    for (const read of new Set(reads)) readers.set(read, [...(readers.get(read) ?? []), address]);
  return readers;
}

/** Whether a value may be edited: what the model computes and its weights, not its inputs nor gradients. */
export function editable(entry: Entry): boolean {
  return entry.kind === "value" || entry.kind === "weight";
}

// An edit that is being written: what of the model, where, and what is done to it.

import type { Change, Place, Scene } from "../scene";

/** A kind of part that can be switched off, as Python lists them; * stands for the layer. */
export interface Part {
  name: string;
  address: string;
  axes: string;
  axis: number | null;
  count: number;
  position: number | null;
  layers: number[];
}

export interface Draft {
  /** The address of the part, with its *. */
  part: string;
  layer: number;
  /** Which of the part's heads, neurons or dimensions; null: all. */
  number: number | null;
  /** At which position; null: at all. */
  position: number | null;
  action: Change["action"];
  value: number;
  /** The prompt that a patch takes the same part from, and for a translation its source. */
  prompt: string;
  source: string;
}

export type Word = "layer" | "head" | "position";

export function firstDraft(parts: Part[]): Draft {
  const part = parts.find((each) => each.name === "attention head") ?? parts[0]!;
  const layer = part.layers[0] ?? 0;
  return { part: part.address, layer, number: 0, position: null, action: "zero", value: 0, prompt: "", source: "" };
}

/** Whether a part's single ones are heads: only these are swept over. */
export function headed(part: Part): boolean {
  return part.axis !== null && "HG".includes(part.axes[part.axis]!);
}

/** The edit that a draft means. stars: what a sweep goes over, left open as *. */
export function edit(draft: Draft, part: Part, from: Scene, stars: Word[] = []): Change {
  const index: (Place | "*")[] = [...part.axes].map(() => null);
  if (part.axis !== null) index[part.axis] = stars.includes("head") && headed(part) ? "*" : draft.number;
  if (part.position !== null) index[part.position] = stars.includes("position") ? "*" : draft.position;
  const address = stars.includes("layer") ? part.address : part.address.replace("*", String(draft.layer));
  return { address, index: index as Place[], action: draft.action, ...valued(draft, from) };
}

function valued({ action, value, prompt, source }: Draft, from: Scene): { value?: number | Scene } {
  if (action === "zero") return {};
  return { value: action === "patch" ? prompted(from, prompt, source) : value };
}

/** A scene like another one, of another prompt and without its edits. Token ids where the other has ids. */
export function prompted(from: Scene, prompt: string, source: string): Scene {
  const ids = (given: string) => given.split(/[\s,]+/).filter(Boolean).map(Number);
  const made: Scene = from.tokens ? { tokens: ids(prompt) } : { text: prompt };
  if (from.dtype) made.dtype = from.dtype;
  if (from.source_tokens) made.source_tokens = source ? ids(source) : from.source_tokens;
  else if (from.source !== undefined) made.source = source || from.source;
  return made;
}

/** Why a draft is no edit yet; null if it is one. */
export function lacking({ action, value, prompt }: Draft): string | null {
  if (action === "patch") return prompt ? null : "Write the prompt to take it from.";
  return action === "zero" || Number.isFinite(value) ? null : "Give a number, such as 0.5 or 1e-3.";
}

/** An index as one types it, "0, :, 3, 2:5", with as many places as there are axes or fewer; null if it is none. */
export function typed(text: string): Place[] | null {
  if (!text.trim()) return [];
  const places = text.split(",").map((each) => place(each.trim()));
  return places.some((each) => each === undefined) ? null : (places as Place[]);
}

function place(text: string): Place | undefined {
  if (text === ":" || text === "") return null;
  if (/^-?\d+$/.test(text)) return Number(text);
  const span = /^(-?\d*):(-?\d*)$/.exec(text);
  if (!span) return undefined;
  const end = (given: string) => (given === "" ? null : Number(given));
  return [end(span[1]!), end(span[2]!)];
}

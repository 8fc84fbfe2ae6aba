// What the attention screen looks at. It is a part of the view, so that a link leads back to it.

import { go, settle, state } from "../state";

export interface Head {
  layer: number;
  head: number;
}

export interface Looking extends Head {
  kind: "self" | "cross" | "source";
  /** How heads are ordered: as they stand, or by a measure. */
  order: string;
  query: number;
  key: number;
  /** Whether the tokens stay as they are when the pointer leaves; which side asks. */
  locked: boolean;
  side: "query" | "key";
  /** A second head beside the first. */
  beside: Head | null;
}

const FIRST: Looking = {
  kind: "self",
  layer: 0,
  head: 0,
  order: "place",
  query: 0,
  key: 0,
  locked: false,
  side: "query",
  beside: null,
};

export function looking(): Looking {
  return { ...FIRST, ...(state.value.view.attention as Partial<Looking> | undefined) };
}

/** Look at something else. kept: the browser's Back leads back. */
export function look(next: Partial<Looking>, kept = false): void {
  (kept ? go : settle)({ attention: { ...looking(), ...next } });
}

export function same(one: Head | null, other: Head): boolean {
  return one?.layer === other.layer && one.head === other.head;
}

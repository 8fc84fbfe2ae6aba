// The model that is explored, asked for once.

import { signal } from "@preact/signals";

export interface Token {
  id: number;
  text: string;
}

export interface Model {
  name: string;
  family: string;
  parameters: number;
  sizes: Record<string, number>;
  vocabulary: number;
  context: number | null;
  dtypes: string[];
  has_tokenizer: boolean;
  has_source: boolean;
  encoder_only: boolean;
  first: object;
  version: string;
  [more: string]: unknown;
}

export const model = signal<Model | null>(null);

/** 124439808 as 124 M. */
export function short(count: number): string {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]] as const)
    if (count >= size) return `${(count / size).toPrecision(3)} ${letter}`;
  return String(count);
}

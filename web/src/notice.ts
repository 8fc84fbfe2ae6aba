// A short word to the reader that goes away by itself.

import { signal } from "@preact/signals";

export const notice = signal("");

let leaving = 0;

export function say(text: string): void {
  notice.value = text;
  clearTimeout(leaving);
  leaving = window.setTimeout(() => (notice.value = ""), 6000);
}

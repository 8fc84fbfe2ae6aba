// Light or dark: what the system says, or what was chosen here.

import { computed, signal } from "@preact/signals";
import { PALETTES, type Palette } from "./colours";

export type Theme = "light" | "dark";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const ofSystem = signal<Theme>(system.matches ? "dark" : "light");
system.addEventListener("change", () => (ofSystem.value = system.matches ? "dark" : "light"));

export const chosen = signal<Theme | null>(null);
export const theme = computed<Theme>(() => chosen.value ?? ofSystem.value);
export const palette = computed<Palette>(() => PALETTES[theme.value]);

/** A colour of the style sheet, as it is under an element. */
export function token(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(`--${name}`).trim();
}

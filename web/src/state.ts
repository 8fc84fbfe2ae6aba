// What the page shows: two scenes and a view. All of it is in the link, so that a link gives the same page again.

import { computed, signal } from "@preact/signals";
import { pack, unpack } from "./link";
import { withChange, type Change, type Scene } from "./scene";

export type Part = "a" | "b" | "difference";
export type Span = [number, number];

/** Where one is and what one looks at. Screens may keep more of their own here, as plain data under their name. */
export interface View {
  screen: string;
  address?: string;
  /** One place for each axis; null marks the axes that are shown whole. */
  index?: (number | null)[];
  rows?: Span;
  columns?: Span;
  part?: Part;
  [more: string]: unknown;
}

/** off: edits that are switched off, and where in the list of all edits each stands. */
export interface State {
  a: Scene;
  b: Scene | null;
  view: View;
  off?: { at: number; change: Change }[];
}

type Scenes = Omit<State, "view">;

export const state = signal<State>({ a: { text: "" }, b: null, view: { screen: "flow" } });

const past = signal<Scenes[]>([]);
const future = signal<Scenes[]>([]);

/** Whether what is shown is of A, of B or B−A: what the view says as long as there is a B. */
export const part = computed<Part>(() => (state.value.b ? (state.value.view.part ?? "b") : "a"));

/** The scene that is shown; of a difference B. */
export const shown = computed<Scene>(() => (part.value === "a" ? state.value.a : (state.value.b ?? state.value.a)));

/** The scene that edits go to. */
export const edited = computed<Scene>(() => state.value.b ?? state.value.a);

/** The parameters that name what is shown in a request: scene, and for a difference other and part. */
export const sides = computed<{ scene: Scene; other?: Scene; part?: Part }>(() => {
  const { a, b } = state.value;
  return b && part.value === "difference" ? { scene: a, other: b, part: "difference" } : { scene: shown.value };
});

// --- going somewhere ------------------------------------------------------------------------------------------------

/** Show something else; the browser's Back leads back. What is not given stays, as far as it fits the new address. */
export function go(view: Partial<View>): void {
  const { a, b, off } = state.value;
  replace({ a, b, off, view: moved(view) }, "push");
}

/** As go, without a step for the browser's Back: for moving about in a picture. */
export function settle(view: Partial<View>): void {
  const { a, b, off } = state.value;
  replace({ a, b, off, view: moved(view) }, "replace");
}

function moved(view: Partial<View>): View {
  const before = state.value.view;
  const elsewhere = view.address !== undefined && view.address !== before.address;
  return elsewhere
    ? { screen: before.screen, part: before.part, ...view }
    : { ...before, ...view };
}

// --- changing -------------------------------------------------------------------------------------------------------

/** Edit a number or a part of a tensor: B is A, or what B is already, with this edit. */
export function change(edit: Change): void {
  scenes({ ...state.value, b: withChange(edited.value, edit) });
}

/** Other scenes; undo leads back to the ones before. */
export function scenes(next: Scenes, view: Partial<View> = {}): void {
  const { a, b, off } = state.value;
  past.value = [...past.value.slice(-199), { a, b, off }];
  future.value = [];
  replace({ a: next.a, b: next.b, off: next.off?.length ? next.off : undefined, view: moved(view) }, "push");
}

export const canUndo = computed(() => past.value.length > 0 || state.value.b !== null);
export const canRedo = computed(() => future.value.length > 0);

/** Back to the scenes before the last change. A page that came from a link has no before: its last edit is removed. */
export function undo(): void {
  const before = past.value[past.value.length - 1] ?? shorter();
  if (!before) return;
  const { a, b, off, view } = state.value;
  past.value = past.value.slice(0, -1);
  future.value = [...future.value, { a, b, off }];
  replace({ ...before, view }, "push");
}

export function redo(): void {
  const next = future.value[future.value.length - 1];
  if (!next) return;
  const { a, b, off, view } = state.value;
  future.value = future.value.slice(0, -1);
  past.value = [...past.value, { a, b, off }];
  replace({ ...next, view }, "push");
}

function shorter(): Scenes | null {
  const { a, b } = state.value;
  if (!b) return null;
  const changes = (b.changes ?? []).slice(0, -1);
  return { a, b: changes.length > (a.changes ?? []).length ? { ...b, changes } : null };
}

/** Of which number gradients are taken, in both scenes; null for none. */
export function differentiate(gradient: Scene["gradient"] | null): void {
  const { a, b, off } = state.value;
  const told = (scene: Scene): Scene => ({ ...scene, gradient: gradient ?? undefined });
  scenes({ a: told(a), b: b && told(b), off });
}

/** Tells later whether the scenes are still the ones of now: an answer about others comes too late to change them. */
export function unchanged(): () => boolean {
  const { a, b } = state.value;
  return () => state.value.a === a && state.value.b === b;
}

// --- the link -------------------------------------------------------------------------------------------------------

let ours = false;
let writing: Promise<void> = Promise.resolve();

function replace(next: State, how: "push" | "replace"): void {
  state.value = next;
  if (!ours) return;
  writing = writing.then(async () => {
    const address = `${location.pathname}${location.search}#${await pack(next)}`;
    if (how === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  });
}

/** The link to what is shown now, once it is written. */
export async function link(): Promise<string> {
  await writing;
  return `${location.origin}${location.pathname}${location.search}#${await pack(state.value)}`;
}

/** Begin with what the page's link says, or with a scene. Returns what is wrong with the link, if anything is. */
export async function begin(first: Scene, ownsAddress: boolean): Promise<string | null> {
  state.value = { a: first, b: null, view: { screen: "flow" } };
  if (!ownsAddress) return null;
  ours = true;
  window.addEventListener("popstate", () => void read());
  return read();
}

async function read(): Promise<string | null> {
  try {
    const found = await unpack(location.hash);
    if (found && !(found.a && found.view?.screen)) throw new Error("no scene in it");
    if (found) state.value = { b: null, ...found };
    return null;
  } catch (error) {
    return `The link could not be read (${error instanceof Error ? error.message : error}); this is the first page.`;
  }
}

// Which two axes of a value lie on the screen, and where along the others one is.

import type { Entry } from "./outline";
import type { View } from "./state";

/** axes: the one or two shown, in order; index: the place of the cursor along every axis. */
export interface Slice {
  axes: number[];
  index: number[];
}

/** The slice that a view shows of a value: what it says, as far as that fits; else the last two axes. */
export function sliceOf(entry: Entry, view: View): Slice {
  const { shape } = entry;
  const given = view.index?.length === shape.length ? view.index : shape.map(() => 0);
  const index = given.map((place, axis) => Math.min(Math.max(place ?? 0, 0), Math.max(0, shape[axis]! - 1)));
  const marked = given.flatMap((place, axis) => (place === null ? [axis] : []));
  const chosen = view.axes as number[] | undefined;
  const fits = (axes: number[]) => axes.length > 0 && axes.length <= 2 && axes.every((axis) => axis < shape.length);
  if (marked.length && fits(marked)) return { axes: marked, index };
  if (chosen && fits(chosen)) return { axes: chosen, index };
  return { axes: usual(entry), index };
}

/** Positions against positions or numbers where there are such, heads being chosen one at a time. */
function usual({ axes, shape }: Entry): number[] {
  const order = [...axes].map((letter, axis) => ({ axis, rank: "HGB".includes(letter) && shape.length > 2 ? 0 : 1 }));
  const last = order.sort((one, other) => other.rank - one.rank || other.axis - one.axis).slice(0, 2);
  return last.map((each) => each.axis).sort((one, other) => one - other);
}

/** The index as a window is asked for: null along the shown axes. */
export function windowIndex({ axes, index }: Slice): (number | null)[] {
  return index.map((place, axis) => (axes.includes(axis) ? null : place));
}

/** Rows and columns of the matrix on the screen; a value with one axis is one row. */
export function extent({ shape }: Entry, { axes }: Slice): [number, number] {
  const sizes = axes.map((axis) => shape[axis]!);
  return sizes.length === 2 ? [sizes[0]!, sizes[1]!] : [1, sizes[0] ?? 1];
}

/** Row and column of the cursor. */
export function cursorOf({ axes, index }: Slice): [number, number] {
  const places = axes.map((axis) => index[axis]!);
  return places.length === 2 ? [places[0]!, places[1]!] : [0, places[0] ?? 0];
}

/** The index of a cell on the screen. */
export function indexAt({ axes, index }: Slice, [row, column]: [number, number]): number[] {
  const made = [...index];
  if (axes.length === 2) made[axes[0]!] = row;
  if (axes.length) made[axes[axes.length - 1]!] = column;
  return made;
}

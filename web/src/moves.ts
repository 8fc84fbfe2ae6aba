// Moving about in a matrix: drag or wheel to pan, pinch or Ctrl and wheel to zoom, arrows for the cursor.

import type { RefObject } from "preact";
import { cellAt, panned, reaching, seen, whole, zoomed, type Camera, type Frame } from "./camera";
import type { MatrixProps } from "./matrix";
import type { Margins } from "./painting";

interface Hands {
  box: RefObject<HTMLDivElement | null>;
  camera: RefObject<Camera | null>;
  frame: Frame;
  margins: Margins;
  see(camera: Camera): void;
  props(): MatrixProps;
}

type Point = { x: number; y: number };

/** How far a pointer may move and still click. */
const STILL = 4;

// The pointers that are down, by the element they are on: a component is drawn anew while one drags.
const pointers = new WeakMap<Element, { down: Map<number, Point>; moved: number }>();

export function moves(hands: Hands) {
  const { frame, margins, see, props } = hands;
  const camera = () => hands.camera.current;
  const at = (event: MouseEvent): Point => {
    const { left, top } = hands.box.current!.getBoundingClientRect();
    return { x: event.clientX - left - margins.left, y: event.clientY - top - margins.top };
  };
  const held = () => {
    const element = hands.box.current!;
    if (!pointers.has(element)) pointers.set(element, { down: new Map(), moved: 0 });
    return pointers.get(element)!;
  };
  const cell = (event: MouseEvent) => {
    const view = camera();
    const point = at(event);
    return view && cellAt(view, frame, point.x, point.y);
  };

  function move(row: number, column: number): void {
    const next: [number, number] = [
      Math.min(Math.max(row, 0), frame.rows - 1),
      Math.min(Math.max(column, 0), frame.columns - 1),
    ];
    const view = camera();
    if (view) see(reaching(view, frame, next[0], next[1]));
    props().onMove(next);
  }

  function key(event: KeyboardEvent): void {
    const view = camera();
    if (!view || event.altKey || event.metaKey) return;
    const [row, column] = props().cursor;
    const { rows } = seen(view, frame);
    const page = Math.max(1, rows[1] - rows[0] - 1);
    const step = event.shiftKey ? 10 : 1;
    const middle = [column * view.across - view.x + view.across / 2, row * view.down - view.y + view.down / 2] as const;
    const doing: Record<string, () => void> = {
      ArrowUp: () => move(row - step, column),
      ArrowDown: () => move(row + step, column),
      ArrowLeft: () => move(row, column - step),
      ArrowRight: () => move(row, column + step),
      PageUp: () => move(row - page, column),
      PageDown: () => move(row + page, column),
      Home: () => move(event.ctrlKey ? 0 : row, 0),
      End: () => move(event.ctrlKey ? frame.rows - 1 : row, frame.columns - 1),
      Enter: () => props().onOpen?.([row, column]),
      "+": () => see(zoomed(view, frame, 1.5, ...middle)),
      "=": () => see(zoomed(view, frame, 1.5, ...middle)),
      "-": () => see(zoomed(view, frame, 1 / 1.5, ...middle)),
      "0": () => see(whole(frame)),
    };
    const does = doing[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  return {
    onKeyDown: key,
    onPointerDown(event: PointerEvent) {
      if (event.button !== 0) return;
      const state = held();
      if (!state.down.size) state.moved = 0;
      state.down.set(event.pointerId, at(event));
      hands.box.current!.setPointerCapture(event.pointerId);
    },
    onPointerMove(event: PointerEvent) {
      const state = held();
      const before = state.down.get(event.pointerId);
      const view = camera();
      if (!before || !view) return;
      const now = at(event);
      state.down.set(event.pointerId, now);
      state.moved += Math.hypot(now.x - before.x, now.y - before.y);
      const other = [...state.down.entries()].find(([id]) => id !== event.pointerId)?.[1];
      if (other) see(pinched(view, frame, before, now, other));
      else if (state.moved > STILL) see(panned(view, frame, before.x - now.x, before.y - now.y));
    },
    onPointerUp(event: PointerEvent) {
      const state = held();
      const clicked = state.down.delete(event.pointerId) && state.moved <= STILL && !state.down.size;
      const found = clicked ? cell(event) : null;
      if (found) props().onMove(found);
    },
    onPointerCancel(event: PointerEvent) {
      held().down.delete(event.pointerId);
    },
    onDblClick(event: MouseEvent) {
      const found = cell(event);
      if (found) props().onOpen?.(found);
    },
    onWheel(event: WheelEvent) {
      const view = camera();
      if (!view) return;
      const point = at(event);
      const unit = event.deltaMode === 1 ? 16 : 1;
      const sideways = event.shiftKey && !event.deltaX;
      const next = event.ctrlKey
        ? zoomed(view, frame, Math.exp(-event.deltaY * unit * 0.004), point.x, point.y)
        : panned(view, frame, (sideways ? event.deltaY : event.deltaX) * unit, sideways ? 0 : event.deltaY * unit);
      const still = next.x === view.x && next.y === view.y && next.across === view.across && next.down === view.down;
      if (still && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      see(next);
    },
  };
}

function pinched(view: Camera, frame: Frame, before: Point, now: Point, other: Point): Camera {
  const far = (one: Point) => Math.max(8, Math.hypot(one.x - other.x, one.y - other.y));
  return zoomed(view, frame, far(now) / far(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
}

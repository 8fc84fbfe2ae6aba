// Which part of a matrix is seen: how many pixels a column and a row take, and where the seen part begins.

import type { Span } from "./state";

/** x, y: pixels left of and above the seen part; across, down: pixels of a column and of a row. */
export interface Camera {
  x: number;
  y: number;
  across: number;
  down: number;
}

/** The matrix, the pixels there are for its cells, and the most that one cell may take. */
export interface Frame {
  rows: number;
  columns: number;
  width: number;
  height: number;
  mostAcross: number;
  mostDown: number;
}

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), Math.max(low, high));

/** All of the matrix, cells no larger than the most. */
export function whole(frame: Frame): Camera {
  return inside({ x: 0, y: 0, across: 0, down: 0 }, frame);
}

/** The nearest camera that shows nothing but the matrix, all of it at the least. */
export function inside(camera: Camera, frame: Frame): Camera {
  const across = clamp(camera.across, Math.min(frame.width / frame.columns, frame.mostAcross), frame.mostAcross);
  const down = clamp(camera.down, Math.min(frame.height / frame.rows, frame.mostDown), frame.mostDown);
  return {
    across,
    down,
    x: clamp(camera.x, 0, frame.columns * across - frame.width),
    y: clamp(camera.y, 0, frame.rows * down - frame.height),
  };
}

export function panned(camera: Camera, frame: Frame, right: number, below: number): Camera {
  return inside({ ...camera, x: camera.x + right, y: camera.y + below }, frame);
}

/** Larger or smaller by a factor, with what lies at a pixel staying there. */
export function zoomed(camera: Camera, frame: Frame, by: number, atX: number, atY: number): Camera {
  const next = inside({ ...camera, across: camera.across * by, down: camera.down * by }, frame);
  const column = (camera.x + atX) / camera.across;
  const row = (camera.y + atY) / camera.down;
  return inside({ ...next, x: column * next.across - atX, y: row * next.down - atY }, frame);
}

/** Moved as little as needed for a cell to be seen. */
export function reaching(camera: Camera, frame: Frame, row: number, column: number): Camera {
  const x = clamp(camera.x, (column + 1) * camera.across - frame.width, column * camera.across);
  const y = clamp(camera.y, (row + 1) * camera.down - frame.height, row * camera.down);
  return inside({ ...camera, x, y }, frame);
}

/** The camera that shows these rows and columns. */
export function showing(frame: Frame, rows: Span, columns: Span): Camera {
  const across = frame.width / Math.max(1, columns[1] - columns[0]);
  const down = frame.height / Math.max(1, rows[1] - rows[0]);
  const near = inside({ x: 0, y: 0, across, down }, frame);
  return inside({ ...near, x: columns[0] * near.across, y: rows[0] * near.down }, frame);
}

/** The rows and columns that are seen, also those seen in part. */
export function seen(camera: Camera, frame: Frame): { rows: Span; columns: Span } {
  const span = (offset: number, size: number, pixels: number, count: number): Span => [
    Math.floor(offset / size + 1e-6),
    Math.min(count, Math.ceil((offset + pixels) / size - 1e-6)),
  ];
  return {
    rows: span(camera.y, camera.down, frame.height, frame.rows),
    columns: span(camera.x, camera.across, frame.width, frame.columns),
  };
}

/** The cell under a pixel; null outside the matrix. */
export function cellAt(camera: Camera, frame: Frame, atX: number, atY: number): [number, number] | null {
  const column = Math.floor((camera.x + atX) / camera.across);
  const row = Math.floor((camera.y + atY) / camera.down);
  const within = atX >= 0 && atY >= 0 && row >= 0 && column >= 0 && row < frame.rows && column < frame.columns;
  return within ? [row, column] : null;
}

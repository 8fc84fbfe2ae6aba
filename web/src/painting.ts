// Drawing what is seen of a matrix: tiles, hatches over what is hidden, digits where they fit, labels at the edges.

import { seen, type Camera, type Frame } from "./camera";
import { colour, ink, type Palette, type Range, type Rgb } from "./colours";
import { isMasked, painted, type Block, type Tiles } from "./tiles";

export interface Look {
  palette: Palette;
  range: Range;
  paper: Rgb;
  text: string;
  quiet: string;
  line: string;
  accent: string;
}

export interface Margins {
  left: number;
  top: number;
}

/** Digits are drawn from this size of a cell on. */
export const READABLE = { across: 62, down: 15 };
export const LABELLED = 11;

const FONT = '11px ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

export function readable(camera: Camera): boolean {
  return camera.across >= READABLE.across && camera.down >= READABLE.down;
}

/** Everything, in CSS pixels; the context is scaled to device pixels already. */
export function draw(
  context: CanvasRenderingContext2D,
  camera: Camera,
  frame: Frame,
  margins: Margins,
  tiles: Tiles,
  look: Look,
  cursor: [number, number],
): void {
  context.clearRect(0, 0, margins.left + frame.width, margins.top + frame.height);
  context.save();
  context.translate(margins.left, margins.top);
  context.beginPath();
  context.rect(0, 0, frame.width, frame.height);
  context.clip();
  cells(context, camera, frame, tiles, look);
  mark(context, camera, cursor, look);
  context.restore();
  labels(context, camera, frame, margins, tiles, look, cursor);
}

function cells(context: CanvasRenderingContext2D, camera: Camera, frame: Frame, tiles: Tiles, look: Look): void {
  const { rows, columns } = seen(camera, frame);
  const hidden = look.paper;
  context.imageSmoothingEnabled = false;
  const touching = tiles.touching(rows, columns);
  for (const tile of touching) {
    const { block } = tile;
    const [x, y] = [block.columns[0] * camera.across - camera.x, block.rows[0] * camera.down - camera.y];
    // the last pooled value of a tile may stand for fewer cells than the others
    const width = block.width * block.factor[1] * camera.across;
    const height = block.height * block.factor[0] * camera.down;
    context.drawImage(painted(tile, look.range, look.palette, hidden), x, y, width, height);
  }
  if (camera.across < 7 || camera.down < 7) return;
  const near = touching.map((tile) => tile.block).filter((block) => block.factor[0] === 1 && block.factor[1] === 1);
  grid(context, camera, frame, rows, columns, look);
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "right";
  const done = new Set<number>();
  for (const block of near.reverse()) over(context, camera, block, rows, columns, frame, look, done);
}

function grid(
  context: CanvasRenderingContext2D,
  camera: Camera,
  frame: Frame,
  rows: readonly number[],
  columns: readonly number[],
  look: Look,
): void {
  context.strokeStyle = look.line;
  context.lineWidth = 1;
  context.beginPath();
  const right = Math.min(frame.width, frame.columns * camera.across - camera.x);
  const below = Math.min(frame.height, frame.rows * camera.down - camera.y);
  for (let i = rows[0]!; i <= rows[1]!; i++) {
    const y = Math.round(i * camera.down - camera.y) + 0.5;
    context.moveTo(0, y);
    context.lineTo(right, y);
  }
  for (let j = columns[0]!; j <= columns[1]!; j++) {
    const x = Math.round(j * camera.across - camera.x) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, below);
  }
  context.stroke();
}

/** What stands over the colours of single cells: hatches and digits. */
function over(
  context: CanvasRenderingContext2D,
  camera: Camera,
  block: Block,
  rows: readonly number[],
  columns: readonly number[],
  frame: Frame,
  look: Look,
  done: Set<number>,
): void {
  const digits = readable(camera) && block.texts;
  for (let i = Math.max(rows[0]!, block.rows[0]); i < Math.min(rows[1]!, block.rows[1]); i++) {
    for (let j = Math.max(columns[0]!, block.columns[0]); j < Math.min(columns[1]!, block.columns[1]); j++) {
      const place = i * frame.columns + j;
      if (done.has(place)) continue;
      if (digits) done.add(place);
      const at = (i - block.rows[0]) * block.width + (j - block.columns[0]);
      const value = block.values[at]!;
      const [x, y] = [j * camera.across - camera.x, i * camera.down - camera.y];
      const masked = isMasked(block, at);
      if (masked) hatch(context, x, y, camera, look.quiet, false);
      else if (!Number.isFinite(value)) hatch(context, x, y, camera, "#ffffff", true);
      if (!digits) continue;
      context.fillStyle = masked ? look.quiet : ink(colour(value, look.range, look.palette));
      context.fillText(cut(block.texts![i - block.rows[0]]![j - block.columns[0]]!, camera.across), x + camera.across - 5, y + camera.down / 2 + 0.5);
    }
  }
}

/** Diagonal lines for what is masked, crosses for what is no finite number. */
function hatch(context: CanvasRenderingContext2D, x: number, y: number, camera: Camera, ink: string, crossed: boolean): void {
  const { across, down } = camera;
  context.save();
  context.beginPath();
  context.rect(x + 1, y + 1, across - 1, down - 1);
  context.clip();
  context.strokeStyle = ink;
  context.globalAlpha = crossed ? 0.8 : 0.3;
  context.lineWidth = 1;
  context.beginPath();
  const first = Math.floor((x + y) / 6) * 6; // the lines of neighbouring cells meet
  for (let at = first; at < x + y + across + down; at += 6) {
    context.moveTo(at - y, y);
    context.lineTo(at - y - down, y + down);
    if (!crossed) continue;
    context.moveTo(2 * x + across - (at - y), y);
    context.lineTo(2 * x + across - (at - y - down), y + down);
  }
  context.stroke();
  context.restore();
}

/** A text that fits, with a sign that something was cut off. */
function cut(text: string, across: number): string {
  const most = Math.floor((across - 9) / 6.65);
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`;
}

function mark(context: CanvasRenderingContext2D, camera: Camera, [row, column]: [number, number], look: Look): void {
  const [x, y] = [column * camera.across - camera.x, row * camera.down - camera.y];
  const [width, height] = [Math.max(camera.across, 5), Math.max(camera.down, 5)];
  context.lineWidth = 3;
  context.strokeStyle = look.text === "#e8eaee" ? "#000000" : "#ffffff";
  context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
  context.lineWidth = 2;
  context.strokeStyle = look.accent;
  context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
}

function labels(
  context: CanvasRenderingContext2D,
  camera: Camera,
  frame: Frame,
  margins: Margins,
  tiles: Tiles,
  look: Look,
  cursor: [number, number],
): void {
  if (!margins.left && !margins.top) return;
  const { rows, columns } = seen(camera, frame);
  context.font = FONT;
  context.textBaseline = "middle";
  const style = (here: boolean) => {
    context.fillStyle = here ? look.accent : look.quiet;
  };
  context.textAlign = "right";
  const every = step(camera.down, LABELLED + 2);
  context.save();
  context.beginPath();
  context.rect(0, margins.top - 6, margins.left, frame.height + 12);
  context.clip();
  for (let i = Math.ceil(rows[0] / every) * every; i < rows[1]; i += every) {
    style(i === cursor[0]);
    const text = named(tiles.label("row", i), i, every === 1, 13);
    context.fillText(text, margins.left - 6, margins.top + (i + 0.5) * camera.down - camera.y);
  }
  context.restore();
  columnLabels(context, camera, margins, frame, tiles, columns, cursor, style);
}

function columnLabels(
  context: CanvasRenderingContext2D,
  camera: Camera,
  margins: Margins,
  frame: Frame,
  tiles: Tiles,
  columns: readonly number[],
  cursor: [number, number],
  style: (here: boolean) => void,
): void {
  const upright = camera.across >= READABLE.across;
  const every = upright ? 1 : step(camera.across, LABELLED + 2);
  context.save();
  context.beginPath();
  context.rect(margins.left - 8, 0, frame.width + 16, margins.top);
  context.clip();
  for (let j = Math.ceil(columns[0]! / every) * every; j < columns[1]!; j += every) {
    style(j === cursor[1]);
    const text = named(tiles.label("column", j), j, every === 1, upright ? Math.floor(camera.across / 6.65) - 1 : 8);
    const x = margins.left + (j + 0.5) * camera.across - camera.x;
    context.save();
    context.translate(x, margins.top - 6);
    if (!upright) context.rotate(-Math.PI / 2);
    context.textAlign = upright ? "center" : "left";
    context.fillText(text, 0, upright ? -4 : 0);
    context.restore();
  }
  context.restore();
}

/** Every how many rows a label fits: 1, 2, 5, 10, 20 … */
function step(pixels: number, least: number): number {
  for (let ten = 1; ; ten *= 10) for (const by of [1, 2, 5]) if (by * ten * pixels >= least) return by * ten;
}

function named(label: string | undefined, at: number, every: boolean, most: number): string {
  if (label === undefined || !every) return String(at);
  const text = `${at} ${label}`;
  return text.length <= most ? text : `${text.slice(0, Math.max(2, most - 1))}…`;
}

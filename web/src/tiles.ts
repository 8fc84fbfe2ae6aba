// A matrix in pieces: pooled ones far away, single cells near by, with their digits when they can be read.

import { table, type Palette, type Range } from "./colours";
import type { Span } from "./state";

/** A loaded rectangle of a matrix: one value for factor[0] × factor[1] cells. Labels and digits: of single cells. */
export interface Block {
  rows: Span;
  columns: Span;
  factor: [number, number];
  height: number;
  width: number;
  values: Float32Array;
  /** The least and the greatest finite number, as Python wrote them. */
  minimum: string;
  maximum: string;
  texts?: string[][];
  bits?: string[][];
  rowLabels?: string[];
  columnLabels?: string[];
  /** 1 where a cell is masked; where not given, −∞ is. */
  masked?: Uint8Array;
}

/** Where a matrix comes from. Equal keys have equal numbers. */
export interface Source {
  key: string;
  rows: number;
  columns: number;
  load(rows: Span, columns: Span, height: number, width: number, signal: AbortSignal): Promise<Block>;
}

const PLAIN = 256;
const DIGITS = 64;
const MOST_TILES = 400;
const AT_ONCE = 4;

interface Tile {
  block: Block;
  level: number;
  picture?: OffscreenCanvas;
  painted?: string;
}

export interface Tiles {
  /** Ask for what is seen, px: device pixels of a row and of a column. Coarse tiles come first. */
  want(rows: Span, columns: Span, down: number, across: number, digits: boolean): void;
  /** The loaded tiles that touch the seen part, coarsest first. */
  touching(rows: Span, columns: Span): Tile[];
  /** The block that holds the digits of a cell, or at least the cell by itself. */
  cell(row: number, column: number): Block | null;
  label(axis: "row" | "column", at: number): string | undefined;
  /** The whole matrix pooled, once it is there. */
  overview(): Block | null;
  close(): void;
}

/** How many cells are pooled, so that none falls between two pixels. */
const power = (pixels: number) => 2 ** Math.max(0, Math.ceil(Math.log2(1 / pixels)));

export function tiles(source: Source, changed: (error?: unknown) => void): Tiles {
  const loaded = new Map<string, Tile>();
  const labels = { row: new Map<number, string>(), column: new Map<number, string>() };
  const failed = new Set<string>();
  let waiting: { key: string; rows: Span; columns: Span; level: number }[] = [];
  let under = new Map<string, AbortController>();
  let closed = false;
  const top: [number, number] = [
    2 ** Math.ceil(Math.log2(Math.max(1, source.rows / PLAIN))),
    2 ** Math.ceil(Math.log2(Math.max(1, source.columns / PLAIN))),
  ];

  function piece(size: number, fr: number, fc: number, i: number, j: number) {
    const rows: Span = [i * size * fr, Math.min(source.rows, (i + 1) * size * fr)];
    const columns: Span = [j * size * fc, Math.min(source.columns, (j + 1) * size * fc)];
    return { key: `${size} ${fr} ${fc} ${i} ${j}`, rows, columns, level: fr * fc * (size === DIGITS ? 0.5 : 1) };
  }

  function pieces(rows: Span, columns: Span, size: number, fr: number, fc: number) {
    const made = [];
    for (let i = Math.floor(rows[0] / (size * fr)); i * size * fr < rows[1]; i++)
      for (let j = Math.floor(columns[0] / (size * fc)); j * size * fc < columns[1]; j++)
        made.push(piece(size, fr, fc, i, j));
    return made;
  }

  function want(rows: Span, columns: Span, down: number, across: number, digits: boolean) {
    const [fr, fc] = [Math.min(power(down), top[0]), Math.min(power(across), top[1])];
    const size = digits && source.rows * source.columns > DIGITS * DIGITS ? DIGITS : PLAIN;
    const overall = piece(PLAIN, top[0], top[1], 0, 0);
    const near = pieces(rows, columns, size, fr, fc).filter((each) => each.key !== overall.key);
    const wanted = [overall, ...near];
    const keys = new Set(wanted.map((each) => each.key));
    for (const [key, controller] of under) if (!keys.has(key)) controller.abort();
    waiting = wanted.filter((each) => !loaded.has(each.key) && !under.has(each.key) && !failed.has(each.key));
    next();
  }

  function next() {
    while (!closed && under.size < AT_ONCE && waiting.length) void bring(waiting.shift()!);
  }

  async function bring({ key, rows, columns, level }: (typeof waiting)[number]) {
    const controller = new AbortController();
    under.set(key, controller);
    const [, fr, fc] = key.split(" ").map(Number) as [number, number, number];
    const [height, width] = [Math.ceil((rows[1] - rows[0]) / fr), Math.ceil((columns[1] - columns[0]) / fc)];
    try {
      const block = await source.load(rows, columns, height, width, controller.signal);
      if (closed) return;
      loaded.set(key, { block, level });
      name(block);
      trim();
      changed();
    } catch (error) {
      if (controller.signal.aborted || closed) return;
      failed.add(key);
      changed(error);
    } finally {
      under.delete(key);
      next();
    }
  }

  function name(block: Block) {
    block.rowLabels?.forEach((label, i) => labels.row.set(block.rows[0] + i, label));
    block.columnLabels?.forEach((label, i) => labels.column.set(block.columns[0] + i, label));
  }

  function trim() {
    for (const [key, tile] of loaded) {
      if (loaded.size <= MOST_TILES) return;
      if (tile.level < top[0] * top[1]) loaded.delete(key);
    }
  }

  const meets = (one: Span, other: Span) => one[0] < other[1] && other[0] < one[1];

  return {
    want,
    touching: (rows, columns) =>
      [...loaded.values()]
        .filter(({ block }) => meets(block.rows, rows) && meets(block.columns, columns))
        .sort((one, other) => other.level - one.level),
    cell(row, column) {
      const at = [...loaded.values()].map((tile) => tile.block).filter(
        ({ factor, rows, columns }) =>
          factor[0] === 1 && factor[1] === 1 && meets(rows, [row, row + 1]) && meets(columns, [column, column + 1]),
      );
      return at.find((block) => block.texts) ?? at[0] ?? null;
    },
    label: (axis, at) => labels[axis].get(at),
    overview: () => loaded.get(piece(PLAIN, top[0], top[1], 0, 0).key)?.block ?? null,
    close() {
      closed = true;
      for (const controller of under.values()) controller.abort();
      under = new Map();
    },
  };
}

export function isMasked(block: Block, at: number): boolean {
  return block.masked ? block.masked[at] === 1 : block.values[at] === -Infinity;
}

/** A tile as a picture of one pixel a value. */
export function painted(tile: Tile, range: Range, palette: Palette, hidden: readonly number[]): OffscreenCanvas {
  const { block } = tile;
  const key = JSON.stringify([range, palette.nan]);
  if (tile.picture && tile.painted === key) return tile.picture;
  const picture = (tile.picture ??= new OffscreenCanvas(block.width, block.height));
  picture.getContext("2d")!.putImageData(coloured(block, range, palette, hidden), 0, 0);
  tile.painted = key;
  return picture;
}

export function coloured(block: Block, range: Range, palette: Palette, hidden: readonly number[]): ImageData {
  const image = new ImageData(block.width, block.height);
  const steps = table(range, palette);
  const width = range.most - range.least;
  const { values } = block;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (isMasked(block, i)) image.data.set([hidden[0]!, hidden[1]!, hidden[2]!, 255], i * 4);
    else if (!Number.isFinite(value)) image.data.set([...(Number.isNaN(value) ? palette.nan : palette.infinite), 255], i * 4);
    else {
      const place = width > 0 ? (value - range.least) / width : range.scale === "symmetric" ? 0.5 : 0;
      const step = 4 * Math.round(Math.min(Math.max(place, 0), 1) * 1023);
      image.data[i * 4] = steps[step]!;
      image.data[i * 4 + 1] = steps[step + 1]!;
      image.data[i * 4 + 2] = steps[step + 2]!;
      image.data[i * 4 + 3] = 255;
    }
  }
  return image;
}

/** A source for numbers that are here already. texts: their digits, as Python wrote them. */
export function given(
  key: string,
  values: Float32Array,
  rows: number,
  columns: number,
  more: { texts?: string[][]; bits?: string[][]; rowLabels?: string[]; columnLabels?: string[]; masked?: Uint8Array } = {},
): Source {
  return {
    key,
    rows,
    columns,
    async load([top, bottom], [left, right], height, width) {
      const [fr, fc] = [Math.ceil((bottom - top) / height), Math.ceil((right - left) / width)];
      const block = pooled(values, columns, [top, bottom], [left, right], fr, fc, more.masked);
      const single = fr === 1 && fc === 1;
      const cut = (all?: string[][]) => (single ? all?.slice(top, bottom).map((row) => row.slice(left, right)) : undefined);
      return {
        ...block,
        texts: cut(more.texts),
        bits: cut(more.bits),
        rowLabels: fr === 1 ? more.rowLabels?.slice(top, bottom) : undefined,
        columnLabels: fc === 1 ? more.columnLabels?.slice(left, right) : undefined,
      };
    },
  };
}

/** The number of largest magnitude of every fr × fc cells. */
function pooled(all: Float32Array, across: number, rows: Span, columns: Span, fr: number, fc: number, hidden?: Uint8Array): Block {
  const [height, width] = [Math.ceil((rows[1] - rows[0]) / fr), Math.ceil((columns[1] - columns[0]) / fc)];
  const values = new Float32Array(height * width).fill(-Infinity);
  const masked = new Uint8Array(height * width).fill(1);
  let [minimum, maximum] = [Infinity, -Infinity];
  for (let i = rows[0]; i < rows[1]; i++) {
    for (let j = columns[0]; j < columns[1]; j++) {
      const value = all[i * across + j]!;
      if (hidden ? hidden[i * across + j] : value === -Infinity) continue;
      const at = Math.floor((i - rows[0]) / fr) * width + Math.floor((j - columns[0]) / fc);
      if (masked[at] || !(Math.abs(value) <= Math.abs(values[at]!))) values[at] = value;
      masked[at] = 0;
      if (value < minimum && Number.isFinite(value)) minimum = value;
      if (value > maximum && Number.isFinite(value)) maximum = value;
    }
  }
  if (minimum > maximum) [minimum, maximum] = [0, 0];
  const ends = { minimum: String(minimum), maximum: String(maximum) };
  return { rows, columns, factor: [fr, fc], height, width, values, masked, ...ends };
}


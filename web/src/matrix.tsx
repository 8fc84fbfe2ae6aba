// A matrix of any size: pooled from afar, single cells with their digits near by. Mouse, touch and keyboard.

import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { seen, showing, whole, type Camera, type Frame } from "./camera";
import { fitting, type Range, type Scale } from "./colours";
import { moves } from "./moves";
import { draw, readable, type Look } from "./painting";
import type { Span } from "./state";
import { palette, theme, token } from "./theme";
import { isMasked, tiles, type Source, type Tiles } from "./tiles";

export { given } from "./tiles";
export type { Block, Source } from "./tiles";

export interface MatrixProps {
  source: Source;
  /** What it is, for who cannot see it. */
  label: string;
  cursor: [number, number];
  onMove(cursor: [number, number]): void;
  /** Enter or a double click on a cell. */
  onOpen?(cell: [number, number]): void;
  /** How numbers become colours; what is not said fits the whole matrix. */
  scale?: Scale;
  range?: Range;
  onRange?(range: Range): void;
  /** What is seen at first, and whom to tell when it is something else. */
  rows?: Span;
  columns?: Span;
  onSeen?(rows: Span, columns: Span): void;
  /** How many cells one dot of the picture stands for, and whether any that are seen are masked. */
  onFactor?(factor: [number, number], masked: boolean): void;
  /** CSS pixels high; less when the matrix needs less. */
  height?: number;
  /** The most pixels that one cell takes. */
  most?: { across: number; down: number };
  labels?: boolean;
  names?: { row: string; column: string };
}

const MOST = { across: 92, down: 24 };
const MARGINS = { left: 96, top: 56 };

/** The digits of the cell under the cursor and its labels, as far as they are loaded. */
export interface Under {
  text?: string;
  bits?: string;
  row?: string;
  column?: string;
}

export function Matrix(props: MatrixProps) {
  const { source, cursor, label } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [version, setVersion] = useState(0);
  const [failure, setFailure] = useState<string | null>(null);
  const camera = useRef<Camera | null>(null);
  const pending = useRef(0);
  const telling = useRef(0);
  const latest = useRef(props);
  latest.current = props;

  const pieces: Tiles = useMemo(() => {
    setFailure(null);
    return tiles(source, (error) => {
      if (error) setFailure(error instanceof Error ? error.message : String(error));
      setVersion((before) => before + 1);
    });
  }, [source.key]);
  useEffect(() => () => pieces.close(), [pieces]);

  useLayoutEffect(() => {
    const measure = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    measure.observe(box.current!);
    return () => measure.disconnect();
  }, []);

  const most = props.most ?? MOST;
  const upright = source.columns * most.across <= width - MARGINS.left; // every column's label fits as it is
  const margins = props.labels === false ? { left: 0, top: 0 } : { ...MARGINS, top: upright ? 24 : MARGINS.top };
  const tall = Math.min(props.height ?? 480, margins.top + source.rows * most.down + 1);
  const frame: Frame = {
    rows: source.rows,
    columns: source.columns,
    width: Math.max(1, width - margins.left - 1),
    height: Math.max(1, tall - margins.top - 1),
    mostAcross: most.across,
    mostDown: most.down,
  };
  const overview = pieces.overview();
  const range = props.range ?? (overview ? fitting(overview.minimum, overview.maximum, props.scale) : null);

  const fresh = useRef("");
  const shape = `${source.rows} ${source.columns} ${frame.width} ${frame.height}`;
  if (width && fresh.current !== shape) {
    clearTimeout(telling.current);
    const { rows, columns } = props;
    camera.current = rows && columns ? showing(frame, rows, columns) : whole(frame);
    fresh.current = shape;
  }

  const paint = () => {
    pending.current = 0;
    const [surface, view] = [canvas.current, camera.current];
    if (!surface || !view || !width) return;
    const context = surface.getContext("2d")!;
    const ratio = window.devicePixelRatio || 1;
    sized(surface, width, tall, ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { rows, columns } = seen(view, frame);
    pieces.want(rows, columns, view.down * ratio, view.across * ratio, readable(view));
    tell(box.current!, view, rows, columns);
    if (!range) return;
    draw(context, view, frame, margins, pieces, looks(surface, range), latest.current.cursor);
    tellFactor(pieces, rows, columns);
  };
  const toldFactor = useRef("");
  const tellFactor = (pieces: Tiles, rows: Span, columns: Span) => {
    const finest = pieces.touching(rows, columns).at(-1)?.block;
    if (!finest) return;
    const masked = finest.values.some((_, at) => isMasked(finest, at));
    if (toldFactor.current === `${finest.factor} ${masked}`) return;
    toldFactor.current = `${finest.factor} ${masked}`;
    latest.current.onFactor?.(finest.factor, masked);
  };
  const painting = useRef(paint);
  painting.current = paint;
  const repaint = () => {
    pending.current ||= requestAnimationFrame(() => painting.current()); // the newest: what is seen may change before
  };
  useEffect(repaint, [pieces, version, width, tall, cursor[0], cursor[1], range?.least, range?.most, range?.scale, theme.value]);
  useEffect(() => () => cancelAnimationFrame(pending.current), []);
  useEffect(() => () => clearTimeout(telling.current), []); // who has left is not led back
  useEffect(() => {
    if (range) props.onRange?.(range);
  }, [range?.least, range?.most, range?.scale]);

  const see = (next: Camera) => {
    camera.current = next;
    repaint();
    clearTimeout(telling.current);
    telling.current = window.setTimeout(() => {
      const { rows, columns } = seen(next, frame);
      latest.current.onSeen?.(rows, columns);
    }, 250);
  };
  const handlers = moves({ box, camera, frame, margins, see, props: () => latest.current });
  const under = beneath(pieces, cursor);

  return (
    <div
      class="matrix"
      ref={box}
      tabIndex={0}
      role="grid"
      aria-label={label}
      aria-rowcount={source.rows}
      aria-colcount={source.columns}
      aria-activedescendant={id}
      aria-busy={!overview && !failure}
      data-left={margins.left}
      data-top={margins.top}
      {...handlers}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <div role="row" class="unseen" aria-rowindex={cursor[0] + 1}>
        <div role="gridcell" id={id} aria-colindex={cursor[1] + 1}>
          {[under.row, under.column, under.text].filter(Boolean).join(", ") || `row ${cursor[0]}, column ${cursor[1]}`}
        </div>
      </div>
      {failure && <p class="wrong">{failure}</p>}
    </div>
  );
}

function beneath(pieces: Tiles, [row, column]: [number, number]): Under {
  const block = pieces.cell(row, column);
  const i = row - (block?.rows[0] ?? 0);
  const j = column - (block?.columns[0] ?? 0);
  return {
    text: block?.texts?.[i]?.[j],
    bits: block?.bits?.[i]?.[j],
    row: pieces.label("row", row),
    column: pieces.label("column", column),
  };
}

/** What is seen, for whoever reads the page with a program. */
function tell({ dataset }: HTMLElement, { across, down }: Camera, rows: Span, columns: Span): void {
  dataset.across = String(across);
  dataset.down = String(down);
  dataset.seen = [...rows, ...columns].join();
}

function sized(surface: HTMLCanvasElement, width: number, height: number, ratio: number): void {
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (surface.width === w && surface.height === h) return;
  surface.width = w;
  surface.height = h;
  surface.style.width = `${width}px`;
  surface.style.height = `${height}px`;
}

function looks(under: Element, range: Range): Look {
  return {
    palette: palette.value,
    range,
    paper: theme.value === "dark" ? [38, 41, 48] : [236, 238, 241],
    text: token(under, "ink"),
    quiet: token(under, "quiet"),
    line: token(under, "hair"),
    accent: token(under, "accent"),
  };
}

// Every head of one kind as a small picture, all in the same colours, ordered as they stand or by what they do.

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { fitting, type Range } from "../colours";
import type { Answer } from "../host";
import { look, same, type Head, type Looking } from "./looking";
import { roving } from "./roving";
import { palette } from "../theme";
import { coloured, type Block } from "../tiles";

/** Measures for which less is more telling. */
const LOW_FIRST = new Set(["entropy"]);
const PICTURE = { factor: [1, 1] as [number, number], minimum: "0", maximum: "1" };

export function Heads({ answer, at }: { answer: Answer; at: Looking }) {
  const { layers, heads, measures, meanings, factor, ends } = answer.head;
  const range = rangeOf(answer);
  const order = useMemo(() => ordered(answer, at.order), [answer, at.order]);
  return (
    <section aria-labelledby="heads">
      <div class="row">
        <h2 id="heads">
          {layers} × {heads} heads
        </h2>
        <label>
          Order{" "}
          <select value={at.order} onChange={(event) => look({ order: event.currentTarget.value })}>
            <option value="place">as they stand</option>
            {Object.keys(measures).map((name) => (
              <option key={name} value={name} title={meanings[name]}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <span class="quiet">
          {at.order === "place" ? "a row for each layer" : meanings[at.order]} · colours from {ends[0]} to {ends[1]}
          {factor[0] * factor[1] > 1 ? ` · each cell is the mean of ${factor[0]} × ${factor[1]}` : ""}
        </span>
      </div>
      {at.order === "place" && <Groups answer={answer} />}
      <div
        class="heads"
        role="listbox"
        aria-label={`Heads of ${at.kind} attention`}
        aria-orientation="horizontal"
        style={columns(layers, heads)}
        onKeyDown={roving(heads)}
      >
        {order.map((each) => (
          <Thumb key={`${each.layer} ${each.head}`} answer={answer} each={each} at={at} range={range} />
        ))}
      </div>
    </section>
  );
}

/** Smaller pictures where there are many. */
function columns(layers: number, heads: number) {
  return { gridTemplateColumns: `repeat(${heads}, minmax(28px, ${layers > 4 ? 60 : 88}px))` };
}

function Groups({ answer }: { answer: Answer }) {
  const { layers, heads, groups } = answer.head;
  if (heads === groups) return null;
  const shared = heads / groups;
  return (
    <ol
      class="groups"
      aria-label="Which heads share keys and values"
      style={columns(layers, heads)}
    >
      {Array.from({ length: groups }, (_, g) => (
        <li key={g} style={{ gridColumn: `span ${shared}` }} title={`heads ${g * shared} to ${(g + 1) * shared - 1} read key/value head ${g}`}>
          k/v {g}
        </li>
      ))}
    </ol>
  );
}

interface ThumbProps {
  answer: Answer;
  each: Head;
  at: Looking;
  range: Range;
}

function Thumb({ answer, each, at, range }: ThumbProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [, , height, width] = answer.shapes.maps as [number, number, number, number];
  const colours = palette.value;
  useLayoutEffect(() => {
    const surface = canvas.current!;
    [surface.width, surface.height] = [width, height];
    const size = height * width;
    const start = (each.layer * answer.head.heads + each.head) * size;
    const values = (answer.arrays.maps as Float32Array).subarray(start, start + size);
    const block: Block = { ...PICTURE, rows: [0, height], columns: [0, width], height, width, values };
    const image = coloured(block, range, colours, [0, 0, 0]);
    surface.getContext("2d")!.putImageData(image, 0, 0);
  }, [answer, each.layer, each.head, range, colours]);

  const chosen = same(at, each);
  const measured = Object.entries(answer.head.measures as Record<string, string[][]>)
    .map(([name, texts]) => [name, texts[each.layer]![each.head]!] as const)
    .filter(([, text]) => text);
  const under = measured.find(([name]) => name === at.order)?.[1];
  return (
    <div
      role="option"
      class="thumb"
      data-item
      data-head={`${each.layer}.${each.head}`}
      tabIndex={chosen ? 0 : -1}
      aria-selected={chosen}
      title={measured.map((pair) => pair.join(" ")).join("\n")}
      onClick={() => look({ layer: each.layer, head: each.head }, true)}
      onFocus={() => look({ layer: each.layer, head: each.head })}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <span>
        {each.layer}.{each.head}
        {under && <small> {under}</small>}
      </span>
      <span class="unseen">
        {[` layer ${each.layer} head ${each.head}`, ...measured.map((pair) => pair.join(" "))].join(", ")}
      </span>
    </div>
  );
}

/** The colours that all pictures share: from 0 up, or for a difference alike on both sides of 0. */
function rangeOf(answer: Answer): Range {
  const [least, most] = answer.head.ends as [string, string];
  return fitting(Number(least) < 0 ? least : "0", most);
}

export function ordered(answer: Answer, order: string): Head[] {
  const { layers, heads } = answer.head;
  const all: Head[] = Array.from({ length: layers * heads }, (_, i) => ({ layer: Math.floor(i / heads), head: i % heads }));
  const measure = answer.arrays[order] as Float64Array | undefined;
  if (!measure) return all;
  const sign = LOW_FIRST.has(order) ? 1 : -1;
  const rank = (each: Head) => {
    const value = measure[each.layer * heads + each.head]!;
    return Number.isNaN(value) ? Infinity : sign * value;
  };
  return all.sort((one, other) => rank(one) - rank(other) || 0);
}

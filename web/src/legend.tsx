// What the colours of a matrix mean.

import { useLayoutEffect, useRef } from "preact/hooks";
import { between, type Range, type Scale } from "./colours";
import { palette, theme } from "./theme";

interface LegendProps {
  range: Range;
  chosen: Scale | undefined;
  onChoose(scale: Scale | undefined): void;
  /** How many cells one pixel stands for, [1, 1] for single cells. */
  factor?: [number, number];
  masked?: boolean;
}

export function Legend({ range, chosen, onChoose, factor, masked }: LegendProps) {
  const bar = useRef<HTMLCanvasElement>(null);
  const colours = palette.value[range.scale];
  useLayoutEffect(() => {
    const context = bar.current!.getContext("2d")!;
    for (let x = 0; x < 160; x++) {
      context.fillStyle = `rgb(${between(colours, x / 159).join(" ")})`;
      context.fillRect(x, 0, 1, 10);
    }
  }, [colours]);
  const pooled = factor && (factor[0] > 1 || factor[1] > 1);
  return (
    <div class="legend">
      <span class="mono">{range.texts[0]}</span>
      <canvas ref={bar} width={160} height={10} aria-hidden="true" />
      <span class="mono">{range.texts[1]}</span>
      <label>
        <span class="unseen">Colours</span>
        <select value={chosen ?? ""} onChange={(event) => onChoose((event.currentTarget.value || undefined) as Scale | undefined)}>
          <option value="">colours that fit</option>
          <option value="symmetric">symmetric about 0</option>
          <option value="sequential">from least to most</option>
        </select>
      </label>
      <span class="quiet">
        {range.scale === "symmetric" ? "blue below 0, orange above" : theme.value === "dark" ? "bright is more" : "dark is more"}
        {masked ? " · hatched: hidden by the mask" : ""}
        {pooled ? ` · each dot stands for ${factor[0]} × ${factor[1]} cells and shows the largest in size` : ""}
      </span>
    </div>
  );
}

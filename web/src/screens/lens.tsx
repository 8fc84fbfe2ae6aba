// The lens as a table: a row for each layer, a column for each position, in each cell what would be expected there.

import { between, ink } from "../colours";
import type { Answer } from "../host";
import { visible } from "../prompt";
import { palette } from "../theme";
import { roving } from "./roving";
import { stream, type LensHead } from "./streaming";

export function Lens({ answer, position }: { answer: Answer; position: number }) {
  const head = answer.head as LensHead;
  const shades = answer.arrays.probability as Float32Array;
  const width = head.to - head.from;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="What every layer would expect">
      <table class="lens" onKeyDown={roving(width)}>
        <caption class="unseen">
          For each layer and position the most likely token; choose one to split its logit. Arrows move among them.
        </caption>
        <thead>
          <tr>
            <th scope="col">layer</th>
            {head.tokens.map((token, i) => (
              <th scope="col" key={i} aria-current={head.from + i === position ? "true" : undefined}>
                {head.from + i} <span class="mono">{visible(token.text)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {head.layers.map((layer, row) => (
            <tr key={layer}>
              <th scope="row" class="mono">
                {layer}
              </th>
              {head.top[row]!.map((_, i) => (
                <td key={i} class={head.from + i === position ? "here" : undefined}>
                  <Cell head={head} row={row} place={i} shade={shades[row * width + i]!} position={position} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface CellProps {
  head: LensHead;
  row: number;
  place: number;
  shade: number;
  position: number;
}

function Cell({ head, row, place, shade, position }: CellProps) {
  const best = head.top[row]![place]![0]!;
  const own = head.chosen?.[row]![place];
  const at = head.from + place;
  const back = between(palette.value.sequential, shade);
  const first = row === head.layers.length - 1 && at === position;
  const says = `${head.layers[row]}, position ${at}: expects “${best.text}” with ${best.probability}`;
  return (
    <button
      type="button"
      data-item
      tabIndex={first ? 0 : -1}
      style={{ background: `rgb(${back.join(" ")})`, color: ink(back) }}
      title={`${says}, logit ${best.logit}, length of the stream ${head.norms[row]![place]}${own ? `; “${head.token!.text}” has rank ${own.rank}` : ""}`}
      onClick={() => stream({ position: at, token: best.id, from: head.from }, true)}
    >
      <span class="readout" data-name={`lens:${head.layers[row]}`} data-index={`${at},${best.id}`} data-bits={best.bits}>
        {visible(best.text)}
      </span>
      {own && <small>{own.rank === 0 ? "first" : `rank ${own.rank}`}</small>}
    </button>
  );
}

// What reading the last token did to the keys and values that generating keeps: one new row, all others as they were.

import { useAnswer } from "../ask";
import { go, shown } from "../state";

interface Kept {
  address: string;
  rows: number;
  same: number;
  changed: number;
  new: [number, number];
  bytes: number;
  off: string;
}

/** Rows that are drawn one by one. */
const DRAWN = 64;

export function Cache() {
  const { answer, error } = useAnswer("cache", { scene: shown.value });
  if (error) return <p class="quiet">No cache is shown: {error}</p>;
  if (!answer) return <p class="quiet">Reading with a cache …</p>;
  const kept = answer.head.cache as Kept[];
  const lasting = answer.head.lasting as { address: string; rows: number }[];
  return (
    <details class="cache" open>
      <summary>Keys and values kept from the tokens before: {answer.head.rows} rows each, one of them new</summary>
      <p class="quiet">
        What is read with a cache, compared bit for bit before and after the last token. “Off” is the largest difference to this run, which reads the
        whole text at once.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Rows of the cache">
        <table>
          <thead>
            <tr>
              <th scope="col">kept</th>
              <th scope="col">rows</th>
              <th scope="col" class="figure">
                unchanged
              </th>
              <th scope="col" class="figure">
                changed
              </th>
              <th scope="col" class="figure">
                new
              </th>
              <th scope="col" class="figure">
                bytes
              </th>
              <th scope="col" class="figure">
                off
              </th>
            </tr>
          </thead>
          <tbody>
            {kept.map((each) => (
              <Line key={each.address} each={each} />
            ))}
          </tbody>
        </table>
      </div>
      {lasting.length > 0 && (
        <p class="quiet">
          Made once from the source text and kept as they are: <span class="mono">{lasting.map(({ address }) => address).join(", ")}</span>.
        </p>
      )}
    </details>
  );
}

function Line({ each }: { each: Kept }) {
  const fresh = each.new[1] - each.new[0];
  const first = Math.max(0, each.rows - DRAWN);
  return (
    <tr data-cache={each.address} data-same={each.same} data-changed={each.changed} data-new={fresh}>
      <th scope="row">
        <button type="button" class="link mono" onClick={() => go({ screen: "tensor", address: each.address })}>
          {each.address}
        </button>
      </th>
      <td>
        <span class="strip" aria-hidden="true">
          {Array.from({ length: each.rows - first }, (_, i) => (
            <i key={i} class={first + i >= each.new[0] ? "fresh" : ""} />
          ))}
        </span>
      </td>
      <td class="figure">{each.same}</td>
      <td class={`figure ${each.changed ? "bad" : ""}`}>{each.changed}</td>
      <td class="figure">{each.new[0] === each.new[1] - 1 ? `row ${each.new[0]}` : fresh}</td>
      <td class="figure">{each.bytes.toLocaleString("en")}</td>
      <td class="figure">{each.off}</td>
    </tr>
  );
}

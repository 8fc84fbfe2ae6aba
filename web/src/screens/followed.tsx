// One token at one position, layer by layer: its rank, logit and probability, and how long the stream's vector is.

import { Readout } from "../readout";
import { visible } from "../prompt";
import type { LensHead } from "./streaming";

export function Followed({ lens, position }: { lens: LensHead; position: number }) {
  const place = position - lens.from;
  if (!lens.chosen || !lens.token || place < 0 || place >= lens.to - lens.from) return null;
  const longest = Math.max(...lens.norms.map((row) => Number(row[place])));
  return (
    <section aria-labelledby="followed">
      <h2 id="followed">
        “{visible(lens.token.text)}” ({lens.token.id}) after position {position}, layer by layer
      </h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Layer by layer">
        <table>
          <thead>
            <tr>
              <th scope="col">layer</th>
              <th scope="col" class="figure">
                rank
              </th>
              <th scope="col" class="figure">
                logit
              </th>
              <th scope="col" class="figure">
                probability
              </th>
              <th scope="col">length of the stream</th>
            </tr>
          </thead>
          <tbody>
            {lens.layers.map((layer, row) => {
              const own = lens.chosen![row]![place]!;
              return (
                <tr key={layer}>
                  <th scope="row" class="mono">
                    {layer}
                  </th>
                  <td class="figure">{own.rank}</td>
                  <td class="figure">
                    <Readout address={`lens:${layer}`} index={[position, lens.token!.id]} text={own.logit} bits={own.bits} />
                  </td>
                  <td class="figure">{own.probability}</td>
                  <td>
                    <meter min={0} max={longest || 1} value={Number(lens.norms[row]![place])} aria-label={`length ${lens.norms[row]![place]}`} />{" "}
                    <span class="mono">{lens.norms[row]![place]}</span>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

// One logit as a sum: what every part of the model added to the stream, read in this token's direction.

import { useAnswer } from "../ask";
import { NumberLink } from "../readout";
import { visible } from "../prompt";
import { go, shown } from "../state";
import { about } from "./about";
import { stream, streaming, type Part, type SplitHead } from "./streaming";

const MOST = 60;

export function Split({ position, token }: { position: number; token: number }) {
  const { answer, error, stale } = useAnswer("split", { scene: shown.value, position, token });
  if (error) return <p class="wrong">{error}</p>;
  if (!answer) return <p class="quiet">Splitting the logit …</p>;
  const head = answer.head as SplitHead;
  const { every, order } = streaming();
  const parts = ordered(every ? head.parts : head.blocks, order);
  const open = (address: string, index: number[]) => go({ screen: "number", address, index });
  return (
    <section class={`split ${stale ? "stale" : ""}`} aria-labelledby="split" aria-busy={stale}>
      <h2 id="split">What makes the logit of “{visible(head.token.text)}” after position {head.position}</h2>
      <p>
        <NumberLink address={head.address} index={head.index} text={head.stored.text} bits={head.stored.bits} onClick={() => open(head.address, head.index)} />{" "}
        is stored; the {head.parts.length} parts sum to <span class="mono total">{head.total}</span>, <span class="mono error">{head.error}</span> from it (
        {head.ulp} ulp): what the run rounded on the way.
      </p>
      {head.held.length > 0 && (
        <p class="quiet">
          {head.held.length > 1 ? "The scales of the norms on the way are" : "The scale of the norm on the way is"} held at what the run computed:{" "}
          {head.held.map(({ address, index, text }) => (
            <NumberLink key={address} address={address} index={index} text={text} onClick={() => open(address, index)} />
          ))}
        </p>
      )}
      {head.note && <p class="quiet">{head.note}</p>}
      <div class="row">
        <span role="group" aria-label="How finely">
          <button type="button" aria-pressed={!every} onClick={() => stream({ every: false })}>
            By block
          </button>{" "}
          <button type="button" aria-pressed={every} onClick={() => stream({ every: true })}>
            Every part
          </button>
        </span>
        <label>
          Order{" "}
          <select value={order} onChange={(event) => stream({ order: event.currentTarget.value as "place" | "size" })}>
            <option value="place">as the model adds them</option>
            <option value="size">largest first</option>
          </select>
        </label>
      </div>
      <Bars parts={parts} head={head} />
    </section>
  );
}

function ordered(parts: Part[], order: "place" | "size"): Part[] {
  return order === "place" ? parts : [...parts].sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
}

function Bars({ parts, head }: { parts: Part[]; head: SplitHead }) {
  const largest = Math.max(...parts.map((part) => Math.abs(part.share)), Number.MIN_VALUE);
  const summed = streaming().order === "place";
  return (
    <div class="scroll bars" tabIndex={0} role="region" aria-label="Parts of the logit">
      <table>
        <thead>
          <tr>
            <th scope="col">part</th>
            <th scope="col" class="figure">
              adds
            </th>
            <th scope="col">less · more</th>
            {summed && (
              <th scope="col" class="figure">
                sum so far
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {parts.slice(0, MOST * 8).map((part) => (
            <tr key={part.name}>
              <th scope="row">
                <Name part={part} position={head.position} />
              </th>
              <td class="figure value" title={part.value} data-part={part.name} data-value={part.value}>
                {about(part.short, part.value)}
              </td>
              <td>
                <Bar share={part.share / largest} />
              </td>
              {summed && <td class="figure quiet">≈{part.running}</td>}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">sum</th>
            <td class="figure total">{head.total}</td>
            <td colSpan={2} />
          </tr>
        </tfoot>
      </table>
    </div>
  );
}

/** A part leads to the value that it is made from. */
function Name({ part, position }: { part: Part; position: number }) {
  if (!part.address) return <span class="mono">{part.name}</span>;
  const address = part.head === null ? part.address : part.address.replace(/out$/, "heads");
  const heads = part.head === null ? {} : { index: [0, position, part.head, 0], axes: [1, 3] };
  return (
    <button type="button" class="link mono" onClick={() => go({ screen: "tensor", address, ...heads })}>
      {part.name}
    </button>
  );
}

/** A bar to the left for what lowers the logit, to the right for what raises it. share: from -1 to 1. */
export function Bar({ share }: { share: number }) {
  const width = `${(50 * Math.abs(share)).toFixed(2)}%`;
  return (
    <span class="bar" aria-hidden="true">
      <span class={share < 0 ? "less" : "more"} style={share < 0 ? { right: "50%", width } : { left: "50%", width }} />
    </span>
  );
}

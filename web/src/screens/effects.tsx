// What the edits change: what comes next before and after, and every value that differs, in the order of the program.

import { useAnswer } from "../ask";
import { NumberLink, Readout } from "../readout";
import { useRun } from "../runs";
import { go, settle, state } from "../state";
import { visible } from "../prompt";
import type { Scene } from "../scene";

interface StoredNumber {
  text: string;
  bits: string;
  address: string;
  index: number[];
}

interface Expected {
  token: number;
  text: string;
  probability: StoredNumber;
  logit: StoredNumber;
}

export interface Difference {
  address: string;
  index: number[];
  before: string;
  after: string;
  amount: string;
  count: number;
  size: number;
}

/** What the change screen follows: a token and after which position; null: what is expected most, at the end. */
export interface Followed {
  token: number | null;
  position: number | null;
}

export function followed(): Followed {
  return { token: null, position: null, ...(state.value.view.follow as Partial<Followed> | undefined) };
}

export function follow(next: Partial<Followed>): void {
  settle({ follow: { ...followed(), ...next } });
}

export function Effects({ a, b }: { a: Scene; b: Scene }) {
  const { token, position } = followed();
  const params = { scene: a, other: b, ...(token === null ? {} : { token }), ...(position === null ? {} : { position }) };
  const { answer, error, stale } = useAnswer("compare", params);
  if (error)
    return (
      <p class="wrong" role="alert">
        {error}
      </p>
    );
  if (!answer) return <p class="quiet">Comparing …</p>;
  const { head } = answer;
  return (
    <section class={`effects ${stale ? "stale" : ""}`} aria-label="What the edits change">
      <h2>What the edits change</h2>
      <Recomputed scene={b} />
      {head.reason && <p class="quiet">Not value by value: {head.reason}.</p>}
      {head.first ? (
        <p>
          First changed value: <Cell each={head.first} name="after" /> (it was <span class="mono">{head.first.before}</span>)
        </p>
      ) : (
        !head.reason && <p class="quiet">No value differs.</p>
      )}
      {head.before && <Output head={head} a={a} />}
      {head.changes.length > 0 && <Changes changes={head.changes} largest={head.largest} complete={head.complete} />}
    </section>
  );
}

function Recomputed({ scene }: { scene: Scene }) {
  const { run } = useRun(scene);
  if (!run) return null;
  const count = run.steps_done;
  const done = count
    ? `Recomputed from step ${run.from_step} on (${count} step${count === 1 ? "" : "s"}) in ${Math.max(1, Math.round(run.seconds * 1000))} ms.`
    : `What is recomputed begins at step ${run.from_step}; this run was remembered.`;
  return (
    <p class="quiet" data-recomputed={count}>
      {done}
    </p>
  );
}

function Output({ head, a }: { head: any; a: Scene }) {
  const { run } = useRun(a);
  const { before, after } = head as { before: Expected[]; after: Expected[] };
  return (
    <>
      <div class="row">
        <label>
          After position{" "}
          <select value={head.position} onChange={(event) => follow({ position: Number(event.currentTarget.value) })}>
            {run?.tokens.map((token, place) => (
              <option key={place} value={place}>
                {place} {visible(token.text)}
              </option>
            ))}
          </select>
        </label>
        <span>
          KL divergence from A to B: <span class="mono" data-kl={head.kl}>{head.kl}</span> nats
        </span>
      </div>
      <p>
        Logit of “{visible(head.token_text)}”: <Stored of={head.logit.before} part="a" /> before,{" "}
        <Stored of={head.logit.after} part="b" /> after, difference <span class="mono">{head.logit.difference}</span>; place{" "}
        {head.logit.rank_before + 1} before, {head.logit.rank_after + 1} after.
      </p>
      <div class="outputs">
        <Top name="Before (A)" rows={before} part="a" token={head.token} />
        <Top name="After (B)" rows={after} part="b" token={head.token} />
      </div>
    </>
  );
}

function Top({ name, rows, part, token }: { name: string; rows: Expected[]; part: "a" | "b"; token: number }) {
  return (
    <table class="top" data-part={part}>
      <caption>{name}</caption>
      <thead>
        <tr>
          <th scope="col">token</th>
          <th scope="col">probability</th>
          <th scope="col">logit</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.token} class={row.token === token ? "followed" : ""}>
            <th scope="row">
              <button type="button" class="link" title="Follow this token" aria-pressed={row.token === token} onClick={() => follow({ token: row.token })}>
                {visible(row.text)} <small>{row.token}</small>
              </button>
            </th>
            <td class="figure">
              <meter max={1} value={Math.min(1, parseFloat(row.probability.text))} aria-hidden="true" />
              <Stored of={row.probability} part={part} />
            </td>
            <td class="figure">
              <Stored of={row.logit} part={part} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A stored number that leads to where it comes from. */
function Stored({ of, part }: { of: StoredNumber; part: "a" | "b" }) {
  return (
    <button type="button" class="link" onClick={() => go({ screen: "number", address: of.address, index: of.index, part })}>
      <Readout address={of.address} index={of.index} text={of.text} bits={of.bits} />
    </button>
  );
}

function Cell({ each, name }: { each: Difference; name: "before" | "after" }) {
  const open = () => go({ screen: "number", address: each.address, index: each.index, part: name === "before" ? "a" : "b" });
  return <NumberLink address={each.address} index={each.index} text={each[name]} onClick={open} />;
}

function Changes({ changes, largest, complete }: { changes: Difference[]; largest: Difference[]; complete: boolean }) {
  const most = new Map(largest.map((each, place) => [each.address, place + 1]));
  const see = (each: Difference) => {
    const shown = each.index.map((place, axis) => (axis < each.index.length - 2 ? place : null));
    go({ screen: "tensor", address: each.address, index: shown, part: "difference" });
  };
  return (
    <details open>
      <summary>
        {changes.length} values differ{complete ? "" : " of those that this run keeps"}, in the order of the program
      </summary>
      <div class="changed">
      <table class="changes">
        <thead>
          <tr>
            <th scope="col">value</th>
            <th scope="col">numbers</th>
            <th scope="col">largest change at</th>
            <th scope="col">before</th>
            <th scope="col">by</th>
          </tr>
        </thead>
        <tbody>
          {changes.map((each) => (
            <tr key={each.address} data-changed={each.address}>
              <th scope="row">
                <button type="button" class="link mono" title="B − A as a picture" onClick={() => see(each)}>
                  {each.address}
                </button>
                {most.has(each.address) && <span class="chip changed"> {ordinal(most.get(each.address)!)} largest</span>}
              </th>
              <td class="figure">
                {each.count} of {each.size}
              </td>
              <td>
                <Cell each={each} name="after" />
              </td>
              <td class="figure">{each.before}</td>
              <td class="figure">{each.amount}</td>
            </tr>
          ))}
        </tbody>
      </table>
      </div>
    </details>
  );
}

function ordinal(place: number): string {
  return place === 1 ? "" : place === 2 ? "2nd" : place === 3 ? "3rd" : `${place}th`;
}

// The addends of a number: the first of them, or all of them in a list that loads what is seen of it.

import { useState } from "preact/hooks";
import { useAnswer } from "./ask";
import { OperandLink, type NumberHead, type Operand } from "./number";
import { settle, shown, state } from "./state";

export interface Term {
  place: number;
  value: string;
  share: number;
  numbers: string;
  running: string;
  operands: Operand[];
}

export type Order = "size" | "place";

const ROW = 30;
const TALL = 480;
const PAGE = 32;

export function Terms({ head, order }: { head: NumberHead; order: Order }) {
  const all = state.value.view.all === true && head.count > head.terms.length;
  return (
    <>
      <div class="row between">
        <h2>{head.count === 1 ? "One term" : `${head.count.toLocaleString("en")} terms`}</h2>
        <span class="row">
          {head.count > 1 && (
            <select aria-label="Order of the terms" value={order} onChange={(event) => settle({ order: event.currentTarget.value })}>
              <option value="size">largest first</option>
              <option value="place">as they are added</option>
            </select>
          )}
          {head.count > head.terms.length && (
            <button type="button" aria-pressed={all} onClick={() => settle({ all: !all })}>
              Show all
            </button>
          )}
        </span>
      </div>
      {all ? <Every head={head} order={order} /> : <First head={head} />}
    </>
  );
}

function First({ head }: { head: NumberHead }) {
  const rest = head.count - head.terms.length;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Terms">
      <table class="terms">
        <Columns />
        <tbody>
          {head.terms.map((term) => (
            <Row key={term.place} term={term} largest={largestOf(head.terms)} />
          ))}
          {rest > 0 && (
            <tr>
              <td />
              <td class="figure">{head.others}</td>
              <td class="quiet" colSpan={3}>
                the {rest.toLocaleString("en")} other terms together
              </td>
            </tr>
          )}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">sum</th>
            <td class="figure total">{head.value}</td>
            <td colSpan={3} />
          </tr>
        </tfoot>
      </table>
    </div>
  );
}

/** All terms: rows that are not seen are empty space. */
function Every({ head, order }: { head: NumberHead; order: Order }) {
  const [top, setTop] = useState(0);
  const first = Math.max(0, Math.floor(top / ROW / PAGE) * PAGE - PAGE);
  const from = Math.min(first, Math.max(0, head.count - 1));
  const to = Math.min(head.count, from + 4 * PAGE);
  const { answer, error } = useAnswer("terms", { scene: shown.value, address: head.address, index: head.index, from, to, order });
  if (error) return <p class="wrong">{error}</p>;
  const terms = (answer?.head.terms as Term[] | undefined) ?? [];
  const start = (answer?.head.from as number | undefined) ?? 0;
  return (
    <div
      class="scroll every"
      tabIndex={0}
      role="region"
      aria-label={`All ${head.count} terms`}
      style={{ maxHeight: `${TALL}px` }}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
    >
      <table class="terms" aria-rowcount={head.count + 1}>
        <Columns />
        <tbody>
          <tr aria-hidden="true" style={{ height: `${start * ROW}px` }} />
          {terms.map((term, i) => (
            <Row key={term.place} term={term} largest={largestOf(terms)} at={start + i} />
          ))}
          <tr aria-hidden="true" style={{ height: `${Math.max(0, head.count - start - terms.length) * ROW}px` }} />
        </tbody>
      </table>
    </div>
  );
}

function largestOf(terms: Term[]): number {
  return Math.max(1e-300, ...terms.map((term) => term.share));
}

function Columns() {
  return (
    <thead>
      <tr>
        <th scope="col" class="figure" title="Which of the addends it is">
          place
        </th>
        <th scope="col" class="figure">
          value
        </th>
        <th scope="col" title="Of the sum of all sizes">
          share
        </th>
        <th scope="col" class="figure" title="The sum of all terms up to this one">
          running sum
        </th>
        <th scope="col">made from</th>
      </tr>
    </thead>
  );
}

function Row({ term, largest, at }: { term: Term; largest: number; at?: number }) {
  const share = `${(100 * term.share).toFixed(1)} %`;
  return (
    <tr data-place={term.place} aria-rowindex={at === undefined ? undefined : at + 2} style={at === undefined ? undefined : { height: `${ROW}px` }}>
      <td class="figure quiet">{term.place}</td>
      <td class="figure value" title={term.numbers}>
        {term.value}
      </td>
      <td class="share">
        <span class="bar" aria-hidden="true">
          <i class={term.value.startsWith("-") ? "below" : ""} style={{ width: `${(100 * term.share) / largest}%` }} />
        </span>
        <span class="mono">{share}</span>
      </td>
      <td class="figure quiet">{term.running}</td>
      <td class="from">
        {term.operands.map((operand) => (
          <OperandLink key={`${operand.address}${operand.index}`} operand={operand} />
        ))}
        {!term.operands.length && <span class="mono quiet">{term.numbers}</span>}
      </td>
    </tr>
  );
}

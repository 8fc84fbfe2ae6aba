// One number: what is stored, its formula, its numbers, all its terms, and links to where every part of it comes from.

import { useAnswer } from "./ask";
import { CellReadout } from "./cell";
import { Editing } from "./editing";
import { Trail, follow } from "./follow";
import { Formula } from "./formula";
import { Heading } from "./heading";
import { NumberLink, Readout } from "./readout";
import { copy } from "./sharing";
import { editable, useOutline, type Entry, type Outline } from "./outline";
import { Places } from "./places";
import { written } from "./scene";
import { go, part, settle, shown, state } from "./state";
import { Terms, type Order, type Term } from "./terms";

export interface Operand {
  address: string;
  index: number[];
  text: string;
  bits: string | null;
  kind: string;
  axes: string;
}

interface Working {
  name: string;
  formula: string;
  formula_text: string;
  numbers: string;
  numbers_cut: number;
  value: string;
}

export interface NumberHead {
  address: string;
  index: number[];
  axes: string;
  labels: Record<string, string>;
  kind: string;
  operator: string;
  equation: string;
  stored: { text: string; bits: string; dtype: string };
  value: string;
  ulp: number | null;
  ulp_of_largest: number | null;
  within: boolean;
  formula: string;
  formula_text: string;
  numbers_text: string;
  numbers_text_cut: number;
  count: number;
  terms: Term[];
  others: string;
  working: Working[];
  working_count: number;
  operands: Operand[];
  operands_count: number;
  note: string;
  remark: string;
}

export function NumberScreen() {
  const { outline, error } = useOutline();
  if (error) return <p class="wrong">{error}</p>;
  if (!outline) return <p class="quiet">…</p>;
  const { view } = state.value;
  const address = view.address ?? (outline.by.has("logits") ? "logits" : outline.entries[outline.entries.length - 1]!.address);
  const entry = outline.by.get(address);
  if (!entry) return <Missing outline={outline} address={address} />;
  const given = view.index?.length === entry.shape.length ? view.index : entry.shape.map(() => null);
  // of a text what comes last is what one asks about
  const index = given.map((place, axis) => place ?? (entry.axes[axis] === "T" ? entry.shape[axis]! - 1 : 0));
  const inside = index.map((place, axis) => Math.min(place, entry.shape[axis]! - 1));
  return <Explained outline={outline} entry={entry} index={inside} />;
}

function Missing({ outline, address }: { outline: Outline; address: string }) {
  return (
    <>
      <Heading outline={outline} address={address} />
      <p class="wrong">This run has no value {address}.</p>
    </>
  );
}

function Explained({ outline, entry, index }: { outline: Outline; entry: Entry; index: number[] }) {
  const order = (state.value.view.order as Order | undefined) ?? "size";
  const params = { scene: shown.value, address: entry.address, index, first: 12, order };
  const { answer, error, stale, retry } = useAnswer("number", params);
  const head = answer?.head as NumberHead | undefined;
  return (
    <section class={`number ${stale ? "stale" : ""}`} aria-label={`${entry.address}${written(index)}`} aria-busy={stale || !head}>
      <Trail />
      <Heading outline={outline} address={entry.address} />
      <Places entry={entry} index={index} />
      {state.value.b && <CellReadout entry={entry} index={index} />}
      {error && (
        <p class="wrong" role="alert">
          {error}{" "}
          <button type="button" onClick={retry}>
            Again
          </button>
        </p>
      )}
      {head && !error && (
        <>
          <Stored head={head} />
          {head.formula ? <Made head={head} order={order} /> : <Leaf head={head} />}
          {editable(entry) && <Editing key={entry.address} address={entry.address} scopes={[{ name: "this number", index }]} now={head.stored.text} />}
          <div class="row after">
            <button type="button" onClick={() => go({ screen: "tensor", address: entry.address, index })}>
              Show in the tensor
            </button>
            <button type="button" onClick={() => void copy(asText(head), "The explanation is copied.")}>
              Copy as text
            </button>
          </div>
        </>
      )}
    </section>
  );
}

function Stored({ head }: { head: NumberHead }) {
  return (
    <div class="stored" role="status">
      <Readout class="large" address={head.address} index={head.index} text={head.stored.text} bits={head.stored.bits} />
      <dl>
        <div>
          <dt>stored as</dt>
          <dd class="mono">
            {head.stored.dtype} · {head.stored.bits}
          </dd>
        </div>
        {head.formula && (
          <div>
            <dt>recomputed in float64</dt>
            <dd class="mono recomputed">{head.value}</dd>
          </div>
        )}
        {head.formula && (
          <div>
            <dt>apart</dt>
            <dd class={head.within ? "good" : "bad"}>{apart(head)}</dd>
          </div>
        )}
        {part.value !== "a" && (
          <div>
            <dt>of</dt>
            <dd>B, with the edits</dd>
          </div>
        )}
      </dl>
      {head.note && <p class="chip changed">edited: {head.note}</p>}
      {head.remark && <p class="quiet">{head.remark}</p>}
    </div>
  );
}

/** How far the stored number is from the recomputed one, and whether rounding explains it. */
function apart(head: NumberHead): string {
  if (head.ulp === null) return head.within ? "the same" : "not comparable";
  if (head.ulp === 0) return "nothing: the same number";
  const cancels = head.ulp > 16 && head.ulp_of_largest !== null && head.ulp_of_largest < head.ulp / 2;
  const far = `${rounded(head.ulp)} ulp${cancels ? ` (${rounded(head.ulp_of_largest!)} of the largest term: terms cancel)` : ""}`;
  return `${far}, ${head.within ? "which is rounding" : "more than rounding explains"}`;
}

function rounded(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

const LEAVES: Record<string, string> = {
  weight: "A weight of the model. It is made from nothing else.",
  input: "Given with the text. It is made from nothing else.",
  start: "Where the gradient starts.",
};

function Leaf({ head }: { head: NumberHead }) {
  return <p class="leaf">{LEAVES[head.kind] ?? "Made from nothing else."}</p>;
}

function Made({ head, order }: { head: NumberHead; order: Order }) {
  const cut = head.numbers_text_cut;
  return (
    <>
      <h2>
        Formula <span class="chip">{head.operator}</span>
      </h2>
      <Formula math={head.formula} text={head.formula_text} />
      {head.equation && <p class="quiet mono">{head.equation}</p>}
      {head.working.length > 0 && <Workings head={head} />}
      <h2>In numbers</h2>
      <p class="mono numbers-text" tabIndex={0} role="region" aria-label="The formula in numbers">
        {head.numbers_text}
        {cut > 0 && <span class="quiet"> ({cut.toLocaleString("en")} characters more)</span>}
      </p>
      <Terms head={head} order={order} />
      {head.count === 1 && head.operands_count > 1 && <Operands head={head} />}
    </>
  );
}

/** How many lines of working are shown at first. */
const FEW = 5;

function Workings({ head }: { head: NumberHead }) {
  const all = state.value.view.working === true;
  const more = head.working_count - FEW;
  return (
    <>
      <h2>Computed on the way</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Working">
        <table class="working">
          <thead>
            <tr>
              <th scope="col">formula</th>
              <th scope="col">in numbers</th>
              <th scope="col" class="figure">
                value
              </th>
            </tr>
          </thead>
          <tbody>
            {head.working.slice(0, all ? undefined : FEW).map((way) => (
              <tr key={way.name}>
                <td>
                  <Formula math={way.formula} text={way.formula_text} />
                </td>
                <td class="mono clip">{way.numbers}</td>
                <td class="figure">{way.value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more > 0 && (
        <button type="button" aria-pressed={all} onClick={() => settle({ working: !all })}>
          {all ? "Fewer" : `${more} more`}
        </button>
      )}
      {all && head.working_count > head.working.length && <p class="quiet">The first {head.working.length} of {head.working_count}.</p>}
    </>
  );
}

function Operands({ head }: { head: NumberHead }) {
  return (
    <>
      <h2>Made from {head.operands_count} numbers</h2>
      <ul class="operands">
        {head.operands.map((operand) => (
          <li key={`${operand.address}${operand.index}`}>
            <OperandLink operand={operand} />
          </li>
        ))}
      </ul>
      {head.operands_count > head.operands.length && <p class="quiet">{head.operands_count - head.operands.length} more.</p>}
    </>
  );
}

/** An operand: a link to its own explanation, unless it was only computed on the way. */
export function OperandLink({ operand }: { operand: Operand }) {
  const { address, index, text, bits, kind } = operand;
  if (kind === "working")
    return (
      <span class="mono">
        {address}
        {written(index)} = {text}
      </span>
    );
  return <NumberLink address={address} index={index} text={text} bits={bits ?? undefined} onClick={() => follow(operand)} />;
}

function asText(head: NumberHead): string {
  const at = `${head.address}${written(head.index)}`;
  const lines = [`${at} = ${head.stored.text}   (${head.operator || head.kind}, ${head.stored.dtype}, bits ${head.stored.bits})`];
  if (head.note) lines.push(`edited: ${head.note}`);
  if (head.remark) lines.push(head.remark);
  for (const way of head.working) lines.push(`  ${way.formula_text} = ${way.value}`);
  if (!head.formula) return lines.join("\n");
  lines.push(`  ${head.formula_text}`, `  = ${head.numbers_text}`, `  = ${head.value} recomputed in float64, ${apart(head)}`);
  for (const term of head.terms) lines.push(`    ${term.value}   ${term.operands.map((each) => `${each.address}${written(each.index)} = ${each.text}`).join(", ")}`);
  if (head.count > head.terms.length) lines.push(`    ${head.others}   the ${head.count - head.terms.length} other terms together`);
  return lines.join("\n");
}

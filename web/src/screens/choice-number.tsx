// One number of the choice taken apart. What it is made from leads on, in the end to the logits of the run.

import { useEffect, useRef } from "preact/hooks";
import { useAnswer } from "../ask";
import { Formula } from "../formula";
import type { NumberHead, Operand } from "../number";
import { NumberLink, Readout } from "../readout";
import { written } from "../scene";
import { go } from "../state";
import { choose } from "./choosing";

interface ChoiceNumberProps {
  params: object;
  open: { address: string; index: number[] };
  position: number;
}

export function ChoiceNumber({ params, open, position }: ChoiceNumberProps) {
  const { answer, error } = useAnswer("choice-number", { ...params, ...open });
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const head = answer?.head as NumberHead | undefined;
  return (
    <section class="taken-apart" aria-labelledby="choice-number">
      <div class="row between">
        <h2 id="choice-number" ref={heading} tabIndex={-1} class="mono">
          choice: {open.address}
          {written(open.index)}
        </h2>
        <button type="button" onClick={() => choose({ open: null }, true)}>
          Close
        </button>
      </div>
      {error && <p class="wrong">{error}</p>}
      {!head && !error && <p class="quiet">Taking it apart; with a large vocabulary this takes a few seconds …</p>}
      {head && <Apart head={head} position={position} />}
    </section>
  );
}

function Apart({ head, position }: { head: NumberHead; position: number }) {
  return (
    <>
      <p>
        <Readout class="large" address={`choice:${head.address}`} index={head.index} text={head.stored.text} bits={head.stored.bits} />{" "}
        <span class="quiet">recomputed</span> <span class="mono recomputed">{head.value}</span>{" "}
        <span class={head.within ? "good" : "bad"}>{head.within ? "agrees" : "differs"}</span>
      </p>
      {head.formula && <Formula math={head.formula} text={head.formula_text} />}
      {head.equation && <p class="quiet mono">{head.equation}</p>}
      {head.working.length > 0 && (
        <ul class="mono">
          {head.working.slice(0, 8).map((way) => (
            <li key={way.name}>
              {way.formula_text} = {way.value}
            </li>
          ))}
          {head.working_count > 8 && <li class="quiet">{head.working_count - 8} more lines of working</li>}
        </ul>
      )}
      <h3>{head.count === 1 ? "One term" : `${head.count.toLocaleString("en")} terms, the largest first`}</h3>
      <ul class="choice-terms">
        {head.terms.map((term) => (
          <li key={term.place}>
            <span class="mono value">{term.value}</span>
            {term.operands.slice(0, 6).map((operand) => (
              <Link key={`${operand.address}${operand.index}`} operand={operand} position={position} />
            ))}
          </li>
        ))}
        {head.count > head.terms.length && (
          <li class="quiet">
            <span class="mono">{head.others}</span> the {(head.count - head.terms.length).toLocaleString("en")} other terms together
          </li>
        )}
      </ul>
    </>
  );
}

/** The logits are those of the run, at the position of the choice; everything else is of the choice itself. */
function Link({ operand, position }: { operand: Operand; position: number }) {
  const { address, index, text, bits, kind } = operand;
  if (kind === "working")
    return (
      <span class="mono">
        {address}
        {written(index)} = {text}
      </span>
    );
  const to =
    address === "logits"
      ? () => go({ screen: "number", address, index: [0, position, index[2]!] })
      : () => choose({ open: { address, index } }, true);
  return <NumberLink address={address} index={index} text={text} bits={bits ?? undefined} onClick={to} />;
}

// The next token: from the logits over every setting to the token that is chosen, and writing it behind the text.

import { useState } from "preact/hooks";
import { ask, told, useAnswer } from "../ask";
import { model } from "../model";
import { say } from "../notice";
import { useRun } from "../runs";
import type { Scene } from "../scene";
import { scenes, shown, state, unchanged } from "../state";
import { visible } from "../prompt";
import { Cache } from "./cache";
import { choosing, choose, sent, type NextHead } from "./choosing";
import { ChoiceNumber } from "./choice-number";
import { DrawnLine, Histogram } from "./drawn";
import { OfB } from "./of-b";
import { SettingsForm } from "./settings";
import { Timeline } from "./timeline";
import { Vocabulary } from "./vocabulary";

export function Next() {
  const at = choosing();
  const { run } = useRun();
  const count = run?.tokens.length ?? 1;
  const position = Math.min(at.position ?? count - 1, count - 1);
  const begun = shown.value.tokens && at.begun !== null && at.begun <= count ? at.begun : count;
  const params = { scene: shown.value, position, begun: Math.min(begun, position + 1), settings: sent(at.settings) };
  const { answer, error, stale } = useAnswer("next", { ...params, from: 0, to: 1 });
  const head = answer?.head as NextHead | undefined;
  const writes = model.value?.causal === true;
  return (
    <section class="next">
      <h1>Next token</h1>
      <OfB />
      {!writes && <p class="quiet">This model reads both sides of a text. What it guesses at a position is shown; it cannot continue a text.</p>}
      {run && <Timeline tokens={run.tokens} position={position} begun={begun} />}
      <SettingsForm settings={at.settings} />
      {error && (
        <p class="wrong" role="alert">
          {error}
        </p>
      )}
      {head && !error && (
        <div class={stale ? "stale" : ""} aria-busy={stale}>
          <Chosen head={head} params={params} begun={begun} writes={writes} last={position === count - 1} />
          <Histogram head={head} />
          <Vocabulary head={head} params={params} />
          {at.open && <ChoiceNumber key={JSON.stringify(at.open)} params={params} open={at.open} position={position} />}
          {writes && position === count - 1 && <Cache />}
        </div>
      )}
    </section>
  );
}

interface ChosenProps {
  head: NextHead;
  params: object;
  begun: number;
  writes: boolean;
  last: boolean;
}

function Chosen({ head, params, begun, writes, last }: ChosenProps) {
  const [busy, setBusy] = useState(false);
  const step = async () => {
    setBusy(true);
    try {
      await append(params, begun);
    } catch (error) {
      say(told(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <section aria-labelledby="chosen">
      <h2 id="chosen">
        Chosen:{" "}
        <span class="mono chosen" data-chosen={head.chosen.id}>
          “{visible(head.chosen.text)}” ({head.chosen.id})
        </span>
      </h2>
      <p>{head.drawn.explanation}.</p>
      <DrawnLine drawn={head.drawn} />
      {writes && (
        <div class="row">
          <button type="button" class="main" disabled={busy} onClick={() => void step()}>
            {last ? "Step: write it behind the text" : "Go on from here with it"}
          </button>
          <span class="quiet">
            {head.drawn.uniform === null ? "Nothing is drawn." : `Number ${head.drawn.before + 1} of this seed.`}
          </span>
        </div>
      )}
    </section>
  );
}

/** Write the chosen token behind the text, in A and in B alike, so that the two stay comparable. */
async function append(params: object, begun: number): Promise<void> {
  const still = unchanged();
  const { head } = await ask("step", params);
  if (!still()) return;
  if (head.stopped) say(`The text ends: ${head.stopped}.`);
  if (!head.scene) return;
  lengthen((head.scene as Scene).tokens!, begun);
}

/** Other tokens for both scenes; undo leads back. */
export function lengthen(tokens: number[], begun: number): void {
  const { a, b, off } = state.value;
  const with_ = ({ text: _, ...rest }: Scene): Scene => ({ ...rest, tokens });
  scenes({ a: with_(a), b: b && with_(b), off }, { next: { ...choosing(), position: null, begun, open: null } });
}

export function lookAt(position: number | null): void {
  choose({ position, open: null }, true);
}

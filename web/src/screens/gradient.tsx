// Gradients: of which number, how large they are where, the backward program in order, and what is saved for it.

import { useState } from "preact/hooks";
import { useAnswer } from "../ask";
import { Readout } from "../readout";
import { visible } from "../prompt";
import type { Token } from "../model";
import { useOutline, type Outline } from "../outline";
import { Picker } from "../picker";
import { written, type Scene } from "../scene";
import { differentiate, go, settle, shown, state } from "../state";
import { Backward } from "./backward";
import { OfB } from "./of-b";
import { Sizes } from "./sizes";

export function Gradient() {
  const { outline } = useOutline();
  const of = shown.value.gradient;
  const look = (state.value.view.gradient as string | undefined) ?? "sizes";
  return (
    <section class="gradient">
      <h1>Gradients</h1>
      <OfB />
      <p class="quiet">
        How one number would change with every other: choose it, and every value and weight has its gradient at <span class="mono">d:</span> and its address, on
        all screens.
      </p>
      <Losses now={of} />
      {outline && <Element outline={outline} now={of} />}
      {of && (
        <>
          <h2>
            Gradients of{" "}
            <span class="mono" data-of={`${of.of}${written(of.index ?? [])}`}>
              {of.of}
              {written(of.index ?? [])}
            </span>
          </h2>
          <div class="row" role="group" aria-label="What is shown">
            {(["sizes", "backward"] as const).map((name) => (
              <button type="button" key={name} aria-pressed={look === name} onClick={() => settle({ gradient: name })}>
                {name === "sizes" ? "How large they are" : "The backward program"}
              </button>
            ))}
            <button type="button" onClick={() => differentiate(null)}>
              No gradients
            </button>
          </div>
          {look === "sizes" ? <Sizes /> : <Backward />}
        </>
      )}
    </section>
  );
}

interface Loss {
  position: number;
  token: Token;
  target: Token | null;
  loss: string;
  bits: string;
  probability: string | null;
}

type Now = Scene["gradient"];

/** The loss and its parts, each of which gradients can be taken of. */
function Losses({ now }: { now: Now }) {
  const { answer, error } = useAnswer("losses", { scene: shown.value });
  if (error) return <p class="quiet">{error}</p>;
  if (!answer) return <p class="quiet">…</p>;
  const { loss, rows, count } = answer.head as { loss: { text: string; bits: string }; rows: Loss[]; count: number };
  return (
    <details open={!now}>
      <summary>
        The loss <Readout address="loss" index={[]} text={loss.text} bits={loss.bits} />, and what each position adds to it
      </summary>
      <p>
        <button type="button" class="main" aria-pressed={now?.of === "loss"} onClick={() => differentiate({ of: "loss", index: null })}>
          Gradients of the loss
        </button>
      </p>
      <div class="scroll losses" tabIndex={0} role="region" aria-label="Loss by position">
        <table>
          <thead>
            <tr>
              <th scope="col">position</th>
              <th scope="col">token</th>
              <th scope="col">should come</th>
              <th scope="col" class="figure">
                its probability
              </th>
              <th scope="col" class="figure">
                loss
              </th>
              <th scope="col">
                <span class="unseen">gradients</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.position}>
                <th scope="row">{row.position}</th>
                <td class="mono">{visible(row.token.text)}</td>
                <td class="mono">{row.target ? visible(row.target.text) : "–"}</td>
                <td class="figure">{row.probability ?? "–"}</td>
                <td class="figure">{row.target ? <Readout address="losses" index={[0, row.position]} text={row.loss} bits={row.bits} /> : "–"}</td>
                <td>
                  {row.target && (
                    <button type="button" class="link" onClick={() => differentiate({ of: "losses", index: [0, row.position] })}>
                      Gradients of this one
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {count > rows.length && <p class="quiet">{count - rows.length} more positions.</p>}
    </details>
  );
}

/** Any number at all: an address and an index. */
function Element({ outline, now }: { outline: Outline; now: Now }) {
  const [address, setAddress] = useState(now && outline.by.has(now.of) ? now.of : "logits");
  const entry = outline.by.get(address);
  const last = entry?.shape.map((size, axis) => (entry.axes[axis] === "T" ? size - 1 : 0)) ?? [];
  const [text, setText] = useState(now?.of === address && now.index ? now.index.join(",") : last.join(","));
  const pick = (next: string) => {
    const found = outline.by.get(next);
    setAddress(next);
    setText(found?.shape.map((size, axis) => (found.axes[axis] === "T" ? size - 1 : 0)).join(",") ?? "");
  };
  const index = text.split(",").filter(Boolean).map(Number);
  const fits = entry && index.length === entry.shape.length && index.every((place, axis) => Number.isInteger(place) && place >= 0 && place < entry.shape[axis]!);
  const submit = (event: Event) => {
    event.preventDefault();
    if (fits) differentiate({ of: address, index: index.length ? index : null });
  };
  return (
    <form class="row element" onSubmit={submit} aria-label="Any number">
      <span class="quiet">Or of any number:</span>
      <span onKeyDown={(event) => event.key === "Enter" && event.preventDefault() /* it picks, it does not send */}>
        <Picker outline={outline} address={address} onPick={pick} />
      </span>
      <label>
        at{" "}
        <input class="mono" value={text} spellcheck={false} aria-invalid={!fits} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      {entry && <span class="quiet mono">{[...entry.axes].map((letter, i) => `${letter} ${entry.shape[i]}`).join(" × ") || "one number"}</span>}
      <button type="submit" disabled={!fits}>
        Gradients of it
      </button>
      <button type="button" class="link" disabled={!fits} onClick={() => go({ screen: "number", address, index })}>
        Look at it
      </button>
    </form>
  );
}

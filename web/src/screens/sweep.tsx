// One edit tried at every head, layer or position: what each does to one number, as a picture.

import { useState } from "preact/hooks";
import { useAnswer } from "../ask";
import { fitting } from "../colours";
import type { Answer } from "../host";
import { given, Matrix } from "../matrix";
import { say } from "../notice";
import { useRun } from "../runs";
import { visible } from "../prompt";
import { said, type Change, type Place, type Scene } from "../scene";
import { change, edited, settle, state } from "../state";
import { edit, firstDraft, headed, lacking, type Draft, type Part, type Word } from "./draft";
import { followed } from "./effects";
import { Field, Fields } from "./fields";

/** What was swept; it is in the link. */
interface Swept {
  change: Change;
  over: string;
  measure: { kind: string; token?: number; position?: number };
}

const KINDS = { logit: "the logit of a token", probability: "the probability of a token", loss: "the loss", kl: "KL from before" };

export function Sweep({ parts }: { parts: Part[] }) {
  const [draft, setDraft] = useState<Draft>(() => firstDraft(parts));
  const [over, setOver] = useState("layer×head");
  const [kind, setKind] = useState("logit");
  const part = parts.find((each) => each.address === draft.part)!;
  const ways = waysOf(part);
  const chosen = ways.includes(over) ? over : ways[0]!;
  const stars = chosen.split("×") as Word[];
  const submit = (event: Event) => {
    event.preventDefault();
    const lacks = lacking(draft);
    if (lacks) return say(lacks);
    const { token, position } = followed();
    const measure = { kind, ...(token === null ? {} : { token }), ...(position === null ? {} : { position }) };
    const swept: Swept = { change: edit(draft, part, state.value.a, stars), over: chosen, measure };
    settle({ sweep: swept, cell: undefined });
  };
  const swept = state.value.view.sweep as Swept | undefined;
  return (
    <section class="sweep" aria-label="Sweep">
      <h2>Try an edit everywhere</h2>
      <form class="row" onSubmit={submit} aria-label="Sweep an edit">
        <Field name="Over">
          <select value={chosen} onChange={(event) => setOver(event.currentTarget.value)}>
            {ways.map((way) => (
              <option key={way} value={way}>
                every {way.replace("×", " and ")}
              </option>
            ))}
          </select>
        </Field>
        <Fields parts={parts.filter((each) => waysOf(each).length)} draft={draft} onDraft={setDraft} stars={stars} />
        <Field name="Look at">
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
            {Object.entries(KINDS).map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </Field>
        <button type="submit" class="main">
          Sweep
        </button>
      </form>
      {swept && <Result swept={swept} scene={edited.value} />}
    </section>
  );
}

/** What a part can be swept over. */
function waysOf(part: Part): string[] {
  const [layers, heads, places] = [part.layers.length > 0, headed(part), part.position !== null];
  return [
    layers && heads ? "layer×head" : "",
    layers && places ? "layer×position" : "",
    heads && places ? "head×position" : "",
    layers ? "layer" : "",
    heads ? "head" : "",
    places ? "position" : "",
  ].filter(Boolean);
}

function Result({ swept, scene }: { swept: Swept; scene: Scene }) {
  const { answer, error, loading, stale, retry } = useAnswer("sweep", { scene, ...swept });
  if (error)
    return (
      <p class="wrong" role="alert">
        {error}{" "}
        <button type="button" onClick={retry}>
          Sweep again
        </button>
      </p>
    );
  if (!answer || stale) return <p class="quiet">{loading ? "Sweeping …" : ""}</p>;
  return <Picture answer={answer} swept={swept} scene={scene} />;
}

function Picture({ answer, swept, scene }: { answer: Answer; swept: Swept; scene: Scene }) {
  const { head } = answer;
  const { run } = useRun(scene);
  const [row, column] = (state.value.view.cell as [number, number] | undefined) ?? [0, 0];
  const cursor: [number, number] = [Math.min(row, head.rows - 1), Math.min(column, head.columns - 1)];
  const effects = Float32Array.from(answer.arrays.effects as Float64Array);
  const named = (tokens: string[]) => (tokens.some(Boolean) ? tokens : undefined);
  const labels = { rowLabels: named(head.labels[0]), columnLabels: named(head.labels[1]) };
  const source = given(JSON.stringify([scene, swept]), effects, head.rows, head.columns, { texts: head.effect_texts, ...labels });
  const cell = filled(swept, head.numbers[0][cursor[0]], head.numbers[1][cursor[1]]);
  const make = () => {
    change(cell);
    say(`B: ${said(cell)}`);
  };
  return (
    <>
      <p>
        {KINDS[swept.measure.kind as keyof typeof KINDS]}
        {swept.measure.kind === "loss" ? "" : ` after position ${head.measure.position} “${visible(run?.tokens[head.measure.position]?.text ?? "")}”`}
        {"logit probability".includes(swept.measure.kind) ? `, token ${head.measure.token}` : ""}: <span class="mono">{head.base}</span>{" "}
        without the edit. The picture shows by how much each edit changes it.
      </p>
      <Matrix
        source={source}
        label={`Effects: ${head.names[0]} down${head.names[1] ? `, ${head.names[1]} across` : ""}`}
        cursor={cursor}
        onMove={(next) => settle({ cell: next })}
        onOpen={make}
        range={fitting(...(head.effect_ends as [string, string]))}
        height={420}
      />
      <p data-cell={cursor.join(",")} data-bits={head.bits[cursor[0]][cursor[1]]} aria-live="polite">
        <span class="mono">{said(cell)}</span>: <span class="mono">{head.texts[cursor[0]][cursor[1]]}</span>, by{" "}
        <span class="mono">{head.effect_texts[cursor[0]][cursor[1]]}</span>{" "}
        <button type="button" onClick={make}>
          Make this edit
        </button>
      </p>
    </>
  );
}

/** The edit of one cell of a sweep. */
function filled({ change: starred, over }: Swept, row: number, column: number): Change {
  const words = over.split("×");
  const numbers = [row, column];
  const layer = words.indexOf("layer");
  const address = layer < 0 ? starred.address : starred.address.replace("*", String(numbers[layer]));
  // stars of the index stand in the order of the axes: positions before heads
  const inside = words.flatMap((word, i) => (word === "layer" ? [] : [{ word, number: numbers[i]! }]));
  const order = inside.sort((one, other) => Number(other.word === "position") - Number(one.word === "position"));
  let at = 0;
  const index = (starred.index as (Place | "*")[]).map((place) => (place === "*" ? order[at++]!.number : place));
  return { ...starred, address, index };
}

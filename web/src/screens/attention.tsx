// Attention: all heads at once, one of them large, and the text as it reads.

import { useAnswer } from "../ask";
import { sides } from "../state";
import { HeadView } from "./head";
import { Heads } from "./heads";
import { look, looking, type Head, type Looking } from "./looking";

const TITLES = { self: "The text reads itself", cross: "The text reads the source", source: "The source reads itself" };

export function Attention() {
  const at = looking();
  const { answer, error, stale, retry } = useAnswer("heads", { ...sides.value, kind: at.kind });
  if (error)
    return (
      <div class="wrong" role="alert">
        <p>{error}</p>
        <button type="button" onClick={retry}>
          Look again
        </button>
      </div>
    );
  if (!answer) return <p class="quiet">Looking at all heads …</p>;
  const { layers, heads, kinds } = answer.head;
  const kept: Looking = { ...at, layer: Math.min(at.layer, layers - 1), head: Math.min(at.head, heads - 1) };
  return (
    <section class={`attention ${stale ? "stale" : ""}`} aria-label="Attention">
      <h1>Attention</h1>
      {kinds.length > 1 && <Kinds kinds={kinds} at={kept} />}
      <Heads answer={answer} at={kept} />
      <HeadView of={kept} at={kept} main />
      <Beside layers={layers} heads={heads} at={kept} />
      {kept.beside && kept.beside.layer < layers && <HeadView of={kept.beside} at={kept} main={false} />}
    </section>
  );
}

function Kinds({ kinds, at }: { kinds: Looking["kind"][]; at: Looking }) {
  return (
    <div class="row kinds" role="group" aria-label="Which attention">
      {kinds.map((kind) => (
        <button
          type="button"
          key={kind}
          aria-pressed={kind === at.kind}
          onClick={() => look({ kind, layer: 0, head: 0, query: 0, key: 0, beside: null }, true)}
        >
          {TITLES[kind]}
        </button>
      ))}
    </div>
  );
}

function Beside({ layers, heads, at }: { layers: number; heads: number; at: Looking }) {
  const set = (next: Partial<Head> | null) =>
    look({ beside: next && { layer: at.layer, head: at.head, ...at.beside, ...next } }, true);
  if (layers * heads < 2) return null;
  if (!at.beside)
    return (
      <button type="button" onClick={() => set({ head: (at.head + 1) % heads })}>
        Compare with another head
      </button>
    );
  return (
    <div class="row">
      <h2>Beside it</h2>
      <Choice name="Layer" count={layers} value={at.beside.layer} onChoose={(layer) => set({ layer })} />
      <Choice name="Head" count={heads} value={at.beside.head} onChoose={(head) => set({ head })} />
      <button type="button" onClick={() => set(null)}>
        One head only
      </button>
    </div>
  );
}

interface ChoiceProps {
  name: string;
  count: number;
  value: number;
  onChoose(value: number): void;
}

function Choice({ name, count, value, onChoose }: ChoiceProps) {
  return (
    <label>
      {name}{" "}
      <select value={value} onChange={(event) => onChoose(Number(event.currentTarget.value))}>
        {Array.from({ length: count }, (_, i) => (
          <option key={i} value={i}>
            {i}
          </option>
        ))}
      </select>
    </label>
  );
}

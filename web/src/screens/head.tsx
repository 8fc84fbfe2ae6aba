// One head large: its stages side by side, what it reads, and what it is without it.

import { useAnswer } from "../ask";
import { Matrix } from "../matrix";
import { useOutline, type Outline } from "../outline";
import { NumberLink } from "../readout";
import { change, go, shown, sides } from "../state";
import { windowed } from "../windowed";
import { look, type Head, type Looking } from "./looking";
import { Reading } from "./reading";

/** What Python says of one layer's attention. */
export interface Stages {
  addresses: Record<"q" | "k" | "v" | "q_rot" | "k_rot" | "scores" | "masked" | "weights" | "heads" | "out", string | null>;
  layer: number;
  scale: string;
  H: number;
  G: number;
  K: number;
  T: number;
  S: number;
  group_of: number[];
  labels: { T?: string[]; S?: string[] };
}

interface Props {
  of: Head;
  at: Looking;
  /** Whether it is the chosen head, not the one beside it. */
  main: boolean;
}

export function HeadView({ of: asked, at, main }: Props) {
  const { outline } = useOutline();
  const { answer, error, stale } = useAnswer("stages", { scene: shown.value, kind: at.kind, layer: asked.layer });
  if (error) return <p class="wrong">{error}</p>;
  if (!answer || !outline) return <p class="quiet">Looking …</p>;
  const stages = answer.head as Stages;
  const of = { layer: stages.layer, head: asked.head }; // of the layer that this answer is of
  if (of.head >= stages.H) return null;
  const shownStages = stagesShown(stages);
  const cursor: [number, number] = [Math.min(at.query, stages.T - 1), Math.min(at.key, stages.S - 1)];
  return (
    <section class={`head ${stale ? "stale" : ""}`} aria-label={`Layer ${of.layer} head ${of.head}`}>
      <div class="row">
        <h2>
          Layer {of.layer}, head {of.head}
        </h2>
        <Group stages={stages} of={of} />
        <button type="button" onClick={() => ablate(stages, of)}>
          Ablate this head
        </button>
        <Vectors stages={stages} of={of} cursor={cursor} />
      </div>
      {main && <Reading stages={stages} head={of.head} at={at} />}
      <div class="stages">
        {shownStages.map(({ address, says }) => (
          <Stage key={address} outline={outline} address={address} says={says} head={of.head} cursor={cursor} />
        ))}
      </div>
    </section>
  );
}

function stagesShown({ addresses, scale }: Stages): { address: string; says: string }[] {
  const turned = addresses.q_rot ? "turned q · turned k" : "q · k";
  const all = [
    { address: addresses.scores, says: `${turned} × ${scale}` },
    { address: addresses.masked, says: "what may be seen" },
    { address: addresses.weights, says: "softmax: the shares of attention" },
  ];
  return all.flatMap(({ address, says }) => (address ? [{ address, says }] : []));
}

interface StageProps {
  outline: Outline;
  address: string;
  says: string;
  head: number;
  cursor: [number, number];
}

function Stage({ outline, address, says, head, cursor }: StageProps) {
  const index = [0, head, ...cursor];
  const of = sides.value;
  const { answer, stale } = useAnswer("cell", { ...of, address, index });
  if (!outline.by.has(address)) return null;
  const open = ([query, key]: [number, number]) => go({ screen: "number", address, index: [0, head, query, key] });
  const cell = answer?.head;
  return (
    <figure>
      <figcaption title={says}>
        <strong>{address.split(".").pop()}</strong> <span class="quiet">{says}</span>
      </figcaption>
      <Matrix
        source={windowed(outline, address, { axes: [2, 3], index }, of)}
        label={`${address}, head ${head}: queries down, keys across`}
        cursor={cursor}
        onMove={([query, key]) => look({ query, key, locked: true })}
        onOpen={open}
        height={360}
        names={{ row: "query", column: "key" }}
      />
      {cell && <NumberLink address={cell.address} class={stale ? "stale" : ""} index={cell.index} text={cell.text} bits={cell.bits} onClick={() => open(cursor)} />}
    </figure>
  );
}

function Group({ stages, of }: { stages: Stages; of: Head }) {
  if (stages.G === stages.H) return null;
  const group = stages.group_of[of.head];
  const others = stages.group_of.flatMap((each, head) => (each === group && head !== of.head ? [head] : []));
  return (
    <span class="group">
      reads key/value head {group}, as {others.length > 1 ? "heads" : "head"}{" "}
      {others.map((head) => (
        <button type="button" class="link" key={head} onClick={() => look({ layer: of.layer, head }, true)}>
          {head}
        </button>
      ))}{" "}
      {others.length > 1 ? "do" : "does"}
    </span>
  );
}

function Vectors({ stages, of, cursor }: { stages: Stages; of: Head; cursor: [number, number] }) {
  const { addresses, group_of } = stages;
  const group = group_of[of.head]!;
  const places: [string | null, number, number][] = [
    [addresses.q, cursor[0], of.head],
    [addresses.q_rot, cursor[0], of.head],
    [addresses.k, cursor[1], group],
    [addresses.k_rot, cursor[1], group],
    [addresses.v, cursor[1], group],
    [addresses.heads, cursor[0], of.head],
  ];
  return (
    <span class="vectors">
      {places.map(([address, position, head]) =>
        address ? (
          <button
            type="button"
            class="link"
            key={address}
            title={`${address}, position ${position}, head ${head}`}
            onClick={() => go({ screen: "tensor", address, index: [0, null, head, null] })}
          >
            {address.split(".").pop()}
          </button>
        ) : null,
      )}
    </span>
  );
}

function ablate(stages: Stages, { head }: Head): void {
  const address = stages.addresses.heads;
  if (address) change({ address, index: [null, null, head, null], action: "zero" });
}

// The number under the cursor, read out: its place, its digits and bits, in A, in B and the difference.

import { useAnswer } from "./ask";
import { Readout } from "./readout";
import type { Entry } from "./outline";
import { written } from "./scene";
import { part, state } from "./state";
import { visible } from "./prompt";

interface CellProps {
  entry: Entry;
  index: number[];
  onOpen?(): void;
}

export function CellReadout({ entry, index, onOpen }: CellProps) {
  const { a, b } = state.value;
  const params = { address: entry.address, index };
  const first = useAnswer("cell", { ...params, scene: a });
  const second = useAnswer("cell", b ? { ...params, scene: b } : null);
  const difference = useAnswer("cell", b ? { ...params, scene: a, other: b, part: "difference" } : null);
  const labels = first.answer?.head.labels as Record<string, string> | undefined;
  const here = part.value === "difference" ? difference : part.value === "b" ? second : first;
  return (
    <div class="cell row" role="status" aria-live="polite" aria-busy={here.loading}>
      <span class="mono">
        {entry.address}
        {written(index)}
      </span>
      <span class="quiet">
        {[...entry.axes].map((letter, i) => `${letter} ${index[i]}${labels?.[letter] !== undefined ? ` “${visible(labels[letter]!)}”` : ""}`).join(" · ")}
      </span>
      {b ? (
        <>
          <Shown title="A" asked={first} entry={entry} index={index} />
          <Shown title="B" asked={second} entry={entry} index={index} />
          <Shown title="B − A" asked={difference} entry={entry} index={index} />
        </>
      ) : (
        <Shown title="=" asked={first} entry={entry} index={index} />
      )}
      {onOpen && (
        <button type="button" onClick={onOpen}>
          Explain
        </button>
      )}
    </div>
  );
}

interface ShownProps {
  title: string;
  asked: ReturnType<typeof useAnswer>;
  entry: Entry;
  index: number[];
}

function Shown({ title, asked, entry, index }: ShownProps) {
  const head = asked.stale ? null : asked.answer?.head;
  if (asked.error) return <span class="wrong">{asked.error}</span>;
  return (
    <span>
      <span class="quiet">{title} </span>
      {head ? <Readout class={`of-${title.replaceAll(/[^A-Z]/g, "") || "one"}`} address={entry.address} index={index} text={head.text} bits={head.bits} /> : "…"}
    </span>
  );
}

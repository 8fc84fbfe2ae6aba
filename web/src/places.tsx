// Where in a value a number stands: one place along each axis, to be changed.

import { tokenAt } from "./axes";
import type { Entry } from "./outline";
import { visible } from "./prompt";
import { useRun } from "./runs";
import { settle, state } from "./state";

export function Places({ entry, index }: { entry: Entry; index: number[] }) {
  const { run } = useRun();
  const move = (axis: number, place: number) => {
    if (!Number.isInteger(place) || place < 0 || place >= entry.shape[axis]!) return;
    const { view } = state.value; // as it is now, not as it was drawn
    const now = view.address === entry.address && view.index?.length === index.length ? view.index : index;
    settle({ address: entry.address, index: now.map((each, i) => (i === axis ? place : (each ?? index[i]!))) });
  };
  if (!entry.shape.length) return null;
  return (
    <div class="axes row">
      {[...entry.axes].map((letter, axis) => {
        const token = tokenAt(letter, index[axis]!, entry.address, run);
        return (
          <label key={axis}>
            <span class="mono">{letter}</span>
            <input
              type="number"
              aria-label={`Place along ${letter}`}
              min={0}
              max={entry.shape[axis]! - 1}
              value={index[axis]}
              onInput={(event) => move(axis, event.currentTarget.valueAsNumber)}
            />
            {token !== undefined && <span class="quiet mono">“{visible(token)}”</span>}
          </label>
        );
      })}
    </div>
  );
}

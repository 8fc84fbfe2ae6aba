// The axes of a value: which lie on the screen, and where along the others one is.

import type { Entry } from "./outline";
import type { RunHead } from "./runs";
import { visible } from "./prompt";
import { sliceOf, type Slice } from "./slicing";
import { settle, state } from "./state";

const NAMES: Record<string, string> = {
  B: "text",
  T: "position",
  S: "position asked",
  D: "stream dimension",
  H: "head",
  G: "key/value head",
  K: "head dimension",
  F: "feed-forward dimension",
  V: "vocabulary",
  P: "place",
};

/** The token at a place along an axis, where the axis has tokens. */
export function tokenAt(letter: string, place: number, address: string, run: RunHead | null): string | undefined {
  const plain = address.replace(/^d:/, "");
  const ofSource = plain.startsWith("source.") || (letter === "S" && plain.includes("cross."));
  const tokens = ofSource ? run?.source_tokens : run?.tokens;
  return "TS".includes(letter) ? tokens?.[place]?.text : undefined;
}

interface AxesProps {
  entry: Entry;
  slice: Slice;
  run: RunHead | null;
}

export function Axes({ entry, slice, run }: AxesProps) {
  const letters = [...entry.axes];
  const show = (role: number, axis: number) => {
    const others = slice.axes.filter((_, i) => i !== role && slice.axes.length > 1);
    const both = [...others.filter((other) => other !== axis), axis];
    const filled = both.length < slice.axes.length ? [...both, slice.axes[role]!] : both;
    settle({ axes: filled.sort((one, other) => one - other), index: slice.index, rows: undefined, columns: undefined });
  };
  return (
    <div class="axes row">
      {slice.axes.map((axis, role) => (
        <label key={role}>
          <span>{slice.axes.length === 2 && role === 0 ? "Rows" : "Columns"}</span>
          <select value={axis} onChange={(event) => show(role, Number(event.currentTarget.value))}>
            {letters.map((letter, i) => (
              <option key={i} value={i}>
                {letter} · {NAMES[letter] ?? letter} ({entry.shape[i]})
              </option>
            ))}
          </select>
        </label>
      ))}
      {letters.map((letter, axis) =>
        slice.axes.includes(axis) || entry.shape[axis] === 1 ? null : (
          <label key={axis}>
            <span title={NAMES[letter]}>{NAMES[letter] ?? letter}</span>
            <input
              type="number"
              data-axis={axis}
              min={0}
              max={entry.shape[axis]! - 1}
              value={slice.index[axis]}
              onInput={(event) => {
                const place = event.currentTarget.valueAsNumber;
                const { axes, index } = sliceOf(entry, state.value.view); // as it is now, not as it was drawn
                if (Number.isInteger(place) && place >= 0 && place < entry.shape[axis]!)
                  settle({ address: entry.address, axes, index: index.map((each, i) => (i === axis ? place : each)) });
              }}
            />
            <span class="quiet mono">
              of {entry.shape[axis]}
              {tokenAt(letter, slice.index[axis]!, entry.address, run) !== undefined &&
                ` “${visible(tokenAt(letter, slice.index[axis]!, entry.address, run)!)}”`}
            </span>
          </label>
        ),
      )}
    </div>
  );
}

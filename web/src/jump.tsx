// Going to a row or a column by its number or its token.

import { useState } from "preact/hooks";
import { ask, told } from "./ask";
import { tokenAt } from "./axes";
import type { Token } from "./model";
import { say } from "./notice";
import type { Entry } from "./outline";
import { visible } from "./prompt";
import type { RunHead } from "./runs";
import { cursorOf, type Slice } from "./slicing";
import { state } from "./state";

interface JumpProps {
  entry: Entry;
  slice: Slice;
  run: RunHead | null;
  onJump(cell: [number, number]): void;
}

export function Jump({ entry, slice, run, onJump }: JumpProps) {
  const [row, setRow] = useState("");
  const [column, setColumn] = useState("");
  const two = slice.axes.length === 2;
  const submit = async (event: Event) => {
    event.preventDefault();
    const [nowRow, nowColumn] = cursorOf(slice);
    const { screen, address } = state.value.view;
    try {
      const last = slice.axes[slice.axes.length - 1]!;
      const nextRow = two && row ? await placeOf(row, slice.axes[0]!, entry, run) : nowRow;
      const nextColumn = column ? await placeOf(column, last, entry, run) : nowColumn;
      const { view } = state.value;
      if (view.screen === screen && view.address === address) onJump([nextRow, nextColumn]); // else one has left meanwhile
    } catch (error) {
      say(told(error));
    }
  };
  if (!slice.axes.length) return null;
  return (
    <form class="row jump" onSubmit={(event) => void submit(event)} aria-label="Go to">
      {two && <input aria-label="Row: number or token" placeholder="row" size={6} value={row} onInput={(event) => setRow(event.currentTarget.value)} />}
      <input aria-label="Column: number or token" placeholder="column" size={6} value={column} onInput={(event) => setColumn(event.currentTarget.value)} />
      <button type="submit">Go</button>
    </form>
  );
}

/** The place along an axis: a number, a token of the text, or along the vocabulary any token. */
async function placeOf(given: string, axis: number, entry: Entry, run: RunHead | null): Promise<number> {
  const size = entry.shape[axis]!;
  const letter = entry.axes[axis]!;
  const number = Number(given);
  if (given.trim() !== "" && Number.isInteger(number)) {
    if (number < 0 || number >= size) throw new Error(`${letter} goes from 0 to ${size - 1}.`);
    return number;
  }
  if (letter === "V") {
    const tokens = (await ask("tokenize", { text: given })).head.tokens as Token[];
    const found = tokens.find((token) => token.text === given) ?? tokens.find((token) => token.text.trim() === given.trim());
    if (found) return found.id;
    throw new Error(`“${given}” is no token by itself, but ${tokens.map((token) => `“${visible(token.text)}”`).join(" ")}.`);
  }
  for (let place = 0; place < size; place++) if (tokenAt(letter, place, entry.address, run)?.trim() === given.trim()) return place;
  throw new Error(`There is no “${given}” along ${letter}.`);
}

// The numbers around the cursor as a table that can be read without seeing colours.

import { useAnswer } from "./ask";
import type { Entry } from "./outline";
import { written } from "./scene";
import { cursorOf, indexAt, windowIndex, type Slice } from "./slicing";
import { go, sides, type Span } from "./state";
import { visible } from "./prompt";
import { Readout } from "./readout";

const MOST = 20;

interface TableProps {
  entry: Entry;
  slice: Slice;
  rows: number;
  columns: number;
}

export function NumbersTable({ entry, slice, rows, columns }: TableProps) {
  const [row, column] = cursorOf(slice);
  const [seenRows, seenColumns] = [around(row, rows), around(column, columns)];
  const places = {
    index: windowIndex(slice),
    ...(slice.axes.length === 2 ? { rows: seenRows } : {}),
    ...(slice.axes.length ? { columns: seenColumns } : {}),
  };
  const { answer, error, stale } = useAnswer("window", { ...sides.value, address: entry.address, ...places, height: MOST, width: MOST });
  if (error) return <p class="wrong">{error}</p>;
  if (!answer) return <p class="quiet">…</p>;
  const { head } = answer;
  const texts = head.texts as string[][];
  const name = (labels: string[] | null, i: number, from: number) => `${from + i}${labels?.[i] !== undefined ? ` ${visible(labels[i]!)}` : ""}`;
  return (
    <div class={`scroll ${stale ? "stale" : ""}`} tabIndex={0} role="region" aria-label="Table of numbers">
      <table class="numbers">
        <caption class="unseen">
          {entry.address}, rows {head.rows.join(" to ")}, columns {head.columns.join(" to ")}
        </caption>
        <thead>
          <tr>
            <td />
            {texts[0]!.map((_, j) => (
              <th scope="col" class="figure" key={j}>
                {name(head.column_labels, j, head.columns[0])}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {texts.map((line, i) => (
            <tr key={i}>
              <th scope="row" class="figure">
                {name(head.row_labels, i, head.rows[0])}
              </th>
              {line.map((text, j) => {
                const index = indexAt(slice, [head.rows[0] + i, head.columns[0] + j]);
                return (
                  <td class="figure" key={j}>
                    <button
                      type="button"
                      class="link"
                      aria-label={`${text}, explain ${entry.address}${written(index)}`}
                      onClick={() => go({ screen: "number", address: entry.address, index })}
                    >
                      <Readout address={entry.address} index={index} text={text} bits={head.bits[i][j]} />
                    </button>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** At most 20 places, the given one among them; they stay as long as it stays among them. */
function around(place: number, size: number): Span {
  const from = Math.min(Math.floor(place / MOST) * MOST, Math.max(0, size - MOST));
  return [from, Math.min(size, from + MOST)];
}

// All numbers of one value: from afar, near by, one by one, as a table, and as they differ between A and B.

import { useState } from "preact/hooks";
import { useAnswer } from "./ask";
import { Axes } from "./axes";
import { CellReadout } from "./cell";
import { fitting, shared, type Range, type Scale } from "./colours";
import { Editing, type Scope } from "./editing";
import { Exports } from "./exporting";
import { Heading } from "./heading";
import { Jump } from "./jump";
import { Legend } from "./legend";
import { Matrix } from "./matrix";
import { NumbersTable } from "./numbers-table";
import { editable, useOutline, type Entry, type Outline } from "./outline";
import { useRun } from "./runs";
import { cursorOf, extent, indexAt, sliceOf, windowIndex, type Slice } from "./slicing";
import { go, part, settle, sides, state, type Span } from "./state";
import { windowed } from "./windowed";

export function Tensor() {
  const { outline, error } = useOutline();
  if (error) return <p class="wrong">{error}</p>;
  if (!outline) return <p class="quiet">…</p>;
  const address = state.value.view.address ?? startOf(outline);
  const entry = outline.by.get(address);
  if (!entry)
    return (
      <>
        <Heading outline={outline} address={address} />
        <p class="wrong">This run has no value {address}.</p>
      </>
    );
  return <Value outline={outline} entry={entry} />;
}

/** What is shown when nothing is chosen: the first attention there is, else what the model puts out. */
function startOf({ entries, by }: Outline): string {
  const attention = entries.find((each) => each.operator === "softmax");
  return attention?.address ?? (by.has("logits") ? "logits" : entries[entries.length - 1]!.address);
}

function Value({ outline, entry }: { outline: Outline; entry: Entry }) {
  const { view } = state.value;
  const { run } = useRun();
  const slice = sliceOf(entry, view);
  const source = windowed(outline, entry.address, slice, sides.value);
  const [rows, columns] = extent(entry, slice);
  const cursor = cursorOf(slice);
  const scale = view.scale as Scale | undefined;
  const range = useSharedRange(entry, slice, scale);
  const [shownRange, setShownRange] = useState<Range | null>(null);
  const [factor, setFactor] = useState<[number, number]>([1, 1]);
  const [masked, setMasked] = useState(false);
  // of the state as it is then: more may have changed since this was drawn
  const at = (cell: [number, number]) => indexAt(sliceOf(entry, state.value.view), cell);
  const move = (cell: [number, number]) => settle({ address: entry.address, index: at(cell), axes: slice.axes });
  const open = (cell: [number, number]) => go({ screen: "number", address: entry.address, index: at(cell), axes: slice.axes });
  const size = `${rows} × ${columns}`;

  return (
    <section class="tensor" aria-label={entry.address}>
      <Heading outline={outline} address={entry.address} />
      <div class="row between">
        <Axes entry={entry} slice={slice} run={run} />
        <Jump entry={entry} slice={slice} run={run} onJump={move} />
      </div>
      <Matrix
        source={source}
        label={`${entry.address}, ${size}. Arrows move, Enter explains the number, plus and minus zoom.`}
        cursor={cursor}
        onMove={move}
        onOpen={open}
        scale={scale}
        range={range ?? undefined}
        onRange={setShownRange}
        rows={view.rows}
        columns={view.columns}
        onSeen={(seenRows: Span, seenColumns: Span) => settle({ address: entry.address, rows: seenRows, columns: seenColumns })}
        onFactor={(next, hidden) => {
          setFactor(next);
          setMasked(hidden);
        }}
        height={Math.max(280, window.innerHeight - 330)}
      />
      {shownRange && (
        <Legend range={shownRange} chosen={scale} onChoose={(next) => settle({ scale: next })} factor={factor} masked={masked} />
      )}
      <CellReadout entry={entry} index={at(cursor)} onOpen={() => open(cursor)} />
      <div class="row between">
        <label class="row">
          <input type="checkbox" checked={view.table === true} onChange={(event) => settle({ table: event.currentTarget.checked })} />
          As a table
        </label>
        <Exports entry={entry} slice={slice} />
      </div>
      {view.table === true && <NumbersTable entry={entry} slice={slice} rows={rows} columns={columns} />}
      {editable(entry) && <Editing key={entry.address} address={entry.address} scopes={scopesOf(entry, slice, cursor)} />}
    </section>
  );
}

/** One range for A and B, so that their colours can be compared; null without a B. */
function useSharedRange(entry: Entry, slice: Slice, scale: Scale | undefined): Range | null {
  const { a, b } = state.value;
  const wanted = b !== null && part.value !== "difference";
  const params = { address: entry.address, index: windowIndex(slice), height: 1, width: 1 };
  const ofA = useAnswer("window", wanted ? { ...params, scene: a } : null).answer?.head;
  const ofB = useAnswer("window", wanted ? { ...params, scene: b } : null).answer?.head;
  if (!wanted || !ofA || !ofB) return null;
  const fit = (head: { minimum: string | null; maximum: string | null }) => fitting(head.minimum ?? "0", head.maximum ?? "0", scale);
  return shared(fit(ofA), fit(ofB), scale);
}

/** The parts of a value that an edit may have: this number, its row and column, what is on the screen, all. */
function scopesOf(entry: Entry, slice: Slice, cursor: [number, number]): Scope[] {
  const index = indexAt(slice, cursor);
  const free = (...axes: number[]) => index.map((place, axis) => (axes.includes(axis) ? null : place));
  const [first, second] = slice.axes;
  const made: Scope[] = [{ name: "this number", index }];
  if (second !== undefined) made.push({ name: "this row", index: free(second) }, { name: "this column", index: free(first!) });
  if (first !== undefined) made.push({ name: "all that is shown", index: free(...slice.axes) });
  if (slice.axes.length < entry.shape.length) made.push({ name: "the whole value", index: free(...entry.shape.keys()) });
  return made;
}

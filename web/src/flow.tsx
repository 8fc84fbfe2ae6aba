// Every step of the run in order, with lines from what is made to what reads it. Drawn from the program, so any family.

import { useMemo, useState } from "preact/hooks";
import { useAnswer } from "./ask";
import { lanes, type Line } from "./lanes";
import { useOutline, type Entry, type Outline } from "./outline";
import { useRun, type RunHead } from "./runs";
import { readsOf, rowsOf, sections, type Row } from "./sections";
import { edited, go, settle, shown, state } from "./state";
import { useStats, type Stats } from "./stats";

const ROW = 26;
const LANE = 9;
/** Models with more values begin with their blocks folded. */
const FEW = 70;

export interface Difference {
  address: string;
  amount: string;
}

export function Flow() {
  const { outline, error } = useOutline();
  const { run } = useRun();
  if (error) return <p class="wrong">{error}</p>;
  if (!outline || !run) return <p class="quiet">…</p>;
  return <Drawn outline={outline} run={run} />;
}

function Drawn({ outline, run }: { outline: Outline; run: RunHead }) {
  const { view } = state.value;
  const all = useMemo(() => sections(outline.entries), [outline]);
  const values = useMemo(() => all.flatMap((section) => section.entries), [all]);
  const titles = all.map((section) => section.title).filter(Boolean);
  const open = (view.open as string[] | undefined) ?? (values.length <= FEW ? titles : []);
  const rows = rowsOf(all, (title) => !open.includes(title));
  const lines = useMemo(() => lanes(readsOf(rows)), [outline, open.join()]);
  const wanted = run.keeps_all ? values.map((entry) => entry.address) : [];
  const stats = useStats(shown.value, wanted);
  const differences = useDifferences();
  const [near, setNear] = useState<number | null>(null);
  const width = 22 + LANE * Math.max(0, ...lines.map((line) => line.lane));
  const fold = (title: string) => settle({ open: open.includes(title) ? open.filter((each) => each !== title) : [...open, title] });
  return (
    <section class="flow" aria-label="Flow">
      <div class="row between">
        <p class="quiet">{facts(run)}</p>
        {titles.length > 0 && (
          <span class="row">
            <button type="button" onClick={() => settle({ open: titles })}>
              Unfold all
            </button>
            <button type="button" onClick={() => settle({ open: [] })}>
              Fold all
            </button>
          </span>
        )}
      </div>
      <div class="drawn">
        <Lines lines={lines} rows={rows} width={width} near={near} />
        <table style={{ marginLeft: `${width}px` }}>
          <caption class="unseen">The steps of the run in order</caption>
          <thead>
            <tr>
              <th scope="col">value</th>
              <th scope="col">made by</th>
              <th scope="col">shape</th>
              <th scope="col" class="figure">
                least
              </th>
              <th scope="col" class="figure">
                mean
              </th>
              <th scope="col" class="figure">
                most
              </th>
              <th scope="col">weights and marks</th>
            </tr>
          </thead>
          <tbody onMouseLeave={() => setNear(null)}>
            {rows.map((row, i) => (
              <tr
                key={row.entry?.address ?? `${row.section.title} ${i}`}
                class={row.entry ? "" : "block"}
                data-kind={row.entry?.kind}
                onMouseEnter={() => setNear(i)}
                onFocusIn={() => setNear(i)}
              >
                {row.entry ? (
                  <ValueCells entry={row.entry} outline={outline} stats={stats.get(row.entry.address)} difference={differences?.get(row.entry.address)} />
                ) : (
                  <BlockCells row={row} stats={stats} differences={differences} onFold={() => fold(row.section.title)} />
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function facts(run: RunHead): string {
  const mega = run.bytes / 1e6;
  const kept = run.keeps_all ? `${run.values} values` : `${run.kept} of ${run.values} values kept, the others computed when asked for`;
  return [
    `${run.tokens.length} token${run.tokens.length === 1 ? "" : "s"}`,
    kept,
    `${mega < 10 ? mega.toPrecision(2) : mega.toFixed(0)} MB`,
    run.loss === null ? "" : `loss ${run.loss}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What differs between A and B, by address; null without a B. */
function useDifferences(): Map<string, Difference> | null {
  const { a, b } = state.value;
  const { answer } = useAnswer("compare", b ? { scene: a, other: b } : null);
  return useMemo(() => {
    if (!b || !answer) return null;
    return new Map((answer.head.changes as Difference[]).map((each) => [each.address, each]));
  }, [answer, b]);
}

interface ValueProps {
  entry: Entry;
  outline: Outline;
  stats: Stats | undefined;
  difference: Difference | undefined;
}

function ValueCells({ entry, outline, stats, difference }: ValueProps) {
  const prefix = /^(d:)?(source\.)?blocks\.\d+\./.exec(entry.address)?.[0] ?? "";
  const weights = entry.kind === "side" ? [] : entry.reads.filter((read) => outline.by.get(read)?.kind === "weight");
  const hit = (edited.value.changes ?? []).some((change) => change.address === entry.address);
  return (
    <>
      <th scope="row">
        <button type="button" class="link mono" onClick={() => go({ screen: "tensor", address: entry.address })} data-address={entry.address}>
          <span class="prefix">{prefix}</span>
          {entry.address.slice(prefix.length)}
        </button>
      </th>
      <td>
        <span class="chip">{entry.operator || entry.kind}</span>
      </td>
      <td class="mono quiet">{[...entry.axes].map((letter, i) => `${letter} ${entry.shape[i]}`).join(" × ")}</td>
      <td class="figure">{stats?.minimum}</td>
      <td class="figure">{stats?.mean}</td>
      <td class="figure">{stats?.maximum}</td>
      <td class="marks">
        {hit && <span class="chip changed">edited</span>}
        {difference && (
          <button type="button" class="chip changed" title="The largest change. Show B − A" onClick={() => go({ screen: "tensor", address: entry.address, part: "difference" })}>
            changed {difference.amount}
          </button>
        )}
        <Flags stats={stats ? [stats] : []} />
        {weights.map((address) => (
          <button key={address} type="button" class="link mono" onClick={() => go({ screen: "tensor", address })}>
            {address.split(".").slice(-2).join(".")}
          </button>
        ))}
      </td>
    </>
  );
}

interface BlockProps {
  row: Row;
  stats: Map<string, Stats>;
  differences: Map<string, Difference> | null;
  onFold(): void;
}

function BlockCells({ row, stats, differences, onFold }: BlockProps) {
  const { entries, title } = row.section;
  const changed = entries.filter((entry) => differences?.has(entry.address)).length;
  const inside = entries.flatMap((entry) => stats.get(entry.address) ?? []);
  return (
    <>
      <th scope="row" colSpan={6}>
        <button type="button" class="fold" aria-expanded={!row.folded} onClick={onFold}>
          <span aria-hidden="true">{row.folded ? "▸" : "▾"}</span> {title}
          <span class="quiet"> {entries.length === 1 ? "1 value" : `${entries.length} values`}</span>
        </button>
      </th>
      <td class="marks">
        {row.folded && changed > 0 && <span class="chip changed">{changed} changed</span>}
        {row.folded && <Flags stats={inside} />}
      </td>
    </>
  );
}

function Flags({ stats }: { stats: Stats[] }) {
  const nan = stats.reduce((sum, each) => sum + each.nan, 0);
  return nan ? <span class="chip bad">NaN × {nan.toLocaleString("en")}</span> : null;
}

/** Lines run left of the table; the ones of the row under the pointer stand out. */
function Lines({ lines, rows, width, near }: { lines: Line[]; rows: Row[]; width: number; near: number | null }) {
  const x = width - 10;
  const y = (row: number) => ROW * (row + 1.5);
  const height = ROW * (rows.length + 1);
  const path = ({ from, to, lane }: Line) => {
    if (!lane) return `M${x} ${y(from)}V${y(to[0]!)}`;
    const side = x - 4 - lane * LANE;
    const last = to[to.length - 1]!;
    const start = `M${x} ${y(from)}H${side + 5}Q${side} ${y(from)} ${side} ${y(from) + 5}V${y(last) - 5}`;
    return start + to.map((row) => `M${side} ${y(row) - 5}Q${side} ${y(row)} ${side + 5} ${y(row)}H${x}`).join("");
  };
  const isNear = (line: Line) => near !== null && (line.from === near || line.to.includes(near));
  return (
    <svg class="lines" width={width} height={height} aria-hidden="true">
      {lines.map((line) => (
        <path key={line.from} d={path(line)} class={isNear(line) ? "near" : ""} data-kind={rows[line.from]!.entry?.kind} />
      ))}
      {rows.map((row, i) =>
        row.entry || row.folded ? <circle key={i} cx={x} cy={y(i)} r={row.entry ? 3.5 : 5} class={i === near ? "near" : ""} /> : null,
      )}
    </svg>
  );
}

// Every token of the vocabulary with its numbers in each step of the choice: a list that loads what is seen of it.

import { useRef, useState } from "preact/hooks";
import { useAnswer } from "../ask";
import { visible } from "../prompt";
import { choose, choosing, type NextHead, type Row } from "./choosing";
import { about } from "./about";
import { roving } from "./roving";

const ROW = 26;
const TALL = 420;
const PAGE = 40;

const NAMES: Record<string, string> = {
  logits: "logit",
  penalized: "penalized",
  scaled: "÷ temperature",
  "kept.top_k": "top k",
  "kept.top_p": "top p",
  "kept.min_p": "min p",
  probs: "probability",
  running: "running sum",
};

export function Vocabulary({ head, params }: { head: NextHead; params: object }) {
  const { find, order } = choosing();
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const from = Math.max(0, Math.floor(top / ROW / PAGE) * PAGE - PAGE);
  const seen = { ...params, order, ...(find ? { find } : {}) };
  const { answer, error, stale } = useAnswer("next", { ...seen, from: Math.min(from, head.vocabulary), to: Math.min(head.vocabulary, from + 3 * PAGE) });
  const list = answer?.head as NextHead | undefined;
  const again = (next: Parameters<typeof choose>[0]) => {
    box.current?.scrollTo(0, 0);
    choose(next);
  };
  const place = list?.chosen.place;
  return (
    <section aria-labelledby="vocabulary">
      <h2 id="vocabulary">
        {list ? list.count.toLocaleString("en") : "…"} of {head.vocabulary.toLocaleString("en")} tokens, {head.left.toLocaleString("en")} left to draw from
      </h2>
      <div class="row">
        <label title={'A piece of its text; in quotes its whole text, as " the" or "the"; after # its id'}>
          Search{" "}
          <input type="search" value={find} placeholder={'the, " the", #262'} spellcheck={false} onInput={(event) => again({ find: event.currentTarget.value })} />
        </label>
        <label>
          Order{" "}
          <select value={order} onChange={(event) => again({ order: event.currentTarget.value as "logit" | "id" })}>
            <option value="logit">best first</option>
            <option value="id">by id</option>
          </select>
        </label>
        <button type="button" disabled={place === null || place === undefined} onClick={() => box.current?.scrollTo(0, Math.max(0, place! * ROW - TALL / 2))}>
          Show the chosen one
        </button>
      </div>
      {error && <p class="wrong">{error}</p>}
      <div
        ref={box}
        class={`scroll vocabulary ${stale ? "stale" : ""}`}
        tabIndex={0}
        role="region"
        aria-label="Tokens and their numbers; Page Down and End move along, arrows move among the numbers"
        style={{ maxHeight: `${TALL}px` }}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={roving(head.columns.length)}
      >
        {list && <List list={list} top={top} />}
      </div>
    </section>
  );
}

function List({ list, top }: { list: NextHead; top: number }) {
  const first = Math.min(Math.floor(top / ROW), list.from + list.rows.length - 1);
  return (
    <table aria-rowcount={list.count + 1}>
      <thead>
        <tr>
          <th scope="col">token</th>
          <th scope="col" class="figure">
            id
          </th>
          {list.columns.map(({ address, settings }) => (
            <th scope="col" class="figure" key={address} title={Object.entries(settings).map(([name, value]) => `${name} ${value}`).join(", ")}>
              {NAMES[address] ?? address}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        <tr aria-hidden="true" style={{ height: `${list.from * ROW}px` }} />
        {list.rows.map((row, i) => (
          <Line key={row.id} row={row} list={list} at={list.from + i} stop={list.from + i === first} />
        ))}
        <tr aria-hidden="true" style={{ height: `${Math.max(0, list.count - list.from - list.rows.length) * ROW}px` }} />
      </tbody>
    </table>
  );
}

/** stop: whether the Tab key stops here. */
function Line({ row, list, at, stop }: { row: Row; list: NextHead; at: number; stop: boolean }) {
  const out = row.numbers.probs!.text === "0";
  return (
    <tr class={row.id === list.chosen.id ? "chosen" : out ? "out" : undefined} aria-rowindex={at + 2} data-id={row.id} style={{ height: `${ROW}px` }}>
      <th scope="row" class="mono">
        {visible(row.text)}
      </th>
      <td class="figure quiet">{row.id}</td>
      {list.columns.map(({ address }, column) => {
        const { text, short, bits, probability } = row.numbers[address]!;
        return (
          <td class="figure" key={address}>
            <button
              type="button"
              class="link"
              data-item
              tabIndex={stop && column === 0 ? 0 : -1}
              title={`${text}${probability === undefined ? "" : `; as a probability ${probability}`}; explain it`}
              onClick={() => choose({ open: { address, index: [0, 0, row.id] } }, true)}
            >
              <span class="readout" data-name={`choice:${address}`} data-index={`0,0,${row.id}`} data-bits={bits} data-text={text} data-probability={probability}>
                {about(short, text)}
              </span>
            </button>
          </td>
        );
      })}
    </tr>
  );
}

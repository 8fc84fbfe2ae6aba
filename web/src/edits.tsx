// The edits of B, in order: each can be switched off and on again, moved, or removed.

import { said, type Change } from "./scene";
import { scenes, state } from "./state";

interface Listed {
  change: Change;
  on: boolean;
}

/** All edits in order, the ones that are switched off among them. */
function listed(): Listed[] {
  const { a, b, off } = state.value;
  const all: Listed[] = ((b ?? a).changes ?? []).map((change) => ({ change, on: true }));
  for (const { at, change } of off ?? []) all.splice(Math.min(at, all.length), 0, { change, on: false });
  return all;
}

function relist(all: Listed[]): void {
  const { a, b } = state.value;
  const off = all.flatMap(({ change, on }, at) => (on ? [] : [{ at, change }]));
  const changes = all.filter((each) => each.on).map((each) => each.change);
  const same = JSON.stringify(changes) === JSON.stringify(a.changes ?? []);
  scenes({ a, b: same ? null : { ...(b ?? a), changes }, off });
}

/** The edits with one and the next in the other order. */
function swapped(all: Listed[], at: number): Listed[] {
  return all.map((each, i) => (i === at ? all[at + 1]! : i === at + 1 ? all[at]! : each));
}

export function Edits() {
  const all = listed();
  if (!all.length) return <p class="quiet">No edits. Open a number or a tensor to change it.</p>;
  const set = (at: number, each: Listed | null) => relist(all.flatMap((old, i) => (i === at ? (each ? [each] : []) : [old])));
  return (
    <>
      <h2>Edits of B</h2>
      <ol class="edits">
        {all.map(({ change, on }, at) => (
          <li key={at} class={on ? "" : "off"}>
            <label>
              <input type="checkbox" checked={on} onChange={() => set(at, { change, on: !on })} />
              <span>{said(change)}</span>
            </label>
            <button type="button" disabled={at === 0} onClick={() => relist(swapped(all, at - 1))} aria-label={`Move ${said(change)} up`}>
              ↑
            </button>
            <button type="button" disabled={at === all.length - 1} onClick={() => relist(swapped(all, at))} aria-label={`Move ${said(change)} down`}>
              ↓
            </button>
            <button type="button" onClick={() => set(at, null)} aria-label={`Remove ${said(change)}`}>
              ×
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}

// From a number to what it is made from, and back along the trail of numbers that led here.

import { written } from "./scene";
import { go, state } from "./state";

export interface Crumb {
  address: string;
  index: (number | null)[];
}

function trail(): Crumb[] {
  return (state.value.view.trail as Crumb[] | undefined) ?? [];
}

/** Explain another number, remembering this one. */
export function follow({ address, index }: Crumb): void {
  const { view } = state.value;
  const here = view.address && view.index && view.screen === "number" ? [{ address: view.address, index: view.index }] : [];
  go({ screen: "number", address, index, trail: [...trail(), ...here].slice(-40), order: view.order });
}

function back(to: number): void {
  const crumb = trail()[to]!;
  go({ screen: "number", ...crumb, trail: trail().slice(0, to), order: state.value.view.order });
}

export function Trail() {
  const crumbs = trail();
  if (!crumbs.length) return null;
  return (
    <nav class="trail" aria-label="How one came here">
      <ol>
        {crumbs.map(({ address, index }, at) => (
          <li key={at}>
            <button type="button" class="link mono" onClick={() => back(at)}>
              {address}
              {written(index)}
            </button>
          </li>
        ))}
      </ol>
    </nav>
  );
}

// Where the drawn number fell, and how the logits are spread.

import { Bar } from "./bar";
import type { Drawn, NextHead } from "./choosing";

/** The line from 0 to 1, the chosen token's stretch of it, and the number that was drawn. */
export function DrawnLine({ drawn }: { drawn: Drawn }) {
  if (drawn.uniform === null) return null;
  const [low, high, at] = [Number(drawn.low), Number(drawn.high), Number(drawn.uniform)];
  const percent = (share: number) => `${(100 * share).toFixed(3)}%`;
  return (
    <div class="drawn">
      <div class="line" aria-hidden="true">
        <span class="stretch" style={{ left: percent(low), width: percent(high - low) }} />
        <span class="mark" style={{ left: percent(at) }} />
      </div>
      <p class="quiet">
        drawn <span class="mono uniform">{drawn.uniform}</span>, the token's stretch of the running sums goes from{" "}
        <span class="mono low">{drawn.low}</span> to <span class="mono high">{drawn.high}</span>
      </p>
    </div>
  );
}

/** How many tokens have logits of which size. */
export function Histogram({ head }: { head: NextHead }) {
  const { counts, edges, chosen } = head.histogram;
  const most = Math.max(...counts);
  const says = `The logits of ${head.vocabulary} tokens go from ${edges[0]} to ${edges[edges.length - 1]}`;
  return (
    <details class="histogram" open>
      <summary>{says}</summary>
      <div class="columns" role="img" aria-label={`${says}; most of them near ${edges[counts.indexOf(most)]}, the chosen one from ${edges[chosen]} on`}>
        {counts.map((count, i) => (
          <Bar key={i} share={count / most} chosen={i === chosen} says={`${count} from ${edges[i]} to ${edges[i + 1]}`} />
        ))}
      </div>
    </details>
  );
}

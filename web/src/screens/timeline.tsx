// The text so far, token by token: what was given, what was written, and the way back to any point of it.

import type { Token } from "../model";
import { visible } from "../prompt";
import { lengthen, lookAt } from "./next";
import { roving } from "./roving";

interface TimelineProps {
  tokens: Token[];
  /** After which one the choice is looked at. */
  position: number;
  begun: number;
}

/** The tokens that are listed at most: the last ones. */
const MOST = 300;

export function Timeline({ tokens, position, begun }: TimelineProps) {
  const first = Math.max(0, tokens.length - MOST);
  const back = () => lengthen(tokens.slice(0, position + 1).map(({ id }) => id), Math.min(begun, position + 1));
  return (
    <section aria-labelledby="timeline">
      <h2 id="timeline">The text so far</h2>
      <div class="timeline" role="group" aria-label="Tokens; choose one to see the choice after it" onKeyDown={roving(10)}>
        {first > 0 && <span class="quiet">… {first} more</span>}
        {tokens.slice(first).map((token, i) => {
          const place = first + i;
          const kind = place < begun ? "given" : "written";
          return (
            <button
              type="button"
              key={place}
              data-item
              class={kind}
              data-token={token.id}
              tabIndex={place === position ? 0 : -1}
              aria-pressed={place === position}
              aria-label={`position ${place}, ${kind}: ${visible(token.text)}`}
              title={`position ${place}, token ${token.id}, ${kind}`}
              onClick={() => lookAt(place === tokens.length - 1 ? null : place)}
            >
              {visible(token.text)}
            </button>
          );
        })}
      </div>
      <div class="row">
        <span class="quiet">
          {tokens.length - begun ? `${begun} given, ${tokens.length - begun} written. ` : ""}The choice after position {position} is shown.
        </span>
        {position < tokens.length - 1 && (
          <button type="button" onClick={back}>
            Back to here: take away the {tokens.length - 1 - position} after it
          </button>
        )}
      </div>
    </section>
  );
}

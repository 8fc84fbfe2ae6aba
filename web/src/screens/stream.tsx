// The stream: what the model would expect after each layer, and what every part adds to one logit.

import { useAnswer } from "../ask";
import { useRun } from "../runs";
import { shown } from "../state";
import { Find } from "./find";
import { Lens } from "./lens";
import { Followed } from "./followed";
import { OfB } from "./of-b";
import { Split } from "./split";
import { stream, streaming, type LensHead } from "./streaming";

/** Positions that the table shows at once. */
const WIDE = 16;

export function Stream() {
  const at = streaming();
  const { run } = useRun();
  const count = run?.tokens.length ?? 1;
  const position = Math.min(at.position ?? count - 1, count - 1);
  const from = Math.min(Math.max(0, at.from), Math.max(0, count - 1));
  const begin = position >= from && position < from + WIDE ? from : Math.floor(position / WIDE) * WIDE;
  const span = { from: begin, to: Math.min(count, begin + WIDE) };
  const followed = at.token === null ? { position } : { token: at.token };
  const { answer: lens, error, stale, retry } = useAnswer("lens", { scene: shown.value, ...span, ...followed });
  if (error)
    return (
      <div class="wrong" role="alert">
        <p>{error}</p>
        <button type="button" onClick={retry}>
          Look again
        </button>
      </div>
    );
  if (!lens) return <p class="quiet">Reading every layer …</p>;
  const head = lens.head as LensHead;
  const token = head.token!.id;
  return (
    <section class={`stream ${stale ? "stale" : ""}`} aria-busy={stale}>
      <h1>Residual stream and logit lens</h1>
      <OfB />
      <p class="quiet">
        {head.note} Applied to each: <span class="mono">{head.readout.join(", ")}</span>.
      </p>
      <Following lens={head} fixed={at.token !== null} />
      <Lens answer={lens} position={position} />
      <Pages count={count} from={begin} />
      <Followed lens={head} position={position} />
      <Split position={position} token={at.token ?? token} />
    </section>
  );
}

function Following({ lens, fixed }: { lens: LensHead; fixed: boolean }) {
  return (
    <div class="row">
      <Find label="Follow the token" now={lens.token} onChoose={(id) => stream({ token: id }, true)} />
      {fixed && (
        <button type="button" onClick={() => stream({ token: null }, true)}>
          Follow the expected one
        </button>
      )}
    </div>
  );
}

function Pages({ count, from }: { count: number; from: number }) {
  if (count <= WIDE) return null;
  const to = (begin: number) => stream({ from: begin, position: begin }, true);
  return (
    <div class="row">
      <button type="button" disabled={from === 0} onClick={() => to(Math.max(0, from - WIDE))}>
        Earlier positions
      </button>
      <span class="quiet">
        {from} to {Math.min(count, from + WIDE) - 1} of {count}
      </span>
      <button type="button" disabled={from + WIDE >= count} onClick={() => to(from + WIDE)}>
        Later positions
      </button>
    </div>
  );
}

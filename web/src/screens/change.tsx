// Change and compare: write edits, see what they do, try one everywhere.

import { can, useAnswer } from "../ask";
import { edited, scenes, state } from "../state";
import type { Part } from "./draft";
import { Editor } from "./editor";
import { Effects } from "./effects";
import { Sweep } from "./sweep";

export function ChangeScreen() {
  const { a, b } = state.value;
  const { answer, error } = useAnswer("ablations", can("ablations") ? { scene: edited.value } : null);
  const parts = answer?.head.parts as Part[] | undefined;
  return (
    <section class="change" aria-label="Change and compare">
      <div class="row">
        <h1>Change and compare</h1>
        {b && (
          <>
            <button type="button" onClick={() => scenes({ a: b, b: null })} title="Go on from here: what follows is compared with this">
              Make B the new A
            </button>
            <button type="button" onClick={() => scenes({ a, b: null })}>
              Drop all edits
            </button>
          </>
        )}
      </div>
      {error && <p class="wrong">{error}</p>}
      {parts && parts.length > 0 && <Editor parts={parts} />}
      {b ? (
        <Effects a={a} b={b} />
      ) : (
        <p class="quiet">There is no B yet: an edit makes one. A stays as it is, and so do the model's files.</p>
      )}
      {parts && parts.length > 0 && <Sweep parts={parts} />}
    </section>
  );
}

// Taking along what is shown: as a link, or as Python.

import { ask, told } from "./ask";
import { say } from "./notice";
import { link, state } from "./state";

export function Sharing() {
  return (
    <>
      <button type="button" onClick={() => void copyLink()} title="A link to exactly this, the edits in it">
        Copy link
      </button>
      <button type="button" onClick={() => void copyPython()} title="The same as a Python script">
        Copy as Python
      </button>
    </>
  );
}

async function copyLink(): Promise<void> {
  await copy(await link(), "The link is copied.");
}

async function copyPython(): Promise<void> {
  const { a, b, view } = state.value;
  try {
    const { head } = await ask("python", { state: { a, b, view } });
    await copy(head.text, "The Python code is copied.");
  } catch (error) {
    say(told(error));
  }
}

export async function copy(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say("The browser does not allow copying here.");
  }
}

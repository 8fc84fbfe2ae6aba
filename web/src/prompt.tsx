// The prompt as text, and as the tokens that the model reads.

import { useEffect, useState } from "preact/hooks";
import { model, type Token } from "./model";
import { useRun } from "./runs";
import { scenes, state } from "./state";
import type { Scene } from "./scene";

export function Prompt() {
  const { a, b } = state.value;
  const { run } = useRun();
  // a text that was continued is kept as its tokens, which another reading of the letters might not give
  const written = model.value?.has_tokenizer && run && run.tokens.length === a.tokens?.length ? run.tokens.map((token) => token.text).join("") : undefined;
  const now = a.text ?? written ?? a.tokens?.join(" ") ?? "";
  const [text, setText] = useState(now);
  const [source, setSource] = useState(a.source ?? "");
  useEffect(() => setText(now), [now]);
  useEffect(() => setSource(a.source ?? ""), [a.source]);

  const submit = (event: Event) => {
    event.preventDefault();
    if (a.tokens && text === now && source === (a.source ?? "")) return;
    const next = worded(a, text, source);
    scenes({ a: next, b: b && { ...b, ...words(next) } });
  };
  return (
    <form class="prompt" onSubmit={submit}>
      {model.value?.has_source && (
        <label>
          <span>Source</span>
          <Lines text={source} onText={setSource} />
        </label>
      )}
      <label class="wide">
        <span>Prompt</span>
        <Lines text={text} onText={setText} />
      </label>
      <Dtypes />
      <button type="submit" class="main">
        Run
      </button>
      {run && (
        <div class="tokens">
          {run.source_tokens && <Tokens name="Source tokens" tokens={run.source_tokens} />}
          <Tokens name="Tokens" tokens={run.tokens} />
        </div>
      )}
    </form>
  );
}

/** A text of some lines. Enter runs it, Shift and Enter begins a line. */
function Lines({ text, onText }: { text: string; onText(text: string): void }) {
  const enter = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    (event.currentTarget as HTMLTextAreaElement).form?.requestSubmit();
  };
  const rows = Math.min(6, text.split("\n").length);
  return <textarea rows={rows} value={text} onInput={(event) => onText(event.currentTarget.value)} onKeyDown={enter} spellcheck={false} />;
}

/** The type that the run computes in. */
function Dtypes() {
  const { a, b, off } = state.value;
  const choose = (dtype: string) => scenes({ a: { ...a, dtype }, b: b && { ...b, dtype }, off });
  return (
    <select aria-label="Type of the numbers" value={a.dtype ?? "float32"} onChange={(event) => choose(event.currentTarget.value)}>
      {(model.value?.dtypes ?? []).map((dtype) => (
        <option key={dtype} value={dtype}>
          {dtype}
        </option>
      ))}
    </select>
  );
}

/** A scene with another prompt. Without a tokenizer the prompt is token ids. */
function worded(scene: Scene, text: string, source: string): Scene {
  const ids = (given: string) => given.split(/[\s,]+/).filter(Boolean).map(Number);
  const { text: _, tokens: __, source: ___, source_tokens: ____, ...rest } = scene;
  const plain = model.value?.has_tokenizer === false;
  const made: Scene = plain ? { ...rest, tokens: ids(text) } : { ...rest, text };
  if (!model.value?.has_source) return made;
  return plain ? { ...made, source_tokens: ids(source) } : { ...made, source };
}

function words({ text, tokens, source, source_tokens }: Scene): Scene {
  return { text, tokens, source, source_tokens };
}

function Tokens({ name, tokens }: { name: string; tokens: Token[] }) {
  return (
    <ol aria-label={name}>
      {tokens.slice(0, 200).map((token, place) => (
        <li key={place} title={`position ${place}, token ${token.id}`}>
          <span>{visible(token.text)}</span>
          <small>{token.id}</small>
        </li>
      ))}
      {tokens.length > 200 && <li>… {tokens.length} in all</li>}
    </ol>
  );
}

/** A token with its spaces and line ends made visible. */
export function visible(text: string): string {
  return text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";
}

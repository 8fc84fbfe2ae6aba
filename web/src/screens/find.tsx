// Choosing a token of the vocabulary: by a piece of its text, by its whole text in quotes, by its id after #.

import { useId, useState } from "preact/hooks";
import { useAnswer } from "../ask";
import type { Token } from "../model";
import { visible } from "../prompt";
import { shown } from "../state";

const MOST = 12;

interface FindProps {
  label: string;
  now: Token | null;
  onChoose(id: number): void;
}

export function Find({ label, now, onChoose }: FindProps) {
  const [text, setText] = useState("");
  const id = useId();
  const { answer, error } = useAnswer("next", text ? { scene: shown.value, find: text, from: 0, to: MOST } : null);
  const found = (answer?.head.rows as Token[] | undefined) ?? [];
  const choose = (token: number) => {
    setText("");
    onChoose(token);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (found[0]) choose(found[0].id);
  };
  return (
    <form class="find row" onSubmit={submit} role="search">
      <label for={id}>
        {label} {now && <span class="mono">“{visible(now.text)}” ({now.id})</span>}
      </label>
      <input
        id={id}
        value={text}
        placeholder={'part of it, " the" or #262'}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {text && (
        <span class="row" role="group" aria-label="Tokens found">
          {error && <span class="wrong">{error}</span>}
          {found.map((token) => (
            <button type="button" key={token.id} class="mono" onClick={() => choose(token.id)}>
              {visible(token.text)} <small>{token.id}</small>
            </button>
          ))}
          {answer && !found.length && <span class="quiet">no such token</span>}
          {answer && answer.head.count > found.length && <span class="quiet">{answer.head.count - found.length} more</span>}
        </span>
      )}
    </form>
  );
}

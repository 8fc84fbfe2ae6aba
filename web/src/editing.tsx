// Changing a number, or a part of a value, by an edit of B.

import { useState } from "preact/hooks";
import { say } from "./notice";
import { said, written, type Change, type Place } from "./scene";
import { change } from "./state";

export interface Scope {
  name: string;
  index: Place[];
}

type Action = "set" | "add" | "scale" | "zero";

const ACTIONS: [Action, string][] = [
  ["set", "set to"],
  ["add", "add"],
  ["scale", "multiply by"],
  ["zero", "set to 0"],
];

/** A form that edits a value; scopes: the parts of it that can be chosen, the first is proposed. */
export function Editing({ address, scopes, now }: { address: string; scopes: Scope[]; now?: string }) {
  const [at, setAt] = useState(0);
  const [action, setAction] = useState<Action>("set");
  const [text, setText] = useState("");
  const scope = scopes[Math.min(at, scopes.length - 1)]!;
  const value = Number(text);
  const valid = action === "zero" || (text.trim() !== "" && Number.isFinite(value));
  const submit = (event: Event) => {
    event.preventDefault();
    if (!valid) return say("Give a number, such as 0.5 or 1e-3.");
    const edit: Change = { address, index: scope.index, action, ...(action === "zero" ? {} : { value }) };
    change(edit);
    say(`B: ${said(edit)}`);
  };
  return (
    <form class="editing row" onSubmit={submit} aria-label={`Change ${address}`}>
      <strong>Change</strong>
      {scopes.length > 1 ? (
        <select aria-label="What to change" value={at} onChange={(event) => setAt(Number(event.currentTarget.value))}>
          {scopes.map(({ name, index }, i) => (
            <option key={name} value={i}>
              {name} {written(index)}
            </option>
          ))}
        </select>
      ) : (
        <span class="mono">{written(scope.index)}</span>
      )}
      <select aria-label="How" value={action} onChange={(event) => setAction(event.currentTarget.value as Action)}>
        {ACTIONS.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      {action !== "zero" && (
        <input
          aria-label="Number"
          class="mono"
          inputMode="decimal"
          size={14}
          value={text}
          placeholder={now}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      )}
      <button type="submit">Apply to B</button>
    </form>
  );
}

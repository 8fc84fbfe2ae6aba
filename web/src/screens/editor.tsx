// Writing edits: a part of the model from a menu, a token for another, any value by its address.

import { useState } from "preact/hooks";
import { ask, told } from "../ask";
import { model } from "../model";
import { say } from "../notice";
import { useOutline } from "../outline";
import { visible } from "../prompt";
import { useRun } from "../runs";
import { said, type Change } from "../scene";
import { change, edited, state, unchanged } from "../state";
import { edit, firstDraft, lacking, prompted, typed, type Draft, type Part } from "./draft";
import { Amount, Field, Fields } from "./fields";

function apply(made: Change): void {
  change(made);
  say(`B: ${said(made)}`);
}

export function Editor({ parts }: { parts: Part[] }) {
  return (
    <section class="editor" aria-label="New edit">
      <PartForm parts={parts} />
      <TokenForm />
      <AnyForm />
    </section>
  );
}

function PartForm({ parts }: { parts: Part[] }) {
  const [draft, setDraft] = useState<Draft>(() => firstDraft(parts));
  const submit = (event: Event) => {
    event.preventDefault();
    const lacks = lacking(draft);
    if (lacks) return say(lacks);
    apply(edit(draft, parts.find((each) => each.address === draft.part)!, state.value.a));
  };
  return (
    <form class="row" onSubmit={submit} aria-label="Edit a part of the model">
      <h2>A part</h2>
      <Fields parts={parts} draft={draft} onDraft={setDraft} />
      <button type="submit" class="main">
        Apply to B
      </button>
    </form>
  );
}

function TokenForm() {
  const { run } = useRun(edited.value);
  const [place, setPlace] = useState(0);
  const [text, setText] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const still = unchanged();
    try {
      const value = await idOf(text);
      if (still()) apply({ address: "tokens", index: [0, place], action: "set", value });
    } catch (error) {
      say(told(error));
    }
  };
  return (
    <form class="row" onSubmit={(event) => void submit(event)} aria-label="Swap a token">
      <h2>A token</h2>
      <Field name="Token">
        <select value={place} onChange={(event) => setPlace(Number(event.currentTarget.value))}>
          {run?.tokens.map((token, at) => (
            <option key={at} value={at}>
              {at} {visible(token.text)}
            </option>
          ))}
        </select>
      </Field>
      <Field name="becomes">
        <input class="mono" size={12} value={text} placeholder="text or #id" onInput={(event) => setText(event.currentTarget.value)} />
      </Field>
      <button type="submit">Swap</button>
    </form>
  );
}

/** The id of a token that is given as its text, or as # and its id. */
async function idOf(text: string): Promise<number> {
  const id = /^#?(\d+)$/.exec(text.trim());
  if (id && (text.startsWith("#") || model.value?.has_tokenizer === false)) return Number(id[1]);
  if (!text) throw new Error("Write a token, or # and its id.");
  const tokens = (await ask("tokenize", { text })).head.tokens as { id: number; text: string }[];
  const exact = tokens.filter((token) => token.text === text);
  if (tokens.length === 1) return tokens[0]!.id;
  if (exact.length === 1) return exact[0]!.id;
  throw new Error(`“${text}” is ${tokens.length} tokens: ${tokens.map((token) => `“${token.text}”`).join(" ")}; give one.`);
}

const ACTIONS: [Change["action"], string][] = [
  ["set", "set to"],
  ["add", "add"],
  ["scale", "multiply by"],
  ["zero", "set to 0"],
  ["patch", "take from another prompt"],
];

function AnyForm() {
  const { outline } = useOutline();
  const [address, setAddress] = useState("");
  const [index, setIndex] = useState("");
  const [action, setAction] = useState<Change["action"]>("set");
  const [value, setValue] = useState(0);
  const [prompt, setPrompt] = useState("");
  const entry = outline?.by.get(address);
  const submit = (event: Event) => {
    event.preventDefault();
    const places = typed(index);
    const draft = { action, value, prompt, source: "" };
    const lacks = !address ? "Name a value." : !places ? "Write an index such as 0, :, 3, 2:5." : lacking(draft as Draft);
    if (lacks) return say(lacks);
    const filled = entry ? [...places!, ...entry.shape.slice(places!.length).map(() => null)] : places!;
    const given = action === "patch" ? { value: prompted(state.value.a, prompt, "") } : action === "zero" ? {} : { value };
    apply({ address, index: filled, action, ...given });
  };
  return (
    <form class="row" onSubmit={submit} aria-label="Edit any value">
      <h2>Any value</h2>
      <Field name="Value">
        <input class="mono" list="values" value={address} spellcheck={false} onInput={(event) => setAddress(event.currentTarget.value)} />
        <datalist id="values">
          {outline?.entries.map((each) => (each.kind === "side" || each.kind === "gradient" ? null : <option key={each.address} value={each.address} />))}
        </datalist>
      </Field>
      <Field name={entry ? `[${[...entry.axes].map((letter, axis) => `${letter} ${entry.shape[axis]}`).join(", ")}]` : "Index"}>
        <input class="mono" size={14} value={index} placeholder="0, :, 3, 2:5" onInput={(event) => setIndex(event.currentTarget.value)} aria-label="Index" />
      </Field>
      <Field name="How">
        <select value={action} onChange={(event) => setAction(event.currentTarget.value as Change["action"])}>
          {ACTIONS.map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </Field>
      {action === "patch" ? (
        <Field name="Other prompt">
          <input value={prompt} spellcheck={false} onInput={(event) => setPrompt(event.currentTarget.value)} />
        </Field>
      ) : (
        action !== "zero" && <Amount value={value} onValue={setValue} />
      )}
      <button type="submit">Apply to B</button>
    </form>
  );
}

// The fields of a draft: which part, where, and what is done to it. A sweep leaves out what it goes over.

import type { ComponentChildren } from "preact";
import { model } from "../model";
import { visible } from "../prompt";
import { useRun } from "../runs";
import { edited } from "../state";
import { headed, type Draft, type Part, type Word } from "./draft";

interface FieldsProps {
  parts: Part[];
  draft: Draft;
  onDraft(draft: Draft): void;
  stars?: Word[];
}

export function Fields({ parts, draft, onDraft, stars = [] }: FieldsProps) {
  const part = parts.find((each) => each.address === draft.part) ?? parts[0]!;
  const set = (next: Partial<Draft>) => onDraft({ ...draft, ...next });
  const single = part.axis !== null && !(stars.includes("head") && headed(part));
  return (
    <>
      <Field name="What">
        <select value={part.address} onChange={(event) => set(moved(parts, draft, event.currentTarget.value))}>
          {parts.map(({ name, address }) => (
            <option key={address} value={address}>
              {name}
            </option>
          ))}
        </select>
      </Field>
      {part.layers.length > 0 && !stars.includes("layer") && (
        <Field name="Layer">
          <select value={draft.layer} onChange={(event) => set({ layer: Number(event.currentTarget.value) })}>
            {part.layers.map((layer) => (
              <option key={layer}>{layer}</option>
            ))}
          </select>
        </Field>
      )}
      {single && <Single part={part} draft={draft} set={set} />}
      {part.position !== null && !stars.includes("position") && <Position part={part} draft={draft} set={set} />}
      <Action draft={draft} set={set} />
    </>
  );
}

function moved(parts: Part[], draft: Draft, address: string): Partial<Draft> {
  const part = parts.find((each) => each.address === address)!;
  const layer = part.layers.includes(draft.layer) ? draft.layer : (part.layers[0] ?? 0);
  const number = part.axis === null ? null : headed(part) || part.name.endsWith("neuron") ? 0 : null;
  return { part: address, layer, number };
}

type Setting = { part: Part; draft: Draft; set(next: Partial<Draft>): void };

function Single({ part, draft, set }: Setting) {
  const name = headed(part) ? "Head" : part.name.endsWith("neuron") ? "Neuron" : "Dimension";
  const read = (text: string) => (text.trim() === "" ? null : Math.min(Math.max(Math.trunc(Number(text)) || 0, 0), part.count - 1));
  return (
    <Field name={name}>
      <input
        type="number"
        min={0}
        max={part.count - 1}
        placeholder="all"
        value={draft.number ?? ""}
        onInput={(event) => set({ number: read(event.currentTarget.value) })}
      />
    </Field>
  );
}

function Position({ part, draft, set }: Setting) {
  const { run } = useRun(edited.value);
  const tokens = part.address.startsWith("source.") ? run?.source_tokens : run?.tokens;
  return (
    <Field name="Position">
      <select
        value={draft.position ?? ""}
        onChange={(event) => set({ position: event.currentTarget.value === "" ? null : Number(event.currentTarget.value) })}
      >
        <option value="">all</option>
        {tokens?.map((token, place) => (
          <option key={place} value={place}>
            {place} {visible(token.text)}
          </option>
        ))}
      </select>
    </Field>
  );
}

const ACTIONS = { zero: "set to 0", set: "set to", add: "add", scale: "multiply by", patch: "take from another prompt" };

function Action({ draft, set }: Omit<Setting, "part">) {
  return (
    <>
      <Field name="How">
        <select value={draft.action} onChange={(event) => set({ action: event.currentTarget.value as Draft["action"] })}>
          {Object.entries(ACTIONS).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </Field>
      {draft.action === "patch" ? (
        <>
          <Field name="Other prompt">
            <input value={draft.prompt} spellcheck={false} onInput={(event) => set({ prompt: event.currentTarget.value })} />
          </Field>
          {model.value?.has_source && (
            <Field name="Other source">
              <input value={draft.source} placeholder="the same" spellcheck={false} onInput={(event) => set({ source: event.currentTarget.value })} />
            </Field>
          )}
        </>
      ) : (
        draft.action !== "zero" && <Amount value={draft.value} onValue={(value) => set({ value })} />
      )}
    </>
  );
}

/** A number as it is typed; NaN as long as it is none. */
export function Amount({ value, onValue }: { value: number; onValue(value: number): void }) {
  return (
    <Field name="Number">
      <input
        class="mono"
        inputMode="decimal"
        size={10}
        defaultValue={Number.isNaN(value) ? "" : String(value)}
        onInput={(event) => onValue(event.currentTarget.value.trim() === "" ? NaN : Number(event.currentTarget.value))}
      />
    </Field>
  );
}

export function Field({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{name}</span>
      {children}
    </label>
  );
}

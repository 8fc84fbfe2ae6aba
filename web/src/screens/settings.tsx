// How a token is chosen: the settings, in the order in which they work.

import { useEffect, useState } from "preact/hooks";
import { choose, choosing, type Settings } from "./choosing";

interface Field {
  name: keyof Settings;
  label: string;
  says: string;
  step: number | "any";
  least: number;
  most?: number;
  /** What is drawn from has to be drawn at all. */
  draws?: boolean;
}

const FIELDS: Field[] = [
  { name: "repetition_penalty", label: "Repetition penalty", says: "Above 1, tokens of the text so far become less likely", step: "any", least: 0.01 },
  { name: "temperature", label: "Temperature", says: "0 takes the best token, 1 draws as the model says, less is surer", step: "any", least: 0 },
  { name: "top_k", label: "Top k", says: "Draw from so many of the best; empty: from all", step: 1, least: 1, draws: true },
  { name: "top_p", label: "Top p", says: "Draw from the best whose probabilities reach this; empty: from all", step: "any", least: 0, most: 1, draws: true },
  { name: "min_p", label: "Min p", says: "Draw from those at least so many times as likely as the best; empty: from all", step: "any", least: 0, most: 1, draws: true },
  { name: "seed", label: "Seed", says: "Of the numbers that are drawn", step: 1, least: 0 },
];

const OPTIONAL = new Set<keyof Settings>(["top_k", "top_p", "min_p"]);

export function SettingsForm({ settings }: { settings: Settings }) {
  return (
    <form class="settings row" aria-label="How the token is chosen" onSubmit={(event) => event.preventDefault()}>
      {FIELDS.map((field) => (
        <Setting key={field.name} field={field} value={settings[field.name]} disabled={field.draws === true && settings.temperature === 0} />
      ))}
    </form>
  );
}

/** What is typed stays here until it is done: answers that come meanwhile must not write over it. */
function Setting({ field, value, disabled }: { field: Field; value: number | null; disabled: boolean }) {
  const { name, label, says, step, least, most } = field;
  const now = value === null ? "" : String(value);
  const [text, setText] = useState(now);
  useEffect(() => setText(now), [now]);
  const done = (typed: string) => {
    if (typed === "" && !OPTIONAL.has(name)) setText(now);
    else if (typed !== now) choose({ settings: { ...choosing().settings, [name]: typed === "" ? null : Number(typed) }, open: null }, true);
  };
  return (
    <label title={says}>
      {label}{" "}
      <input
        type="number"
        step={step}
        min={least}
        max={most}
        disabled={disabled}
        value={text}
        placeholder={OPTIONAL.has(name) ? "all" : undefined}
        onInput={(event) => setText(event.currentTarget.value)}
        onChange={(event) => done(event.currentTarget.value)}
      />
    </label>
  );
}

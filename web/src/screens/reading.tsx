// The text itself: what a token reads from, or what reads from it, as shades and numbers on the tokens.

import { useRef } from "preact/hooks";
import { useAnswer } from "../ask";
import { between, fitting, ink, type Range } from "../colours";
import type { Answer } from "../host";
import { visible } from "../prompt";
import { Readout } from "../readout";
import { sides } from "../state";
import { palette } from "../theme";
import type { Stages } from "./head";
import { look, type Looking } from "./looking";
import { roving } from "./roving";

const MANY = 48; // tokens, of which the digits are not written any more

export function Reading({ stages, head, at }: { stages: Stages; head: number; at: Looking }) {
  const address = stages.addresses.weights!;
  const query = Math.min(at.query, stages.T - 1);
  const key = Math.min(at.key, stages.S - 1);
  const asks = at.side === "query";
  const index = asks ? [0, head, query, null] : [0, head, null, key];
  const { answer, stale } = useAnswer("window", { ...sides.value, address, index, height: 1, width: 4096 });
  const held = useRef<Shades | null>(null);
  // an answer to an earlier question keeps the places that it was asked for
  if (answer && !stale) held.current = shadesOf(answer, address, (i) => (asks ? [0, head, query, i] : [0, head, i, key]));
  const shades = held.current;
  const names = { T: stages.labels.T ?? numbers(stages.T), S: stages.labels.S ?? numbers(stages.S) };
  return (
    <div class={`reading ${stale ? "stale" : ""}`}>
      <Tokens name="Queries" side="query" names={names.T} active={query} asks={asks} shades={asks ? null : shades} at={at} />
      <Tokens name="Keys" side="key" names={names.S} active={key} asks={!asks} shades={asks ? shades : null} at={at} />
      <p class="quiet" aria-live="polite">
        {asks
          ? `What query ${query} ${quoted(names.T[query])} reads: the shares of its keys.`
          : `Which queries read key ${key} ${quoted(names.S[key])}, and how much.`}{" "}
        <button type="button" aria-pressed={at.locked} onClick={() => look({ locked: !at.locked })}>
          {at.locked ? "Locked" : "Lock"}
        </button>
      </p>
    </div>
  );
}

interface Shades {
  address: string;
  values: Float32Array;
  texts?: string[];
  bits?: string[];
  place(i: number): number[];
  range: Range;
}

function shadesOf({ head, arrays }: Answer, address: string, place: (i: number) => number[]): Shades {
  const range = fitting(Number(head.minimum) < 0 ? head.minimum : "0", head.maximum);
  return { address, values: arrays.values as Float32Array, texts: head.texts?.[0], bits: head.bits?.[0], place, range };
}

interface TokensProps {
  name: string;
  side: "query" | "key";
  names: string[];
  active: number;
  asks: boolean;
  shades: Shades | null;
  at: Looking;
}

function Tokens({ name, side, names, active, asks, shades, at }: TokensProps) {
  const choose = (place: number, locked: boolean) => look({ side, [side]: place, locked });
  const digits = shades?.texts && names.length <= MANY;
  return (
    <div class="asked">
      <span class="quiet">{name}</span>
      <div role="listbox" aria-label={name} aria-orientation="horizontal" onKeyDown={roving(1)}>
        {names.map((token, place) => {
          const chosen = place === active;
          return (
            <div
              role="option"
              key={place}
              data-item
              tabIndex={chosen ? 0 : -1}
              aria-selected={chosen && asks}
              style={shade(shades, place)}
              onMouseEnter={() => at.locked || choose(place, false)}
              onFocus={() => (at.side === side && chosen) || choose(place, at.locked)}
              onClick={() => choose(place, !(at.locked && chosen && asks))}
            >
              <span>{visible(token)}</span>
              <span class="unseen">{` ${side} ${place} ${quoted(token)} `}</span>
              {digits && (
                <Readout address={shades.address} index={shades.place(place)} text={shades.texts![place]!} bits={shades.bits?.[place]} />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function shade(shades: Shades | null, place: number): { background: string; color: string } | undefined {
  if (!shades || !(place < shades.values.length)) return undefined;
  const { least, most, scale } = shades.range;
  const part = most > least ? (shades.values[place]! - least) / (most - least) : 0;
  const colour = between(palette.value[scale], part);
  return { background: `rgb(${colour.join(" ")})`, color: ink(colour) };
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

function quoted(token: string | undefined): string {
  return `“${token ?? ""}”`;
}

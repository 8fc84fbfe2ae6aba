// The runs of the two scenes: made before anything is looked at, watched, and stopped when nobody wants them.

import { computed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { useAnswer, type Asked } from "./ask";
import type { Token } from "./model";
import { shown, state } from "./state";
import type { Scene } from "./scene";

export interface RunHead {
  id: string;
  tokens: Token[];
  source_tokens: Token[] | null;
  seconds: number;
  kept: number;
  values: number;
  bytes: number;
  keeps_all: boolean;
  loss: string | null;
  changes: string[];
  python: string;
  touched: string[];
  from_step: number;
  steps_done: number;
}

/** Whether there is anything to run: an empty prompt gives nothing, unless there is a source to translate. */
export function runnable(scene: Scene): boolean {
  return Boolean(scene.text || scene.tokens?.length || scene.source || scene.source_tokens?.length);
}

export const ready = computed(() => runnable(state.value.a));

/** The run of a scene, or of the one that is shown; while that is awaited, one of the same prompt with other edits. */
export function useRun(scene: Scene | null = shown.value): { run: RunHead | null; asked: Asked } {
  const asked = useAnswer("run", scene && runnable(scene) ? { scene } : null);
  const prompt = JSON.stringify([scene?.text, scene?.tokens, scene?.source, scene?.source_tokens]);
  const last = useRef(prompt);
  if (asked.answer && !asked.stale) last.current = prompt;
  const fits = asked.answer && last.current === prompt;
  return { run: fits ? (asked.answer!.head as RunHead) : null, asked };
}

// Asking the host: every answer is remembered, since a request carries all that decides it; long work can be watched
// and stopped; what a component no longer wants is let go.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal, type Answer, type Host } from "./host";
import type { Scene } from "./scene";

const MOST_BYTES = 96e6;
/** After how many milliseconds a request counts as long. */
const LONG = 350;

let host: Host;

export function connect(to: Host): void {
  host = to;
}

export function can(op: string): boolean {
  return host.can(op);
}

// --- requests under way ---------------------------------------------------------------------------------------------

/** A request that takes long: how far it has come. total 0: not known. */
export interface Work {
  job: string;
  op: string;
  done: number;
  total: number;
  doing: string;
}

export const works = signal<Work[]>([]);

interface Flight {
  promise: Promise<Answer>;
  controller: AbortController;
  job: string;
  wanted: number;
}

const flights = new Map<string, Flight>();
const remembered = new Map<string, { answer: Answer; bytes: number }>();
let held = 0;
let count = 0;

function begin(op: string, params: object, key: string): Flight {
  const job = `${Math.random().toString(36).slice(2, 8)}-${count++}`;
  const controller = new AbortController();
  const watching = setTimeout(() => void watch(op, job), LONG);
  const promise = host
    .request(op, params, { signal: controller.signal, job })
    .then((answer) => {
      remember(key, answer);
      return answer;
    })
    .finally(() => {
      clearTimeout(watching);
      works.value = works.value.filter((work) => work.job !== job);
      if (flights.get(key)?.job === job) flights.delete(key);
    });
  promise.catch(() => {}); // whoever waits hears of it; an abandoned one needs nobody
  const flight = { promise, controller, job, wanted: 0 };
  flights.set(key, flight);
  return flight;
}

async function watch(op: string, job: string): Promise<void> {
  works.value = [...works.value, { job, op, done: 0, total: 0, doing: "" }];
  while (works.value.some((work) => work.job === job)) {
    const { head } = await host.request("progress", { of: job }).catch(() => ({ head: null }));
    if (head?.running) works.value = works.value.map((work) => (work.job === job ? { ...work, ...head } : work));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Ask Python to stop a request; it then answers that it was cancelled. */
export function cancel(job: string): void {
  void host.request("cancel", { of: job }).catch(() => {});
}

function remember(key: string, answer: Answer): void {
  const arrays = Object.values(answer.arrays).reduce((sum, array) => sum + array.byteLength, 0);
  const bytes = arrays + 2 * JSON.stringify(answer.head).length;
  remembered.set(key, { answer, bytes });
  held += bytes;
  for (const [oldest, entry] of remembered) {
    if (held <= MOST_BYTES || oldest === key) break;
    remembered.delete(oldest);
    held -= entry.bytes;
  }
}

function keyOf(op: string, params: object): string {
  return `${op} ${JSON.stringify(params)}`;
}

function recall(key: string): Answer | null {
  const found = remembered.get(key);
  if (!found) return null;
  remembered.delete(key); // to the end: the least recently used one goes first
  remembered.set(key, found);
  return found.answer;
}

/** An answer, from memory if it was given before. Runs that it needs are made first, one request each. */
export async function ask(op: string, params: object, signal?: AbortSignal): Promise<Answer> {
  const key = keyOf(op, params);
  const known = recall(key);
  if (known) return known;
  if (!RUNLESS.has(op)) await runsOf(params, signal);
  signal?.throwIfAborted();
  const flight = flights.get(key) ?? begin(op, params, key);
  flight.wanted++;
  const leave = () => {
    if (--flight.wanted > 0) return;
    if (flights.get(key) === flight) flights.delete(key); // who asks again starts anew
    if (works.value.some((work) => work.job === flight.job)) cancel(flight.job);
    flight.controller.abort();
  };
  signal?.addEventListener("abort", leave, { once: true });
  try {
    return await flight.promise;
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

const RUNLESS = new Set(["run", "model", "tokenize", "outline", "python"]);

/** The runs that a request looks at. They are asked for by themselves: the page holds on to the runs that it shows, so
 * that letting go of a look stops none of them. */
async function runsOf(params: object, signal?: AbortSignal): Promise<void> {
  for (const scene of Object.values(params).filter(isScene)) {
    await ask("run", { scene }, signal);
    signal?.throwIfAborted();
  }
}

function isScene(given: unknown): given is Scene {
  return typeof given === "object" && given !== null && ("text" in given || "tokens" in given);
}

// --- in components --------------------------------------------------------------------------------------------------

/** answer: of these parameters, or, while that is awaited (stale), of the ones before. */
export interface Asked {
  answer: Answer | null;
  error: string | null;
  loading: boolean;
  stale: boolean;
  retry(): void;
}

interface Held {
  key: string;
  answer: Answer | null;
  error: string | null;
}

/** The answer to a request, asked anew whenever the parameters change; params null: nothing is asked. */
export function useAnswer(op: string, params: object | null): Asked {
  const key = params ? keyOf(op, params) : "";
  const [attempt, again] = useState(0);
  const [got, set] = useState<Held>({ key: "", answer: null, error: null });
  const last = useRef<Answer | null>(null);
  const known = key ? recall(key) : null;

  useEffect(() => {
    if (!params || known) return;
    const controller = new AbortController();
    ask(op, params, controller.signal).then(
      (answer) => set({ key, answer, error: null }),
      (error: unknown) => {
        if (!controller.signal.aborted) set({ key, answer: null, error: told(error) });
      },
    );
    return () => controller.abort();
  }, [key, attempt]);

  const mine = got.key === key ? got : null;
  const answer = known ?? mine?.answer ?? null;
  if (answer) last.current = answer;
  const loading = Boolean(key) && !answer && !mine?.error;
  const retry = () => {
    set({ key: "", answer: null, error: null });
    again(attempt + 1);
  };
  const before = loading ? last.current : null;
  return { answer: answer ?? before, error: mine?.error ?? null, loading, stale: before !== null, retry };
}

/** What went wrong, in one line. */
export function told(error: unknown): string {
  if (error instanceof Refusal && error.cancelled) return "Cancelled.";
  return error instanceof Error ? error.message : String(error);
}

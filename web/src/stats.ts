// Least, mean and greatest of many values, asked for some at a time.

import { useEffect, useState } from "preact/hooks";
import { ask } from "./ask";
import type { Scene } from "./scene";

export interface Stats {
  minimum: string | null;
  mean: string | null;
  maximum: string | null;
  nan: number;
  infinite: number;
  zero: number;
  size: number;
}

const MOST = 64;

/** What is known so far, by address. */
export function useStats(scene: Scene, addresses: string[]): Map<string, Stats> {
  const key = JSON.stringify([scene, addresses]);
  const [known, setKnown] = useState<{ key: string; stats: Map<string, Stats> }>({ key: "", stats: new Map() });
  useEffect(() => {
    const controller = new AbortController();
    void fill(scene, addresses, controller.signal, (stats) => setKnown({ key, stats })).catch(() => {});
    return () => controller.abort();
  }, [key]);
  return known.key === key ? known.stats : new Map();
}

async function fill(scene: Scene, addresses: string[], signal: AbortSignal, tell: (stats: Map<string, Stats>) => void): Promise<void> {
  const stats = new Map<string, Stats>();
  for (let from = 0; from < addresses.length; from += MOST) {
    const { head } = await ask("stats", { scene, addresses: addresses.slice(from, from + MOST) }, signal);
    for (const [address, each] of Object.entries(head.stats as Record<string, Stats>)) stats.set(address, each);
    tell(new Map(stats));
  }
}

// The rows of the flow: every value in the order of the program, blocks that can be folded to one row each.

import type { Entry } from "./outline";

export interface Section {
  /** "blocks.0", "source.blocks.1"; "" for what belongs to no block. */
  name: string;
  title: string;
  entries: Entry[];
}

export interface Row {
  section: Section;
  /** null: the row stands for the whole section, folded or open. */
  entry: Entry | null;
  folded: boolean;
}

const BLOCK = /^(?:d:)?((?:source\.)?blocks\.\d+)\./;

export function sections(entries: Entry[]): Section[] {
  const made: Section[] = [];
  for (const entry of entries) {
    if (entry.kind === "weight") continue;
    const name = BLOCK.exec(entry.address)?.[1] ?? "";
    const backward = entry.kind === "gradient" ? " backward" : "";
    const title = name ? `${name.replace("source.", "source ").replace("blocks.", "block ")}${backward}` : "";
    const last = made[made.length - 1];
    if (last && last.title === title) last.entries.push(entry);
    else made.push({ name, title, entries: [entry] });
  }
  return made;
}

/** What is listed of the sections: their values, or where a block is folded one row for all of them. */
export function rowsOf(all: Section[], isFolded: (title: string) => boolean): Row[] {
  return all.flatMap((section) => {
    if (!section.title) return section.entries.map((entry) => ({ section, entry, folded: false }));
    const head: Row = { section, entry: null, folded: isFolded(section.title) };
    return head.folded ? [head] : [head, ...section.entries.map((entry) => ({ section, entry, folded: false }))];
  });
}

/** For every row the rows that it reads. */
export function readsOf(rows: Row[]): number[][] {
  const at = new Map<string, number>();
  const inside = (row: Row) => (row.entry ? [row.entry] : row.folded ? row.section.entries : []);
  rows.forEach((row, i) => inside(row).forEach((entry) => at.set(entry.address, i)));
  return rows.map((row, i) =>
    inside(row)
      .flatMap((entry) => entry.reads)
      .map((read) => at.get(read))
      .filter((found): found is number => found !== undefined && found !== i),
  );
}

// The rows of the flow: every value in the order of the program, blocks that can be folded to one row each.

import type { Entry } from "./outline";

export interface Section {
  /** "block 0", "source block 1 backward"; "" for what belongs to no block. */
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
  const listed = entries.filter((entry) => entry.kind !== "weight");
  const titles = listed.map(titleOf);
  const made: Section[] = [];
  listed.forEach((entry, i) => {
    const last = made[made.length - 1];
    // backward, parts for the block before come between those of a block: it goes on as long as any are left
    const same = last && (last.title === titles[i] || (last.title && titles.indexOf(last.title, i) >= 0));
    if (same) last.entries.push(entry);
    else made.push({ title: titles[i]!, entries: [entry] });
  });
  return made;
}

function titleOf(entry: Entry): string {
  const block = BLOCK.exec(entry.address)?.[1];
  if (!block) return "";
  return block.replace("source.", "source ").replace("blocks.", "block ") + (entry.kind === "gradient" ? " backward" : "");
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

// The lines of the flow: from every value down to what reads it, side by side so that no two lie over each other.

/** One line: down a lane from a row to the last that reads it, with a branch at each reader. */
export interface Line {
  from: number;
  to: number[];
  lane: number;
}

/** reads: for every row the rows that it reads, all of them above it. Short lines lie nearest. */
export function lanes(reads: number[][]): Line[] {
  const readers = new Map<number, number[]>();
  reads.forEach((from, row) => {
    for (const source of new Set(from)) if (source < row) readers.set(source, [...(readers.get(source) ?? []), row]);
  });
  const lines = [...readers]
    .map(([from, to]) => ({ from, to, lane: 0 }))
    .sort((one, other) => length(one) - length(other) || one.from - other.from);
  const taken: [number, number][][] = [];
  for (const line of lines) {
    const [first, last] = [line.from, line.to[line.to.length - 1]!];
    if (last === first + 1) continue; // straight down to the next row
    line.lane = 1;
    while (taken[line.lane]?.some(([top, bottom]) => first < bottom && top < last)) line.lane++;
    (taken[line.lane] ??= []).push([first, last]);
  }
  return lines;
}

function length({ from, to }: Line): number {
  return to[to.length - 1]! - from;
}

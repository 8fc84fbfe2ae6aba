// What decides the numbers of a run, as Python's scene.py reads it.

export type Place = number | null | [number | null, number | null];

export interface Change {
  address: string;
  index: Place[];
  action: "set" | "add" | "scale" | "zero" | "patch";
  /** A number; of a patch, the scene that the same part is taken from; of a zero nothing. */
  value?: number | Scene;
}

export interface Scene {
  text?: string;
  tokens?: number[];
  source?: string;
  source_tokens?: number[];
  dtype?: string;
  changes?: Change[];
  gradient?: { of: string; index: number[] | null };
}

export function samePlace(one: Change, other: Change): boolean {
  return one.address === other.address && JSON.stringify(one.index) === JSON.stringify(other.index);
}

/** The scene with one more edit; one of the same numbers that sets them anew takes the earlier one's place. */
export function withChange(scene: Scene, change: Change): Scene {
  const changes = scene.changes ?? [];
  const last = changes[changes.length - 1];
  const replaces = last && change.action === "set" && last.action === "set" && samePlace(last, change);
  return { ...scene, changes: [...(replaces ? changes.slice(0, -1) : changes), change] };
}

/** An index as it is written behind an address: [0,4,:,2:5]. */
export function written(index: readonly Place[]): string {
  const one = (place: Place) =>
    place === null ? ":" : typeof place === "number" ? `${place}` : `${place[0] ?? ""}:${place[1] ?? ""}`;
  return index.length ? `[${index.map(one).join(",")}]` : "";
}

/** An edit in words. */
export function said(change: Change): string {
  const where = change.address + written(change.index);
  switch (change.action) {
    case "zero":
      return `${where} = 0`;
    case "set":
      return `${where} = ${change.value}`;
    case "add":
      return `${where} + ${change.value}`;
    case "scale":
      return `${where} × ${change.value}`;
    case "patch":
      return `${where} from ${prompt(change.value as Scene)}`;
  }
}

/** The prompt of a scene in a few words. */
export function prompt(scene: Scene): string {
  const text = scene.text ?? scene.tokens?.join(" ") ?? "";
  return `“${text.length > 40 ? `${text.slice(0, 40)}…` : text}”`;
}

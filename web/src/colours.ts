// Numbers as colours. A signed scale is symmetric about 0: blue below, white (in the dark: black) at 0, orange above.
// A sequential scale goes from the smallest to the largest. What is no number has its own colour.

export type Scale = "symmetric" | "sequential";
export type Rgb = readonly [number, number, number];

export interface Palette {
  symmetric: readonly Rgb[];
  sequential: readonly Rgb[];
  nan: Rgb;
  infinite: Rgb;
}

/** [light, dark]: from the most negative to the most positive, and from least to most. */
export const PALETTES: { light: Palette; dark: Palette } = {
  light: {
    symmetric: [[5, 48, 97], [33, 102, 172], [103, 169, 207], [209, 229, 240], [255, 255, 255], [253, 224, 195], [244, 165, 96], [208, 98, 20], [122, 50, 5]],
    sequential: [[255, 255, 255], [222, 233, 246], [173, 205, 230], [107, 164, 208], [49, 116, 178], [16, 72, 130], [6, 34, 76]],
    nan: [200, 0, 120],
    infinite: [120, 0, 160],
  },
  dark: {
    symmetric: [[176, 214, 255], [96, 165, 240], [45, 108, 186], [26, 55, 94], [20, 22, 26], [84, 47, 18], [160, 86, 24], [232, 143, 56], [255, 208, 150]],
    sequential: [[20, 22, 26], [24, 44, 70], [31, 73, 120], [47, 110, 172], [88, 156, 214], [150, 200, 240], [222, 240, 255]],
    nan: [255, 92, 178],
    infinite: [206, 120, 255],
  },
};

/** The colour at a place between 0 and 1 of a list of colours. */
export function between(colours: readonly Rgb[], place: number): Rgb {
  const at = Math.min(Math.max(place, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(at), colours.length - 2);
  const [one, two] = [colours[low]!, colours[low + 1]!];
  const mixed = (i: 0 | 1 | 2) => Math.round(one[i] + (two[i] - one[i]) * (at - low));
  return [mixed(0), mixed(1), mixed(2)];
}

/** A scale with its ends, as numbers and as Python wrote them; a symmetric one goes from -most to most. */
export interface Range {
  scale: Scale;
  least: number;
  most: number;
  texts: [string, string];
}

/** A number as Python wrote it; of truth values 0 or 1. */
function valueOf(text: string): number {
  return text === "true" ? 1 : text === "false" ? 0 : Number(text);
}

/** The scale that fits numbers between two ends: symmetric when some are negative. */
export function fitting(minimum: string, maximum: string, scale?: Scale): Range {
  const [low, high] = [valueOf(minimum), valueOf(maximum)];
  if ((scale ?? (low < 0 ? "symmetric" : "sequential")) === "sequential")
    return { scale: "sequential", least: low, most: high, texts: [minimum, maximum] };
  const larger = Math.abs(low) > Math.abs(high) ? minimum : maximum;
  const most = larger.replace(/^-/, "");
  return { scale: "symmetric", least: -Number(most), most: Number(most), texts: [`-${most}`, most] };
}

/** The scale that fits both of two matrices, so that their colours can be compared. */
export function shared(one: Range, other: Range, scale?: Scale): Range {
  const least = one.least < other.least ? one : other;
  const most = one.most > other.most ? one : other;
  return fitting(least.texts[0], most.texts[1], scale);
}

export function colour(value: number, range: Range, palette: Palette): Rgb {
  if (Number.isNaN(value)) return palette.nan;
  if (!Number.isFinite(value)) return palette.infinite;
  const width = range.most - range.least;
  const place = width > 0 ? (value - range.least) / width : range.scale === "symmetric" ? 0.5 : 0;
  return between(palette[range.scale], place);
}

/** A table of 1,024 steps of a scale, for painting many cells. */
export function table(range: Range, palette: Palette): Uint8ClampedArray {
  const made = new Uint8ClampedArray(1024 * 4);
  for (let i = 0; i < 1024; i++) made.set([...between(palette[range.scale], i / 1023), 255], i * 4);
  return made;
}

/** Black or white, whichever can be read on a colour. */
export function ink([r, g, b]: Rgb): string {
  const linear = (part: number) => (part / 255) ** 2.2;
  const light = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  return light > 0.179 ? "#000000" : "#ffffff"; // from there on black stands out more than white
}

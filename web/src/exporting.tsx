// Taking numbers along: as a file of NumPy, as comma separated text, or as a picture.

import { ask, told } from "./ask";
import { say } from "./notice";
import type { Entry } from "./outline";
import { windowIndex, type Slice } from "./slicing";
import { shown } from "./state";

type Format = "npy" | "csv";

export function Exports({ entry, slice }: { entry: Entry; slice: Slice }) {
  return (
    <span class="row">
      <span class="quiet">Save</span>
      <button type="button" onClick={() => void save(entry, "npy")} title="The whole value as NumPy's .npy">
        .npy
      </button>
      <button type="button" onClick={() => void save(entry, "csv", slice)} title="What is shown, as comma separated text">
        .csv
      </button>
      <button type="button" onClick={() => void picture(entry.address)} title="The picture as it is now">
        .png
      </button>
    </span>
  );
}

/** Bytes of a file come in parts of at most some megabytes. */
async function save(entry: Entry, format: Format, slice?: Slice): Promise<void> {
  try {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const params = { scene: shown.value, address: entry.address, format, ...(slice ? { index: windowIndex(slice) } : {}) };
    let name = `${entry.address}.${format}`;
    for (let from = 0, total = 1; from < total; ) {
      const { head, arrays } = await ask("export", { ...params, from });
      const data = arrays.data as Uint8Array<ArrayBuffer>;
      ({ name = name, total = data.length } = head);
      parts.push(data);
      from += data.length;
      if (!data.length) break;
    }
    download(new Blob(parts), name);
  } catch (error) {
    say(told(error));
  }
}

async function picture(address: string): Promise<void> {
  const canvas = document.querySelector<HTMLCanvasElement>(".tensor .matrix canvas");
  canvas?.toBlob((blob) => blob && download(blob, `${address}.png`), "image/png");
}

export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replaceAll(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

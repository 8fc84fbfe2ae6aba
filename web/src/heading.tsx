// Which value one looks at: its address, shape and type, what it is made from and what is made from it.

import { Picker } from "./picker";
import type { Outline } from "./outline";
import { go } from "./state";

export function Heading({ outline, address }: { outline: Outline; address: string }) {
  const entry = outline.by.get(address);
  const pick = (next: string) => go({ address: next });
  return (
    <div class="heading">
      <h1 class="unseen">{address}</h1>
      <div class="row">
        <Picker outline={outline} address={address} onPick={pick} />
        {entry && (
          <>
            <span class="mono">
              {[...entry.axes].map((letter, i) => `${letter} ${entry.shape[i]}`).join(" × ") || "one number"}
            </span>
            <span class="chip">{entry.dtype}</span>
            <span class="chip">{entry.operator || entry.kind}</span>
          </>
        )}
      </div>
      {entry && (
        <div class="row quiet">
          {entry.reads.length > 0 && <Links title="made from" addresses={entry.reads} onPick={pick} />}
          <Links title="read by" addresses={outline.readers.get(address) ?? []} onPick={pick} />
        </div>
      )}
    </div>
  );
}

function Links({ title, addresses, onPick }: { title: string; addresses: string[]; onPick(address: string): void }) {
  if (!addresses.length) return null;
  return (
    <span>
      {title}
      {addresses.slice(0, 12).map((address) => (
        <button type="button" class="link mono" key={address} onClick={() => onPick(address)}>
          {address}
        </button>
      ))}
      {addresses.length > 12 && ` and ${addresses.length - 12} more`}
    </span>
  );
}

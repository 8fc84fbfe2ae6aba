// Choosing a value by its address.

import { useEffect, useId, useState } from "preact/hooks";
import type { Outline } from "./outline";

interface PickerProps {
  outline: Outline;
  address: string;
  onPick(address: string): void;
}

export function Picker({ outline, address, onPick }: PickerProps) {
  const id = useId();
  const [text, setText] = useState(address);
  useEffect(() => setText(address), [address]);
  const pick = (given: string) => {
    setText(given);
    if (given !== address && outline.by.has(given)) onPick(given);
  };
  const enter = (event: KeyboardEvent) => {
    if (event.key !== "Enter") return;
    const found = outline.by.has(text) ? text : outline.entries.find((each) => each.address.includes(text))?.address;
    if (found) pick(found);
  };
  return (
    <label class="picker">
      <span class="unseen">Value</span>
      <input
        class="mono"
        list={id}
        value={text}
        spellcheck={false}
        onInput={(event) => pick(event.currentTarget.value)}
        onKeyDown={enter}
        onFocus={(event) => event.currentTarget.select()}
      />
      <datalist id={id}>
        {outline.entries.map((entry) => (
          <option key={entry.address} value={entry.address} />
        ))}
      </datalist>
    </label>
  );
}

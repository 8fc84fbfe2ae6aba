// One number as it is read out: where it stands, its digits, its bits. Every number on the page that can be checked is
// one of these, so that a test compares bits and not rounded text.

import type { ComponentChildren } from "preact";
import { written } from "./scene";

export interface ReadoutProps {
  address: string;
  index: readonly number[];
  text: string;
  bits?: string;
  class?: string;
  children?: ComponentChildren;
}

export function Readout({ address, index, text, bits, class: also, children }: ReadoutProps) {
  return (
    <span
      class={`readout ${also ?? ""}`}
      data-name={address}
      data-index={index.join(",")}
      data-bits={bits}
      title={`${address}${written(index)}${bits ? ` · bits ${bits}` : ""}`}
    >
      {text}
      {children}
    </span>
  );
}

/** A button that leads to a number, and says it. */
export function NumberLink(props: ReadoutProps & { onClick(): void }) {
  return (
    <button type="button" class="link" onClick={props.onClick}>
      <span class="where">
        {props.address}
        {written(props.index)}
      </span>
      <Readout {...props} />
    </button>
  );
}

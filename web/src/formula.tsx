// A formula that Python wrote as MathML, drawn by the browser.

import { useLayoutEffect, useRef } from "preact/hooks";

const MATHML = "http://www.w3.org/1998/Math/MathML";

export function Formula({ math, text }: { math: string; text: string }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => place.current!.replaceChildren(read(math) ?? document.createTextNode(text)), [math, text]);
  return <div class="formula" ref={place} tabIndex={0} role="region" aria-label="Formula" />;
}

/** The element, if it holds nothing but mathematics. */
function read(math: string): Element | null {
  const root = new DOMParser().parseFromString(math, "application/xml").documentElement;
  const all = [root, ...root.querySelectorAll("*")];
  const plain = all.every((each) => each.namespaceURI === MATHML && !each.getAttributeNames().some((name) => /^(on|href|style)/i.test(name)));
  return plain ? document.importNode(root, true) : null;
}

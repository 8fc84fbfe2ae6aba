// Python behind a notebook: this page is a frame in it, and what surrounds the frame passes messages on.

import { Refusal, type Host } from "./host";
import { decode } from "./wire";

interface Waiting {
  resolve(bytes: ArrayBuffer): void;
  reject(error: Error): void;
}

/** The surrounding widget, see widget.ts. Only messages of the window around this one count. */
export function frameHost(): Host {
  const waiting = new Map<number, Waiting>();
  let count = 0;
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || typeof data?.id !== "number") return;
    const one = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) one?.reject(new Refusal(data.error, data.cancelled));
    else one?.resolve(data.bytes);
  });
  return {
    ownsAddress: false,
    can: () => true,
    async request(op, params, options = {}) {
      const id = ++count;
      const bytes = await new Promise<ArrayBuffer>((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        options.signal?.addEventListener("abort", () => {
          if (waiting.delete(id)) reject(new DOMException("no longer wanted", "AbortError"));
        });
        parent.postMessage({ id, op, params: options.job ? { ...params, job: options.job } : params }, "*");
      });
      return decode(bytes);
    },
  };
}

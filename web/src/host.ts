// Who answers: Python behind HTTP, a notebook's kernel, or what a report recorded. The page knows only this interface.

import { decode, type Answer } from "./wire";

export type { Answer } from "./wire";

export interface Options {
  signal?: AbortSignal;
  /** A name under which the request's progress can be asked for, and which can be cancelled. */
  job?: string;
}

export interface Host {
  request(op: string, params: object, options?: Options): Promise<Answer>;
  /** Whether this host answers such requests at all: a report only has what it recorded. */
  can(op: string): boolean;
  /** Whether the state may be kept in the address of the page, which in a notebook is not ours. */
  readonly ownsAddress: boolean;
}

/** The host refused, in one line; cancelled: because someone asked it to stop. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly cancelled = false,
  ) {
    super(message);
  }
}

/** Python behind the address that this page came from. */
export function httpHost(token: string): Host {
  return {
    ownsAddress: true,
    can: () => true,
    async request(op, params, options = {}) {
      const body = JSON.stringify(options.job ? { ...params, job: options.job } : params);
      const headers = { "Content-Type": "application/json", "X-Byhand-Token": token };
      const response = await fetch(`api/${op}`, { method: "POST", headers, body, signal: options.signal ?? null }).catch(
        (error: unknown) => {
          if (error instanceof DOMException && error.name === "AbortError") throw error;
          throw new Refusal("Python does not answer: is byhand explore still running?");
        },
      );
      if (!response.ok) throw new Refusal(await reason(response), response.status === 409);
      return decode(await response.arrayBuffer());
    },
  };
}

async function reason(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return String(JSON.parse(text).error);
  } catch {
    return text.slice(0, 200) || `refused (${response.status})`;
  }
}

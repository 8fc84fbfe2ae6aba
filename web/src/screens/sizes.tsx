// How large the gradient of every value and weight is, in the order of the program, on a scale of powers of ten.

import { useAnswer } from "../ask";
import { NumberLink } from "../readout";
import { go, settle, shown, state } from "../state";

interface Size {
  address: string;
  kind: "value" | "weight";
  shape: number[];
  stream: boolean;
  length: string;
  log: number | null;
  largest: string | null;
  bits: string | null;
  index: number[] | null;
}

const KINDS = { stream: "the stream", value: "all values", weight: "weights" } as const;
type Kind = keyof typeof KINDS;

export function Sizes() {
  const { answer, error, stale } = useAnswer("gradients", { scene: shown.value });
  const kind = (state.value.view.sizes as Kind | undefined) ?? "stream";
  if (error)
    return (
      <p class="wrong" role="alert">
        {error}
      </p>
    );
  if (!answer) return <p class="quiet">Going backward …</p>;
  const all = answer.head.rows as Size[];
  const rows = all.filter((row) => (kind === "stream" ? row.stream : row.kind === kind));
  const logs = rows.flatMap(({ log }) => (log === null ? [] : [log]));
  const [low, high] = [Math.min(...logs) - 0.5, Math.max(...logs)];
  return (
    <section class={stale ? "stale" : ""} aria-label="Sizes of gradients" aria-busy={stale}>
      <label>
        Of{" "}
        <select value={kind} onChange={(event) => settle({ sizes: event.currentTarget.value })}>
          {Object.entries(KINDS).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <div class="scroll sizes" tabIndex={0} role="region" aria-label={`Gradients of ${KINDS[kind]}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">gradient</th>
              <th scope="col" class="figure">
                length
              </th>
              <th scope="col">powers of ten</th>
              <th scope="col">its largest number</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.address} data-gradient={row.address} data-length={row.length}>
                <th scope="row">
                  <button type="button" class="link mono" title={row.shape.join(" × ")} onClick={() => go({ screen: "tensor", address: row.address })}>
                    {row.address}
                  </button>
                </th>
                <td class="figure">{row.length}</td>
                <td>
                  {row.log === null ? <span class="quiet">nothing</span> : <meter min={0} max={1} value={high > low ? (row.log - low) / (high - low) : 1} aria-label={`length ${row.length}`} />}
                </td>
                <td>
                  {row.index && row.largest !== null && (
                    <NumberLink
                      address={row.address}
                      index={row.index}
                      text={row.largest}
                      bits={row.bits ?? undefined}
                      onClick={() => go({ screen: "number", address: row.address, index: row.index! })}
                    />
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

// Trust: random numbers of this run, each computed again from its formula; and the run beside another program's.

import { useState } from "preact/hooks";
import { useAnswer } from "../ask";
import { NumberLink } from "../readout";
import { go, settle, shown, state } from "../state";
import { OfB } from "./of-b";

interface Checked {
  address: string;
  index: number[];
  operator: string;
  stored: string;
  bits: string;
  value: string;
  ulp: string;
}

interface TrustHead {
  checked: number;
  asked: number;
  right: number;
  addresses: number;
  of: number;
  worst: Checked;
  failures: Checked[];
  /** How much of what rounding can do at most the worst number is off by. */
  used: string;
  operators: { operator: string; count: number; ulp: string; used: string }[];
  seconds: string;
}

interface Asking {
  count: number;
  seed: number;
}

export function Trust() {
  const asked = state.value.view.trust as Asking | undefined;
  return (
    <section class="trust">
      <h1>Trust</h1>
      <OfB />
      <p class="quiet">
        Takes random numbers of this run{shown.value.gradient ? " and of its gradients" : ""} apart, each from its own formula in float64, and compares with
        what is stored.
      </p>
      <Ask asked={asked} />
      {asked && <Found asked={asked} />}
      <h2>Beside transformers</h2>
      <Beside />
    </section>
  );
}

function Ask({ asked }: { asked: Asking | undefined }) {
  const [count, setCount] = useState(asked?.count ?? 200);
  const [seed, setSeed] = useState(asked?.seed ?? 0);
  const submit = (event: Event) => {
    event.preventDefault();
    settle({ trust: { count, seed } });
  };
  return (
    <form class="row" onSubmit={submit} aria-label="What is checked">
      <label>
        Numbers <input type="number" min={1} max={2000} step={1} value={count} onInput={(event) => setCount(Number(event.currentTarget.value))} />
      </label>
      <label>
        Seed <input type="number" min={0} step={1} value={seed} onInput={(event) => setSeed(Number(event.currentTarget.value))} />
      </label>
      <button type="submit" class="main">
        Check them
      </button>
    </form>
  );
}

function Found({ asked }: { asked: Asking }) {
  const { answer, error, loading, retry } = useAnswer("trust", { scene: shown.value, ...asked });
  if (error)
    return (
      <p class="wrong" role="alert">
        {error}{" "}
        <button type="button" onClick={retry}>
          Again
        </button>
      </p>
    );
  if (!answer || loading) return <p class="quiet">Checking …</p>;
  const head = answer.head as TrustHead;
  return (
    <section aria-label="What was found">
      <p class={`verdict ${head.failures.length ? "bad" : "good"}`} role="status" data-right={head.right} data-checked={head.checked}>
        {head.right} of {head.checked} numbers verified
        {head.failures.length ? "; the others are more than rounding off" : ""}
      </p>
      <p class="quiet">
        In {head.addresses} of {head.of} tensors, in {head.seconds} s
        {head.checked < head.asked ? `; ${head.asked - head.checked} were not reached in time` : ""}. Nearest to the bound of
        what rounding can do, at {head.used} of it and {head.worst.ulp} ulp off: <Place of={head.worst} />
      </p>
      {head.failures.length > 0 && (
        <ul aria-label="Numbers that are off">
          {head.failures.map((each) => (
            <li key={`${each.address}${each.index}`}>
              <Place of={each} /> <span class="quiet">its formula gives</span> <span class="mono">{each.value}</span>
            </li>
          ))}
        </ul>
      )}
      <Operators operators={head.operators} />
    </section>
  );
}

function Place({ of }: { of: Checked }) {
  const { address, index, stored, bits } = of;
  return <NumberLink address={address} index={index} text={stored} bits={bits} onClick={() => go({ screen: "number", address, index })} />;
}

function Operators({ operators }: { operators: TrustHead["operators"] }) {
  return (
    <table>
      <caption class="unseen">Numbers by operator</caption>
      <thead>
        <tr>
          <th scope="col">operator</th>
          <th scope="col" class="figure">
            numbers
          </th>
          <th scope="col" class="figure" title="In units of the last place of the stored number; large where it is nearly 0 and its parts are not">
            most ulp off
          </th>
          <th scope="col" class="figure" title="1 is all that rounding can do">
            of the bound
          </th>
        </tr>
      </thead>
      <tbody>
        {operators.map(({ operator, count, ulp, used }) => (
          <tr key={operator}>
            <th scope="row">{operator}</th>
            <td class="figure">{count}</td>
            <td class="figure">{ulp}</td>
            <td class="figure">{used}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Beside() {
  const [wanted, want] = useState(false);
  const { answer, error } = useAnswer("beside", wanted ? { scene: shown.value } : null);
  if (!wanted)
    return (
      <button type="button" onClick={() => want(true)}>
        Compare with transformers
      </button>
    );
  if (error) return <p class="wrong">{error}</p>;
  if (!answer) return <p class="quiet">Comparing …</p>;
  return <pre class="mono beside">{answer.head.text}</pre>;
}

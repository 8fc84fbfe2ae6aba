// The backward program as it runs, last step first, and the values of the forward run that it needs.

import { useAnswer } from "../ask";
import { short } from "../model";
import { go, shown } from "../state";

interface Step {
  name: string;
  step: string | null;
  equation: string[];
  gradients: string[];
  saved: string[];
  writes: string[];
}

interface Saved {
  address: string;
  bytes: number;
  readers: string[];
}

export function Backward() {
  const { answer, error } = useAnswer("reverse", { scene: shown.value });
  if (error) return <p class="wrong">{error}</p>;
  if (!answer) return <p class="quiet">Going backward …</p>;
  const { steps, saved, count, bytes } = answer.head as { steps: Step[]; saved: Saved[]; count: number; bytes: number };
  return (
    <>
      <h3>
        {count} steps, from the chosen number back{count > steps.length ? `; the first ${steps.length} are listed` : ""}
      </h3>
      <div class="scroll sizes" tabIndex={0} role="region" aria-label="Backward program">
        <table>
          <thead>
            <tr>
              <th scope="col">step</th>
              <th scope="col">writes</th>
              <th scope="col">from the gradients</th>
              <th scope="col">and what was saved</th>
            </tr>
          </thead>
          <tbody>
            {steps.map((step, i) => (
              <tr key={i} data-backward={step.step ?? step.writes[0]}>
                <th scope="row" title={step.equation.join("\n")}>
                  {step.name}
                </th>
                <td>
                  <Links addresses={step.writes} />
                </td>
                <td>
                  <Links addresses={step.gradients} />
                </td>
                <td>
                  <Links addresses={step.saved} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <h3>
        {saved.length} values saved for it, {short(bytes)} bytes
      </h3>
      <div class="scroll sizes" tabIndex={0} role="region" aria-label="Saved values">
        <table>
          <thead>
            <tr>
              <th scope="col">value</th>
              <th scope="col" class="figure">
                bytes
              </th>
              <th scope="col">needed by the backward of</th>
            </tr>
          </thead>
          <tbody>
            {saved.map((each) => (
              <tr key={each.address} data-saved={each.address}>
                <th scope="row">
                  <Links addresses={[each.address]} />
                </th>
                <td class="figure">{each.bytes.toLocaleString("en")}</td>
                <td>
                  <Links addresses={each.readers} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Links({ addresses }: { addresses: string[] }) {
  return (
    <>
      {addresses.map((address) => (
        <button type="button" class="link mono" key={address} onClick={() => go({ screen: "tensor", address })}>
          {address}
        </button>
      ))}
    </>
  );
}

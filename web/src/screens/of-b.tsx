import { part } from "../state";

/** Says that a screen without differences shows B. */
export function OfB() {
  if (part.value === "a") return null;
  return <p class="chip changed">Of B, with the edits{part.value === "difference" ? "; this screen shows no differences" : ""}</p>;
}

// Every screen of the page, in the order of the navigation.

import type { ComponentType } from "preact";
import { Flow } from "../flow";
import { NumberScreen } from "../number";
import { Tensor } from "../tensor";
import { Attention } from "./attention";
import { ChangeScreen } from "./change";
import { Stream } from "./stream";
import { Next } from "./next";
import { Gradient } from "./gradient";
import { Trust } from "./trust";

export interface Screen {
  /** As View.screen has it. */
  name: string;
  title: string;
  /** One line under the pointer: what one sees there. */
  says: string;
  component: ComponentType;
  /** The operation without which the screen has nothing to show; a host that cannot answer it does not list it. */
  needs: string;
}

export const SCREENS: Screen[] = [
  { name: "flow", title: "Flow", says: "Every step of the run, from the tokens to the logits", component: Flow, needs: "outline" },
  { name: "tensor", title: "Tensor", says: "All numbers of one value, from afar to single cells", component: Tensor, needs: "window" },
  { name: "number", title: "Number", says: "Where one number comes from, down to the weights", component: NumberScreen, needs: "number" },
  { name: "attention", title: "Attention", says: "All heads at once, one head in its stages", component: Attention, needs: "heads" },
  { name: "change", title: "Change", says: "What the edits change, and sweeps of edits", component: ChangeScreen, needs: "compare" },
  { name: "stream", title: "Stream", says: "What each layer adds to the stream, and what it would predict", component: Stream, needs: "lens" },
  { name: "next", title: "Next token", says: "From logits to the chosen token, step by step", component: Next, needs: "next" },
  { name: "gradient", title: "Gradient", says: "The same numbers backward", component: Gradient, needs: "losses" },
  { name: "trust", title: "Trust", says: "Random numbers of this run, each recomputed", component: Trust, needs: "trust" },
];

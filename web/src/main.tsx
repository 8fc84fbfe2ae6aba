// Where the page begins: on a page of its own, or in a place that a notebook gives it.

import { render } from "preact";
import { App } from "./app";
import { ask, connect, told } from "./ask";
import { frameHost } from "./frame";
import { httpHost, type Host } from "./host";
import { model, type Model } from "./model";
import { say } from "./notice";
import { recordedHost } from "./recorded";
import type { Scene } from "./scene";
import { begin } from "./state";
import "./styles/page.css";

/** Show the page in an element, with answers from a host. */
export async function mount(root: HTMLElement, host: Host): Promise<void> {
  connect(host);
  try {
    const { head } = await ask("model", {});
    model.value = head as Model;
    const wrong = await begin((head.first ?? { text: "" }) as Scene, host.ownsAddress);
    if (wrong) say(wrong);
    render(<App />, root);
  } catch (error) {
    render(<p class="wrong">{told(error)}</p>, root);
  }
}

/** Who answers: what the page was told when it was written, else Python behind the address that it came from. */
async function hostOf(): Promise<Host> {
  const told = document.getElementById("byhand-setting")?.textContent;
  const setting = told ? JSON.parse(told) : {};
  if (setting.host === "frame") return frameHost();
  if (setting.host === "recorded") return recordedHost(setting.recording);
  return httpHost(decodeURIComponent(location.pathname.split("/")[1] ?? "")); // a link's first folder is its token
}

const root = document.getElementById("byhand");
if (root) void hostOf().then((host) => mount(root, host));

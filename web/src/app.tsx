// The page around the screens: the model, the prompt, the edits, where one is.

import { useEffect } from "preact/hooks";
import { cancel, works, type Work } from "./ask";
import { Edits } from "./edits";
import { model, short } from "./model";
import { notice } from "./notice";
import { Prompt } from "./prompt";
import { ready, useRun } from "./runs";
import { SCREENS } from "./screens";
import { Sharing } from "./sharing";
import { can } from "./ask";
import { canRedo, canUndo, go, part, redo, state, undo, type Part } from "./state";
import { chosen, theme } from "./theme";

export function App() {
  const { address } = state.value.view;
  useEffect(() => {
    document.title = [address, model.value?.name, "byhand"].filter(Boolean).join(" · ");
  }, [address]);
  useEffect(() => {
    document.addEventListener("keydown", shortcuts);
    return () => document.removeEventListener("keydown", shortcuts);
  }, []);
  return (
    <div class="page" data-theme={theme.value}>
      <a class="skip" href="#screen" onClick={skip}>
        Skip to the screen
      </a>
      <Header />
      <Navigation />
      <aside class="side" aria-label="Edits">
        <Edits />
      </aside>
      <main id="screen" tabIndex={-1}>
        <Stage />
      </main>
      <Status />
    </div>
  );
}

function skip(event: Event): void {
  event.preventDefault(); // the part behind # is the state
  document.getElementById("screen")?.focus();
}

function shortcuts(event: KeyboardEvent): void {
  const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (typing || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey && canUndo.value) undo();
  else if ((key === "y" || (key === "z" && event.shiftKey)) && canRedo.value) redo();
  else return;
  event.preventDefault();
}

function Header() {
  const about = model.value;
  return (
    <header>
      <div class="brand">
        <strong>byhand</strong>
        {about && (
          <span class="quiet" title={sizes(about.sizes)}>
            {about.name} · {about.family} · {short(about.parameters)} parameters
          </span>
        )}
      </div>
      <Prompt />
      <div class="tools">
        <button type="button" onClick={undo} disabled={!canUndo.value} title="Undo (Ctrl+Z)">
          Undo
        </button>
        <button type="button" onClick={redo} disabled={!canRedo.value} title="Redo (Ctrl+Y)">
          Redo
        </button>
        <Sharing />
        <button
          type="button"
          title="Light or dark"
          onClick={() => (chosen.value = theme.value === "dark" ? "light" : "dark")}
        >
          {theme.value === "dark" ? "Light" : "Dark"}
        </button>
      </div>
    </header>
  );
}

function sizes(given: Record<string, number>): string {
  return Object.entries(given)
    .map(([letter, size]) => `${letter} = ${size}`)
    .join(", ");
}

function Navigation() {
  return (
    <nav aria-label="Screens">
      <ul>
        {SCREENS.filter((screen) => can(screen.needs)).map(({ name, title, says }) => (
          <li key={name}>
            <button
              type="button"
              title={says}
              aria-current={state.value.view.screen === name ? "page" : undefined}
              onClick={() => go({ screen: name })}
            >
              {title}
            </button>
          </li>
        ))}
      </ul>
      {state.value.b && <Parts />}
    </nav>
  );
}

const PARTS: [Part, string, string][] = [
  ["a", "A", "as it was"],
  ["b", "B", "with the edits"],
  ["difference", "B − A", "what the edits change"],
];

function Parts() {
  return (
    <div class="parts" role="group" aria-label="Which run is shown">
      {PARTS.map(([name, title, says]) => (
        <button type="button" key={name} aria-pressed={part.value === name} title={says} onClick={() => go({ part: name })}>
          {title}
        </button>
      ))}
    </div>
  );
}

function Stage() {
  const ofA = useRun(state.value.a);
  const ofB = useRun(state.value.b);
  const { run, asked } = part.value === "a" ? ofA : ofB;
  const screen = SCREENS.find((each) => each.name === state.value.view.screen) ?? SCREENS[0]!;
  if (!ready.value) return <p class="quiet">Write a prompt and run it.</p>;
  if (asked.error)
    return (
      <div class="wrong" role="alert">
        <p>{asked.error}</p>
        <button type="button" onClick={asked.retry}>
          Run again
        </button>
      </div>
    );
  // while B is being made, the screen stays as it is
  if (!run && !ofA.run) return <p class="quiet">Running …</p>;
  const Chosen = screen.component;
  return <Chosen />;
}

function Status() {
  return (
    <footer aria-live="polite">
      {works.value.map((work) => (
        <Progress key={work.job} {...work} />
      ))}
      {notice.value && <span class="notice">{notice.value}</span>}
    </footer>
  );
}

function Progress({ job, op, done, total, doing }: Work) {
  const words = doing || op;
  return (
    <span class="work">
      {words} {total ? `${done} of ${total}` : ""}
      {total ? <progress max={total} value={done} aria-label={words} /> : <progress aria-label={words} />}
      <button type="button" onClick={() => cancel(job)} aria-label={`Cancel: ${words}`}>
        Cancel
      </button>
    </span>
  );
}

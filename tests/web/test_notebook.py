"""The page in a notebook: its frame, the messages, and several beside each other, without a Jupyter around them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Page

import byhand
from byhand.explorer.digits import bits
from byhand.explorer.notebook import Explorer
from byhand.explorer.page import built
from byhand.explorer.runs import session_of

from .conftest import Watch
from .serving import STORY

# What a notebook gives a widget, as far as ours asks for it.
MODEL = """() => {
const models = [];
window.models = models;
window.show = async (source, traits) => {
  const number = models.length;
  const listeners = new Set();
  models.push(listeners);
  const model = {
    get: (name) => traits[name],
    send: (content) => window.toPython(number, content),
    on: (_, listener) => listeners.add(listener),
    off: (_, listener) => listeners.delete(listener),
  };
  const el = document.body.appendChild(document.createElement("div"));
  const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  return widget.render({ model, el });
};
window.fromPython = (number, content, text) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  for (const listener of models[number]) listener(content, text ? [new DataView(bytes.buffer)] : []);
};
}"""


def shown(page: Page, runs: list[Any]) -> None:
    """Widgets of these runs on a page, each answered by its own Python."""
    widgets = [Explorer(*session_of(run)) for run in runs]
    waiting: list[tuple[int, Any]] = []
    page.expose_function("toPython", lambda number, content: waiting.append((number, content)))
    page.evaluate(MODEL)
    for widget in widgets:
        page.evaluate(
            "([source, traits]) => show(source, traits).then(() => {})",
            [built("widget.js"), {"page": widget.page, "height": 700}],
        )
    for _ in range(80):
        while waiting:
            number, content = waiting.pop(0)
            sent: list[Any] = []
            widgets[number].send = lambda head, buffers, sent=sent: sent.append((head, buffers))  # type: ignore[method-assign]
            widgets[number].answer(json.loads(json.dumps(content)))
            ((head, buffers),) = sent
            page.evaluate(
                "given => fromPython(...given)", [number, head, b64encode(buffers[0]).decode() if buffers else ""]
            )
        page.wait_for_timeout(50)


def test_several_widgets_show_their_own_runs(new_context: Callable[..., BrowserContext], watch: Watch) -> None:
    page = new_context().new_page()
    page.goto("data:text/html,<title>notebook</title>")
    runs = [byhand.load("stories").run(STORY), byhand.load("aab").run("abaab")]
    shown(page, runs)
    frames = [frame for frame in page.frames if frame != page.main_frame]
    assert len(frames) == 2
    for frame, run in zip(frames, runs, strict=True):
        text = frame.locator("body").inner_text()
        assert run.setting.model.name in text and "embed" in text and not frame.locator(".wrong").count()


def test_answers_and_errors() -> None:
    run = byhand.load("aab").run("abaab")
    widget = Explorer(*session_of(run))
    sent: list[Any] = []
    widget.send = lambda head, buffers: sent.append((head, buffers))  # type: ignore[method-assign]
    _, scene = session_of(run)
    widget.answer({"id": 7, "op": "cell", "params": {"scene": scene.plain(), "address": "logits", "index": [0, 1, 0]}})
    from byhand.explorer.wire import decoded

    (head, buffers) = sent.pop()
    assert head == {"id": 7} and decoded(buffers[0]).head["bits"] == bits(run.look("logits")[0, 1, 0])
    widget.answer({"id": 8, "op": "nothing", "params": {}})
    assert sent.pop()[0]["error"].startswith("nothing is called 'nothing'")
    for broken in ({}, [], None, {"id": 1, "op": "cell"}, {"id": 1, "op": "cell", "params": 3}):
        widget.answer(broken)
        head, buffers = sent.pop()
        assert head["error"] and not buffers

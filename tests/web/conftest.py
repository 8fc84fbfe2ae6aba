"""Chromium for the tests of the page. Whatever goes wrong on a page fails its test: a word on the console, a refused
request, an answer that is too large, and any request that leaves this machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from byhand.explorer.answer import MOST_BYTES

from .serving import Explored, State, explored

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CLIPBOARD = ["clipboard-read", "clipboard-write"]
ROOM = 64_000  # bytes of an answer's head, beside its arrays

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert found, "these tests need Chromium; on Debian and Ubuntu: apt install chromium"
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=arguments)
        yield made
        made.close()


@dataclass
class Watch:
    """What went wrong on the pages of a test; refusals: how many refused requests the test expects."""

    wrong: list[str] = field(default_factory=list)
    refusals: int = 0

    def console(self, message: ConsoleMessage) -> None:
        expected = self.refusals and "the server responded with a status of 4" in message.text
        if message.type in ("error", "warning") and not expected:
            self.wrong.append(f"console: {message.text}")

    def response(self, response: Response) -> None:
        if response.status >= 400:
            self.refusals -= 1
            if self.refusals < 0:
                self.wrong.append(f"{response.status} to {urlsplit(response.url).path.split('/')[-1]}")
        size = int(response.headers.get("content-length", 0))
        if "/api/" in response.url and size > MOST_BYTES + ROOM:
            self.wrong.append(f"an answer of {size} bytes: {response.url}")

    def request(self, request: Request) -> None:
        """Nothing is asked of another machine, not even in vain."""
        if urlsplit(request.url).hostname != "127.0.0.1" and not request.url.startswith(("data:", "blob:")):
            self.wrong.append(f"a request to {request.url}")

    def over(self, page: Page) -> None:
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.wrong.append(f"an error on the page: {error}"))
        page.on("request", self.request)
        page.on("response", self.response)


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    assert not made.wrong, "\n".join(made.wrong)


@pytest.fixture
def new_context(browser: Browser, watch: Watch) -> Iterator[Callable[..., BrowserContext]]:
    """Browsers that know nothing of each other."""
    made: list[BrowserContext] = []

    def make(**settings: Any) -> BrowserContext:
        settings = {
            "viewport": {"width": 1280, "height": 800},
            "reduced_motion": "reduce",
            "permissions": CLIPBOARD,
        } | settings
        context = browser.new_context(**settings)
        context.set_default_timeout(15_000)
        context.on("page", watch.over)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def open_page(new_context: Callable[..., BrowserContext]) -> Open:
    """``open_page("stories", state)``: the page of a model, at a state or at its beginning, once its run is there."""

    def make(which: str | Explored, state: State | None = None, **settings: Any) -> Page:
        of = explored(which) if isinstance(which, str) else which
        page = new_context(**settings).new_page()
        page.goto(of.to(state))
        page.wait_for_selector("main > section, main > .wrong")
        return page

    return make

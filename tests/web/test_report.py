"""A report opened from the disk: the bits of the run, no request to anybody, and a word for what it did not keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

import byhand
from byhand.explorer.digits import bits

from .conftest import Watch
from .reading import explained, under_cursor
from .serving import STORY, packed

VIEWS = ["blocks.0.attn.weights", "blocks.1.out", ("logits", (0, 3, 7))]


@pytest.fixture(scope="module")
def run() -> Any:
    return byhand.load("stories").run(STORY)


@pytest.fixture(scope="module")
def file(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.report(tmp_path_factory.mktemp("report") / "r.html", VIEWS)


def state(run: Any, screen: str, **view: Any) -> str:
    scene = {"tokens": run.look("tokens")[0].tolist()}
    return "#" + packed({"a": scene, "b": None, "view": {"screen": screen, **view}})


@pytest.fixture
def opened(new_context: Callable[..., BrowserContext], watch: Watch, file: Path) -> Callable[..., Page]:
    """A report allows one request: for its own file."""

    def make(behind: str = "", **settings: Any) -> Page:
        context = new_context(**settings)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{file.as_uri()}{behind}")
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("main > section, main > .wrong")
        watch.wrong = [wrong for wrong in watch.wrong if f"a request to {file.as_uri()}" not in wrong]
        assert len(asked) == 1
        return page

    return make


def test_values_and_numbers_have_the_bits_of_the_run(run: Any, opened: Callable[..., Page]) -> None:
    cells = [("blocks.0.attn.weights", (0, head, 4, 2)) for head in range(4)] + [("blocks.1.out", (0, 5, 100))]
    for address, index in cells:
        page = opened(state(run, "tensor", address=address, index=list(index)))
        assert under_cursor(page, address, index).bits == bits(run.look(address)[index])
        assert not page.locator(".wrong").count()


def test_a_number_is_explained_two_levels_down(run: Any, opened: Callable[..., Page]) -> None:
    page = opened(state(run, "number", address="logits", index=[0, 3, 7]))
    assert explained(page, "logits", (0, 3, 7)).bits == bits(run.look("logits")[0, 3, 7])
    first = run.explain("logits", (0, 3, 7)).operands[0]
    page = opened(state(run, "number", address=first.address, index=list(first.index)))
    assert explained(page, first.address, first.index).bits == bits(run.look(first.address)[first.index])


def test_what_was_not_kept_is_said(run: Any, opened: Callable[..., Page]) -> None:
    page = opened(state(run, "number", address="blocks.2.mlp.out", index=[0, 3, 7]))
    page.wait_for_selector(".wrong")
    assert "This report did not keep that" in page.inner_text("main")
    names = page.locator("nav").inner_text()
    assert "Attention" in names and "Change" not in names


def test_every_screen_of_the_usual_report_is_whole(run: Any, opened: Callable[..., Page]) -> None:
    page = opened()
    for i in range(page.locator("nav a, nav button").count()):
        page.locator("nav a, nav button").nth(i).click()
        page.wait_for_selector("main > section")
        name = page.locator("nav a, nav button").nth(i).inner_text()
        assert name == "Number" or not page.locator(".wrong").count(), page.locator(".wrong").all_inner_texts()


def test_without_javascript_it_has_tables_and_pictures(run: Any, opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    words = page.inner_text("body")
    assert f"{run.look('blocks.1.out')[0, 2, 3]:.4g}" in words and "blocks.0.attn.weights" in words
    assert page.locator("img").count() >= 2 and page.locator("table").count() >= 4

"""Everyone can read the page: in light and dark, by keyboard alone, enlarged, without motion, by a screen reader."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from ..design.tree import ROOT
from .conftest import Open
from .reading import explained, under_cursor
from .serving import Explored, State, explored

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = ("flow", "tensor", "number", "terms", "attention", "change", "stream", "next", "gradient", "trust")
TOO_WIDE = """() => [...document.querySelectorAll('.page *')].filter(each => each.getBoundingClientRect().right > 641)
    .slice(0, 5).map(each => each.outerHTML.slice(0, 150))"""
HEAD = {"address": "blocks.1.attn.heads", "index": [None, None, 2, None], "action": "zero"}


def state_of(of: Explored, screen: str) -> State:
    """A screen with something on it."""
    b = {**of.first, "changes": [HEAD]}
    views: dict[str, dict[str, Any]] = {
        "tensor": {"address": "blocks.1.attn.weights", "table": True},
        "number": {
            "address": "blocks.1.mlp.act",
            "index": [0, 3, 4],
            "trail": [{"address": "logits", "index": [0, 1, 2]}],
        },
        "terms": {"screen": "number", "address": "blocks.1.mlp.out", "index": [0, 3, 5], "all": True},
    }
    return of.state(**{"screen": screen, "b": b, **views.get(screen, {})})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_serious_violation_of_accessibility(open_page: Open, screen: str, theme: str) -> None:
    of = explored("stories")
    page = open_page("stories", state_of(of, screen), color_scheme=theme)
    page.wait_for_load_state("networkidle")
    found = violations(page)
    assert not found, "\n".join(found)


def violations(page: Page) -> list[str]:
    """What axe finds that is serious or critical."""
    # the page's policy lets no foreign script in, so it is run as the test's own
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


def test_axe_notices_a_planted_violation(open_page: Open) -> None:
    page = open_page("aab")
    page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")
    assert any(each.startswith("button-name") for each in violations(page))


def test_from_the_start_to_an_explained_number_by_keyboard_alone(open_page: Open) -> None:
    of = explored("aab")
    page = open_page("aab")
    page.keyboard.press("Tab")
    assert "Skip" in page.evaluate("() => document.activeElement.textContent")
    page.keyboard.press("Enter")
    tab_to(page, "document.activeElement.dataset.address === 'logits'")
    page.keyboard.press("Enter")
    page.wait_for_selector("section.tensor")
    tab_to(page, "document.activeElement.getAttribute('role') === 'grid'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert under_cursor(page, "logits", (0, 1, 1)).bits == of.bits("logits", (0, 1, 1))
    page.keyboard.press("Enter")
    assert explained(page, "logits", (0, 1, 1)).bits == of.bits("logits", (0, 1, 1))
    tab_to(page, "document.activeElement.matches('.terms .link')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".trail li")


def tab_to(page: Page, there: str) -> None:
    """Press Tab until a place is reached."""
    for _ in range(120):
        if page.evaluate(there):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {there}")


@pytest.mark.parametrize("screen", SCREENS)
def test_enlarged_twice_nothing_is_lost_beside_the_page(open_page: Open, screen: str) -> None:
    of = explored("stories")
    page = open_page("stories", state_of(of, screen), viewport={"width": 640, "height": 400}, device_scale_factor=2)
    page.wait_for_load_state("networkidle")
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 640, page.evaluate(TOO_WIDE)


def test_nothing_moves_for_those_who_want_it_still(open_page: Open) -> None:
    page = open_page("stories", explored("stories").state("tensor", address="logits"))
    page.get_by_role("button", name="Flow").hover()
    assert page.evaluate("() => document.getAnimations().length") == 0


def test_a_screen_reader_hears_the_cell_under_the_cursor(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="logits"))
    page.wait_for_selector('.matrix[aria-busy="false"]')
    grid = page.get_by_role("grid")
    assert (grid.get_attribute("aria-rowcount"), grid.get_attribute("aria-colcount")) == ("10", "1000")
    grid.press("ArrowDown")
    under_cursor(page, "logits", (0, 1, 0))
    active = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert active.get_attribute("role") == "gridcell"
    assert active.get_attribute("aria-colindex") == "1"
    assert page.locator(".cell").get_attribute("aria-live") == "polite"

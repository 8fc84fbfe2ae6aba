"""Edits, undo, and the link that holds all of it: the same bits everywhere, and those of plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from byhand.explorer.digits import bits

from ..explorer.scenes import patched
from ..small_models import independent
from .conftest import Open
from .reading import explained, shown, under_cursor
from .serving import STORY, State, explored, unpacked

HEADS = "blocks.1.attn.heads"
HEAD = {"address": HEADS, "index": [None, None, 2, None], "action": "zero"}
ALL = """() => [...document.querySelectorAll('.readout')]
    .map(each => [each.dataset.name, each.dataset.index, each.dataset.bits])"""
WEIGHT = {"address": "blocks.2.mlp.up.weight", "index": [5, 7], "action": "set", "value": 1.5}


def apply(page: Page, what: str, how: str, value: str | None = None) -> None:
    """Fill in the form that changes a value."""
    form = page.locator("form.editing")
    if what:
        options = form.get_by_label("What to change").locator("option").all_inner_texts()
        form.get_by_label("What to change").select_option(next(each for each in options if each.startswith(what)))
    form.get_by_label("How").select_option(how)
    if value is not None:
        form.get_by_label("Number").fill(value)
    form.get_by_role("button", name="Apply to B").click()


def test_an_ablated_head_gives_the_bits_of_an_independent_recomputation(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address=HEADS, index=[0, None, 2, None]))
    page.wait_for_selector('.matrix[aria-busy="false"]')
    apply(page, "all that is shown", "set to 0")
    page.wait_for_selector(".edits li")
    page.get_by_label("Value", exact=True).fill("logits")
    page.wait_for_selector('section.tensor[aria-label="logits"]')
    run = of.run()
    expected = run.edit(HEADS, head=2, zero=True)
    for index in [(0, 0, 0), (0, 9, 17), (0, 4, 999)]:
        go(page, index)
        read = under_cursor(page, "logits", index, "B")
        assert np.float32(read.text).tobytes() == expected["logits"].array[index].tobytes()
        assert under_cursor(page, "logits", index, "A").bits == of.bits("logits", index)
    difference = under_cursor(page, "logits", (0, 4, 999), "BA")
    wide = expected["logits"].array[0, 4, 999].astype(float) - run["logits"].array[0, 4, 999].astype(float)
    assert np.float32(difference.text) == np.float32(wide)


def go(page: Page, index: tuple[int, ...]) -> None:
    form = page.get_by_role("form", name="Go to")
    form.get_by_label("Row").fill(str(index[-2]))
    form.get_by_label("Column").fill(str(index[-1]))
    form.get_by_role("button", name="Go").click()


def test_a_number_is_set_and_undone_to_the_same_bits(open_page: Open) -> None:
    of = explored("stories")
    index = (0, 9, 17)
    page = open_page("stories", of.state("number", address="blocks.2.mlp.up.weight", index=[5, 7]))
    explained(page, "blocks.2.mlp.up.weight", (5, 7))
    apply(page, "", "set to", "1.5")
    page.wait_for_selector(".edits li")
    assert explained(page, "blocks.2.mlp.up.weight", (5, 7)).text == "1.5"
    page.get_by_label("Value", exact=True).fill("logits")
    for axis, place in zip("BTV", index, strict=True):
        page.get_by_label(f"Place along {axis}").fill(str(place))
    edited = {**of.first, "changes": [WEIGHT]}
    assert explained(page, "logits", index).bits == of.bits("logits", index, edited)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector(".edits li", state="detached")
    assert explained(page, "logits", index).bits == of.bits("logits", index)
    page.get_by_role("button", name="Redo").click()
    page.wait_for_selector(".edits li")
    assert explained(page, "logits", index).bits == of.bits("logits", index, edited)
    page.keyboard.press("Control+z")
    page.wait_for_selector(".edits li", state="detached")


@pytest.mark.parametrize("change", [WEIGHT, HEAD], ids=["weight", "head"])
def test_an_edit_gives_the_bits_of_an_independent_engine(open_page: Open, change: State) -> None:
    of = explored("stories")
    scene = {**of.first, "dtype": "float64", "changes": [change]}
    run = of.run({**of.first, "dtype": "float64"})
    weights = {address: run.look(address) for address in run.program.weights}
    expected = independent(run.program, weights, run.inputs, patched([change]))["logits"]
    assert expected.tobytes() != run["logits"].array.tobytes()
    page = open_page("stories", of.state("tensor", a=scene, address="logits", index=[0, 5, 40], table=True))
    page.wait_for_selector(".numbers td")
    for each in shown(page.locator(".numbers .readout")):
        assert each.bits == bits(expected[each.index]), each


def test_edits_are_switched_off_and_on_and_removed(open_page: Open) -> None:
    of = explored("stories")
    both = {**of.first, "changes": [HEAD, WEIGHT]}
    page = open_page("stories", of.state("tensor", b=both, address="logits"))
    index = (0, 9, 17)
    go(page, index)
    assert under_cursor(page, "logits", index, "B").bits == of.bits("logits", index, both)
    page.locator(".edits input").first.uncheck()
    without = {**of.first, "changes": [WEIGHT]}
    page.wait_for_selector(".edits .off")
    assert read_b(page, index) == of.bits("logits", index, without)
    page.locator(".edits input").first.check()
    assert read_b(page, index) == of.bits("logits", index, both)
    page.get_by_role("button", name="Remove blocks.2.mlp.up.weight[5,7] = 1.5").click()
    assert read_b(page, index) == of.bits("logits", index, {**of.first, "changes": [HEAD]})
    page.get_by_role("button", name="Remove blocks.1.attn.heads").click()
    assert under_cursor(page, "logits", index).bits == of.bits("logits", index)


def read_b(page: Page, index: tuple[int, ...]) -> str:
    page.wait_for_selector('.cell[aria-busy="false"]')
    return under_cursor(page, "logits", index, "B").bits


@pytest.mark.parametrize("name", ["stories", "reversals"])
def test_a_copied_link_gives_the_same_readouts_in_a_fresh_browser(open_page: Open, new_context, name: str) -> None:
    of = explored(name)
    heads = {"address": "blocks.0.attn.heads", "index": [None, None, 1, None], "action": "scale", "value": 0.25}
    changed = {**of.first, "changes": [heads]}
    state = of.state("tensor", b=changed, address="logits", table=True)
    page = open_page(name, state)
    page.wait_for_selector(".numbers td")
    page.get_by_role("grid").press("ArrowRight")
    page.get_by_role("button", name="B − A").click()
    page.wait_for_selector(".scroll:not(.stale) .numbers td")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The link is copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert unpacked(link)["b"]["changes"] == [heads]
    other = new_context().new_page()
    other.goto(link)
    other.wait_for_selector(".scroll:not(.stale) .numbers td")
    page.wait_for_selector('.cell[aria-busy="false"]')
    other.wait_for_selector('.cell[aria-busy="false"]')
    numbers = page.evaluate(ALL)
    assert len(numbers) > 20
    assert other.evaluate(ALL) == numbers
    assert {bits for _, _, bits in numbers} != {"00000000"}


def test_the_browsers_back_leads_back(open_page: Open) -> None:
    of = explored("aab")
    page = open_page("aab", of.state("flow"))
    page.get_by_role("button", name="logits", exact=True).click()
    page.wait_for_selector("section.tensor")
    page.wait_for_function("() => history.length > 2")
    page.go_back()
    page.wait_for_selector("section.flow")


def test_another_prompt_runs_and_shows_its_tokens(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="logits"))
    page.get_by_label("Prompt").fill("Once there was a cat")
    page.get_by_role("button", name="Run").click()
    scene = {"text": "Once there was a cat"}
    ids = [str(each) for each in of.array("tokens", scene)[0]]
    page.wait_for_function("count => document.querySelectorAll('.tokens li').length === count", arg=len(ids))
    assert page.locator(".tokens small").all_inner_texts() == ids
    last = (0, len(ids) - 1, 3)
    go(page, last)
    assert under_cursor(page, "logits", last).bits == of.bits("logits", last, scene)


def test_the_copied_python_makes_the_same_bits(open_page: Open) -> None:
    of = explored("stories")
    changed = {"text": STORY, "changes": [HEAD]}
    page = open_page("stories", of.state("tensor", b=changed, address="logits"))
    page.get_by_role("button", name="Copy as Python").click()
    page.get_by_text("The Python code is copied.").wait_for()
    code = page.evaluate("navigator.clipboard.readText()")
    names: dict = {}
    exec(code, names)
    runs = [each for each in names.values() if type(each).__name__ == "Run"]
    expected = of.array("logits", changed)
    assert any(run["logits"].array.tobytes() == expected.tobytes() for run in runs), code


def test_a_broken_link_says_so(open_page: Open) -> None:
    of = explored("aab")
    page = open_page("aab")
    page.goto("about:blank")
    page.goto(of.link + "#v1.broken")
    page.get_by_text("The link could not be read").wait_for()


def test_a_refused_edit_is_said_and_can_be_undone(open_page: Open, watch) -> None:
    of = explored("aab")
    wrong = {**of.first, "changes": [{"address": "logits", "index": [0, 99, 0], "action": "zero"}]}
    watch.refusals = 4
    page = open_page("aab", of.state("tensor", b=wrong, address="logits"))
    page.get_by_role("alert").wait_for()
    assert "99" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector("section.tensor")

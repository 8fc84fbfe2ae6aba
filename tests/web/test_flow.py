"""The flow lists what the program has, in its order, with the figures of the arrays."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from byhand.explorer import Answer

from .conftest import Open, Watch
from .planting import planted
from .serving import PROMPTS, Explored, explored

ROWS = """all => all.map(row => [row.querySelector('button').dataset.address,
    [...row.querySelectorAll('td')].slice(1, 5).map(cell => cell.textContent)])"""

FILLED = "() => [...document.querySelectorAll('.flow tbody tr:not(.block)')].every(row => row.cells[3].textContent)"


def listed(page: Page) -> list[tuple[str, list[str]]]:
    rows = page.locator(".flow tbody tr:not(.block)")
    return [(address, cells) for address, cells in rows.evaluate_all(ROWS)]


def values(of: Explored) -> list[str]:
    """All addresses but the weights."""
    run = of.run()
    return [address for address in run.program.addresses if address not in run.program.weights]


@pytest.mark.parametrize("name", PROMPTS)
def test_every_value_is_listed_in_order_with_its_shape_and_figures(open_page: Open, name: str) -> None:
    of = explored(name)
    page = open_page(name)
    page.get_by_role("button", name="Unfold all").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.flow tbody tr:not(.block)')].every(row => row.cells[3].textContent)"
    )
    rows = listed(page)
    addresses = [address for address, _ in rows]
    assert sorted(addresses) == sorted(values(of))
    steps = [address for step in of.run().program for address in step.writes.values()]
    assert [each for each in addresses if each in set(steps)] == steps
    for address, (shape, least, mean, most) in rows:
        array = of.array(address)
        axes = of.run().program.axes(address)
        assert shape == " × ".join(f"{letter} {size}" for letter, size in zip(axes, array.shape, strict=True))
        finite = array[np.isfinite(array)]
        assert (array.dtype.type(float(least)), array.dtype.type(float(most))) == (finite.min(), finite.max())
        assert np.isclose(float(mean), finite.mean(dtype=float), rtol=1e-5, atol=1e-7)


def test_blocks_fold_and_unfold_by_keyboard(open_page: Open) -> None:
    page = open_page("stories")
    assert page.locator(".flow .fold").count() == 4
    first = page.locator(".flow .fold").first
    before = len(listed(page))
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-expanded") == "true"
    assert len(listed(page)) == before + 19
    page.keyboard.press("Enter")
    assert len(listed(page)) == before


def test_a_value_leads_to_its_tensor(open_page: Open) -> None:
    page = open_page("aab")
    page.locator('.flow [data-address="blocks.0.attn.weights"]').click()
    page.wait_for_selector('section.tensor[aria-label="blocks.0.attn.weights"]')


def test_what_an_edit_changes_is_marked_and_nothing_else(open_page: Open) -> None:
    of = explored("stories")
    change = {"address": "blocks.2.attn.heads", "index": [None, None, 1, None], "action": "zero"}
    scene = {**of.first, "changes": [change]}
    page = open_page("stories", of.state("flow", b=scene))
    page.get_by_role("button", name="Unfold all").click()
    page.wait_for_selector(".chip.changed >> text=changed")
    marked = (
        page.locator(".flow tr", has=page.locator("button.changed"))
        .locator("th button")
        .evaluate_all("all => all.map(each => each.dataset.address)")
    )
    before, after = of.run(), of.run(scene)
    assert marked == [each for each in values(of) if before[each].array.tobytes() != after[each].array.tobytes()]
    edited = page.locator(".flow tr", has=page.get_by_text("edited", exact=True)).locator("th button")
    assert edited.evaluate_all("all => all.map(each => each.dataset.address)") == ["blocks.2.attn.heads"]


def test_where_nan_first_comes_up_is_said(open_page: Open, watch: Watch) -> None:
    of = explored("stories")
    large = {"address": "blocks.1.attn.q", "index": [0, 9, 0, None], "action": "scale", "value": 3e38}
    watch.refusals = 9
    page = open_page("stories", of.state("flow", b={**of.first, "changes": [large, large]}))
    page.get_by_role("alert").wait_for()
    assert "blocks.1.attn.scores[0,0,9,0] is the first NaN" in page.get_by_role("alert").inner_text()


def test_a_nan_is_flagged_also_in_a_folded_block(open_page: Open) -> None:
    real = explored("stories")

    def spoiled(op: str, answer: Answer) -> Answer:
        if op == "stats" and "blocks.1.mlp.act" in answer.head["stats"]:
            answer.head["stats"]["blocks.1.mlp.act"]["nan"] = 3
        return answer

    of = planted(real, spoiled)
    page = open_page(of)
    page.locator(".flow .chip.bad").first.wait_for()
    folded = page.locator(".flow tr.block", has=page.locator(".chip.bad")).locator(".fold")
    assert ["block 1" in text for text in folded.all_inner_texts()] == [True]
    page.get_by_role("button", name="Unfold all").click()
    flagged = page.locator(".flow tr", has=page.locator(".chip.bad"))
    assert flagged.locator("th button").evaluate_all("all => all.map(each => each.dataset.address)") == [
        "blocks.1.mlp.act"
    ]
    assert flagged.locator(".chip.bad").inner_text() == "NaN × 3"

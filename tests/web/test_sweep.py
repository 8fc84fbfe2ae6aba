"""Sweeps made on the page: every cell is what a run of its own gives, and a long sweep can be stopped."""

from threading import Event

import numpy as np

from byhand.explorer import sweeping
from byhand.explorer.digits import number

from ..explorer.scenes import edit, edited, scene_of
from .forms import ALL, bits_of, changes_of, fill, run_of
from .small import explore


def sweep(page, **fields):
    fill(page, "Sweep an edit", **fields)


def test_a_cell_of_a_sweep_is_the_single_run(open_page):
    scene = scene_of("gpt2-tiny")
    page, session = explore(open_page, "gpt2-tiny", scene, "change")
    sweep(page, Over="every layer and head", What="attention head")
    grid = page.get_by_role("grid", name="Effects")
    grid.wait_for()
    token = int(run_of(session, scene).look("logits")[0, 4].argmax())
    grid.focus()
    for layer, keys in ((0, ["ArrowRight"] * 3), (1, ["ArrowDown", "Home", *["ArrowRight"] * 3])):
        for key in keys:
            page.keyboard.press(key)
        cell = page.locator(f"[data-cell='{layer},3']")
        single = edited(scene, edit(f"blocks.{layer}.attn.heads", [ALL, ALL, 3, ALL]))
        expected = run_of(session, single).look("logits")[0, 4, token]
        assert cell.get_attribute("data-bits") == bits_of(expected)
        base = run_of(session, scene).look("logits")[0, 4, token]
        assert f"by {number(np.float32(float(expected) - float(base)))}" in cell.inner_text()
    grid.press("Enter")
    page.get_by_role("table", name="After (B)").wait_for()
    assert changes_of(page) == [edit("blocks.1.attn.heads", [ALL, ALL, 3, ALL])]


def test_patching_swept_over_layers_and_positions(open_page):
    scene = scene_of("gpt2-tiny")
    page, session = explore(open_page, "gpt2-tiny", scene, "change")
    sweep(
        page,
        What="stream: out",
        Over="every layer and position",
        Dimension="",
        How="take from another prompt",
        Other_prompt="World",
        Look_at="the probability of a token",
    )
    page.locator("[data-cell='0,0']").wait_for()
    grid = page.get_by_role("grid", name="Effects")
    grid.focus()
    grid.press("ArrowDown")
    grid.press("End")
    cell = page.locator("[data-cell='1,4']")
    cell.wait_for()
    token = int(run_of(session, scene).look("logits")[0, 4].argmax())
    single = edited(scene, edit("blocks.1.out", [ALL, 4, ALL], "patch", {"text": "World"}))
    assert cell.get_attribute("data-bits") == bits_of(run_of(session, single).look("probs")[0, 4, token])
    # patching the last layer at the last position is the other prompt
    assert cell.get_attribute("data-bits") == bits_of(run_of(session, {"text": "World"}).look("probs")[0, 4, token])
    page.get_by_role("button", name="Make this edit").click()
    assert changes_of(page) == [edit("blocks.1.out", [ALL, 4, ALL], "patch", {"text": "World"})]


def test_heads_swept_over_positions(open_page):
    scene = scene_of("llama-tiny")
    page, session = explore(open_page, "llama-tiny", scene, "change")
    sweep(page, Over="every head and position", Layer="1", How="multiply by", Number=-1)
    grid = page.get_by_role("grid", name="Effects: head down, position across")
    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        grid.press(key)
    cell = page.locator("[data-cell='2,1']")
    cell.wait_for()
    token = int(run_of(session, scene).look("logits")[0, 4].argmax())
    change = edit("blocks.1.attn.heads", [ALL, 1, 2, ALL], "scale", -1)
    assert cell.get_attribute("data-bits") == bits_of(
        run_of(session, edited(scene, change)).look("logits")[0, 4, token]
    )
    page.get_by_role("button", name="Make this edit").click()
    assert changes_of(page) == [change]


def test_a_sweep_is_watched_and_cancelled(open_page, watch, monkeypatch):
    measured, cancelled, done = sweeping.measured, Event(), []

    def stopping(*given):
        done.append(given)
        assert len(done) < 3 or cancelled.wait(60), "nobody cancelled"
        return measured(*given)

    monkeypatch.setattr(sweeping, "measured", stopping)
    scene = scene_of("gpt2-tiny")
    page, session = explore(open_page, "gpt2-tiny", scene, "change")
    before = run_of(session, scene).look("logits").copy()
    watch.refusals = 2
    sweep(page, What="neuron", Over="every layer and position")
    page.get_by_role("button", name="Cancel: sweeping").wait_for()
    page.get_by_text("sweeping 2 of 10").wait_for()
    with page.expect_response(lambda response: response.url.endswith("/cancel")):
        page.get_by_role("button", name="Cancel: sweeping").click()
    cancelled.set()
    page.get_by_text("Cancelled.").first.wait_for()
    page.get_by_text("There is no B yet").wait_for()
    assert len(done) == 3
    assert (run_of(session, scene).look("logits") == before).all()
    monkeypatch.setattr(sweeping, "measured", measured)
    page.get_by_role("button", name="Sweep again").click()
    page.locator("[data-cell='0,0']").wait_for()

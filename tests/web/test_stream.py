"""The stream's screen against the arrays of the same process: the lens' table, and the bars that sum to a logit."""

import math

import numpy as np
import pytest
from playwright.sync_api import expect

from byhand.explorer.digits import bits
from byhand.explorer.scene import read_scene

from ..explorer.scenes import edit, edited, scene_of
from .reading import explained, shown
from .serving import explored
from .small import explore, small

CELLS = ".lens .readout"


def cells(page):
    """What the lens' table says: by layer and position the token and its logit's bits."""
    page.locator(".stream:not(.stale) .followed, .stream:not(.stale) #followed").first.wait_for()
    return {(each.address, each.index[0]): each for each in shown(page.locator(CELLS))}


def split_values(page):
    """The parts of the split logit, in full."""
    page.locator(".split:not(.stale) .bars").wait_for()
    return [
        float(each)
        for each in page.locator(".split [data-value]").evaluate_all("all => all.map(each => each.dataset.value)")
    ]


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "bert-tiny"])
def test_the_last_row_of_the_lens_is_the_real_logits(open_page, name):
    scene = scene_of(name)
    page, session = explore(open_page, name, scene, "stream")
    logits_TV = session.run(read_scene(scene)).look("logits")[0]
    found = cells(page)
    layers = session.handle("lens", {"scene": scene}).head["layers"]
    assert {layer for layer, _ in found} == {f"lens:{layer}" for layer in layers}
    for t, logits_V in enumerate(logits_TV):
        each = found[f"lens:{layers[-1]}", t]
        assert each.index == (t, int(logits_V.argmax())) and each.bits == bits(logits_V.max())


def test_an_inner_row_is_the_end_of_the_model_on_that_layers_stream(open_page):
    scene = scene_of("gpt2-tiny", dtype="float64")
    page, session = explore(open_page, "gpt2-tiny", scene, "stream")
    of = session.run(read_scene(scene))
    for layer in ("embed.out", "blocks.0.out"):
        x_TD = of.look(layer)[0]
        x_TD = (x_TD - x_TD.mean(-1, keepdims=True)) / np.sqrt(x_TD.var(-1, keepdims=True) + 1e-5)
        logits_TV = (x_TD * of.look("final_norm.gain") + of.look("final_norm.shift")) @ of.look("token.weight").T
        for t in range(5):
            assert cells(page)[f"lens:{layer}", t].index == (t, int(logits_TV[t].argmax()))


def test_choosing_a_cell_splits_the_logit_and_the_bars_sum_to_it(open_page):
    scene = scene_of("gpt2-tiny")
    page, session = explore(open_page, "gpt2-tiny", scene, "stream")
    found = cells(page)["lens:blocks.0.out", 2]
    page.locator(f"{CELLS}[data-name='lens:blocks.0.out'][data-index='{found.index[0]},{found.index[1]}']").click()
    page.get_by_role("heading", name="after position 2").last.wait_for()
    address, index = "logits", (0, *found.index)
    page.locator(
        f".split:not(.stale) .readout[data-name='logits'][data-index='{','.join(map(str, index))}']"
    ).wait_for()
    stored = session.run(read_scene(scene)).look(address)[index]
    assert shown(page.locator(".split .readout[data-name='logits']"))[0].bits == bits(stored)
    by_block = split_values(page)
    page.get_by_role("button", name="Every part").click()
    page.locator("[data-part='blocks.1.attn.out head 3']").wait_for()
    every = split_values(page)
    total = float(page.locator(".split tfoot .total").inner_text())
    error = float(page.locator(".split .error").inner_text())
    assert len(every) > len(by_block) and math.fsum(every) == total
    assert math.isclose(math.fsum(by_block), total, abs_tol=1e-12)
    assert math.isclose(abs(total - float(stored)), error, rel_tol=1e-4, abs_tol=1e-300) and error < 1e-6
    parts = session.run(read_scene(scene)).split(found.index[1], 2).parts
    assert every == list(parts.values())


def test_the_largest_parts_first_and_a_way_to_the_logit(open_page):
    page, session = explore(
        open_page, "llama-tiny", scene_of("llama-tiny"), "stream", stream={"every": True, "token": 7}
    )
    split_values(page)
    page.get_by_label("Order").select_option("size")
    page.locator(".bars th", has_text="sum so far").wait_for(state="detached")
    sizes = [abs(each) for each in split_values(page)]
    assert sizes == sorted(sizes, reverse=True)
    page.locator(".split p .link").first.click()
    stored = session.run(read_scene(scene_of("llama-tiny"))).look("logits")[0, 4, 7]
    assert explained(page, "logits", (0, 4, 7)).bits == bits(stored)
    page.go_back()
    assert sizes == [abs(each) for each in split_values(page)]


def test_a_followed_token_has_its_rank_in_every_layer(open_page):
    of = explored("stories")
    page = open_page("stories", of.state("stream"))
    cells(page)
    page.get_by_label("Follow the token").fill('" the"')
    page.get_by_role("group", name="Tokens found").get_by_role("button", name="·the").click()
    page.get_by_role("heading", name="“·the”").first.wait_for()
    token = of.session.model.tokenizer.encode(" the")[-1]
    expect(page.locator("#followed")).to_contain_text(f"({token})")
    logits_V = of.array("logits")[0, -1]
    last = page.locator("section:has(> #followed) tbody tr").last
    assert int(last.locator("td").first.inner_text()) == (logits_V > logits_V[token]).sum()
    assert shown(last.locator(".readout"))[0].bits == bits(logits_V[token])
    layers = of.session.handle("lens", {"scene": of.first, "token": token}).head
    ranks = page.locator("section:has(> #followed) tbody tr td:nth-child(2)").all_inner_texts()
    assert [int(each) for each in ranks] == [row[-1]["rank"] for row in layers["chosen"]]


def test_everything_by_keyboard(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "stream")
    cells(page)
    page.locator(".lens button[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.querySelector('.readout').dataset.name") == "lens:blocks.0.out"
    page.keyboard.press("Enter")
    expect(page.locator("#split")).to_contain_text("after position 3")
    assert page.evaluate("document.activeElement.closest('.lens') !== null")


def test_a_long_text_in_pieces(open_page):
    scene = {"text": "Once upon a time " * 3}
    page, session = explore(open_page, "gpt2-tiny", scene, "stream")
    cells(page)
    count = len(session.run(read_scene(scene)).look("tokens")[0])
    assert {t for _, t in cells(page)} == set(range(count // 16 * 16, count))
    page.get_by_role("button", name="Earlier positions").click()
    expect(page.locator("#split")).to_contain_text(f"after position {count // 16 * 16 - 16}")
    assert {t for _, t in cells(page)} == set(range(count // 16 * 16 - 16, count // 16 * 16))


def test_a_model_that_norms_after_each_block_says_so(open_page):
    page, _ = explore(open_page, "original-tiny", scene_of("original-tiny"), "stream")
    cells(page)
    assert "norm of its own" in page.locator(".stream > p").first.inner_text()
    page, _ = explore(open_page, "bert-tiny", scene_of("bert-tiny"), "stream")
    split_values(page)
    assert "no sum" in page.locator(".split").inner_text()


def test_of_an_edited_run(open_page):
    scene = scene_of("gpt2-tiny")
    changed = edited(scene, edit("blocks.0.out", [0, 4, 3], "set", 4.0))
    page, session = explore(open_page, "gpt2-tiny", scene, "stream")
    before = cells(page)["lens:blocks.1.out", 4]
    of = small("gpt2-tiny")
    page = open_page(of, of.state("stream", a=scene, b=changed, stream={"token": before.index[1]}))
    cells(page)
    stored = session.run(read_scene(changed)).look("logits")[0, 4, before.index[1]]
    assert shown(page.locator(".split .readout[data-name='logits']"))[0].bits == bits(stored) != before.bits
    split_values(page)
    page.locator("[data-part='blocks.0.out']").wait_for()  # what was set there is a part by itself
    expect(page.locator(".stream")).to_contain_text("Of B, with the edits")

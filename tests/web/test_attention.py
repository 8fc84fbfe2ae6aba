"""The attention screen against the arrays of the same process: pictures by their colours, numbers by their bits."""

import numpy as np
import pytest

from byhand.explorer.scene import read_scene

from ..explorer.scenes import edit, edited, patched, scene_of
from ..small_models import independent
from .forms import bits_of
from .reading import shown
from .small import explore, wait_bits

LONG = "the cat sat"
WHITE_TO_BLUE = [
    (255, 255, 255),
    (222, 233, 246),
    (173, 205, 230),
    (107, 164, 208),
    (49, 116, 178),
    (16, 72, 130),
    (6, 34, 76),
]
PIXELS = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""


def weights(session, scene, layer, kind="attn", stage="weights"):
    return session.run(read_scene(scene)).look(f"blocks.{layer}.{kind}.{stage}")[0]


def choose(page, layer, head):
    page.locator(f"[data-head='{layer}.{head}']").click()
    page.get_by_role("heading", name=f"Layer {layer}, head {head}", exact=True).wait_for()


def readout(page, address, index):
    return page.locator(f"[data-name='{address}'][data-index='{','.join(map(str, index))}']").first


def colour(value):
    """The colour of a share of attention, from white to dark blue."""
    place = round(min(max(value, 0), 1) * 1023) / 1023 * (len(WHITE_TO_BLUE) - 1)
    low = min(int(place), len(WHITE_TO_BLUE) - 2)
    return [a + (b - a) * (place - low) for a, b in zip(WHITE_TO_BLUE[low], WHITE_TO_BLUE[low + 1], strict=True)]


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny"])
def test_every_picture_has_the_colours_of_its_head(open_page, name):
    scene = {"text": LONG}
    page, session = explore(open_page, name, scene, "attention")
    for layer in range(2):
        weights_HTS = weights(session, scene, layer)
        for head, weights_TS in enumerate(weights_HTS):
            data = page.locator(f"[data-head='{layer}.{head}'] canvas").evaluate(PIXELS)
            pixels = np.array(data).reshape(*weights_TS.shape, 4)[..., :3]
            most = max(weights(session, scene, each).max() for each in range(2))
            expected = np.array([[colour(each / most) for each in row] for row in weights_TS])
            assert np.abs(pixels - expected).max() <= 1.5, (layer, head)


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny"])
def test_a_query_shows_what_it_reads(open_page, name):
    scene = {"text": LONG}
    page, session = explore(open_page, name, scene, "attention")
    for layer, head, query in ((0, 1, 4), (1, 3, 10), (1, 0, 0)):
        choose(page, layer, head)
        page.get_by_role("option", name=f"query {query} ").hover()
        weights_S = weights(session, scene, layer)[head, query]
        for key, value in enumerate(weights_S):
            index = (0, head, query, key)
            wait_bits(page, f"blocks.{layer}.attn.weights", index, bits_of(value), ".reading")
            shown = readout(page, f"blocks.{layer}.attn.weights", index)
            assert np.float32(shown.inner_text()) == value
        shares = page.get_by_role("listbox", name="Keys").locator("[data-bits]").all_inner_texts()
        assert len(shares) == len(weights_S) and abs(sum(map(float, shares)) - 1) < 1e-6


def test_a_key_shows_who_reads_it(open_page):
    scene = {"text": LONG}
    page, session = explore(open_page, "gpt2-tiny", scene, "attention")
    choose(page, 1, 2)
    page.get_by_role("option", name="key 3 ").hover()
    for query, value in enumerate(weights(session, scene, 1)[2, :, 3]):
        shown = readout(page, "blocks.1.attn.weights", (0, 2, query, 3))
        shown.wait_for()
        assert shown.get_attribute("data-bits") == bits_of(value)


def test_a_locked_token_stays(open_page):
    page, _ = explore(open_page, "gpt2-tiny", {"text": LONG}, "attention")
    page.get_by_role("option", name="query 5 ").click()
    page.get_by_role("button", name="Locked").wait_for()
    page.get_by_role("option", name="query 2 ").hover()
    page.wait_for_timeout(300)
    assert page.get_by_role("option", name="query 5 ").get_attribute("aria-selected") == "true"
    page.get_by_role("button", name="Locked").click()
    page.get_by_role("option", name="query 2 ").hover()
    page.get_by_text("What query 2 ").wait_for()


SLOWLY = """() => {
    const soon = window.fetch;
    window.fetch = async (...given) => {
        const answer = await soon(...given);
        await new Promise(done => setTimeout(done, 600));
        return answer;
    };
}"""


def test_while_an_answer_is_awaited_no_number_stands_at_a_wrong_place(open_page):
    scene = {"text": LONG}
    page, session = explore(open_page, "llama-tiny", scene, "attention")
    choose(page, 0, 1)
    page.get_by_role("option", name="query 9 ").hover()
    wait_bits(page, "blocks.0.attn.weights", (0, 1, 9, 2), bits_of(weights(session, scene, 0)[1, 9, 2]))
    page.evaluate(SLOWLY)
    run, seen = session.run(read_scene(scene)), set()
    for place, act in {
        ("blocks.0.attn.weights", (0, 1, 7, 2)): lambda: page.get_by_role("option", name="query 7 ").hover(),
        ("blocks.0.attn.weights", (0, 1, 8, 5)): lambda: page.get_by_role("option", name="key 5 ").hover(),
        ("blocks.1.attn.weights", (0, 2, 8, 5)): lambda: page.locator("[data-head='1.2']").click(),
    }.items():
        act()
        for _ in range(200):
            for address, index, bits, _ in shown(page.locator("main [data-bits]")):
                assert bits == bits_of(run.look(address)[index]), (address, index)
                seen.add((address, index))
            if place in seen:
                break
            page.wait_for_timeout(30)
        assert place in seen


STAGES = ("scores", "masked", "weights")


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny"])
def test_the_stages_under_the_cursor(open_page, name):
    """By keyboard alone: from the heads to a cell, and on to where its number comes from."""
    scene = {"text": LONG}
    page, session = explore(open_page, name, scene, "attention")
    page.locator("[data-head='0.0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Layer 1, head 1", exact=True).wait_for()
    matrix = page.get_by_role("grid", name="blocks.1.attn.weights")
    matrix.focus()
    for key in ["ArrowDown"] * 6 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    for stage in STAGES:
        shown = readout(page, f"blocks.1.attn.{stage}", (0, 1, 6, 2))
        shown.wait_for()
        assert shown.get_attribute("data-bits") == bits_of(weights(session, scene, 1, stage=stage)[1, 6, 2])
    matrix.press("Enter")
    page.locator(".number").wait_for()
    shown = readout(page, "blocks.1.attn.weights", (0, 1, 6, 2))
    shown.wait_for()
    assert shown.get_attribute("data-bits") == bits_of(weights(session, scene, 1)[1, 6, 2])
    page.go_back()
    readout(page, "blocks.1.attn.scores", (0, 1, 6, 2)).wait_for()


def test_heads_in_the_order_of_a_measure(open_page):
    scene = {"text": "the cat the cat"}
    page, session = explore(open_page, "gpt2-tiny", scene, "attention")
    answer = session.handle("heads", {"scene": scene})
    for name, sign in (("entropy", 1), ("first key", -1), ("previous token", -1), ("induction", -1)):
        page.get_by_label("Order").select_option(name)
        ranked = np.argsort(sign * answer.arrays[name].ravel(), kind="stable")
        expected = [f"{i // 4}.{i % 4}" for i in ranked]
        assert page.locator("[data-head]").evaluate_all("all => all.map(each => each.dataset.head)") == expected
        first = page.locator("[data-head]").first
        layer, head = map(int, expected[0].split("."))
        assert f"{name} {answer.head['measures'][name][layer][head]}" in str(first.text_content())


def test_grouped_heads(open_page):
    page, _ = explore(open_page, "llama-tiny", {"text": LONG}, "attention")
    groups = page.get_by_role("list", name="Which heads share keys and values")
    assert groups.get_by_role("listitem").all_inner_texts() == ["k/v 0", "k/v 1"]
    choose(page, 1, 2)
    section = page.get_by_role("region", name="Layer 1 head 2")
    assert "reads key/value head 1, as head 3 does" in section.inner_text()
    section.get_by_role("button", name="k", exact=True).click()
    shown = page.locator("[data-name='blocks.1.attn.k']").first
    shown.wait_for()
    index = [int(i) for i in str(shown.get_attribute("data-index")).split(",")]
    assert index[2] == 1


@pytest.mark.parametrize("kind, title", [("cross", "The text reads the source"), ("source", "The source reads itself")])
def test_the_attention_of_a_translation(open_page, kind, title):
    scene = scene_of("original-tiny")
    page, session = explore(open_page, "original-tiny", scene, "attention")
    page.get_by_role("button", name=title).click()
    choose(page, 1, 2)
    page.get_by_role("option", name="query 3 ").hover()
    address = "blocks.1.cross.weights" if kind == "cross" else "source.blocks.1.attn.weights"
    values = session.run(read_scene(scene)).look(address)[0, 2, 3]
    assert len(values) == len("Bonjour")
    for key, value in enumerate(values):
        shown = readout(page, address, (0, 2, 3, key))
        shown.wait_for()
        assert shown.get_attribute("data-bits") == bits_of(value)
    keys = page.get_by_role("listbox", name="Keys").locator("[data-item] > span:first-child").all_inner_texts()
    assert keys == list("Bonjour")
    queries = page.get_by_role("listbox", name="Queries").locator("[data-item] > span:first-child").all_inner_texts()
    assert queries == list("Hello" if kind == "cross" else "Bonjour")


def test_two_heads_side_by_side(open_page):
    scene = {"text": LONG}
    page, session = explore(open_page, "gpt2-tiny", scene, "attention")
    choose(page, 0, 1)
    page.get_by_role("option", name="query 6 ").click()
    page.get_by_role("button", name="Compare with another head").click()
    page.get_by_role("combobox", name="Layer", exact=True).select_option("1")
    page.get_by_role("combobox", name="Head", exact=True).select_option("3")
    for layer, head in ((0, 1), (1, 3)):
        shown = page.get_by_role("region", name=f"Layer {layer} head {head}")
        shown = shown.locator(f"[data-name='blocks.{layer}.attn.weights'][data-index='0,{head},6,0']").last
        shown.wait_for()
        assert shown.get_attribute("data-bits") == bits_of(weights(session, scene, layer)[head, 6, 0])


def test_ablating_a_head_is_an_edit_of_b(open_page):
    """Against a forward pass of its own, in float64, with the head set to zero."""
    scene = scene_of("gpt2-tiny", dtype="float64")
    page, session = explore(open_page, "gpt2-tiny", scene, "attention")
    choose(page, 0, 2)
    page.get_by_role("button", name="Ablate this head").click()
    page.get_by_role("group", name="Which run is shown").wait_for()
    change = edit("blocks.0.attn.heads", [None, None, 2, None])
    assert page.locator(".edits li").inner_text().startswith("blocks.0.attn.heads[:,:,2,:] = 0")
    plain = session.run(read_scene(scene))
    values = independent(plain.program, plain.setting.weights, plain.inputs, patched([change]))
    choose(page, 1, 3)
    page.get_by_role("option", name="query 4 ").click()
    address = "blocks.1.attn.weights"
    before, after = plain.look(address)[0, 3, 4, 0], values[address][0, 3, 4, 0]
    assert before != after
    for part, expected in (("B", after), ("A", before), ("B − A", after - before), ("B", after)):
        page.get_by_role("button", name=part, exact=True).click()
        wait_bits(page, address, (0, 3, 4, 0), bits_of(expected))
    assert session.run(read_scene(edited(scene, change))).look(address)[0, 3, 4, 0] == after
    page.get_by_role("button", name="Undo").click()
    wait_bits(page, address, (0, 3, 4, 0), bits_of(before))
    assert page.get_by_role("group", name="Which run is shown").count() == 0

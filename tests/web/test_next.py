"""The next token's screen against plain NumPy, `Model.generate`, and the bits of what a cache keeps."""

import numpy as np
import pytest
from playwright.sync_api import expect

from byhand.explorer.digits import bits
from byhand.explorer.scene import read_scene

from ..explorer.scenes import scene_of
from ..explorer.test_choosing import DRAWN, plain_stages, softmax
from ..small_models import model
from .reading import explained, shown
from .serving import explored, unpacked
from .small import explore, small

CELL = ".vocabulary .readout[data-name='choice:{}'][data-index='0,0,{}']"


def ready(page):
    page.locator(".next > [aria-busy='false'] .vocabulary:not(.stale) tbody tr[data-id]").first.wait_for()
    return page


def chosen(page):
    return int(page.locator(".chosen[data-chosen]").get_attribute("data-chosen"))


def written(page):
    """The ids of the text so far, and which of them were written here."""
    found = page.locator(".timeline [data-token]").evaluate_all(
        "all => all.map(each => [Number(each.dataset.token), each.classList.contains('written')])"
    )
    return [token for token, _ in found], [token for token, own in found if own]


def step(page):
    before = page.locator(".timeline [data-token]").count()
    page.locator("button.main", has_text="Step").click()
    expect(page.locator(".timeline [data-token]")).to_have_count(before + 1)
    ready(page)


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny"])
def test_every_column_is_what_plain_numpy_leaves(open_page, name):
    scene = scene_of(name, dtype="float64")
    page, session = explore(open_page, name, scene, "next", next={"settings": DRAWN})
    ready(page)
    of = session.run(read_scene(scene))
    stages = plain_stages(of.look("logits")[0, -1], of.look("tokens")[0], DRAWN)
    rows = page.locator(".vocabulary .readout").evaluate_all("all => all.map(each => ({...each.dataset}))")
    assert len(rows) == 96 * len(stages)
    for each in rows:
        address, token = each["name"].removeprefix("choice:"), int(each["index"].split(",")[2])
        assert float(each["text"]) == pytest.approx(stages[address][token], abs=1e-12), each
        if "probability" in each:
            assert float(each["probability"]) == pytest.approx(softmax(stages[address])[token], abs=1e-12)
    found = {
        each.index[2]: each.bits for each in shown(page.locator(".vocabulary .readout[data-name='choice:logits']"))
    }
    assert found == {v: bits(logit) for v, logit in enumerate(of.look("logits")[0, -1])}
    drawn, low, high = (float(page.locator(f".drawn .{part}").inner_text()) for part in ("uniform", "low", "high"))
    assert drawn == np.random.default_rng((5, 0)).random() and low <= drawn < high
    assert chosen(page) == int(np.searchsorted(stages["running"], drawn, "right"))


def test_settings_are_typed_and_stay_in_the_link(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next")
    ready(page)
    for label, value in (
        ("Temperature", "0.7"),
        ("Top k", "30"),
        ("Top p", "0.8"),
        ("Min p", "0.05"),
        ("Repetition penalty", "1.3"),
        ("Seed", "5"),
    ):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
    expect(page.locator(".vocabulary thead")).to_contain_text("min p")
    expect(page.locator(".vocabulary thead")).to_contain_text("penalized")
    ready(page)
    assert unpacked(page.url)["view"]["next"]["settings"] == DRAWN
    other, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next", next={"settings": DRAWN})
    assert chosen(ready(other)) == chosen(page)
    page.get_by_label("Temperature", exact=True).fill("0")
    page.get_by_label("Temperature", exact=True).press("Enter")
    expect(page.locator(".next")).to_contain_text("Nothing is drawn.")
    expect(page.get_by_label("Top k", exact=True)).to_be_disabled()


def test_a_setting_without_a_meaning_is_refused_in_words(open_page, watch):
    watch.refusals = 20
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next")
    ready(page)
    page.get_by_label("Top p", exact=True).fill("1.5")
    page.get_by_label("Top p", exact=True).press("Enter")
    expect(page.locator(".next .wrong")).to_have_text("top_p is 1.5; give a number above 0 and up to 1")


def test_the_search_tells_the_token_with_a_space_from_the_one_without(open_page):
    page = ready(open_page("stories", explored("stories").state("next")))
    texts = page.locator(".vocabulary tbody th")
    for find, expected in (('" the"', ["·the"]), ("#262", None)):
        page.get_by_label("Search").fill(find)
        expect(page.locator("#vocabulary")).to_contain_text("1 of 1,000")
        assert expected is None or texts.all_inner_texts() == expected
    page.get_by_label("Search").fill("the")
    expect(page.locator("#vocabulary")).not_to_contain_text("1 of 1,000")
    ready(page)
    assert len(texts.all_inner_texts()) > 3 and all("the" in each for each in texts.all_inner_texts())
    page.get_by_label("Search").fill("nowhere in it")
    expect(page.locator("#vocabulary")).to_contain_text("0 of 1,000")


def test_the_list_reaches_its_last_token_by_keyboard(open_page):
    page = ready(open_page("stories", explored("stories").state("next")))
    logits_V = explored("stories").array("logits")[0, -1]
    order = np.argsort(-logits_V.astype(float), kind="stable")
    assert int(page.locator(".vocabulary tr[data-id]").first.get_attribute("data-id")) == order[0]
    page.locator(".vocabulary").focus()
    page.keyboard.press("End")
    page.locator(f".vocabulary tr[data-id='{order[-1]}']").wait_for()
    expect(page.locator(f".vocabulary tr[data-id='{order[-1]}']")).to_be_in_viewport()
    assert page.locator(f".vocabulary tr[data-id='{order[-1]}']").get_attribute("aria-rowindex") == "1001"
    assert page.locator(".vocabulary tr[data-id]").count() < 200
    page.get_by_label("Order").select_option("id")
    page.locator(".vocabulary tr[data-id='0']").wait_for()


def test_every_cell_opens_its_explanation_and_leads_to_the_run(open_page):
    scene = scene_of("gpt2-tiny")
    page, session = explore(open_page, "gpt2-tiny", scene, "next", next={"settings": DRAWN})
    ready(page)
    token = chosen(page)
    for address in ("penalized", "scaled", "kept.top_k", "kept.top_p", "kept.min_p", "probs", "running"):
        cell = page.locator(CELL.format(address, token))
        stored = shown(cell)[0].bits
        cell.click()
        large = page.locator(f".taken-apart .large[data-name='choice:{address}']")
        large.wait_for()
        assert shown(large)[0].bits == stored and page.locator(".taken-apart .good").inner_text() == "agrees"
    page.locator(CELL.format("penalized", token)).click()
    page.locator(".taken-apart .large[data-name='choice:penalized']").wait_for()
    page.locator(".taken-apart .link", has_text="logits").first.click()
    expected = session.run(read_scene(scene)).look("logits")[0, 4, token]
    assert explained(page, "logits", (0, 4, token)).bits == bits(expected)


def test_the_arrows_move_among_the_numbers_and_enter_opens_one(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next", next={"settings": {"temperature": 0.5}})
    ready(page)
    page.locator(".vocabulary button[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("({...document.activeElement.querySelector('.readout').dataset})")
    second = int(page.locator(".vocabulary tr[data-id]").nth(1).get_attribute("data-id"))
    assert focused["name"] == "choice:scaled" and focused["index"] == f"0,0,{second}"
    page.keyboard.press("Enter")
    page.locator(f".taken-apart .large[data-index='0,0,{second}']").wait_for()
    assert page.evaluate("document.activeElement.id") == "choice-number"
    page.get_by_role("button", name="Close").press("Enter")
    page.locator(".taken-apart").wait_for(state="detached")


# --- generating ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_steps_write_the_tokens_of_generate_and_a_cache_keeps_its_rows(open_page, name):
    scene = scene_of(name)
    settings = {"temperature": 0.9, "top_k": 40, "seed": 3}
    source = {"source": scene["source"]} if "source" in scene else {}
    expected = model(name).generate(scene["text"], max_tokens=4, **source, **settings).finish()
    page, _ = explore(open_page, name, scene, "next", next={"settings": settings})
    ready(page)
    begun = len(written(page)[0])
    for count in range(1, 5):
        step(page)
        page.locator(".cache tr[data-cache]").first.wait_for()
        expect(page.locator(".cache summary")).to_contain_text(f"{begun + count} rows each")
        rows = page.locator(".cache tr[data-cache]").evaluate_all("all => all.map(each => ({...each.dataset}))")
        assert len(rows) == 4
        assert all((int(r["same"]), r["changed"], r["new"]) == (begun + count - 1, "0", "1") for r in rows)
    assert written(page)[1] == expected.tokens
    # each choice of the text can be seen again, and the link alone leads to it
    page.locator(".timeline [data-token]").nth(begun).click()
    expect(page.locator(".next")).to_contain_text(f"The choice after position {begun} is shown")
    ready(page)
    assert chosen(page) == expected.tokens[1]
    again = open_page(small(name), unpacked(page.url))
    assert chosen(ready(again)) == expected.tokens[1] and written(again)[1] == expected.tokens


def test_back_to_an_earlier_point_and_on_in_another_way(open_page):
    page, session = explore(
        open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next", next={"settings": {"temperature": 0}}
    )
    ready(page)
    for _ in range(3):
        step(page)
    all_tokens, own = written(page)
    page.locator(".timeline [data-token]").nth(5).click()
    page.get_by_role("button", name="Back to here").click()
    expect(page.locator(".timeline [data-token]")).to_have_count(6)
    assert written(ready(page)) == (all_tokens[:6], own[:1])
    step(page)
    assert written(page)[0] == all_tokens[:7]  # what is best is best again
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".timeline [data-token]")).to_have_count(6)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".timeline [data-token]")).to_have_count(8)
    assert written(page)[0] == all_tokens
    run = session.run(read_scene({"tokens": all_tokens}))
    assert [int(each.argmax()) for each in run.look("logits")[0, 4:-1]] == own


def test_a_prompt_that_was_continued_can_be_read_and_written_anew(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "next", next={"settings": {"temperature": 0}})
    ready(page)
    step(page)
    prompt = page.get_by_label("Prompt")
    expect(prompt).to_have_value("Hello" + page.locator(".timeline .written").inner_text().replace("·", " "))
    prompt.fill("Bye")
    prompt.press("Enter")
    expect(page.locator(".timeline [data-token]")).to_have_count(3)
    assert written(ready(page))[1] == []


def test_a_model_that_reads_both_sides_cannot_go_on(open_page):
    page, _ = explore(open_page, "bert-tiny", scene_of("bert-tiny"), "next")
    ready(page)
    expect(page.locator(".next")).to_contain_text("cannot continue a text")
    assert page.locator("button.main", has_text="Step").count() == 0 == page.locator(".cache").count()


def test_the_end_of_the_context_is_said(open_page):
    page = ready(open_page("aab", explored("aab").state("next", next={"settings": {"temperature": 0}})))
    page.locator("button.main", has_text="Step").click()
    expect(page.locator("footer")).to_contain_text("the model reads 5 tokens at most")
    assert page.locator(".timeline [data-token]").count() == 5

"""One number explained: what is stored, all its terms, and links that lead to the same bits down to the weights."""

from __future__ import annotations

import random
from collections import defaultdict
from math import fsum
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from byhand.explorer import Session

from .conftest import Open
from .reading import Shown, explained, shown
from .serving import PROMPTS, STORY, Explored, State, explored

EACH, DEEP, MOST = 20, 5, 256


def number(session: Session, scene: State, address: str, index: tuple[int, ...]) -> dict[str, Any]:
    params = {"scene": scene, "address": address, "index": list(index), "first": MOST}
    return session.handle("number", params).head


def values_by_operator() -> dict[str, list[tuple[str, str]]]:
    """Model and address of all values that an operator makes, over all the models."""
    found = defaultdict(list)
    for name in PROMPTS:
        for step in explored(name).session.model.program:
            found[step.operator.name] += [(name, address) for address in step.writes.values()]
    return dict(found)


def summed(of: Explored, head: dict[str, Any]) -> float:
    """The terms of a number, all of them, added up by the test."""
    terms = list(head["terms"])
    while len(terms) < head["count"]:
        asked = {"scene": of.first, "address": head["address"], "index": head["index"], "order": "size"}
        more = of.session.handle("terms", {**asked, "from": len(terms), "to": len(terms) + MOST}).head
        terms += more["terms"]
    assert sorted(term["place"] for term in terms) == list(range(head["count"]))
    return fsum(float(term["value"]) for term in terms)


@pytest.mark.parametrize("operator", values_by_operator())
def test_20_numbers_of_an_operator_followed_five_links_deep(operator: str) -> None:
    draw = random.Random(f"numbers of {operator}")
    values = values_by_operator()[operator]
    for _ in range(EACH):
        name, address = draw.choice(values)
        of = explored(name)
        array = of.array(address)
        index = tuple(draw.randrange(size) for size in array.shape)
        for _ in range(DEEP):
            head = number(of.session, of.first, address, index)
            assert head["stored"]["bits"] == of.bits(address, index)
            assert head["within"], (address, index, head["ulp"])
            value = float(head["value"])
            assert summed(of, head) == value or not np.isfinite(value)
            links = [each for each in head["operands"] if each["kind"] != "working"]
            for each in links:
                assert each["bits"] == of.bits(each["address"], tuple(each["index"])), each
            if not links:
                break
            link = draw.choice(links)
            address, index = link["address"], tuple(link["index"])


@pytest.mark.parametrize("name", PROMPTS)
def test_links_on_the_page_lead_to_the_same_bits(open_page: Open, name: str) -> None:
    of = explored(name)
    draw = random.Random(f"links of {name}")
    logits = of.array("logits").shape
    start = (0, draw.randrange(logits[1]), draw.randrange(logits[2]))
    page = open_page(name, of.state("number", address="logits", index=list(start)))
    here = explained(page, "logits", start)
    for deep in range(1, DEEP + 1):
        assert here.bits == of.bits(here.address, here.index)
        links = page.locator(".number .link .readout")
        listed = shown(links)
        if not listed:
            break
        for each in listed:
            assert each.bits == of.bits(each.address, each.index)
        # a weight is a leaf: as long as there is another way, take that
        ways = [i for i, each in enumerate(listed) if not each.address.endswith(("weight", "bias", "gain", "shift"))]
        chosen = draw.choice(ways or range(len(listed)))
        links.nth(chosen).click()
        following = listed[chosen]
        here = explained(page, following.address, following.index)
        assert (here.bits, here.text) == (following.bits, following.text)
        assert page.locator(".trail li").count() == deep
    page.locator(".trail li button").first.click()
    assert explained(page, "logits", start).bits == of.bits("logits", start)
    assert page.locator(".trail li").count() == 0


def listed_terms(page: Page) -> list[tuple[int, str]]:
    rows = page.locator(".terms tbody tr[data-place]")
    read = "all => all.map(row => [Number(row.dataset.place), row.querySelector('.value').textContent])"
    return [(place, text) for place, text in rows.evaluate_all(read)]


def test_all_terms_are_reached_by_scrolling_and_add_up(open_page: Open) -> None:
    of = explored("stories")
    index = (0, 3, 77)
    page = open_page("stories", of.state("number", address="blocks.1.mlp.out", index=list(index), order="place"))
    explained(page, "blocks.1.mlp.out", index)
    page.get_by_role("button", name="Show all").click()
    seen: dict[int, str] = {}
    box = page.locator(".every")
    for top in range(0, 513 * 30, 400):
        box.evaluate("(each, top) => each.scrollTop = top", top)
        page.wait_for_timeout(15)
        seen |= dict(listed_terms(page))
    page.wait_for_function("() => document.querySelector('.every tr[data-place=\"512\"]')")
    seen |= dict(listed_terms(page))
    assert sorted(seen) == list(range(513))  # 512 products and the bias
    value = page.locator(".recomputed").inner_text()
    assert fsum(map(float, seen.values())) == float(value)


def test_the_largest_terms_come_first_and_the_rest_is_said(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("number", address="logits", index=[0, 9, 400]))
    explained(page, "logits", (0, 9, 400))
    x, table = of.array("final_norm.out")[0, 9].astype(float), of.array("token.weight")[400].astype(float)
    products = x * table
    largest = np.argsort(-np.abs(products), kind="stable")[:12]
    assert listed_terms(page) == [(int(i), pytest.approx(products[i])) for i in largest] or [
        (place, float(text)) for place, text in listed_terms(page)
    ] == [(int(i), products[i]) for i in largest]
    others = float(page.locator(".terms tbody tr").last.locator("td").nth(1).inner_text())
    assert others == fsum(np.delete(products, largest))


def test_a_masked_weight_and_a_leaf_say_what_they_are(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("number", address="blocks.0.attn.weights", index=[0, 0, 2, 5]))
    assert explained(page, "blocks.0.attn.weights", (0, 0, 2, 5)).bits == "00000000"
    page = open_page("stories", of.state("number", address="token.weight", index=[4, 2]))
    assert explained(page, "token.weight", (4, 2)).bits == of.bits("token.weight", (4, 2))
    assert "A weight of the model" in page.locator(".leaf").inner_text()


def test_the_explanation_is_copied_as_text(open_page: Open) -> None:
    of = explored("aab")
    page = open_page("aab", of.state("number", address="logits", index=[0, 2, 1]))
    explained(page, "logits", (0, 2, 1))
    page.get_by_role("button", name="Copy as text").click()
    page.get_by_text("The explanation is copied.").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    stored = of.array("logits")[0, 2, 1]
    assert text.startswith(f"logits[0,2,1] = {int(stored)}   (unembed, float32, bits ")
    assert "recomputed in float64" in text


def test_gradients_explain_the_same_way(open_page: Open) -> None:
    of = explored("stories")
    scene = {"text": STORY, "gradient": {"of": "loss", "index": None}}
    run = of.run(scene)
    state = {"a": scene, "b": None, "view": {"screen": "number", "address": "d:blocks.1.mlp.act", "index": [0, 3, 9]}}
    page = open_page("stories", state)
    read: Shown = explained(page, "d:blocks.1.mlp.act", (0, 3, 9))
    assert read.bits == of.bits("d:blocks.1.mlp.act", (0, 3, 9), scene)
    assert run.grad["blocks.1.mlp.act"].array[0, 3, 9] == np.float32(read.text)

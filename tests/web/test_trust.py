"""The trust screen: random numbers verified, and a planted defect that it names."""

from importlib.util import find_spec

import numpy as np
import pytest
from playwright.sync_api import expect

from byhand.explorer import Session
from byhand.explorer.digits import bits
from byhand.explorer.scene import read_scene

from ..explorer.scenes import scene_of
from ..small_models import model
from .reading import explained, shown
from .serving import served
from .small import explore


def test_random_numbers_are_verified(open_page):
    page, session = explore(
        open_page, "llama-tiny", scene_of("llama-tiny", gradient={"of": "loss", "index": None}), "trust"
    )
    page.get_by_label("Numbers", exact=True).fill("120")
    page.get_by_label("Numbers", exact=True).press("Enter")
    verdict = page.locator(".verdict")
    verdict.wait_for()
    assert verdict.inner_text() == "120 of 120 numbers verified"
    counts = page.locator(".trust table td:nth-child(2)").all_inner_texts()
    assert sum(map(int, counts)) == 120
    worst = shown(page.locator(".trust .readout"))[0]
    run = session.run(read_scene(scene_of("llama-tiny", gradient={"of": "loss", "index": None})))
    assert worst.bits == bits(run.look(worst.address)[worst.index])
    page.get_by_label("Seed").fill("1")
    page.get_by_role("button", name="Check them").press("Enter")
    expect(verdict).to_have_text("120 of 120 numbers verified")


def test_a_planted_defect_is_named_and_leads_to_its_number(open_page):
    session, scene = Session(model("gpt2-tiny")), scene_of("gpt2-tiny")
    run = session.run(read_scene(scene))
    spoiled = np.array(run.kept["blocks.1.attn.heads"])
    spoiled[..., [0, 1], :] = spoiled[..., [1, 0], :]
    run.kept["blocks.1.attn.heads"] = spoiled
    of = served(session, scene)
    page = open_page(of, of.state("trust", trust={"count": 300, "seed": 0}))
    page.locator(".verdict.bad").wait_for()
    found = shown(page.get_by_role("list", name="Numbers that are off").locator(".readout"))
    assert {each.address for each in found} <= {"blocks.1.attn.heads", "blocks.1.attn.out"} and found
    page.get_by_role("list", name="Numbers that are off").locator(".link").first.click()
    assert explained(page, found[0].address, found[0].index).bits == found[0].bits
    expect(page.locator(".stored .bad")).to_contain_text("more than rounding explains")


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_it_says_that_transformers_is_not_there(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "trust")
    page.get_by_role("button", name="Compare with transformers").press("Enter")
    expect(page.locator(".beside")).to_contain_text("not installed, so nothing is compared")

"""Gradients on the page against an independent run backward, and a gradient explained down to its parts."""

import math

import numpy as np
import pytest
from playwright.sync_api import expect

from byhand.explorer.digits import bits
from byhand.explorer.scene import read_scene

from ..explorer.scenes import edit, edited, scene_of
from ..small_models import fresh
from .reading import explained, shown, under_cursor
from .serving import unpacked
from .small import explore

LOSS = {"of": "loss", "index": None}


def sizes(page):
    """Every gradient that is listed: its length and its largest number."""
    page.locator("section[aria-busy='false'] .sizes tr[data-gradient]").first.wait_for()
    rows = page.locator(".sizes tr[data-gradient]").evaluate_all(
        "all => all.map(each => [each.dataset.gradient, each.dataset.length, each.querySelector('.readout')?.dataset])"
    )
    return {address: (float(length), largest) for address, length, largest in rows}


def test_choosing_the_loss_gives_every_gradient_its_size(open_page):
    scene = scene_of("gpt2-tiny", dtype="float64")
    page, _ = explore(open_page, "gpt2-tiny", scene, "gradient")
    page.get_by_role("button", name="Gradients of the loss").click()
    of = fresh("gpt2-tiny")
    of.backward()
    assert list(sizes(page)) == ["d:embed.out", "d:blocks.0.out", "d:blocks.1.out"]
    found = {}
    for kind in ("all values", "weights"):
        page.locator(".gradient select").select_option(label=kind)
        page.get_by_role("region", name=f"Gradients of {kind}").wait_for()
        found |= sizes(page)
    assert set(found) == {f"d:{address}" for address in of.grad}
    for address, (length, largest) in found.items():
        array = of.grad[address].array
        assert length == pytest.approx(np.sqrt((array**2).sum()), rel=1e-5)
        index = tuple(map(int, filter(None, largest["index"].split(","))))
        assert abs(array[index]) == np.abs(array).max() and largest["bits"] == bits(array[index])
    assert unpacked(page.url)["a"]["gradient"] == LOSS


@pytest.mark.parametrize(
    "of, index", [("losses", (0, 2)), ("logits", (0, 3, 7)), ("blocks.0.attn.weights", (0, 1, 3, 2))]
)
def test_gradients_of_any_number(open_page, of, index):
    scene = scene_of("gpt2-tiny")
    page, _ = explore(open_page, "gpt2-tiny", scene, "gradient")
    if of == "losses":
        page.get_by_role("button", name="Gradients of this one").nth(index[1]).click()
    else:
        page.locator(".element .picker input").fill(of)
        page.locator(".element .picker input").press("Enter")
        page.get_by_label("at", exact=True).fill(",".join(map(str, index)))
        page.get_by_label("at", exact=True).press("Enter")
    page.locator(f"[data-of='{of}[{','.join(map(str, index))}]']").wait_for()
    found = sizes(page)
    other = fresh("gpt2-tiny", "float32")
    other.backward(of, index)
    for address, (_, largest) in found.items():
        array = other.grad[address].array
        at = tuple(map(int, largest["index"].split(",")))
        assert largest["bits"] == bits(array[at]) and abs(array[at]) == np.abs(array).max()


def test_a_place_that_there_is_not_cannot_be_chosen(open_page):
    page, _ = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "gradient")
    place = page.get_by_label("at", exact=True)
    for wrong in ("0,4", "0,5,1", "0,4,x", "0,4,96", "0,4,-1"):
        place.fill(wrong)
        expect(page.get_by_role("button", name="Gradients of it")).to_be_disabled()
    place.fill("0,4,95")
    expect(page.get_by_role("button", name="Gradients of it")).to_be_enabled()


def test_a_gradient_is_looked_at_and_explained_like_any_number(open_page):
    scene = scene_of("gpt2-tiny", gradient=LOSS)
    page, session = explore(open_page, "gpt2-tiny", scene, "tensor", address="d:blocks.0.mlp.act", index=[0, 3, 7])
    of = session.run(read_scene(scene))
    assert under_cursor(page, "d:blocks.0.mlp.act", (0, 3, 7)).bits == bits(of.grad.look("blocks.0.mlp.act")[0, 3, 7])
    page, _ = explore(open_page, "gpt2-tiny", scene, "number", address="d:blocks.0.mlp.act", index=[0, 3, 7])
    stored = of.grad.look("blocks.0.mlp.act")[0, 3, 7]
    assert explained(page, "d:blocks.0.mlp.act", (0, 3, 7)).bits == bits(stored)
    for _ in range(3):  # follow what it is made from, backward
        link = page.locator(".terms .link .readout[data-name^='d:']").first
        to = shown(link)[0]
        link.click()
        assert explained(page, to.address, to.index).bits == to.bits == bits(of.grad.look(to.address)[to.index])


def test_the_gradient_is_the_slope_of_the_loss(open_page):
    scene = scene_of("gpt2-tiny", dtype="float64", gradient=LOSS)
    page, session = explore(open_page, "gpt2-tiny", scene, "gradient")
    _, largest = sizes(page)["d:blocks.0.out"]
    index = list(map(int, largest["index"].split(",")))
    plain = scene_of("gpt2-tiny", dtype="float64")
    near = [
        float(session.run(read_scene(edited(plain, edit("blocks.0.out", index, "add", step)))).look("loss"))
        for step in (1e-5, -1e-5)
    ]
    page.locator("tr[data-gradient='d:blocks.0.out'] .link").nth(1).click()
    found = explained(page, "d:blocks.0.out", tuple(index))
    assert math.isclose(float(found.text), (near[0] - near[1]) / 2e-5, rel_tol=1e-6)


def test_the_backward_program_in_order_and_what_is_saved_for_it(open_page):
    scene = scene_of("llama-tiny", gradient=LOSS)
    page, session = explore(open_page, "llama-tiny", scene, "gradient")
    page.get_by_role("button", name="The backward program").click()
    page.locator("tr[data-backward]").first.wait_for()
    of = session.run(read_scene(scene))
    expected = [each.step.address if each.step else each.address for each in of.grad.steps]
    listed = page.locator("tr[data-backward]").evaluate_all("all => all.map(each => each.dataset.backward)")
    assert listed == expected and listed[0] == "loss"
    saved = page.locator("tr[data-saved]").evaluate_all(
        "all => all.map(each => [each.dataset.saved, each.querySelector('.figure').textContent])"
    )
    assert dict(saved) == {address: f"{of.look(address).nbytes:,}" for address in of.program.saved()}


def test_losses_and_a_run_that_has_none(open_page):
    page, session = explore(open_page, "gpt2-tiny", scene_of("gpt2-tiny"), "gradient")
    page.locator(".losses tbody tr").first.wait_for()
    of = session.run(read_scene(scene_of("gpt2-tiny")))
    found = {each.index: each.bits for each in shown(page.locator(".losses .readout"))}
    assert found == {(0, t): bits(of.look("losses")[0, t]) for t in range(4)}
    page.get_by_role("button", name="Gradients of the loss").focus()
    page.keyboard.press("Enter")
    sizes(page)
    page.get_by_role("button", name="No gradients").press("Enter")
    page.locator(".sizes").wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    sizes(page)


def test_without_a_loss_any_other_number_can_be_chosen(open_page, watch):
    watch.refusals = 4
    page, _ = explore(open_page, "gpt2-tiny", {"text": "H"}, "gradient")
    expect(page.locator(".gradient")).to_contain_text("this run has no loss")
    page.get_by_role("button", name="Gradients of it").click()
    assert "d:blocks.0.out" in sizes(page)

"""The numbers of one element: every printed equation is true, nothing needed is missing, nothing else is listed."""

from __future__ import annotations

import ast
import json
import math
import re

import numpy as np
import pytest

from byhand.arithmetic import Evaluation, parse
from byhand.errors import AddressError, InputError
from byhand.explain import explain
from byhand.pseudocode import worked
from byhand.pseudocode.closure import Unit
from byhand.pseudocode.parts import belongs
from byhand.pseudocode.vector import address_of

from .listings import CONFIGS, program, run

each_family = pytest.mark.parametrize("name", CONFIGS)
ALLOWED = {name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh", "erf", "sin", "cos", "pi", "inf")}
ALLOWED |= {"max": max}


def numbers(listing):
    """Every line: its element, the formula's text, the value's, and what stands behind."""
    for line in listing.text(10**9).splitlines():
        if line and not line.startswith("#"):
            equation, _, note = line.partition("  # ")
            left, *others = equation.split(" = ")
            assert 1 <= len(others) <= 2, line
            yield left, others[0], others[-1], note


def hold(listing):
    """Work every printed equation out; returns how many there were."""
    checked = 0
    for left, formula, value, _ in numbers(listing):
        if formula == value:
            continue  # given, or copied
        assert math.isclose(eval(formula, ALLOWED.copy()), float(value), rel_tol=1e-11, abs_tol=1e-13), left
        checked += 1
    return checked


def last(listing):
    """The value of the last line: the element that was asked for."""
    return listing.to_dict()["steps"][-1]["lines"][-1]["value"]


def elements(listing, given=False):
    """(address, index) of every line; given: of those from outside."""
    steps = [step for step in listing.to_dict()["steps"] if (step["address"] == "given") is given]
    return {(line["address"], tuple(line["index"])) for step in steps for line in step["lines"]}


def some(address, made, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(int(rng.integers(0, size)) for size in made.look(address).shape)


# --- the equations are true -----------------------------------------------------------------------


@each_family
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_printed_equation_of_a_layer_is_true(name, dtype):
    made = run(name, dtype)
    index = some("blocks.0.out", made)
    listing = worked(made, "blocks.0.out", index, digits=17, most=None)
    assert hold(listing) > (20 if name == "handmade" else 100)
    *_, (left, _, value, _) = numbers(listing)
    assert left == f"blocks.0.out[{','.join(map(str, index))}]"
    assert math.isclose(float(value), made.look("blocks.0.out")[index], rel_tol=1e-5, abs_tol=1e-6)


@each_family
def test_every_printed_equation_of_a_gradient_is_true(name):
    made = run(name)
    for letter in "qkv":
        address = f"d:blocks.0.attn.{letter}.weight"
        index = some(address, made)
        listing = worked(made, address, index, "blocks.0.attn", digits=17, most=None)
        assert hold(listing) > 5
        assert math.isclose(last(listing), made.look(address)[index], rel_tol=1e-9)


@pytest.mark.parametrize(
    ("name", "address", "index", "part"),
    [
        ("handmade", "probs", (0, 2, 1), ""),
        ("handmade", "loss", (), ""),
        ("encoder", "embed.out", (1, 2, 5), "embed"),
        ("translation", "blocks.0.cross.heads", (1, 2, 3, 4), "blocks.0.cross"),
        ("llama scaled", "blocks.0.attn.q_rot", (1, 2, 3, 4), ""),
        ("llama halves", "blocks.0.attn.k_rot", (1, 2, 1, 7), "blocks.0"),
        ("bert", "pooler.out", (1, 0, 4), "pooler"),
        ("gpt2", "d:token.weight", (7, 2), None),
        ("gpt2", "d:logits", (0, 1, 7), None),
        ("handmade", "d:token.weight", (1, 5), ""),
        ("handmade", "d:position.weight", (1, 3), ""),
        ("bert", "d:segment.weight", (0, 3), "embed"),
        ("encoder", "d:blocks.1.norm1.gain", (5,), None),
        ("gpt2", "d:blocks.1.norm2.shift", (5,), None),
    ],
)
def test_every_printed_equation_elsewhere_is_true(name, address, index, part):
    made = run(name)
    listing = worked(made, address, index, part, digits=17, most=None)
    assert hold(listing) >= 1
    assert math.isclose(last(listing), made.look(address)[index], rel_tol=1e-9)


def test_only_plain_arithmetic_is_left():
    plain = {
        "Constant",
        "BinOp",
        "UnaryOp",
        "Call",
        "Name",
        "Load",
        "Expression",
        "Add",
        "Sub",
        "Mult",
        "Div",
        "Pow",
        "USub",
    }
    for address, part in (("blocks.0.mlp.out", "blocks.0.mlp"), ("d:blocks.0.norm1.gain", "blocks.0.norm1")):
        made = run("gpt2")
        for _, formula, _, _ in numbers(worked(made, address, some(address, made), part, most=None)):
            tree = ast.parse(formula, mode="eval")
            kinds = {type(node).__name__ for node in ast.walk(tree)}
            assert kinds <= plain | {"Tuple"}, formula
            assert {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} <= set(ALLOWED), formula


# --- the closure is exactly what is needed ----------------------------------------------------------


def needed(made, address, index, part):
    """The elements that an element needs, found by following explanations: (inside the part, outside of it)."""
    inside, outside, queue = set(), set(), [(address, index)]
    while queue:
        place = queue.pop()
        if place in inside or place in outside:
            continue
        name = address_of(place[0])
        step = made.program.producer.get(name)
        within = made.backward_step(place[0]) if place[0].startswith("d:") else step
        reader = within.step if within is not None and place[0].startswith("d:") else step
        own = (reader.address if reader else name) if within is not None else ""
        if within is not None and place[0].startswith("d:") == address.startswith("d:") and belongs(own, part):
            inside.add(place)
            queue += [(operand.address, operand.index) for operand in explain(made, *place).operands]
        else:
            outside.add(place)
    return inside, outside


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "translation", "handmade"])
@pytest.mark.parametrize("address", ["blocks.0.out", "blocks.0.attn.weights", "d:blocks.0.attn.k.weight"])
def test_what_is_listed_is_what_explanations_lead_to(name, address):
    made = run(name)
    part = "blocks.0.attn"
    if address == "blocks.0.out":
        part = "blocks.0"
    index = some(address, made, seed=3)
    listing = worked(made, address, index, part)
    inside, outside = needed(made, address, index, part)
    beside = {a for step in made.program for a in step.writes.values() if a != step.address}  # rstd is opened in place
    listed = {(a, i) for a, i in elements(listing) if a in made.program or a.startswith("d:")}
    assert {place for place in listed if place[0] not in beside} == inside
    assert elements(listing, given=True) == outside


def test_a_closure_follows_single_numbers_and_leaves_out_what_is_not_chosen():
    lines = parse("total = sum(b, x[b])\nhalf[b] = where(x[b] > 0, y[b], z[b]) / 2\nout[b] = half[b] * total / scale")
    operands = {"x": np.array([1.0, -1.0, 2.0]), "y": np.ones(3), "z": np.ones(3), "scale": np.array(4.0)}
    shapes = {"total": (), "half": (3,), "out": (3,)}
    unit = Unit(program("gpt2").steps[0], Evaluation(lines, operands, {"B": 3}), {"out": "made"}, shapes)
    inside, outside = unit.needs({"made": np.array([False, True, False])})
    assert {name: mask.tolist() for name, mask in inside.items()} == {
        "total": True, "half": [False, True, False], "out": [False, True, False]
    }  # fmt: skip
    assert {name: mask.tolist() for name, mask in outside.items()} == {
        "x": [True] * 3, "y": [False] * 3, "z": [False, True, False], "scale": True
    }  # fmt: skip


def test_hidden_scores_are_not_needed():
    listing = worked(run("gpt2"), "blocks.0.attn.weights", (0, 0, 1, 0))
    assert {index for address, index in elements(listing) if address == "blocks.0.attn.scores"} == {
        (0, 0, 1, 0),
        (0, 0, 1, 1),
    }
    (hidden,) = [line for line in numbers(listing) if line[0] == "blocks.0.attn.masked[0,0,1,2]"]
    assert hidden[1:] == ("-inf", "-inf", "as mask[0,1,2] = False")
    (seen,) = [line for line in numbers(listing) if line[0] == "blocks.0.attn.masked[0,0,1,1]"]
    assert seen[3] == "blocks.0.attn.scores[0,0,1,1], as mask[0,1,1] = True"


def test_steps_stand_in_the_order_in_which_they_run():
    made = run("llama")
    order = {step.address: place for place, step in enumerate(made.program)}
    listed = [step["address"] for step in worked(made, "blocks.1.out", (0, 0, 0)).to_dict()["steps"]]
    assert listed[0] == "given" and [order[a] for a in listed[1:]] == sorted(order[a] for a in listed[1:])
    assert len(listed) == 1 + sum(step.address.startswith("blocks.1.") for step in made.program)


def test_both_directions_work_out_what_the_backward_step_reads():
    made = run("gpt2")
    index = (3, 0, 1)
    alone = worked(made, "d:blocks.0.attn.q.weight", index, "blocks.0.attn")
    both = worked(made, "d:blocks.0.attn.q.weight", index, "blocks.0.attn", "both", digits=17, most=None)
    assert "blocks.0.attn.k" in {address for address, _ in elements(alone, given=True)}
    assert "blocks.0.attn.k" in {address for address, _ in elements(both)}
    assert hold(both) > hold(worked(made, "d:blocks.0.attn.q.weight", index, "blocks.0.attn", digits=17, most=None))
    assert "blocks.0.attn.k" not in {address for address, _ in elements(both, given=True)}


# --- what is shown --------------------------------------------------------------------------------


def test_text_is_shortened_and_plain_data_is_not():
    made = run("gpt2")
    short, whole = (worked(made, "blocks.0.mlp.out", (0, 1, 2), most=most) for most in (3, None))
    text = short.text()
    assert "... 125 more" in text and "# ... 125 more like this" in text and "... 29 more" in text
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line.strip().startswith("more") or line.endswith("...") for line in text.splitlines())
    *_, (_, formula, _, _) = numbers(short)
    assert formula.count("*") == 3 and formula.count("more") == 1
    given = next(line for line in text.splitlines() if line.startswith("blocks.0.mlp.up.bias"))
    assert given.count(",") == 3 and given.endswith("... 125 more")
    assert "more" not in whole.text()
    assert len(text) < len(str(whole)) / 10
    assert short.to_dict() == whole.to_dict()
    lines = [
        line for step in short.to_dict()["steps"] for line in step["lines"] if line["address"] == "blocks.0.mlp.act"
    ]
    assert len(lines) == 128 and "more" not in json.dumps(short.to_dict())


def test_given_elements_share_lines_where_they_lie_side_by_side():
    text = worked(run("handmade"), "blocks.0.attn.q", (0, 1, 0, 3), digits=3).text()
    assert re.search(r"\nembed\.out\[0,1,0:8\] = (-?[\d.]+(, )?){8}\n", text.replace("\n    ", " "))
    assert len(re.findall(r"\nblocks\.0\.attn\.q\.weight\[\d,0,3\] = -?[\d.]+(?=\n)", text)) == 8


def test_what_the_run_holds_is_shown_where_it_differs():
    made = run("gpt2", "float32")
    listing = worked(made, "blocks.0.norm1.out", (0, 0, 0), digits=17, most=None)
    stored = {left: note for left, _, _, note in numbers(listing) if note}
    assert stored["blocks.0.norm1.rstd[0,0]"] == f"stored as {made.look('blocks.0.norm1.rstd')[0, 0].item()!r}"
    assert "stored" not in str(worked(run("gpt2"), "blocks.0.norm1.out", (0, 0, 0)))


def test_an_edited_value_is_said_to_be_edited():
    made = run("gpt2").edit("blocks.0.attn.heads", (0, 1, 2, 3), set=5.0)
    lines = {left: rest for left, *rest in numbers(worked(made, "blocks.0.attn.out", (0, 1, 0), most=None))}
    assert lines["blocks.0.attn.heads[0,1,2,3]"][-1] == "edited, stored as 5"
    assert lines["blocks.0.attn.heads[0,1,2,4]"][-1] == ""
    assert hold(worked(made, "blocks.0.attn.out", (0, 1, 0), digits=17, most=None)) > 10


def test_a_gradient_is_worked_out_from_what_passes_an_edit():
    made = run("gpt2").edit("blocks.0.attn.q", head=0, scale=2.0)
    made.backward()
    listing = worked(made, "d:blocks.0.attn.q.weight", (3, 0, 1), digits=17, most=None)
    assert hold(listing) == 1
    assert "d:blocks.0.attn.q@unedited" in {address for address, _ in elements(listing, given=True)}
    assert math.isclose(last(listing), made.look("d:blocks.0.attn.q.weight")[3, 0, 1])


def test_headings_say_in_names_what_the_numbers_do():
    text = worked(run("gpt2"), "blocks.0.attn.weights", (0, 0, 1, 0)).text(1000)
    assert "\n# raised[b,h,t,s] = exp(blocks.0.attn.masked[b,h,t,s] - peak[b,h,t])\nraised[0,0,1,0] = exp(" in text
    assert text.startswith("# gpt2, blocks.0: all numbers behind blocks.0.attn.weights[0,0,1,0], float64\n# B batch")
    markdown = worked(run("gpt2"), "blocks.0.attn.weights", (0, 0, 1, 0)).markdown()
    assert "### blocks.0.attn.weights\n\n```text\n# peak[b,h,t]" in markdown


def test_a_quantity_on_the_way_is_named_after_its_step_in_plain_data():
    addresses = {address for address, _ in elements(worked(run("gpt2"), "blocks.0.attn.weights", (0, 0, 1, 0)))}
    assert {"blocks.0.norm1.variance", "blocks.0.norm1.mean", "blocks.0.attn.weights.peak"} <= addresses
    backward = {address for address, _ in elements(worked(run("gpt2"), "d:blocks.0.norm1.gain", (1,)))}
    assert {"blocks.0.norm1.unit", "blocks.0.attn.weights.average"} <= backward


def test_the_conditions_inside_a_sum_are_not_repeated_behind_it():
    assert [note for _, _, _, note in numbers(worked(run("gpt2"), "loss", ()))] == [""] * 6


def test_without_a_part_it_is_the_layer_or_the_step():
    made = run("translation")
    assert worked(made, "blocks.1.mid", (0, 0, 0)).part == "blocks.1"
    assert worked(made, "source.blocks.1.mid", (0, 0, 0)).part == "source.blocks.1"
    assert worked(made, "logits", (0, 0, 0)).part == "logits"
    assert {a for a, _ in elements(worked(made, "logits", (0, 0, 0)), given=True)} == {"blocks.1.out", "token.weight"}
    # the gradient of a layer's own output is computed by the layers that read it
    last = worked(run("gpt2"), "d:blocks.1.out", (0, 0, 0))
    assert [step["address"] for step in last.to_dict()["steps"]] == ["given", "d:blocks.1.out"]


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "index", "how", "error", "words"),
    [
        ("blocks.0.oot", (0, 0, 0), {}, AddressError, "blocks.0.out"),
        ("blocks.0.out", (0, 0), {}, AddressError, "got 2 indices"),
        ("blocks.0.out", (0, 9, 0), {}, AddressError, "out of range"),
        ("blocks.0.out", (0, 0, 0), {"part": "blocks.1"}, AddressError, "not computed in blocks.1"),
        ("blocks.0.out", (0, 0, 0), {"part": "block.0"}, AddressError, "nearest are blocks.0"),
        ("blocks.0.out", (0, 0, 0), {"direction": "backward"}, InputError, "backward"),
        ("blocks.0.out", (0, 0, 0), {"direction": "both"}, InputError, "both"),
        ("d:blocks.0.out", (0, 0, 0), {"direction": "forward"}, InputError, "forward"),
        ("tokens", (0, 0), {}, AddressError, "given to gpt2"),
        ("token.weight", (0, 0), {}, AddressError, "given to gpt2"),
        ("d:loss", (), {}, AddressError, "given to gpt2"),
    ],
)
def test_bad_input(address, index, how, error, words):
    with pytest.raises(error, match=words):
        worked(run("gpt2"), address, index, **how)

"""Explain: the terms, the numbers and the links of every operator's elements, forward and backward, to the last bit."""

import json
import math
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest

import byhand
from byhand.addresses import base
from byhand.errors import AddressError, InputError
from byhand.explanation import Explanation, Values, ulps
from byhand.families import FAMILIES
from byhand.program import Program

from . import small_models
from .small_models import TEXTS, fresh, model

NAMES = {**vars(math), "inf": math.inf}
# |stored - recomputed| in units of roundoff times the sum of the terms' sizes. In float64 the recomputed value is exact
# to half a unit, a term takes a handful of roundings, and NumPy and BLAS add in blocks, so that n terms meet about
# log2(n) more (7 were the most seen). float32: the same, and a factor such as 1 + erf(x) may have lost digits that no
# term shows. bfloat16: computed in float32, so what is rounded to bfloat16 counts: the result, and up to three numbers
# inside an operator.
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8}
UNITS = {"float64": 16, "float32": 64, "bfloat16": 4}
UNDERFLOW = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126}


@cache
def made_by() -> dict[str, list[tuple[str, str]]]:
    """Where each operator's outputs and gradients stand: (model, address) by "operator -> name"."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in TEXTS:
        run = small_models.run(name)
        for step in run.program:
            for output, address in step.writes.items():
                found.setdefault(f"{step.operator.name} -> {output}", []).append((name, address))
        for backward in run.grad.steps:
            for given, address in backward.writes.items():
                key = f"{backward.step.operator.name} -> d_{given}" if backward.step else "sum -> gradient"
                found.setdefault(key, []).append((name, address))
    return found


def elements(key: str, count: int, dtype: str) -> list[Explanation]:
    """Explanations of random elements, each of another step where there are enough."""
    draw = Random(f"{key} {dtype}")
    chosen = []
    for name, address in draw.sample(places := made_by()[key], min(count, len(places))) + draw.choices(places, k=count):
        run = small_models.run(name, dtype)
        index = tuple(draw.randrange(size) for size in run.look(address).shape)
        chosen.append(run.explain(address, index))
    return chosen[:count]


def check_terms(each: Explanation) -> None:
    """The terms add up to the value, exactly; the formula in numbers is Python and gives it too."""
    values = [term.value for term in each.terms]
    assert each.value == (math.fsum(values) if all(map(math.isfinite, values)) else sum(values))
    assert close(eval(each.numbers, NAMES), each.value), each
    for term in each.terms:
        assert "... " in term.numbers or close(eval(term.numbers, NAMES), term.value), each


def close(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= 1e-12 * max(1.0, abs(other))


def held_by(each: Explanation) -> Values:
    assert each.run is not None
    return each.run


def check_links(each: Explanation) -> None:
    """Every operand is the very element at its address."""
    for operand in [*each.operands, *(link for term in each.terms for link in term.operands if link.kind != "working")]:
        there = held_by(each).look(operand.address)[operand.index].item()
        assert type(there) is type(operand.value)
        assert np.array(there).tobytes() == np.array(operand.value).tobytes(), (each.address, operand)
        assert operand.kind in ("weight", "input", "value", "gradient", "start")
    assert all(operand.kind != "working" for operand in each.operands)


def check_stored(each: Explanation) -> None:
    """What the run holds is the recomputed value but for the rounding of its dtype."""
    assert each.stored == held_by(each).look(each.address)[each.index].item()
    assert each.ulp == ulps(each.stored, each.value, each.dtype)
    if each.stored != each.value:
        size = math.fsum(abs(term.value) for term in each.terms)
        allowed = UNITS[each.dtype] * ROUNDOFF[each.dtype] * size + UNDERFLOW[each.dtype]
        assert abs(each.stored - each.value) <= allowed, each


# --- every operator ---------------------------------------------------------------------------------------------


def used(program: Program) -> set[str]:
    return {step.operator.name for step in program}


def test_the_small_models_use_every_operator_of_every_family():
    families = [module.program(config, True) for module in FAMILIES.values() for config in module.SHAPES.values()]
    ours = [small_models.run(name).program for name in TEXTS]
    assert set().union(*map(used, families)) == set().union(*map(used, ours))


@pytest.mark.parametrize("dtype", ROUNDOFF)
def test_twenty_elements_of_every_operator_forward_and_backward(dtype):
    for key in made_by():
        for each in elements(key, 20 if dtype == "float64" else 5, dtype):
            assert each.operator.split()[0] == key.split()[0]
            check_terms(each)
            check_links(each)
            check_stored(each)


def test_every_operator_with_a_gradient_was_explained_backward():
    backward = {key.split()[0] for key in made_by() if "-> d_" in key}
    without = {key.split()[0] for key in made_by()} - backward - {"sum"}
    # angles and positions come from whole numbers; nothing asks BERT's pooler or the probabilities for a loss
    assert without == {
        "rotary_angles",
        "rotary_angles_llama31",
        "sinusoidal_positions",
        "first_position",
        "tanh",
        "probabilities",
    }


@pytest.mark.parametrize("of", ["pooler.out", "probs"])
def test_gradients_of_other_numbers_than_the_loss(of):
    run = fresh("bert-tiny")
    run.backward(of, (0, 0, 3))
    for address in (
        ("pooler.first", "pooler.pre", "blocks.1.out") if of == "pooler.out" else ("logits", "final_norm.out")
    ):
        for index in np.ndindex(1, 1, 20):
            each = run.explain(f"d:{address}", index)
            check_terms(each)
            check_links(each)
            check_stored(each)
    start = run.explain(f"d:{of}", (0, 0, 3))
    assert (start.kind, start.value, start.operands) == ("start", 1.0, ())
    assert "where the gradient starts" in str(start)


# --- down to the leaves -----------------------------------------------------------------------------------------


def depth_first(top: Explanation, most: int) -> list[Explanation]:
    """Everything under an explanation, each number once, in the order in which it is first reached."""
    found: dict[tuple[str, tuple[int, ...]], Explanation] = {}
    stack = [top]
    while stack and len(found) < most:
        each = stack.pop()
        if (each.address, each.index) in found:
            continue
        found[each.address, each.index] = each
        stack += [each.follow(operand) for operand in reversed(each.operands)]
    return list(found.values())


@pytest.mark.parametrize("address, index", [("logits", (0, 2, 1)), ("d:token.weight", (0, 5)), ("loss", ())])
def test_following_every_operand_of_aab_ends_in_what_was_given(address, index):
    run = model("aab").run("aab", dtype="float64")
    run.backward()
    reached = depth_first(run.explain(address, index), most=10_000)
    assert len(reached) < 10_000
    leaves = [each for each in reached if not each.operands]
    assert {each.kind for each in leaves if each.operator == ""} <= {"weight", "input", "start"}
    assert {"tokens", "positions", "token.weight", "position.weight"} <= {each.address for each in leaves}
    for each in reached:
        check_terms(each)
        check_links(each)
    # a value without operands is made of constants alone: a hidden score is its step's fill
    assert {each.operator for each in leaves} <= {
        "",
        "mask",
        "mask backward",
        "lookup backward",
        "cross_entropy backward",
    }
    token_ids = {each.index: each.stored for each in leaves if each.address == "tokens"}
    assert token_ids == {(0, 0): 0, (0, 1): 0, (0, 2): 1}


def test_a_tree_goes_down_as_far_as_asked():
    top = small_models.run("aab").explain("logits", (0, 4, 1))
    levels = list(top.tree(depth=2, most=3))
    assert levels[0] == (0, top)
    assert [level for level, _ in levels] == sorted(level for level, _ in levels) and levels[-1][0] == 2
    places = [(each.address, each.index) for _, each in levels]
    assert len(set(places)) == len(places)
    assert {each.address for level, each in levels if level == 1} == {"blocks.0.out", "token.weight"}


def test_leaves_explain_themselves():
    run = small_models.run("gpt2-tiny")
    weight, token = run.explain("token.weight", (40, 3)), run.explain("tokens", (0, 0))
    assert (weight.kind, weight.operator, weight.operands, weight.ulp) == ("weight", "", (), 0.0)
    assert eval(weight.numbers) == weight.value == weight.stored == run.look("token.weight")[40, 3]
    assert (token.kind, token.stored, token.numbers) == ("input", 41, "41")
    assert "a weight of the model" in str(weight) and "given with the text" in str(token)


# --- what an explanation says -----------------------------------------------------------------------------------


def test_the_words_of_an_explanation():
    run = model("aab").run("aab", dtype="float64")
    each = run.explain("blocks.0.attn.weights", query=2, key=1)
    assert each.index == (0, 0, 2, 1) and each.axes == "BHTS"
    assert each.formula == "raised[0,0,2,1] / total[0,0,2]"
    assert [way.name for way in each.working[:2]] == ["peak[0,0,2]", "raised[0,0,2,1]"]
    assert each.working[0].formula == "max[s](blocks.0.attn.masked[0,0,2,s])"
    assert each.value == each.stored == 0.5
    assert "softmax, float64" in str(each) and "0 ulp from the stored value" in str(each)
    logit = run.explain("logits", (0, 2, 1))
    assert logit.formula == "sum[d](blocks.0.out[0,2,d] * token.weight[1,d])"
    assert [str(operand) for operand in logit.terms[6].operands] == ["blocks.0.out[0,2,6]", "token.weight[1,6]"]
    data = json.loads(json.dumps(logit.to_dict()))
    assert data["recomputed"] == math.fsum(term["value"] for term in data["terms"]) and data["index"] == [0, 2, 1]


def test_working_is_no_link():
    each = small_models.run("gpt2-tiny").explain("probs", (0, 1, 2))
    working = next(link for term in each.terms for link in term.operands if link.kind == "working")
    with pytest.raises(InputError, match="computed on the way to probs; its formula is in `working`"):
        each.follow(working)


def test_ulps():
    for dtype, bits in (("float64", 52), ("float32", 23), ("bfloat16", 7)):
        one = 1 + 2.0**-bits
        assert ulps(1.0, one, dtype) == ulps(-one, -1.0, dtype) == 1
        assert ulps(0.0, 0.0, dtype) == ulps(math.inf, math.inf, dtype) == ulps(math.nan, math.nan, dtype) == 0
        assert ulps(1.0, math.inf, dtype) == math.inf
    assert ulps(5e-324, 1e-323, "float64") == 1  # the last place gets no smaller
    assert ulps(2.0**-149, 0.0, "float32") == 1
    stored = np.float32(0.1)
    assert ulps(stored.item(), np.nextafter(stored, np.float32(1)).item(), "float32") == 1


def test_which_number_must_be_said():
    run = small_models.run("gpt2-tiny")
    with pytest.raises(
        InputError, match=r"logits has axes BTV and shape \(1, 5, 96\): say which T .*, V \(vocabulary\)"
    ):
        run.explain("logits")
    with pytest.raises(AddressError, match=r"logits, axis V: index 96 is out of range; there are 96, so 0 … 95"):
        run.explain("logits", (0, 0, 96))
    with pytest.raises(InputError, match="got an index and also token; say where in one of the two ways"):
        run.explain("logits", (0, 0, 5), token=5)
    assert run.explain("loss").value == run.explain("loss", ()).value
    assert run.explain("logits", position=-1, token=-1).index == (0, 4, 95)
    with pytest.raises(InputError, match="no gradients yet"):
        fresh("aab").explain("d:logits", (0, 0, 0))


# --- contributions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama 3.1", "original-tiny"])
def test_heads_add_up_to_an_output_projection(name):
    run = small_models.run(name)
    for address in ("blocks.0.attn.out", "blocks.1.attn.out"):
        heads_BTHK, weight_HKD = run.look(address.replace("out", "heads")), run.look(f"{address}.weight")
        each_BTHD = np.einsum("BTHK,HKD->BTHD", heads_BTHK, weight_HKD)
        for index in ((0, 0, 0), (0, 4, 31), (0, 2, 7)):
            explanation = run.explain(address, index)
            by_head = explanation.by("H")
            for head in range(4):
                assert abs(by_head.pop(f"H={head}") - each_BTHD[(*index[:2], head, index[2])]) < 1e-14
            assert by_head == (
                {f"{address}.bias": run.look(f"{address}.bias")[index[2]]} if name == "gpt2-tiny" else {}
            )
            assert abs(math.fsum(explanation.by("H").values()) - explanation.value) < 1e-15


def test_sums_by_any_axis_of_the_operands():
    run = small_models.run("gpt2-tiny")
    out = run.explain("blocks.0.attn.heads", (0, 4, 2, 1))
    by_key = out.by("S")
    weights_S, values_S = run.look("blocks.0.attn.weights")[0, 2, 4], run.look("blocks.0.attn.v")[0, :, 2, 1]
    assert list(by_key) == [f"S={s}" for s in range(5)]
    assert list(by_key.values()) == list(weights_S * values_S)


# --- after an edit ----------------------------------------------------------------------------------------------


def edited_run():
    run = small_models.run("gpt2-tiny").edit("blocks.0.attn.weights", head=1, query=4, key=2, scale=3.0)
    run = run.edit("blocks.0.attn.weights", head=1, query=4, key=slice(2, 4), add=0.25)
    run = run.edit("blocks.1.mlp.act", position=2, dimension=5, set=-1.5)
    run = run.edit(
        "blocks.1.attn.out", position=3, add=small_models.run("gpt2-tiny")["blocks.0.mid"].at(batch=0, position=1)
    )
    run.backward()
    return run


def test_an_edited_number_is_explained_by_its_edits():
    run, before = edited_run(), small_models.run("gpt2-tiny")
    each = run.explain("blocks.0.attn.weights", (0, 1, 4, 2))
    old = before.look("blocks.0.attn.weights")[0, 1, 4, 2]
    assert each.operator == "edit" and each.value == each.stored == old * 3 + 0.25
    assert each.formula == "blocks.0.attn.weights@unedited[0,1,4,2] * 3 + 0.25"
    assert each.note == "scale blocks.0.attn.weights[:,1,4,2] by 3; add 0.25 to blocks.0.attn.weights[:,1,4,2:4]"
    made = each.follow(0)
    assert made.operator == "softmax" and made.stored == old and made.note == ""
    put = run.explain("blocks.1.mlp.act", (0, 2, 5))
    assert (put.value, put.operands, put.numbers, put.formula) == (-1.5, (), "-1.5", "(-1.5)")
    added = run.explain("blocks.1.attn.out", (0, 3, 6))
    assert added.terms[1].value == before.look("blocks.0.mid")[0, 1, 6]


def test_a_number_beside_an_edit_is_explained_as_ever():
    run = edited_run()
    for address, index in (("blocks.0.attn.weights", (0, 1, 4, 1)), ("blocks.1.mlp.act", (0, 2, 4))):
        each = run.explain(address, index)
        assert each.note == "" and each.operator in ("softmax", "gelu_tanh")
        check_stored(each)


def test_everything_is_explained_after_an_edit_too():
    run, draw = edited_run(), Random(0)
    edited = {edit.address for edit in run.edits}
    addresses = [*run.program.producer, *(f"d:{address}" for address in run.grad)]
    addresses += [f"{address}@unedited" for address in edited] + [f"d:{address}@unedited" for address in edited]
    for address in addresses:
        shape = run.look(address).shape
        places = [tuple(draw.randrange(size) for size in shape)]
        places += [edit_place(edit.index, shape) for edit in run.edits if edit.address == base(address)]
        for index in places:
            each = run.explain(address, index)
            check_terms(each)
            check_links(each)
            check_stored(each)


def edit_place(index, shape):
    return tuple(
        range(n)[place][0] if isinstance(place, slice) else place for place, n in zip(index, shape, strict=True)
    )


def test_the_gradient_before_an_edit_is_explained_by_it():
    run = edited_run()
    scaled = run.explain("d:blocks.0.attn.weights@unedited", (0, 1, 4, 2))
    assert scaled.formula == "d:blocks.0.attn.weights[0,1,4,2] * 3" and scaled.kind == "gradient"
    assert scaled.value == run.look("d:blocks.0.attn.weights")[0, 1, 4, 2] * 3
    stopped = run.explain("d:blocks.1.mlp.act@unedited", (0, 2, 5))
    assert (stopped.value, stopped.operands) == (0.0, ())
    score = run.explain("d:blocks.0.attn.masked", (0, 1, 4, 2))
    assert {operand.address for operand in score.operands} == {
        "blocks.0.attn.weights@unedited",
        "d:blocks.0.attn.weights@unedited",
    }


def test_an_edited_weight_is_a_leaf_that_says_so():
    run = small_models.run("gpt2-tiny").edit("token.weight", (40, 3), add=1.0)
    each, other = run.explain("token.weight", (40, 3)), run.explain("token.weight", (40, 4))
    assert each.note == "add 1 to token.weight[40,3]" and "edited: add 1" in str(each) and other.note == ""
    assert each.stored == small_models.run("gpt2-tiny").look("token.weight")[40, 3] + 1.0


def test_values_that_were_not_kept_are_explained_alike():
    every, few = fresh("gpt2-tiny"), fresh("gpt2-tiny", keep=["logits"])
    for run in (every, few):
        run.backward()
    for address, index in (
        ("blocks.1.attn.weights", (0, 2, 4, 1)),
        ("d:blocks.0.mid", (0, 1, 7)),
        ("probs", (0, 1, 3)),
    ):
        one, other = every.explain(address, index), few.explain(address, index)
        assert one == other and one.working == other.working


def test_cancelling_terms_are_judged_by_the_largest_of_them():
    run = byhand.load("aab").run("baa")
    heads = run.explain("blocks.0.attn.heads", (0, 1, 0, 7))
    assert heads.value == heads.stored and heads.cancelling == 0
    apart = replace(heads, stored=2.0**-60, ulp=9e9)  # one half and minus one half, summed a little wrong
    assert apart.cancelling == 2.0**-60 / 2.0 ** (-1 - 23)
    assert "of the largest term: the terms cancel" in str(apart)

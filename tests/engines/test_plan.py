"""Plans: what is computed together, where values lie, and all of it as plain Python too."""

import os
import subprocess
import sys
from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byhand
from byhand.engines.cpu import engine as module
from byhand.engines.cpu.buffers import laid_out
from byhand.engines.cpu.fusion import grouped
from byhand.engines.cpu.plan import Plan
from byhand.engines.pool import Pool
from byhand.families import gpt2
from byhand.run import Run, to_keep

from ..small_models import TEXTS, fresh, model

ATTENTION = "attn.scores + attn.masked + attn.weights + attn.heads"
BLOCKS = {
    "gpt2-tiny": [
        "norm1.out",
        "attn.q",
        "attn.k",
        "attn.v",
        ATTENTION,
        "attn.out + mid",
        "norm2.out",
        "mlp.pre + mlp.act",
        "mlp.out + out",
    ],
    "llama-tiny": [
        "norm1.out",
        "attn.q",
        "attn.k",
        "attn.q_rot",
        "attn.k_rot",
        "attn.v",
        ATTENTION,
        "attn.out + mid",
        "norm2.out",
        "mlp.gate + mlp.act",
        "mlp.up + mlp.gated",
        "mlp.out + out",
    ],
    "bert-tiny": ["attn.q", "attn.k", "attn.v", ATTENTION, "attn.out + mid", "norm1.out", "mlp.pre + mlp.act"],
    "original-tiny": ["attn.q", "attn.k", "attn.v", ATTENTION, "attn.out + mid", "mlp.pre + mlp.act"],
}


def names(groups, block):
    """The names of the groups of a block, without what they share."""
    found = [[step.address for step in group.steps] for group in groups if group.steps[0].address.startswith(block)]
    return [" + ".join(address.removeprefix(block) for address in each) for each in found]


def made_plan(run: Run, keep, edits=()) -> Plan:
    for each in edits:
        run = run.edit(*each[:1], **each[1])
    targets = set(keep)
    task = Run(run.setting, {}, run.edits).task(run.program.needed(targets, lambda _: False), targets, lambda _: None)
    return Plan(task, module.given_to(task), module.prepared(task.weights).resident, module.team())


# --- groups -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BLOCKS)
def test_what_is_computed_together(name):
    groups = grouped(model(name).program.steps, ())
    of_block = names(groups, "blocks.0.")
    assert sorted(set(BLOCKS[name]) - set(of_block)) == []
    if name in ("gpt2-tiny", "llama-tiny"):
        assert sorted(of_block) == sorted(BLOCKS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_every_step_is_in_one_group_after_all_that_it_reads(name):
    program = model(name).program_with(True) if name != "original-tiny" else model(name).program
    for edited in ((), {"blocks.0.attn.scores"}, {"blocks.0.mlp.pre", "blocks.0.mid"}):
        groups = grouped(program.steps, edited)
        done: set[str] = set()
        for group in groups:
            assert not done.intersection(group.writes)
            assert all(read in done or read not in program.producer for read in group.reads)
            done.update(group.writes)
        assert done == set(program.producer)


@pytest.mark.parametrize(
    "edited, ends",
    [
        ("attn.scores", ["attn.scores", "attn.masked", "attn.weights", "attn.heads"]),
        ("attn.weights", ["attn.scores", "attn.masked", "attn.weights", "attn.heads"]),
        ("attn.heads", [ATTENTION]),
        ("mlp.pre", ["mlp.pre", "mlp.act"]),
        ("mlp.act", ["mlp.pre + mlp.act"]),
        ("attn.out", ["attn.out", "mid"]),
    ],
)
def test_an_edited_value_ends_its_group(edited, ends):
    groups = grouped(model("gpt2-tiny").program.steps, {f"blocks.0.{edited}"})
    of_block = names(groups, "blocks.0.")
    assert all(each in of_block for each in ends)
    assert names(groups, "blocks.1.") == names(grouped(model("gpt2-tiny").program.steps, ()), "blocks.1.")


def test_values_inside_a_group_have_no_memory():
    run = fresh("gpt2-tiny", "float32", engine="cpu", keep=["logits"])
    unseen = module.CPU.inner(run.program.steps, {"logits"})
    plan = made_plan(run, ["logits"])
    assert {"blocks.0.attn.scores", "blocks.1.mlp.pre", "blocks.0.attn.out"} <= unseen
    assert not unseen.intersection(plan.arrays)
    kept = made_plan(run, ["logits", "blocks.0.attn.weights"])
    assert "blocks.0.attn.weights" in kept.arrays and "blocks.0.attn.scores" not in kept.arrays


# --- memory -----------------------------------------------------------------------------------------------------


def test_a_square_of_positions_is_never_in_memory(monkeypatch):
    monkeypatch.setenv("BYHAND_THREADS", "2")
    T, heads, width = 512, 8, 64
    c = gpt2.Config(layers=2, width=width, heads=heads, hidden=4 * width, vocabulary=50, context=T)
    run = byhand.make("gpt2", c).run(np.zeros((1, T), int), engine="cpu", keep=["logits"])
    square = T * T * heads * 4
    (plan,) = module.prepared(run.setting.weights).plans.values()
    # the stream, queries, keys, values, what the heads read and the widest layer, and half a square for blocks of it
    assert plan.nbytes < 12 * T * width * 4 + square // 2
    run = byhand.make("gpt2", c).run(np.zeros((1, T), int), engine="cpu", keep=["blocks.0.attn.weights"])
    assert run.look("blocks.0.attn.weights").nbytes == square


def check_apart(plan: Plan) -> None:
    """What is alive in the same group, its output too, shares no byte."""
    first, last = {}, {}
    for i, group in enumerate(plan.groups):
        for address in group.writes:
            first[address] = last[address] = i
        for address in group.reads:
            if address in first:
                last[address] = i
    inner = [address for address in first if address in plan.arrays]
    for kept in plan.kept:
        last[kept] = len(plan.groups)
    for one, other in combinations(inner, 2):
        if first[one] <= last[other] and first[other] <= last[one]:
            assert not np.may_share_memory(plan.arrays[one], plan.arrays[other]), f"{one} and {other}"


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("keep", ["logits", "*.attn.weights", "*"])
def test_values_alive_together_lie_apart(name, keep):
    run = fresh(name, "float32", engine="cpu", keep=["*"])
    check_apart(made_plan(run, to_keep(run.program, keep)))


def test_values_alive_together_lie_apart_where_some_are_edited():
    run = fresh("gpt2-tiny", "float32", engine="cpu")
    edits = [("blocks.0.attn.weights", {"scale": 2.0}), ("blocks.0.mid", {"add": 1.0})]
    check_apart(made_plan(run, ["logits"], edits))


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=25))
def test_places(values):
    sizes = {str(i): size for i, (size, _, _) in enumerate(values)}
    born = {str(i): at for i, (_, at, _) in enumerate(values)}
    dies = {str(i): at + long for i, (_, at, long) in enumerate(values)}
    places, whole = laid_out(sizes, born, dies)
    for one, other in combinations(sizes, 2):
        if born[one] <= dies[other] and born[other] <= dies[one]:
            apart = places[one] + sizes[one] <= places[other] or places[other] + sizes[other] <= places[one]
            assert apart, (one, other)
    assert all(place % 64 == 0 and place + sizes[each] <= whole for each, place in places.items())


def test_memory_is_used_again():
    run = fresh("gpt2-tiny", "float32", engine="cpu", keep=["logits"])
    plan = made_plan(run, ["logits"])
    inner = [each for each in plan.arrays if each in run.program.producer and each not in plan.kept]
    assert len(plan.work) < sum(4 * prod(run.shape(each)) for each in inner) / 2


def test_a_pool_lends_what_came_back():
    pool = Pool(1000)
    one, other = pool.lease(400), pool.lease(400)
    view, place = one[10:20], one.ctypes.data
    del one
    pool.collect()
    assert pool.unused == 0, "a view still holds it"
    del view
    pool.collect()
    assert pool.unused == 400
    assert pool.lease(300).ctypes.data != place
    assert pool.lease(400).ctypes.data == place
    assert place % 64 == 0 and other.ctypes.data % 64 == 0
    many = [pool.lease(400) for _ in range(9)]
    del many
    pool.collect()
    assert 0 < pool.unused <= 1000


def test_a_plan_is_made_once_for_the_same_shapes():
    of = byhand.load("gpt2-tiny", seed=8)
    for text in ("Hello", "World", "Never"):
        of.run(text, engine="cpu")
    assert len(module.prepared(of.weights).plans) == 1
    for length in range(1, 20):
        of.run([1] * length, engine="cpu")
    assert len(module.prepared(of.weights).plans) == module.PLANS


def test_plans_go_with_their_model():
    of = byhand.load("gpt2-tiny", seed=9)
    key = id(of.weights)
    of.run("Hello", engine="cpu")
    assert key in module.PREPARED
    del of
    assert key not in module.PREPARED


# --- as plain Python ----------------------------------------------------------------------------------------------

INTERPRETED = """
import numpy as np, byhand
from byhand.engines.cpu.simd import COMPILED
from byhand.families import gpt2, llama

assert not COMPILED
sizes = dict(layers=1, width=8, heads=2, hidden=11, vocabulary=13, context=12)
for family, c in (("gpt2", gpt2.Config(**sizes)), ("llama", llama.Config(**sizes, groups=1, head_width=4))):
    of = byhand.make(family, c)
    run, exact = of.run([1, 2, 3], engine="cpu"), of.run([1, 2, 3], dtype="float64")
    for address in run.program.producer:
        assert np.allclose(run.look(address), exact.look(address), 1e-4, 1e-5), address
for name in ("gpt2-tiny", "llama-tiny"):
    of = byhand.load(name, seed=3)
    run, exact = of.run([1, 2, 3], engine="cpu"), of.run([1, 2, 3], dtype="float64")
    for address in run.program.producer:
        assert np.allclose(run.look(address), exact.look(address), 1e-4, 1e-5), address
    made = [
        of.generate([1, 2], max_tokens=3, temperature=0.0, **how).finish().tokens
        for how in (dict(engine="cpu", dtype="float32"), dict(engine="reference", dtype="float64"))
    ]
    assert made[0] == made[1] and len(made[0]) == 3
print("same")
"""


def test_whole_runs_with_the_compiler_off():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "same\n" and not done.stderr


def test_a_group_that_reads_too_early_is_caught(monkeypatch):
    """The check above, of a place that two values share."""
    run = fresh("gpt2-tiny", "float32", engine="cpu", keep=["logits"])
    monkeypatch.setattr(
        "byhand.engines.cpu.plan.laid_out", lambda sizes, *_: (dict.fromkeys(sizes, 0), max(sizes.values()))
    )
    with pytest.raises(AssertionError, match=" and "):
        check_apart(made_plan(run, ["logits"]))

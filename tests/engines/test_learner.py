"""Learners: gradients, losses and updates of every engine; the same bits whatever the threads, whatever came before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from byhand import inputs
from byhand.engines import ENGINES, Learner, Parameters, Update, engine
from byhand.engines.tolerances import TOLERANCES
from byhand.errors import NotANumber
from byhand.program import Program

from ..small_models import TEXTS, model, same_bits

Array = np.ndarray[Any, Any]

FAMILIES = [name for name in TEXTS if not name.startswith("aab")]
NO_SLOPE = ".k.bias"  # it adds the same to all scores of a query, which softmax takes away: its gradient is rounding
FLOOR = 0.01  # of the largest gradient there is: what is smaller may lie as far off as that size allows
B, T, S = 3, 9, 7


def given(name: str, seed: int = 0, *, B: int = B, T: int = T, padded: bool = True) -> dict[str, Array]:
    """A batch for a model: texts of mixed lengths, targets of which one is not to be predicted, segments for BERT."""
    program, drawn = model(name).program_with(True), np.random.default_rng(seed)
    tokens_BT, targets_BT = drawn.integers(0, program.sizes["V"], (2, B, T))
    real_BT = np.arange(T) < np.maximum(1, T - 2 * np.arange(B))[:, None]
    found = {"tokens": tokens_BT, "targets": targets_BT}
    if padded:
        found |= {"mask": real_BT, "targets": np.where(real_BT, targets_BT, inputs.NO_TARGET)}
    found["targets"][0, 0] = inputs.NO_TARGET if T > 1 else found["targets"][0, 0]
    if "segments" in program.inputs:
        found["segments"] = (np.arange(T) >= T // 2) * np.ones((B, 1), int)
    if "source.tokens" in program.inputs:
        found["source.tokens"] = drawn.integers(0, program.sizes["V"], (B, S))
        found |= {"source.mask": np.arange(S) < (S - np.arange(B))[:, None]} if padded else {}
    return found


def prepared(program: Program, batch: Mapping[str, Array]) -> dict[str, Array]:
    return inputs.prepare(program, batch)


def learner(name: str, kind: str) -> Learner:
    """A new one, whose gradients hold what an earlier batch might have left."""
    program = model(name).program_with(True)
    made = engine(kind, "float32").learner(program, Parameters(program, model(name).weights))
    made.parameters.gradients.flat[:] = 7
    return made


def exact(name: str, batch: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
    """The loss, and the gradient of every parameter, in float64."""
    others = dict(batch)
    tokens_BT = others.pop("tokens")
    if "source.tokens" in others:
        others["source"] = others.pop("source.tokens")
    run = model(name).run(tokens_BT, dtype="float64", engine="reference", **others)
    run.backward()
    weights = run.program.weights
    return float(run.look("loss")), {each: run.grad.look(each) for each in weights if each in run.grad}


def check_gradients(found: Mapping[str, Array], expected: Mapping[str, Array], allowed: float) -> None:
    largest = max(np.abs(each).max() for each in expected.values())
    for address, gradient in found.items():
        right = expected.get(address, np.zeros(()))
        size = largest if address.endswith(NO_SLOPE) else max(np.abs(right).max(), FLOOR * largest)
        difference = np.abs(gradient - right).max() / size
        assert difference <= allowed, f"the gradient of {address} is {difference:.2g} off"


def gradients(of: Learner) -> dict[str, Array]:
    return {address: gradient.copy() for address, gradient in of.parameters.gradients.items()}


ALL = pytest.mark.parametrize("name", FAMILIES)
BOTH = pytest.mark.parametrize("kind", ENGINES)
BATCHES = {
    "mixed lengths": {},
    "no padding": {"padded": False},
    "one token": {"T": 1, "padded": False},
    "one text": {"B": 1, "padded": False},
    "a long text": {"B": 1, "T": 37, "padded": False},
}


# --- gradients ------------------------------------------------------------------------------------------------------


@BOTH
@ALL
@pytest.mark.parametrize("how", BATCHES.values(), ids=BATCHES)
def test_the_gradient_of_every_parameter(name, kind, how):
    batch, made = given(name, **how), learner(name, kind)
    loss, expected = exact(name, batch)
    allowed = TOLERANCES[kind, "float32"]
    assert made.learn(prepared(made.program, batch)) == pytest.approx(loss, rel=allowed)
    assert made.parameters.gradients.keys() == made.program.weights.keys()
    check_gradients(made.parameters.gradients, expected, allowed)


@BOTH
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_parts_add_up_to_the_whole(name, kind):
    batch, made = given(name, B=4), learner(name, kind)
    loss, expected = exact(name, batch)
    total, found = (batch["targets"] >= 0).sum(), 0.0
    for first in (0, 1, 3):
        part = {each: array[first : first + 2 if first else 1] for each, array in batch.items()}
        share = float((part["targets"] >= 0).sum() / total)
        found += share * made.learn(prepared(made.program, part), share, fresh=first == 0)
    assert found == pytest.approx(loss, rel=1e-5)
    check_gradients(made.parameters.gradients, expected, TOLERANCES[kind, "float32"])


@BOTH
def test_a_share_of_a_gradient(kind):
    made = learner("gpt2-tiny", kind)
    batch = prepared(made.program, given("gpt2-tiny"))
    made.learn(batch)
    whole = gradients(made)
    made.learn(batch, 0.25)
    assert all(same_bits(made.parameters.gradients[each], whole[each] * np.float32(0.25)) for each in whole)


# --- bits -----------------------------------------------------------------------------------------------------------


@ALL
@BOTH
def test_a_loss_without_gradients_has_the_same_bits(name, kind):
    made = learner(name, kind)
    for how in BATCHES.values():
        batch = prepared(made.program, given(name, **how))
        before = made.parameters.values.flat.copy()
        assert made.loss(batch) == made.learn(batch) == made.loss(batch)
        assert same_bits(made.parameters.values.flat, before)


@BOTH
def test_bits_do_not_depend_on_earlier_batches(kind):
    made, other = learner("gpt2-tiny", kind), learner("gpt2-tiny", kind)
    batches = [prepared(made.program, given("gpt2-tiny", seed, **how)) for seed, how in enumerate(BATCHES.values())]
    for batch in (*batches, *reversed(batches)):
        made.learn(batch)
        made.loss(batch)
    other.learn(batches[0])
    assert same_bits(made.parameters.gradients.flat, other.parameters.gradients.flat)


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_bits_do_not_depend_on_threads(name, monkeypatch):
    ends = [trained(learner(name, "cpu"), name, 4, monkeypatch, threads) for threads in (1, 2, 3)]
    for losses, lengths, flats in ends[1:]:
        assert losses == ends[0][0] and lengths == ends[0][1]
        assert all(same_bits(one, other) for one, other in zip(flats, ends[0][2], strict=True))


def test_bits_do_not_depend_on_threads_that_change_on_the_way(monkeypatch):
    made, other = learner("gpt2-tiny", "cpu"), learner("gpt2-tiny", "cpu")
    trained(other, "gpt2-tiny", 3, monkeypatch, 1)
    for step, threads in enumerate((3, 1, 2), 1):
        trained(made, "gpt2-tiny", 1, monkeypatch, threads, first=step)
    assert same_bits(made.parameters.values.flat, other.parameters.values.flat)


def trained(made: Learner, name: str, steps: int, monkeypatch: Any, threads: int, first: int = 1) -> tuple[Any, ...]:
    """Some steps, clipped, with so many threads: losses, lengths, and all that is remembered."""
    monkeypatch.setenv("BYHAND_THREADS", str(threads))
    losses, lengths = [], []
    for number in range(first, first + steps):
        losses.append(made.learn(prepared(made.program, given(name, number, B=5, T=23))))
        lengths.append(made.length())
        made.update(Update(number, 1e-3, decay={"token.weight": 0.1}, scale=min(1.0, 0.5 / lengths[-1])))
    return losses, lengths, [made.parameters.gradients.flat, *(each.flat for each in made.parameters.pieces.values())]


# --- the optimiser --------------------------------------------------------------------------------------------------


@BOTH
def test_the_length_of_the_gradient(kind):
    made = learner("llama-tiny", kind)
    made.learn(prepared(made.program, given("llama-tiny")))
    together = np.concatenate([each.ravel() for each in made.parameters.gradients.values()]).astype(np.float64)
    assert made.length() == pytest.approx(np.linalg.norm(together), rel=1e-7)


def expected_update(made: Learner, how: Update) -> dict[str, dict[str, Array]]:
    """Values and moments after algorithm 2 of Loshchilov and Hutter 2019, in float64, by address."""
    found: dict[str, dict[str, Array]] = {"values": {}, "first": {}, "second": {}}
    p = made.parameters
    for address in p.shapes:
        pieces = (p.values, p.gradients, p.first, p.second)
        x, g, m, v = (piece[address].astype(np.float64) for piece in pieces)
        g = g * how.scale
        m, v = how.beta1 * m + (1 - how.beta1) * g, how.beta2 * v + (1 - how.beta2) * g**2
        free_m, free_v = m / (1 - how.beta1**how.number), v / (1 - how.beta2**how.number)
        decay = (how.decay or {}).get(address, 0.0)
        found["values"][address] = x - how.rate * (free_m / (np.sqrt(free_v) + how.eps) + decay * x)
        found["first"][address], found["second"][address] = m, v
    return found


@BOTH
@pytest.mark.parametrize("number", [1, 2, 100])
def test_one_update(kind, number):
    made = learner("gpt2-tiny", kind)
    drawn = np.random.default_rng(number)
    for piece, size in (
        (made.parameters.gradients, 1e-2),
        (made.parameters.first, 1e-2),
        (made.parameters.second, 1e-4),
    ):
        for array in piece.values():
            array[...] = size * drawn.standard_normal(array.shape)
    made.parameters.second.flat[:] = np.abs(made.parameters.second.flat)
    decay = {address: 0.1 + 0.1 * (i % 3) for i, address in enumerate(made.parameters.shapes) if i % 4}
    how = Update(number, 0.01, beta1=0.85, beta2=0.97, eps=1e-6, decay=decay, scale=0.7)
    expected = expected_update(made, how)
    made.update(how)
    for kind_of, by_address in expected.items():
        for address, right in by_address.items():
            found = made.parameters.pieces[kind_of][address]
            assert np.abs(found - right).max() <= 3e-6 * np.abs(right).max(), f"{kind_of} of {address}"


def test_fifty_steps_on_both_engines_stay_close():
    made = {kind: learner("gpt2-tiny", kind) for kind in ENGINES}
    losses = {kind: [] for kind in ENGINES}
    for number in range(1, 51):
        batch = given("gpt2-tiny", number % 5)
        for kind, each in made.items():
            losses[kind].append(each.learn(prepared(each.program, batch)))
            scale = min(1.0, 1.0 / each.length())
            # eps is larger than usual: a gradient as small as 1e-8 is rounding, and so were the direction of its step
            each.update(Update(number, 1e-3, eps=1e-6, decay={"token.weight": 0.1}, scale=scale))
    ours, theirs = losses.values()
    assert ours[-1] < 0.5 * ours[0]
    assert np.abs(np.subtract(ours, theirs)).max() < 1e-4
    one, other = (each.parameters.values for each in made.values())
    apart = {each: np.abs(one[each] - other[each]).max() for each in one if not each.endswith(NO_SLOPE)}
    assert max(apart.values()) < 1e-4, max(apart, key=lambda each: apart[each])


# --- what goes wrong ------------------------------------------------------------------------------------------------


@BOTH
def test_the_step_that_is_no_number_is_named(kind):
    made = learner("gpt2-tiny", kind)
    batch = prepared(made.program, given("gpt2-tiny"))
    good = made.learn(batch)
    kept = made.parameters.values["blocks.1.mlp.up.weight"][3, 5]
    made.parameters.values["blocks.1.mlp.up.weight"][3, 5] = np.nan
    for do in (made.learn, made.loss):
        with pytest.raises(NotANumber, match=r"blocks\.1\.mlp\.pre"):
            do(batch)
    made.parameters.values["blocks.1.mlp.up.weight"][3, 5] = kept
    assert made.learn(batch) == good


@BOTH
@pytest.mark.parametrize("name", ["gpt2-tiny", "original-tiny"])
def test_what_is_computed_again_changes_no_bit(name, kind):
    plain, batch = learner(name, kind), given(name)
    computing = engine(kind, "float32")
    again = frozenset(each for each in computing.saved(plain.program) if ".mlp." in each or "norm" in each)
    made = computing.learner(plain.program, Parameters(plain.program, model(name).weights), again)
    assert again and made.learn(prepared(made.program, batch)) == plain.learn(prepared(plain.program, batch))
    assert all(
        same_bits(made.parameters.gradients[each], plain.parameters.gradients[each]) for each in plain.program.weights
    )

"""The cpu engine's optimiser: the bits of the definition, groups that decay alike, and the length of a gradient."""

from itertools import pairwise
from math import fsum, inf, isnan, nan, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byhand.engines import Parameters, Update
from byhand.engines.cpu.kernels.updating import BLOCK
from byhand.engines.cpu.optimiser import Optimiser, stretches
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.learning import adamw

from ..small_models import same_bits

SIZES = [(1,), (7,), (3, 5), (16,), (4095,), (4097,), (2, 130, 33)] if COMPILED else [(1,), (7,), (3, 5), (16,), (70,)]
SPECIAL = [0.0, -0.0, 1e-30, 1e-45, 1e30, inf, -inf, nan]
LONG = 3 * BLOCK + 77 if COMPILED else 300


def parameters(shapes, seed=0, special=True) -> Parameters:
    """Of any shapes: values, gradients and moments at random, among the gradients numbers that are hard."""
    rng = np.random.default_rng(seed)
    by_address = {f"w{i}": shape for i, shape in enumerate(shapes)}
    program: Any = SimpleNamespace(shapes=lambda: by_address, weights=by_address)
    p = Parameters(program, {each: rng.normal(size=shape) for each, shape in by_address.items()})
    for piece in (p.gradients, p.first, p.second):
        for array in piece.values():
            array[...] = rng.normal(size=array.shape)
    p.second.flat[:] = p.second.flat**2
    for array in p.gradients.values():
        array.reshape(-1)[::13] = 0
        if special:
            array.reshape(-1)[5::19] = rng.choice(SPECIAL, array.reshape(-1)[5::19].shape)
    return p


def updated(p: Parameters, steps) -> Parameters:
    """By the definition, array by array."""
    with np.errstate(all="ignore"):
        for how in steps:
            for each in p.shapes:
                pieces = (p.values[each], p.gradients[each], p.first[each], p.second[each])
                adamw(*pieces, how, (how.decay or {}).get(each, 0.0))
    return p


def check(shapes, steps, seed=0):
    expected = updated(parameters(shapes, seed), steps)
    p = parameters(shapes, seed)
    optimiser = Optimiser(p)
    for how in steps:
        optimiser.update(how)
    for name, piece in p.pieces.items():
        for address, array in piece.items():
            assert same_bits(array, expected.pieces[name][address]), f"{name} of {address}"
        used = np.concatenate([np.arange(array.size) + p.places[each] for each, array in piece.items()])
        assert not np.delete(piece.flat, used).any(), "between two arrays there is nothing"
    assert same_bits(p.gradients.flat, parameters(shapes, seed).gradients.flat)


decays = st.dictionaries(st.sampled_from([f"w{i}" for i in range(6)]), st.sampled_from([0.0, 0.1, 0.25]))
shares = st.floats(0, 0.999)
updates = st.builds(
    Update,
    number=st.integers(1, 5000),
    rate=st.floats(1e-6, 0.1),
    beta1=shares,
    beta2=shares,
    eps=st.sampled_from([1e-8, 1e-5]),
    decay=st.none() | decays,
    scale=st.floats(0, 2),
)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_updates_have_the_bits_of_the_definition(threads, monkeypatch):
    """Whatever the shapes, the numbers of the steps and who decays: also where that changes from step to step."""
    monkeypatch.setenv("BYHAND_THREADS", str(threads))

    @settings(max_examples=25 if COMPILED else 3)
    @given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6), st.lists(updates, min_size=1, max_size=3))
    def compare(shapes, steps):
        check(shapes, steps)

    compare()


def test_an_array_longer_than_what_a_thread_takes():
    check([(LONG,), (3,)], [Update(number, 1e-3, decay={"w0": 0.1}, scale=0.37) for number in (1, 2, 3)])


def test_rates_and_scales_change_from_step_to_step():
    check([(33,), (40,)], [Update(n, 10.0**-n, scale=1 / n, decay={"w1": 0.1}) for n in range(1, 6)])


@given(st.lists(st.sampled_from([(1,), (7,), (3, 5), (40,)]), min_size=1, max_size=6), decays)
def test_who_decays_alike_is_one_stretch(shapes, decay):
    """Each number is in one, with its own array's decay, and neighbours differ."""
    p = parameters(shapes)
    found = stretches(p, decay)
    assert [start for start, _, _ in found] == [0, *(end for _, end, _ in found[:-1])]
    assert found[-1][1] == len(p.values.flat)
    for address, place in p.places.items():
        (rate,) = [rate for start, end, rate in found if start <= place < end]
        assert rate == decay.get(address, 0.0)
        assert any(start <= place and place + p.values[address].size <= end for start, end, _ in found)
    assert all(one[2] != other[2] for one, other in pairwise(found))


def test_calls_are_made_again_only_when_others_decay():
    optimiser = Optimiser(parameters([(5,), (6,), (7,)]))
    optimiser.update(Update(1, 0.1, decay={"w1": 0.1}))
    before = optimiser.calls
    optimiser.update(Update(2, 0.2, decay={"w1": 0.1}))
    assert optimiser.calls is before and len(optimiser.calls) == 3
    optimiser.update(Update(3, 0.2, decay={"w1": 0.2, "w2": 0.2}))
    assert optimiser.calls is not before and len(optimiser.calls) == 2


# --- the length of a gradient ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [[(1,)], [(3, 5), (7,)], [(LONG,)], [(LONG,), (2, 33), (LONG,)]], ids=str)
def test_the_length_is_that_of_float64_whatever_the_threads(shapes, monkeypatch):
    p, lengths = parameters(shapes, special=False), set()
    for size in (1e25, 1e-20, 1.0):  # the square of the first is no float32
        p.gradients.flat[:1] = size
        exact = sqrt(fsum(float(x) ** 2 for array in p.gradients.values() for x in array.reshape(-1)))
        lengths.clear()
        for threads in (1, 2, 3):
            monkeypatch.setenv("BYHAND_THREADS", str(threads))
            lengths.add(Optimiser(p).length())
        assert len(lengths) == 1 and lengths.pop() == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("where", [0, BLOCK - 1, BLOCK, LONG - 1] if COMPILED else [0, LONG - 1])
def test_one_number_that_is_none_makes_the_length_none(where):
    p = parameters([(LONG,)], special=False)
    optimiser = Optimiser(p)
    p.gradients.flat[where] = inf
    assert optimiser.length() == inf
    p.gradients.flat[where] = nan
    assert isnan(optimiser.length())
    p.gradients.flat[where] = 0
    assert optimiser.length() == Optimiser(p).length() < 1e4

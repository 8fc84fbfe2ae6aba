"""The bound on rounding: for every operator, its value is right and no run of another precision lies outside."""

import ml_dtypes
import numpy as np
import pytest

from byhand.compare.rounding import UNITS, bounded
from byhand.operators import REGISTRY

from ..operators.examples import example, hidden, variants

CHOICES = ("argmax", "draw", "top_p", "append")  # a token and a place are right or wrong, and have no rounding
NAMES = sorted(REGISTRY)
KEPT = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}


def rounded_to(kind, array):
    return array if array.dtype.kind in "iub" else array.astype(kind)


def of(each, unit):
    return bounded(each.record, each.inputs, each.sizes, each.settings, UNITS[unit])


def worst(each, dtype):
    """The largest error of a run in this precision, as a share of its bound."""
    kind = KEPT[dtype]
    exact = {name: rounded_to(kind, array) for name, array in each.inputs.items()}
    wide = {name: rounded_to(np.float64, array) for name, array in exact.items()}
    near = {name: rounded_to(np.float32, array) for name, array in exact.items()}
    allowed = bounded(each.record, wide, each.sizes, each.settings, UNITS[dtype])
    inside = {"rounded": lambda array: array.astype(kind).astype(np.float32)} if each.record.rounds_inside else {}
    with np.errstate(all="ignore"):
        made = each.record.forward(*(near.get(o.name) for o in each.record.inputs), **each.settings, **inside)
    shares = [0.0]
    for name, result in zip(
        (o.name for o in each.record.outputs), made if isinstance(made, tuple) else (made,), strict=True
    ):
        value, bound = allowed[name]
        got = np.asarray(result).astype(kind if not each.record.wide else np.float32).astype(np.float64)
        with np.errstate(invalid="ignore"):
            shares.append(float((np.where(got == value, 0, np.abs(got - value)) / bound).max(initial=0)))
    return max(shares)


@pytest.mark.parametrize("name", NAMES)
def test_its_value_is_the_operators(name):
    for each in [*variants(REGISTRY[name]), *hidden(REGISTRY[name])]:
        for output, value in each.forward().items():
            np.testing.assert_allclose(of(each, "float64")[output].value, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", KEPT)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHOICES])
def test_no_rounding_goes_beyond_the_bound(name, dtype):
    for each in [*variants(REGISTRY[name]), *hidden(REGISTRY[name])]:
        assert worst(each, dtype) <= 1, each.sizes


@pytest.mark.parametrize(
    "name", ["linear", "layer_norm", "rms_norm", "softmax", "scores", "gelu_tanh", "gelu_erf", "rotary_halves"]
)
def test_the_bound_is_not_far_from_what_happens(name):
    """A bound that is never approached would also hide bugs: it is within a factor of 40 of the largest error."""
    shares = [worst(example(REGISTRY[name], seed), "float32") for seed in range(20)]
    assert 1 / 40 < max(shares) <= 1

"""Every registered operator passes every check; nobody writes a test for a new one."""

import numpy as np
import pytest

from byhand.operators import REGISTRY

from . import checks
from .examples import example, letters, variants

EVERY = pytest.mark.parametrize("record", REGISTRY.values(), ids=str)


@EVERY
def test_an_example_can_be_made_and_run(record):
    for each in variants(record):
        for operand in record.outputs:
            shape = tuple(each.sizes[letter] for letter in operand.axes)
            assert each.forward()[operand.name].shape == shape
        assert set(letters(record)) <= each.sizes.keys()


@EVERY
def test_the_same_seed_gives_the_same_example(record):
    first, second, other = example(record, 1), example(record, 1), example(record, 2)
    assert all(np.array_equal(first.inputs[name], second.inputs[name]) for name in first.inputs)
    assert any(not np.array_equal(first.inputs[name], other.inputs[name]) for name in first.inputs)


@EVERY
def test_backward_is_the_derivative(record):
    checks.check_gradient(record)


@EVERY
def test_float32_stays_float32(record):
    checks.check_float32(record)


@EVERY
def test_arithmetic_says_what_numpy_computes(record):
    checks.check_arithmetic(record)


@EVERY
def test_the_record_agrees_with_itself(record):
    checks.check_declaration(record)


@EVERY
def test_operations_are_counted(record):
    if not record.count:
        checks.check_operations(record)

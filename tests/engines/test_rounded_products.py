"""What a user is told of products whose inputs were rounded, and of keys and values in bfloat16."""

from dataclasses import replace

import pytest

import byhand
from byhand.checkpoints.blocks import quantise


def test_an_explanation_says_that_a_product_was_rounded():
    start = byhand.load("llama-tiny")
    of = replace(start, weights=quantise(start.weights, start.program, "q8"))
    place = {"batch": 0, "position": 1, "dimension": 3}
    rounded, exact = (
        of.run([1, 2, 3], dtype=dtype).explain("blocks.0.mlp.gate", **place) for dtype in ("int8", "float32")
    )
    assert "rounded to int8" in rounded.remark and rounded.remark in str(rounded)
    assert exact.remark == "" and abs(exact.value - exact.stored) < abs(rounded.value - rounded.stored)


def test_only_the_cpu_engine_keeps_keys_in_bfloat16():
    of = byhand.load("gpt2-tiny")
    assert len(of.generate([1, 2], max_tokens=3, cached="bfloat16").finish().tokens) == 3
    with pytest.raises(byhand.InputError, match="only the cpu engine keeps keys and values in bfloat16"):
        of.generate([1, 2], cached="bfloat16", engine="reference")
    with pytest.raises(byhand.InputError, match="give True, False or 'bfloat16'"):
        of.generate([1, 2], cached="float8")

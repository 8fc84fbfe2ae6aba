"""What is only rounding is called rounding, and the same is called the same."""

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand.compare import compare
from byhand.compare.side import precision_of

from .planted import CONFIGS, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8]
FAMILIES = tuple(CONFIGS)
PARTLY = ("embed.out", "blocks.0.out", "blocks.1.attn.out", "logits")


def values(model, dtype="float32", only=None, ids=IDS):
    run = model.run(ids, dtype=dtype)
    chosen = run.program.producer if only is None else only
    return {a: np.asarray(run.look(a)) for a in [*chosen, "tokens"]}


@pytest.mark.parametrize("name", ["aab", "gpt2-tiny", "llama-tiny", "bert-tiny", "original-decoder-tiny"])
def test_a_model_is_the_same_as_itself(name):
    found = compare(name, name)
    assert found.verdict == "same"
    assert found.first is None
    assert str(found).startswith("same: ")


@pytest.mark.parametrize("layers", [2, 6])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pair", [("float32", "float64"), ("bfloat16", "float32"), ("float64", "bfloat16")])
def test_another_precision_is_rounding(family, layers, pair):
    model = sound(family, layers=layers)
    found = compare(model, model, IDS, dtype=pair[0], dtype_b=pair[1])
    assert found.verdict == "same up to rounding"
    assert found.largest > 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(30))
def test_no_false_alarm(family, seed):
    """In a dump of everything, of a few values and of the logits alone; the rounding of many steps is then in one."""
    dtype = ("float32", "float64", "bfloat16")[seed % 3]
    model, ids = sound(family, seed), np.random.default_rng(seed).integers(0, 60, (2, 7))
    for only in (None, PARTLY, ("logits",)):
        found = compare(model, values(model, dtype, only, ids))
        assert found.first is None, str(found)
        assert max(each.beyond for each in found.steps) < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_rounded_to_bfloat16_are_rounding(family):
    model = sound(family)
    rounded = {a: np.array(w).astype(ml_dtypes.bfloat16) for a, w in model.weights.items()}
    found = compare(model, byhand.make(family, CONFIGS[family], rounded), IDS)
    assert found.verdict == "same up to rounding"


def test_a_translation():
    model = byhand.load("original-tiny")
    found = compare(model, model, "Hello", source="Bonjour", dtype_b="bfloat16")
    assert found.verdict == "same up to rounding"


def test_the_precision_of_a_dump_is_seen_from_its_numbers():
    model = sound("gpt2")
    run = model.run(IDS, dtype="bfloat16")
    main = {step.address: run.look(step.address).astype(np.float32) for step in run.program if not step.operator.wide}
    assert precision_of(main) == "bfloat16"
    assert precision_of({"x": np.array([0.5, 1 / 3], np.float32)}) == "float32"
    assert precision_of({"x": np.array([0.5, 1 / 3])}) == "float64"
    assert precision_of({"x": np.array([0.5, 1 / 3], np.float32).astype(np.float64)}) == "float32"
    assert precision_of({"x": np.array([1.0, 2.0], np.float32)}) == "float32"


def nudged(model, address, by):
    """The model in float64 with one number of a weight changed by a share of itself, and without."""
    wide = {a: np.array(w, np.float64) for a, w in model.weights.items()}
    changed = wide[address].copy()
    changed.flat[changed.size // 3] *= 1 + by
    return [byhand.make(model.program.name, model.config, w) for w in (wide, {**wide, address: changed})]


@pytest.mark.parametrize("address", ["blocks.0.attn.k.weight", "blocks.1.mlp.down.weight", "token.weight"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_change_that_the_docs_promise(family, address):
    model = sound(family)
    as_32 = [
        byhand.make(family, model.config, {a: w.astype(np.float32) for a, w in m.weights.items()})
        for m in nudged(model, address, 2.4e-7)
    ]
    for one, other in (as_32, nudged(model, address, 4.5e-16)):
        assert compare(one, other, IDS).first.weight == address
    for dtype, by in (("float32", 1e-2), ("float64", 1e-10)):
        one, other = nudged(model, "blocks.1.mlp.up.weight", by)
        assert compare(one, values(other, dtype)).first.address.startswith("blocks.1.mlp.")

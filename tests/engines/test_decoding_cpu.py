"""Texts that grow on the cpu engine: the reference's logits at every step, from any weights, in a cache that stays."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

import byhand
from byhand.checkpoints.blocks import quantise
from byhand.decoding import Decoding
from byhand.engines import engine
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.reference import precision
from byhand.engines.tolerances import TOLERANCES
from byhand.families import gpt2, llama
from byhand.growing import RESERVED_PLACES
from byhand.run import to_keep
from byhand.weights import Weights

from ..small_models import model, same_bits
from ..test_decoding import lengthened, pieces, source_of
from .test_engine import difference

pytestmark = pytest.mark.skipif(not COMPILED, reason="too slow in plain Python")
TOLERANCE = TOLERANCES["cpu", "float32"]
SHORT_CACHE = 2e-2  # keys and values keep 8 bits of their numbers
NAMES = ["aab", "gpt2-tiny", "llama-tiny", "llama-tiny-halves", "llama 3.1", "original-decoder-tiny", "original-tiny"]
CACHED = pytest.mark.parametrize("cached", [True, False], ids=["cached", "again"])


def decoding(of, B=1, name="cpu", dtype="float32", **setting):
    given = source_of(of, B)
    chosen = engine(name, dtype)
    return Decoding(of.family, of.config, of.weights, precision(dtype), given=given, engine=chosen, **setting)


def exactly(of, B=1, **setting):
    return decoding(of, B, "reference", "float64", **setting)


def check_steps(steps, fed, expected, tolerance=TOLERANCE) -> float:
    """Feed both the same; the largest difference of logits."""
    worst = 0.0
    for number, new in enumerate(steps):
        apart = difference(fed.feed(new), expected.feed(new))
        assert apart <= tolerance, f"step {number}, {[len(each) for each in new]} tokens: {apart:.3g}"
        worst = max(worst, apart)
    return worst


# --- logits -----------------------------------------------------------------------------------------------------


@CACHED
@pytest.mark.parametrize("name", NAMES)
def test_texts_of_different_lengths(name, cached):
    of = lengthened(name)
    steps = pieces(of, 3, 5 if name == "aab" else 25)
    check_steps(steps, decoding(of, 3, cached=cached), exactly(of, 3))


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_token_by_token_past_the_first_places_of_the_cache(name):
    of = lengthened(name)
    text = np.random.default_rng(1).integers(0, 96, 140).tolist()
    check_steps([[[token]] for token in text], decoding(of), exactly(of))


def test_pieces_of_any_length():
    of = lengthened("llama-tiny")
    text = np.random.default_rng(1).integers(0, 96, 140).tolist()
    for cuts in ([1, 2, 63], [64], [63, 65, 127, 128, 129], [5, 12, 19, 100], [139]):
        steps = [[text[start:end]] for start, end in zip([0, *cuts], [*cuts, 140], strict=True)]
        check_steps(steps, decoding(of), exactly(of))


@CACHED
@pytest.mark.parametrize("name", ["aab", "gpt2-tiny", "llama-tiny", "original-decoder-tiny"])
def test_past_the_end_of_the_context(name, cached):
    of = model(name)
    context = of.config.context
    prompts = [[0] * (context - 2), [1] * (context + 3)]
    steps = [prompts, [[1], [0, 1]], [[1], []], [[0, 0, 1], [1]], [[], [1]], [[1], [0]]]
    check_steps(steps, decoding(of, 2, cached=cached), exactly(of, 2))


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny"])
def test_as_with_a_run_of_the_whole_text(name):
    """The program that reads piece by piece and the ordinary one, both on the cpu."""
    of = model(name)
    one, other = decoding(of, 2), decoding(of, 2, cached=False)
    for new in ([[5, 7, 2], [9]], [[4], [6]], [[1, 1], []]):
        assert difference(one.feed(new), other.feed(new)) <= TOLERANCE


# --- edits and captures -------------------------------------------------------------------------------------------

EDITS = {
    "gpt2-tiny": [
        ("blocks.0.attn.heads", {"head": 1, "zero": True}),
        ("blocks.1.attn.weights", {"key": 0, "scale": 0.5}),
    ],
    "llama-tiny": [("blocks.0.attn.k", {"group": 1, "position": 2, "scale": 3.0}), ("blocks.1.mlp.act", {"add": 0.1})],
    "original-tiny": [("blocks.0.cross.weights", {"key": 2, "scale": 2.0}), ("source.blocks.0.out", {"scale": 1.5})],
    "original-decoder-tiny": [
        ("token.weight", {"token": 3, "scale": 2.0}),
        ("blocks.1.out", {"position": 5, "zero": True}),
    ],
}


@CACHED
@pytest.mark.parametrize("name", EDITS)
def test_edits_and_captures(name, cached):
    of, made = model(name), []
    for dtype, chosen in (("float32", "cpu"), ("float64", "reference")):
        source = "Bonjour" if name == "original-tiny" else None
        setting = {"source": source, "dtype": dtype, "engine": chosen, "cached": cached, "keep": "all"}
        made.append(of.generate("Hello", edits=EDITS[name], max_tokens=6, temperature=0.0, **setting))
    ours, theirs = (each.finish().tokens for each in made)
    assert ours == theirs
    for address in to_keep(of.program, "all"):
        apart = difference(made[0].captured(address).array, made[1].captured(address).array)
        assert apart <= TOLERANCE, f"{address} differs by {apart:.3g}"


# --- the cache ----------------------------------------------------------------------------------------------------


def test_the_cache_grows_in_place():
    of = lengthened("llama-tiny")
    fed = decoding(of)
    fed.feed([[1, 2, 3]])
    places = {past: (array.ctypes.data, array.strides) for past, array in fed.cache.items()}
    key = next(iter(places))
    first = fed.cache[key][0, :3].copy()
    for token in range(90):
        fed.feed([[token]])
    assert fed.cache[key].shape[1] == of.config.context
    assert {past: (array.ctypes.data, array.strides) for past, array in fed.cache.items()} == places
    assert same_bits(fed.cache[key][0, :3].copy(), first)
    assert all(array.shape[1] == min(RESERVED_PLACES, of.config.context) for array in fed.keeping.reserved.values())


def test_two_texts_at_once_do_not_share_a_cache():
    of = lengthened("gpt2-tiny")
    one, other = decoding(of), decoding(of)
    one.feed([[1, 2, 3]])
    other.feed([[7, 8, 9]])
    assert difference(one.feed([[4]]), exactly(of).feed([[1, 2, 3, 4]])) <= TOLERANCE
    assert difference(other.feed([[4]]), exactly(of).feed([[7, 8, 9, 4]])) <= TOLERANCE


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-decoder-tiny"])
def test_a_cache_in_bfloat16(name):
    of = lengthened(name)
    fed = decoding(of, 3, cache_dtype=ml_dtypes.bfloat16)
    assert check_steps(pieces(of, 3, 70), fed, exactly(of, 3), SHORT_CACHE) > 1e-5  # it is not float32 after all
    assert all(array.dtype.name == "bfloat16" for array in fed.cache.values())


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["f32", "bf16"])
def test_a_cache_that_grows_beyond_what_is_reserved(dtype, monkeypatch):
    monkeypatch.setattr("byhand.growing.RESERVED_PLACES", 64)
    of = lengthened("llama-tiny")
    tolerance = TOLERANCE if dtype is np.float32 else SHORT_CACHE
    text = np.random.default_rng(1).integers(0, 96, 140).tolist()
    steps = [[text[:60]], *[[[token]] for token in text[60:]]]
    check_steps(steps, decoding(of, cache_dtype=dtype), exactly(of), tolerance)


# --- weights in other types ---------------------------------------------------------------------------------------

WIDE = {"layers": 2, "width": 64, "heads": 4, "hidden": 96, "vocabulary": 90, "context": 80}
MODELS = {
    "gpt2": byhand.make("gpt2", gpt2.Config(**WIDE), seed=5),
    "llama": byhand.make("llama", llama.Config(**WIDE, groups=2, head_width=16), seed=5),
}
FAMILIES = pytest.mark.parametrize("family", MODELS)


def weighing(family, change):
    """The model with every weight changed."""
    of = MODELS[family]
    return byhand.make(of.family, of.config, {address: change(array) for address, array in of.weights.items()})


def in_blocks(family, kind):
    of = MODELS[family]
    return replace(of, weights=quantise(of.weights, of.program, kind), programs={})


@FAMILIES
@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16], ids=["f64", "f16", "bf16"])
def test_weights_in_other_types(family, dtype):
    of = weighing(family, lambda array: array.astype(dtype))
    check_steps(pieces(of, 3, 40), decoding(of, 3), exactly(of, 3))


@FAMILIES
@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q8", "q4"])
def test_weights_in_blocks_stand_for_their_numbers(family, kind):
    of = in_blocks(family, kind)
    check_steps(pieces(of, 3, 40), decoding(of, 3), exactly(of, 3))


@FAMILIES
@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q8", "q4"])
def test_weights_in_blocks_with_what_they_read_rounded(family, kind):
    of = in_blocks(family, kind)
    worst = check_steps(pieces(of, 3, 40), decoding(of, 3, dtype="int8"), exactly(of, 3), TOLERANCES["cpu", "int8"])
    assert worst > TOLERANCE, "nothing was rounded"


@FAMILIES
def test_a_run_of_weights_in_blocks(family):
    of = in_blocks(family, "q8_0")
    exact = of.run([[1, 2, 3, 4, 5]], dtype="float64")
    for dtype in ("float32", "int8"):
        run = of.run([[1, 2, 3, 4, 5]], dtype=dtype, engine="cpu")
        for address in exact.program.producer:
            assert difference(run.look(address), exact.look(address)) <= TOLERANCES["cpu", dtype], address


@FAMILIES
def test_a_saved_gguf_in_blocks(family, tmp_path):
    of = MODELS[family]
    loaded = byhand.load(of.save(tmp_path / "model.gguf", format="gguf", dtype="q8_0"))
    check_steps(pieces(of, 2, 20), decoding(loaded, 2), exactly(loaded, 2))


def test_plain_weights_are_not_rounded_in_int8():
    of = MODELS["gpt2"]
    check_steps(pieces(of, 2, 20), decoding(of, 2, dtype="int8"), exactly(of, 2))


def test_edited_weights_are_what_is_read():
    """Of weights in blocks, and with plans of the model before the edit at hand."""
    of = in_blocks("llama", "q8_0")
    decoding(of).feed([[1, 2, 3]])
    changed = of.edit("blocks.0.mlp.up.weight", scale=-2.0)
    fed = decoding(changed)
    assert isinstance(fed.weights, Weights)
    assert difference(fed.feed([[1, 2, 3]]), exactly(changed).feed([[1, 2, 3]])) <= TOLERANCE
    assert difference(fed.feed([[4]]), exactly(of).feed([[1, 2, 3, 4]])) > 1e-3

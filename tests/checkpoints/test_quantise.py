"""Weights in blocks: what is written is what is read, what is said of it is true, and the model loses little."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

import byhand
from byhand.checkpoints.blocks import SCHEMES, axes_in_blocks, kept, planned, quantise, random_blocks, whole
from byhand.checkpoints.files.quantized import Quantized, dequantized, quantized
from byhand.compare.converted import changes, conversion, loss
from byhand.errors import ByhandError, InputError
from byhand.families import gpt2, llama
from byhand.weights import Weights

from ..small_models import TEXTS, model, same_bits
from .folders import change_json
from .trained import sentences, trained

REFERENCE = {"engine": "reference"}
KINDS = ("Q8_0", "Q4_0")


def arrays_in_blocks(weights):
    return {address: each for address, each in weights.sources.items() if isinstance(each, Quantized)}


def rough(shape, seed=0):
    """Numbers with some large ones, as trained weights have them."""
    return np.random.default_rng(seed).standard_t(4, shape).astype(np.float32)


# --- the numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_read_as_the_library_reads_them(kind):
    blocks = np.random.default_rng(1).integers(0, 256, (50, 4 * {"Q8_0": 34, "Q4_0": 18}[kind]), np.uint8)
    with np.errstate(all="ignore"):
        wanted = quants.dequantize(blocks, GGMLQuantizationType[kind])
    assert np.array_equal(dequantized(kind, blocks), wanted, equal_nan=True)


def test_a_better_scale_is_found():
    """Less error in all, and in no block noticeably more, than with llama.cpp's scale; most blocks gain."""
    rows = rough((500, 32))
    errors = [
        np.square(rows - dequantized("Q4_0", quantized("Q4_0", rows, "x", fit))).sum(axis=1) for fit in (False, True)
    ]
    assert errors[1].sum() < 0.93 * errors[0].sum()
    assert (errors[1] <= 1.01 * errors[0]).all() and (errors[1] < errors[0]).mean() > 0.8


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e-12, 1e-6, 1.0, 3e5])
@pytest.mark.parametrize("sign", [1, -1])
def test_any_size_of_number_has_blocks(scale, sign):
    rows = np.zeros((2, 64), np.float32)
    rows[0, 5], rows[0, 6], rows[1, 40] = sign * scale, -sign * scale / 2, sign * scale
    made = dequantized("Q4_0", quantized("Q4_0", rows, "x", fit=True))
    assert np.isfinite(made).all() and np.abs(made - rows).max() <= max(scale / 14, 3e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9])
def test_what_blocks_cannot_hold_is_refused(bad):
    rows = np.zeros((1, 32), np.float32)
    rows[0, 3] = bad
    for kind, fit in (("Q8_0", False), ("Q4_0", False), ("Q4_0", True)):
        with pytest.raises(InputError, match=f"x holds .*, which {kind} cannot"):
            quantized(kind, rows, "x", fit)


# --- the folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SCHEMES)
@pytest.mark.parametrize("name", TEXTS)
def test_every_family(tmp_path, name, dtype):
    """The folder holds the blocks that quantising in memory gives, as views; everything else to the bit."""
    start = model(name)
    found = byhand.load(start.save(tmp_path / "m", dtype=dtype)).weights
    wanted = quantise(start.weights, start.program, dtype)
    assert (
        arrays_in_blocks(found).keys()
        == arrays_in_blocks(wanted).keys()
        == planned(start.weights, start.program, dtype).keys()
    )
    for address, source in found.sources.items():
        if isinstance(source, Quantized):
            assert np.array_equal(source.blocks, wanted.sources[address].blocks)
            assert not source.blocks.flags.owndata and not source.blocks.flags.writeable
        else:
            assert same_bits(found[address], start.weights[address])
        assert same_bits(found[address], wanted[address])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_blocks_is_one_output(kind):
    """Every kind of weight: what its product makes from the blocks' rows is what it makes from the weight."""
    weights = random_blocks(model("llama-tiny").program, "q8" if kind == "Q8_0" else "q4_0", seed=5)
    rows = {address: dequantized(kind, each.blocks) for address, each in arrays_in_blocks(weights).items()}
    at = "blocks.1."
    assert np.array_equal(rows["token.weight"], weights["token.weight"])
    assert np.array_equal(rows[at + "mlp.down.weight"], weights[at + "mlp.down.weight"].T)
    assert np.array_equal(
        rows[at + "attn.k.weight"].reshape(2, 8, 32).transpose(2, 0, 1), weights[at + "attn.k.weight"]
    )
    assert np.array_equal(rows[at + "attn.out.weight"].T.reshape(4, 8, 32), weights[at + "attn.out.weight"])


def test_what_is_not_in_blocks():
    program = gpt2.program(gpt2.Config(layers=1, width=48, heads=3, hidden=64, vocabulary=40, context=32))
    axes = axes_in_blocks(program)
    assert set(program.weights) - set(axes) == {
        each for each in program.weights if each.endswith((".bias", "gain", "shift"))
    } | {"position.weight"}
    weights = random_blocks(program, "q4")
    assert set(arrays_in_blocks(weights)) == {"blocks.0.mlp.down.weight"}  # 64 are summed there, 48 elsewhere


def test_the_better_blocks_of_q4(tmp_path):
    start = model("llama-tiny")
    kinds = {
        dtype: {
            address: each.kind
            for address, each in arrays_in_blocks(quantise(start.weights, start.program, dtype)).items()
        }
        for dtype in SCHEMES
    }
    assert set(kinds["q8"].values()) == {"Q8_0"} and kinds["q8"] == kinds["q8_0"]
    assert set(kinds["q4_0"].values()) == {"Q4_0"}
    assert {address for address, kind in kinds["q4"].items() if kind == "Q8_0"} == {"token.weight", "unembed.weight"}


@pytest.mark.parametrize("dtype", SCHEMES)
def test_blocks_stay_from_format_to_format(tmp_path, dtype):
    """GGUF and byhand's folder in turn: the same blocks all the way, though GPT-2's q, k and v are one array there."""
    for name in ("gpt2-tiny", "llama-tiny"):
        folder = model(name).save(tmp_path / f"{name}-1", dtype=dtype)
        file = byhand.load(folder).save(tmp_path / f"{name}-2.gguf", format="gguf")
        again = byhand.load(file).save(tmp_path / f"{name}-3", dtype=dtype)
        direct = byhand.load(model(name).save(tmp_path / f"{name}-4.gguf", format="gguf", dtype=dtype))
        held = [
            arrays_in_blocks(each) for each in (byhand.load(folder).weights, byhand.load(again).weights, direct.weights)
        ]
        assert all(each.keys() >= held[0].keys() for each in held)
        for address, source in held[0].items():
            assert all(np.array_equal(each[address].blocks, source.blocks) for each in held), address
            assert all(kept(each[address], source.axes) for each in held)


def test_rows_are_moved_where_gguf_has_another_rotary_order(tmp_path):
    start = byhand.load(model("llama-tiny-halves").save(tmp_path / "m", dtype="q4"))
    found = byhand.load(start.save(tmp_path / "m.gguf", format="gguf"))
    assert found.config.rotary == "pairs"
    values = [each.run("Hello", dtype="float64", engine="reference").look("logits") for each in (start, found)]
    assert np.abs(values[0] - values[1]).max() < 1e-12
    address = "blocks.0.attn.q.weight"
    one, other = (each.weights.sources[address].blocks for each in (start, found))
    assert not np.array_equal(one, other) and sorted(map(bytes, one)) == sorted(map(bytes, other))


def test_older_readers_are_told(tmp_path):
    said = {
        dtype: json.loads((model("gpt2-tiny").save(tmp_path / str(dtype), dtype=dtype) / "byhand.json").read_text())
        for dtype in (None, "q8")
    }
    assert said[None]["version"] == 1 and "blocks" not in said[None]
    assert said["q8"]["version"] == 2 and said["q8"]["blocks"]["token.weight"] == "Q8_0"


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ({"position.weight": "Q8_0"}, "'position.weight', which is no matrix of this model"),
        ({"nothing": "Q8_0"}, "no matrix of this model"),
        ({"token.weight": "Q5_1"}, "it should be one of Q8_0, Q4_0"),
        ({"token.weight": "Q4_0"}, r"uint8 \[96, 34\], but Q4_0 needs uint8 \[96, 18\]"),
        ({"token.weight": 8}, "should be a text"),
        ([], "should be an object"),
        ({}, "shape"),
        (None, "shape"),
    ],
)
def test_changed_folders(tmp_path, blocks, says):
    model("gpt2-tiny").save(tmp_path / "m", dtype="q8")
    change_json(tmp_path / "m/byhand.json", blocks=blocks)
    with pytest.raises(ByhandError, match=says) as caught:
        byhand.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["hf", "llmc", "llama2c"])
def test_formats_without_blocks_refuse(tmp_path, format):
    with pytest.raises(InputError, match="q4"):
        model("gpt2-tiny").save(tmp_path / "m", format=format, dtype="q4")
    assert not list(tmp_path.iterdir())


def test_blocks_become_plain_again(tmp_path):
    small = byhand.load(model("gpt2-tiny").save(tmp_path / "m", dtype="q4"))
    wide = byhand.load(small.save(tmp_path / "n", dtype="f32"))
    assert not arrays_in_blocks(wide.weights)
    assert all(same_bits(wide.weights[address], small.weights[address]) for address in small.weights)


def test_little_memory(tmp_path, peak):
    """A table that is most of the model is made and written some rows at a time, and compared so too."""
    config = llama.Config(
        layers=1, width=256, heads=4, groups=2, head_width=64, hidden=512, vocabulary=2**15, context=64, tied=True
    )
    made = byhand.make("llama", config)
    most = 0.1 * sum(made.weights[address].nbytes for address in made.weights)
    for dtype in ("q8", "q4"):
        with peak() as saving:
            path = made.save(tmp_path / dtype, dtype=dtype)
        with peak() as looking:
            found = tuple(changes(made, byhand.load(path)))
        assert saving() < most and looking() < most and len(found) == len(made.weights)


# --- at random ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SCHEMES)
def test_random_blocks_keep_the_size_of_what_is_read(dtype, peak):
    config = llama.Config(
        layers=2, width=256, heads=4, groups=2, head_width=64, hidden=704, vocabulary=1000, context=64
    )
    program = llama.program(config)
    with peak() as used:
        weights = random_blocks(program, dtype, seed=2)
    blocks = sum(each.blocks.nbytes for each in arrays_in_blocks(weights).values())
    assert len(arrays_in_blocks(weights)) == 16 and used() < 1.1 * blocks + 2e6
    for address, source in arrays_in_blocks(weights).items():
        columns = np.prod(source.shape) / len(source.blocks)
        assert abs(np.square(weights[address]).mean() * columns - 1) < 0.05
    again = random_blocks(program, dtype, seed=2)
    assert all(same_bits(weights[address], again[address]) for address in weights)
    logits = byhand.make("llama", config, dict(weights.sources)).run([1, 2, 3], **REFERENCE).look("logits")
    assert 0.5 < logits.std() < 2


@pytest.mark.parametrize("make", [quantise, lambda weights, program, dtype: random_blocks(program, dtype)])
def test_other_types_are_refused(make):
    with pytest.raises(InputError, match="'f32' is none in blocks; use q8"):
        make(model("gpt2-tiny").weights, model("gpt2-tiny").program, "f32")


# --- the report -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["byhand", "gguf"])
@pytest.mark.parametrize("dtype", ["q8", "q4", "q4_0", "bf16", "f16", "f32"])
def test_what_is_said_of_each_weight_is_true(tmp_path, dtype, format):
    start = model("llama-tiny")
    found = byhand.load(start.save(tmp_path / "m", format=format, dtype=dtype))
    told = conversion(start, found, effect=False)
    assert [each.address for each in told.weights] == list(start.weights) and told.exact == (dtype == "f32")
    for each in told.weights:
        old, new = (kind.weights[each.address].astype(np.float64) for kind in (start, found))
        relative = np.sqrt(np.square(new - old).sum() / np.square(old).sum())
        assert each.relative == pytest.approx(relative, rel=1e-4) and each.before == 4 * old.size
        assert each.largest == pytest.approx(np.abs(new - old).max(), rel=1e-6)
        source = found.weights.sources[each.address]
        assert each.after == (source.blocks if isinstance(source, Quantized) else source).nbytes
        assert bool(each.why) == (each.stored == "float32" and dtype.startswith("q"))


def test_a_planted_error_is_told():
    """One number of a weight in blocks, and one of a gain."""
    start = model("gpt2-tiny")
    blocks = quantise(start.weights, start.program, "q8")
    sources = dict(blocks.sources)
    changed = sources["blocks.1.mlp.up.weight"].blocks.copy()
    changed[3, 5] ^= 0x40
    gain = start.weights["final_norm.gain"].copy()
    gain[4] += 0.5
    sources["final_norm.gain"] = gain
    address = "blocks.1.mlp.up.weight"
    plan = planned(start.weights, start.program, "q8")[address]
    sources[address] = whole(changed, start.program, address, plan)
    told = {each.address: each for each in changes(start, replace(start, weights=Weights(sources)))}
    usual = {each.address: each for each in changes(start, replace(start, weights=blocks))}
    assert told[address].largest > 10 * usual[address].largest
    assert told["final_norm.gain"].largest == pytest.approx(0.5) and usual["final_norm.gain"].largest == 0
    same = set(told) - {address, "final_norm.gain"}
    assert all(told[each] == usual[each] for each in same)


def test_the_loss_that_is_told(tmp_path):
    start = model("gpt2-tiny")
    found = byhand.load(start.save(tmp_path / "m", dtype="q4"))
    text = "Hello there, " * 8  # longer than the model reads at once
    effect = conversion(start, found, text, **REFERENCE).effect
    ids, context = start.token_ids(text, most=1e9)[0], start.config.context
    assert effect.tokens == len(ids) > context and effect.what == "loss"
    for each, told in ((start, effect.before), (found, effect.after)):
        pieces = [ids[at : at + context] for at in range(0, len(ids), context)]
        losses = [each.run(piece, **REFERENCE).look("loss") * (len(piece) - 1) for piece in pieces if len(piece) > 1]
        assert told == pytest.approx(sum(losses) / sum(len(piece) - 1 for piece in pieces), rel=1e-6)
    assert effect.relative == pytest.approx(effect.after / effect.before - 1)
    with pytest.raises(InputError, match="the text has 1 tokens"):
        conversion(start, found, "H", **REFERENCE)


@pytest.mark.parametrize("name", TEXTS)
def test_every_family_has_an_effect(name):
    """Without a text: one that the model writes, or random tokens for those that read both sides."""
    start = model(name)
    if start.program.sizes["D"] < 32:
        return  # too small for blocks
    other = replace(start, weights=quantise(start.weights, start.program, "q4"))
    effect = conversion(start, other, **REFERENCE).effect
    assert (
        effect == conversion(start, other, **REFERENCE).effect != conversion(start, other, seed=1, **REFERENCE).effect
    )
    causal = start.program.inputs["mask"].rule == "causal"
    assert effect.what == ("loss" if causal else "logits") and effect.tokens == min(64 + causal, start.config.context)
    assert 0 < abs(effect.relative) < 0.6
    same = conversion(start, start, **REFERENCE).effect
    assert same.relative == 0


# --- quality --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trained model, a text it has not seen, and its loss."""
    made = trained(tmp_path_factory.getbasetemp() / "trained")
    ids = made.token_ids(sentences(99, 2500), most=1e9)[0].tolist()
    return made, ids, loss(made, ids, REFERENCE)


def test_the_model_has_learned(learned):
    made, _, before = learned
    assert made.parameters >= 1_000_000
    assert before < 0.35 * np.log(made.config.vocabulary)


@pytest.mark.parametrize("way", [REFERENCE, {"engine": "cpu", "dtype": "int8"}], ids=["weights", "products too"])
@pytest.mark.parametrize(("dtype", "most"), [("q8", 0.001), ("q4", 0.03), ("q4_0", 0.05)])
def test_a_trained_model_loses_little(learned, dtype, most, way):
    made, ids, before = learned
    after = loss(replace(made, weights=quantise(made.weights, made.program, dtype)), ids, way)
    print(f"{dtype}: loss {before:.5f} to {after:.5f}, {100 * (after / before - 1):+.4f} %")
    assert abs(after / before - 1) < most


def test_q4_is_nearer_than_q4_0(learned):
    made, ids, _ = learned
    wanted = made.run(ids[:64], keep=["logits"], **REFERENCE).look("logits")
    errors = {}
    for dtype in ("q4", "q4_0"):
        other = replace(made, weights=quantise(made.weights, made.program, dtype))
        errors[dtype] = np.square(other.run(ids[:64], keep=["logits"], **REFERENCE).look("logits") - wanted).mean()
    assert errors["q4"] < 0.95 * errors["q4_0"]

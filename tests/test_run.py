"""Runs: values and gradients by address, pattern and alias; what is kept; the same bits every time; NaN, infinity."""

import numpy as np
import pytest

import byhand
from byhand.engines import reference
from byhand.errors import AddressError, ByhandError, InputError, NotANumber, ShapeError
from byhand.families import bert, gpt2
from byhand.weights import random

from .small_models import TEXTS, everything, fingerprint, fresh, model, run, same_bits

ALIASES = [
    ("gpt2-tiny", "preatt", "LBHTS", lambda at: np.stack([at(f"blocks.{layer}.attn.scores") for layer in (0, 1)])),
    ("gpt2-tiny", "blocks.1.hook_resid_mid", "BTD", lambda at: at("blocks.1.mid")),
    ("gpt2-tiny", "transformer.h.1.mlp.c_fc.weight", "DF", lambda at: at("blocks.1.mlp.up.weight")),
    ("llama-tiny", "blocks.0.attn.hook_pattern", "BHTS", lambda at: at("blocks.0.attn.weights")),
    ("bert-tiny", "embeddings.word_embeddings", "BTD", lambda at: at("embed.token")),
]

# --- by address, pattern and alias --------------------------------------------------------------------------------


def test_a_value_comes_with_its_axes_and_tokens():
    of = run("original-tiny")
    weights = of["blocks.0.cross.weights"]
    assert (weights.axes, weights.shape, weights.address) == ("BHTS", (1, 4, 5, 7), "blocks.0.cross.weights")
    assert weights.labels == {"T": list("Hello"), "S": list("Bonjour")}
    assert of["blocks.0.attn.weights"].labels["S"] == list("Hello")
    assert of["source.blocks.0.attn.q"].labels["T"] == list("Bonjour") == of["d:source.blocks.0.attn.k"].labels["S"]
    assert model("gpt2-tiny").run([[40, 69], [76, 76]])["logits"].at(batch=1).labels["T"] == ["k", "k"]
    assert of["token.weight"].axes == "VD" and of["tokens"].axes == "BT" and of["loss"].axes == ""
    assert run("llama 3.1")["embed.out"].labels["T"] == ["40", "69", "76", "76", "79"]
    edited = of.edit("tokens", position=0, set=44)
    assert edited["logits"].labels["T"] == list("Kello")


@pytest.mark.parametrize("name", TEXTS)
def test_every_address_has_the_shape_its_program_says(name):
    of = run(name)
    for address, shape in of.setting.shapes.items():
        assert of[address].shape == shape and len(of[address].axes) == len(shape) and address in of
        assert of.shape(address) == shape
    assert of.program.steps[0].address in of.kept and of.kept.keys() == of.program.producer.keys()


def test_values_and_gradients_by_pattern():
    of = run("gpt2-tiny")
    assert list(of.matching("blocks.*.attn.weights")) == ["blocks.0.attn.weights", "blocks.1.attn.weights"]
    assert list(of.matching("logits", "blocks.1.m?d")) == ["blocks.1.mid", "logits"]
    assert list(of.matching("final_norm.g*")) == ["final_norm.gain"]  # a weight, as no step fits
    assert list(of.matching("att")) == ["blocks.0.attn.weights", "blocks.1.attn.weights"]
    gradients = of.matching("d:blocks.?.attn.q", "d:*.q.weight")
    assert list(gradients) == [f"d:blocks.{n}.attn.q{part}" for part in ("", ".weight") for n in (0, 1)]
    assert gradients["d:blocks.1.attn.q"].axes == "BTHK"
    with pytest.raises(
        AddressError, match=r"gpt2 has no value 'blocks.*.attn.wieghts'; the nearest are blocks..*weights"
    ):
        of.matching("blocks.*.attn.wieghts")
    with pytest.raises(AddressError, match="no gradient of loss fits 'd:tokens'; there are loss"):
        of.matching("d:tokens")


@pytest.mark.parametrize("name, alias, axes, expected", ALIASES, ids=[alias for _, alias, *_ in ALIASES])
def test_values_and_gradients_by_other_projects_names(name, alias, axes, expected):
    of = run(name)
    assert alias in of and of[alias].axes == axes
    assert same_bits(of[alias].array, expected(of.look))
    assert same_bits(of[f"d:{alias}"].array, expected(lambda address: of.look(f"d:{address}")))
    assert same_bits(of.grad[alias].array, of[f"d:{alias}"].array) and f"d:{alias}" in of


def test_a_name_for_computed_numbers_has_no_gradient():
    of = run("gpt2-tiny")
    assert of["blocks.0.ln1.hook_scale"].axes == "BT1"
    with pytest.raises(
        AddressError, match=r"blocks.0.ln1.hook_scale is computed from blocks.0.norm1.rstd; ask for their"
    ):
        of["d:blocks.0.ln1.hook_scale"]


def test_unknown_addresses_name_the_nearest():
    of = run("gpt2-tiny")
    for name, near in [
        ("blocks.0.attn.wieghts", "blocks.0.attn.weights"),
        ("d:blocks.0.attn.wieghts", "blocks.0.attn.weights"),
        ("logit", "logits"),
        ("blocks.7.mid", "blocks.0.mid"),
        ("zzzz", "addresses look like"),
        ("embed.out@nowhere", "embed.out"),
    ]:
        assert name not in of or "@" in name
        with pytest.raises(
            AddressError, match=rf"gpt2 has no value .*; .*{near}|has no gradient|no such part"
        ) as caught:
            of[name]
        assert "\n" not in str(caught.value) and not str(caught.value).startswith("'")


# --- what is kept -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keep, expected",
    [
        ([], set()),
        ("blocks.0.mid", {"blocks.0.mid"}),
        (["blocks.?.mid", "embed.token"], {"blocks.0.mid", "blocks.1.mid", "embed.token"}),
        (["att"], {"blocks.0.attn.weights", "blocks.1.attn.weights"}),
        (["blocks.0.hook_resid_pre"], {"embed.out"}),
        (["token.weight", "tokens"], set()),  # weights and inputs are there anyway
        (
            ["*.rstd"],
            {
                "blocks.0.norm1.rstd",
                "blocks.0.norm2.rstd",
                "blocks.1.norm1.rstd",
                "blocks.1.norm2.rstd",
                "final_norm.rstd",
            },
        ),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # a set has another order every time
)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_only_what_is_asked_for_is_kept_and_the_rest_is_made_again_with_the_same_bits(keep, expected, dtype):
    few = fresh("gpt2-tiny", dtype, keep=keep)
    assert few.kept.keys() == expected | {"logits", "losses", "loss"}
    assert fingerprint(everything(few)) == fingerprint(everything(run("gpt2-tiny", dtype)))
    assert few.kept.keys() == expected | {"logits", "losses", "loss"}


def test_a_model_without_logits_can_keep_nothing():
    config = bert.Config(layers=1, width=8, heads=2, hidden=8, vocabulary=9, masked_lm=False)
    of = byhand.Model("sentence", bert, config, random(bert.program(config), 0)).run([3, 4], keep=[])
    assert of.kept == {} and of["pooler.out"].shape == (1, 1, 8)


def test_an_unknown_pattern_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(reference, "compute", None)
    with pytest.raises(AddressError, match=r"gpt2 has no value 'blocks.*.atn.q'; the nearest are blocks"):
        fresh("gpt2-tiny", keep=["logits", "blocks.*.atn.q"])


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-tiny", "bert-tiny"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_gradients_do_not_depend_on_what_was_kept(name, dtype):
    few = fresh(name, dtype, keep=["blocks.0.mid"])
    gradients = few.backward()
    expected = run(name, dtype).grad
    assert fingerprint(gradients.arrays) == fingerprint(expected.arrays)
    parts = [address for address in expected.written if "@" in address]
    assert parts and all(same_bits(few.look(part), run(name, dtype).look(part)) for part in parts)


def test_progress_is_told_of_every_step():
    seen = []
    of = fresh("gpt2-tiny", keep=[], progress=seen.append)
    made = [step for step in of.program if step.address != "probs"]  # nobody asked for it
    assert seen == made
    seen.clear()
    of.backward(progress=seen.append)
    assert seen == [step for step in made if step.address not in ("logits", "loss")]  # what is kept or not read back


# --- gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_parts_of_a_gradient_add_up_to_it(name):
    of = run(name)
    for step in of.grad.steps:
        if step.step is None:
            total = sum(of.look(part) for part in step.reads)
            assert np.allclose(total, of.look(step.address), rtol=1e-12, atol=1e-14)
    some = next(step for step in of.grad.steps if step.step is None)
    with pytest.raises(AddressError, match="no such part; there are d:"):
        of.look(f"{some.address}@nowhere")


def test_gradients_of_any_number():
    of = fresh("gpt2-tiny")
    gradients = of.backward("logits", (0, 3, 7))
    assert gradients is of.grad and gradients.of == "logits"
    start = np.zeros((1, 5, 96))
    start[0, 3, 7] = 1
    assert same_bits(of.look("d:logits"), start)
    assert np.allclose(of.look("d:final_norm.out")[0, 3], of.look("token.weight")[7], rtol=1e-15)
    again = of.backward("logits", position=-2, token=7)
    assert fingerprint(again.arrays) == fingerprint(gradients.arrays)
    seeded = of.backward("logits", seed=2 * start)
    assert all(np.allclose(seeded[address], 2 * gradients[address].array, rtol=1e-12, atol=0) for address in gradients)
    middle = of.backward("blocks.0.mid", (0, 1, 2))
    assert "blocks.0.mlp.pre" not in middle and "blocks.0.attn.q" in middle and "token.weight" in middle
    assert set(middle) == set(middle.arrays) and len(middle) == len(middle.arrays)


def test_wrong_gradients_are_refused():
    of, single = fresh("gpt2-tiny"), model("gpt2-tiny").run("H")
    for call, kind, message in [
        (
            lambda: single.backward(),
            InputError,
            r"no loss: give two tokens or targets=, or name a value: backward\('logits'",
        ),
        (lambda: of.grad, InputError, r"no gradients yet; call run.backward\(\) first"),
        (lambda: of["d:logits"], InputError, "no gradients yet"),
        (lambda: of.backward("logits"), InputError, "logits has axes BTV and shape .*: say which"),
        (lambda: of.backward("logits", (0, 9, 0)), AddressError, "logits, axis T: index 9 is out of range"),
        (
            lambda: of.backward("logits", seed=np.ones((5, 96))),
            ShapeError,
            r"seed has shape \(5, 96\), logits has \(1, 5, 96\)",
        ),
        (lambda: of.backward("logits", seed="x"), InputError, "'x' is no number"),
        (lambda: of.backward("loss", (0,), seed=1.0), InputError, "got seed= and also which number"),
        (lambda: of.backward("token.weight", (0, 0)), InputError, "token.weight is not what a step gives on"),
        (lambda: of.backward("tokens", (0, 0)), InputError, "tokens is not what a step gives on"),
        (
            lambda: of.backward("blocks.0.norm1.mean", (0, 0)),
            InputError,
            "blocks.0.norm1.mean is not what a step gives on",
        ),
        (lambda: of.backward("logit"), AddressError, "gpt2 has no value 'logit'; the nearest are logits"),
    ]:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)
    assert "d:logits" not in of
    of.backward("blocks.0.mid", (0, 0, 0))
    with pytest.raises(AddressError, match=r"d:logits: blocks.0.mid does not depend on logits, or it has no gradient"):
        of["d:logits"]
    with pytest.raises(AddressError, match=r"d:tokens: .* or it has no gradient"):
        of["d:tokens"]


def test_a_gradient_is_held_in_the_runs_precision():
    for dtype in ("float64", "float32", "bfloat16"):
        gradients = run("gpt2-tiny", dtype).grad
        assert (
            gradients["blocks.0.mid"].dtype
            == gradients["token.weight"].dtype
            == run("gpt2-tiny", dtype).look("logits").dtype
        )


# --- precision ----------------------------------------------------------------------------------------------------


def is_bfloat16(array):
    """Whether every number is one that bfloat16 can hold: the lower 16 bits of its float32 are zero."""
    return not (np.ascontiguousarray(array.astype(np.float32)).view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("name", TEXTS)
def test_bfloat16_runs_hold_bfloat16_numbers(name):
    of = run(name, "bfloat16")
    wide = {"probs", "losses", "loss", "losses.logsumexp", "rotary.angle"}
    for address, array in of.kept.items():
        if address in wide or address.endswith((".mean", ".rstd")):
            assert array.dtype == np.float32
        else:
            assert array.dtype.name == "bfloat16" and is_bfloat16(array)
    for address in of.program.weights:
        assert of.look(address).dtype.name == "bfloat16"
    assert not is_bfloat16(run(name, "float32").look("logits")) or name.startswith("aab")
    gap = np.abs(of.look("logits").astype(float) - run(name).look("logits")).max()
    assert gap <= 2.0**-5 * np.abs(run(name).look("logits")).max()


@pytest.mark.parametrize("name", TEXTS)
def test_float32_is_near_float64_and_is_not_it(name):
    one, other = run(name, "float32"), run(name)
    assert all(array.dtype == np.float32 for array in one.kept.values())
    assert all(array.dtype == np.float64 for array in other.kept.values())
    gap = np.abs(one.look("logits") - other.look("logits")).max()
    assert gap < 1e-5 * np.abs(other.look("logits")).max() and (gap > 0 or name.startswith("aab"))


# --- the same every time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_two_runs_are_equal_to_the_bit(name, dtype):
    one, other = run(name, dtype), fresh(name, dtype)
    other.backward()
    assert fingerprint(everything(one)) == fingerprint(everything(other))
    assert fingerprint(one.grad.arrays) == fingerprint(other.grad.arrays)


# --- NaN and infinity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, weight, index, step",
    [
        ("gpt2-tiny", "blocks.1.mlp.up.weight", (3, 5), "blocks.1.mlp.pre[0,0,5]"),
        ("gpt2-tiny", "token.weight", (44, 2), "embed.token[0,4,2]"),
        ("gpt2-tiny", "token.weight", (50, 2), "logits[0,0,50]"),
        ("llama-tiny", "blocks.0.norm1.gain", (7,), "blocks.0.norm1.out[0,0,7]"),
        ("bert-tiny", "pooler.bias", (1,), "pooler.pre[0,0,1]"),
    ],
)
@pytest.mark.parametrize("keep", ["all", []], ids=str)
def test_nan_weights_are_reported_with_the_first_step_that_shows_them(name, weight, index, step, keep):
    broken = model(name).edit(weight, index, set=np.nan)
    text = [40, 41, 42, 43, 44] if name == "gpt2-tiny" else TEXTS[name]["text"]
    with pytest.raises(NotANumber) as caught:
        broken.run(text, keep=keep if name != "bert-tiny" else ["pooler.out"])
    message = str(caught.value)
    assert message.startswith(f"{step} is the first NaN (step ") and "\n" not in message
    assert f"{weight} holds 1 NaN, the first at [{','.join(map(str, index))}]; mend that weight" in message


def test_nan_in_a_row_nobody_reads_is_no_trouble():
    broken = model("llama-tiny").edit("token.weight", token=3, set=np.nan)
    assert np.isfinite(broken.run("Hello").look("logits")).all()


def test_nan_from_an_edit_and_from_too_large_numbers():
    of = run("gpt2-tiny")
    with pytest.raises(NotANumber, match=r"blocks.0.norm1.out\[0,0,0\] is the first NaN .*: embed.out holds 160 NaN"):
        of.edit("embed.out", set=np.nan)
    with pytest.raises(
        NotANumber,
        match=r"probs\[0,1,0\] is the first NaN .*: logits hold none.*inf - inf, 0 \* inf\); look for huge",
    ):
        of.edit("final_norm.out", position=1, set=[np.inf, *[0.0] * 31]).look("logits")
    with pytest.raises(NotANumber, match=r"blocks.0.attn.weights\[0,0,0,0\] .*: blocks.0.attn.masked holds 40 NaN"):
        of.edit("blocks.0.attn.masked", scale=0.0)  # 0 * -inf, without a warning of NumPy's
    hidden = of.edit("blocks.0.attn.scores", query=3, key=0, set=-np.inf)
    assert not hidden.look("blocks.0.attn.weights")[..., 3, 0].any() and np.isfinite(hidden.look("logits")).all()


def test_infinity_that_does_no_harm_is_let_through():
    of = run("llama-tiny").edit("blocks.0.mlp.gate", (0, 2, 3), set=-1e300)  # silu: exp overflows, its share is 0
    assert of.look("blocks.0.mlp.act")[0, 2, 3] == 0 and np.isfinite(of.look("logits")).all()
    assert (run("gpt2-tiny").look("blocks.0.attn.masked")[0, :, 1, 2] == -np.inf).all()


def test_nan_in_a_gradient_is_reported_too():
    config = gpt2.Config(layers=1, width=8, heads=2, hidden=8, vocabulary=9)
    huge = byhand.Model("huge", gpt2, config, random(gpt2.program(config), 0))
    of = huge.run([1, 2], dtype="float32").edit(
        "blocks.0.mlp.pre", (0, 0, 3), set=1e25
    )  # x^2 overflows, its slope is 0
    with pytest.raises(NotANumber, match=r"d:blocks.0.mlp.pre\[0,0,3\] is the first NaN \(step blocks.0.mlp.act"):
        of.backward()

"""S2: GPT-2 as in llm.c: every saved activation by its name there, the backward of each, training with AdamW."""

from math import prod
from typing import Any

import numpy as np
import pytest

import byhand
from byhand import aliases
from byhand.families import gpt2

SHAPES = {
    **{"encoded": "BTC", "ln1": "LBTC", "ln1_mean": "LBT", "ln1_rstd": "LBT", "qkv": "LBT3", "atty": "LBTC"},
    **{"preatt": "LBNTT", "att": "LBNTT", "attproj": "LBTC", "residual2": "LBTC", "ln2": "LBTC", "ln2_mean": "LBT"},
    **{"ln2_rstd": "LBT", "fch": "LBT4", "fch_gelu": "LBT4", "fcproj": "LBTC", "residual3": "LBTC", "lnf": "BTC"},
    **{"lnf_mean": "BT", "lnf_rstd": "BT", "logits": "BTV", "probs": "BTV", "losses": "BT"},
}
PARAMETERS = {
    **{"wte": "VC", "wpe": "PC", "ln1w": "LC", "ln1b": "LC", "qkvw": "L3C", "qkvb": "L3", "attprojw": "LCC"},
    **{"attprojb": "LC", "ln2w": "LC", "ln2b": "LC", "fcw": "L4C", "fcb": "L4", "fcprojw": "LC4", "fcprojb": "LC"},
    **{"lnfw": "C", "lnfb": "C"},
}
SMALL = {"B": 3, "T": 6, "L": 2, "C": 12, "N": 3, "V": 20, "P": 10, "3": 36, "4": 48}
LARGE = {"B": 4, "T": 64, "L": 12, "C": 768, "N": 12, "V": 50257, "P": 1024, "3": 3 * 768, "4": 4 * 768}
NO_GRADIENT = {"ln1_mean", "ln1_rstd", "ln2_mean", "ln2_rstd", "lnf_mean", "lnf_rstd", "probs"}


def addresses(program, name):
    """Where a program has what llm.c calls `name`."""
    view = aliases.find(program, name)
    assert view
    return view.addresses


def sizes(axes, letters):
    return tuple(letters[letter] for letter in axes)


@pytest.fixture(scope="module")
def batch():
    ids = np.random.default_rng(4).integers(0, SMALL["V"], (SMALL["B"], SMALL["T"] + 1))
    return ids[:, :-1], ids[:, 1:]


@pytest.fixture(scope="module")
def run(batch):
    config = gpt2.Config(layers=2, width=12, heads=3, hidden=48, vocabulary=20, context=10)
    model = byhand.make(gpt2, config, seed=6)
    made = model.run(batch[0], targets=batch[1], dtype="float64")
    made.backward()
    return made


def llmc(params, tokens, targets, heads):
    """The forward pass of a GPT-2 as llm.c lays it out, from weights in its layout: every activation by its name."""
    acts: dict[str, Any] = {name: [] for name, axes in SHAPES.items() if axes[0] == "L"}
    B, T = tokens.shape
    C = params["wte"].shape[1]

    def keep(**named):
        for name, array in named.items():
            acts[name].append(array)

    def norm(x, gain, shift):
        mean = x.sum(-1) / C
        rstd = 1 / np.sqrt(((x - mean[..., None]) ** 2).sum(-1) / C + 1e-5)
        return rstd[..., None] * (x - mean[..., None]) * gain + shift, mean, rstd

    x = acts["encoded"] = params["wte"][tokens] + params["wpe"][:T]
    for layer in range(len(params["qkvw"])):
        w = {name: array[layer] for name, array in params.items() if PARAMETERS[name][0] == "L"}
        ln1, mean, rstd = norm(x, w["ln1w"], w["ln1b"])
        qkv = ln1 @ w["qkvw"].T + w["qkvb"]
        q, k, v = (part.reshape(B, T, heads, C // heads).transpose(0, 2, 1, 3) for part in np.split(qkv, 3, axis=-1))
        preatt = q @ k.swapaxes(-1, -2) / np.sqrt(C // heads)
        att, atty = np.zeros_like(preatt), np.zeros_like(q)
        for t in range(T):  # position t sums att[t, s] * value[s] over s up to t, and nothing else is ever touched
            att[..., t, : t + 1] = np.exp(preatt[..., t, : t + 1] - preatt[..., t, : t + 1].max(-1, keepdims=True))
            att[..., t, : t + 1] /= att[..., t, : t + 1].sum(-1, keepdims=True)
            for s in range(t + 1):
                atty[..., t, :] += att[..., t, s, None] * v[..., s, :]
        atty = atty.transpose(0, 2, 1, 3).reshape(B, T, C)
        attproj = atty @ w["attprojw"].T + w["attprojb"]
        residual2 = x + attproj
        keep(ln1=ln1, ln1_mean=mean, ln1_rstd=rstd, qkv=qkv, preatt=preatt, att=att, atty=atty, attproj=attproj)
        ln2, mean, rstd = norm(residual2, w["ln2w"], w["ln2b"])
        fch = ln2 @ w["fcw"].T + w["fcb"]
        fch_gelu = 0.5 * fch * (1 + np.tanh(np.sqrt(2 / np.pi) * (fch + 0.044715 * fch**3)))
        fcproj = fch_gelu @ w["fcprojw"].T + w["fcprojb"]
        x = residual2 + fcproj
        keep(
            residual2=residual2,
            ln2=ln2,
            ln2_mean=mean,
            ln2_rstd=rstd,
            fch=fch,
            fch_gelu=fch_gelu,
            fcproj=fcproj,
            residual3=x,
        )
    acts["lnf"], acts["lnf_mean"], acts["lnf_rstd"] = norm(x, params["lnfw"], params["lnfb"])
    logits = acts["logits"] = acts["lnf"] @ params["wte"].T
    probs = acts["probs"] = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    acts["losses"] = -np.log(np.take_along_axis(probs, targets[..., None], -1)[..., 0])
    return {name: np.asarray(array) for name, array in acts.items()}


# --- at a small config ----------------------------------------------------------------------------------------------


def test_there_are_all_names_of_llm_c():
    assert len(SHAPES) == 23 and len(PARAMETERS) == 16


@pytest.mark.parametrize("name", SHAPES)
def test_every_saved_activation_has_its_name_and_shape(run, name):
    assert run[name].shape == sizes(SHAPES[name], SMALL)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_has_its_name_and_shape_and_a_gradient(run, name):
    assert run[name].shape == run.grad[name].shape == sizes(PARAMETERS[name], SMALL)
    assert np.abs(run.grad[name]).max() > 0


def test_every_saved_activation_holds_what_llm_c_would_compute(run, batch):
    params = {name: run[name].array for name in PARAMETERS}
    acts = llmc(params, *batch, heads=3)
    assert set(acts) == set(SHAPES)
    for name, mine in acts.items():
        theirs = np.tril(run[name].array) if name == "preatt" else run[name].array
        gap = np.abs(theirs - (np.tril(mine) if name == "preatt" else mine)).max()
        assert gap < 1e-12, (name, gap)
    assert run["loss"].item() == pytest.approx(acts["losses"].mean(), abs=1e-14)


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in NO_GRADIENT])
def test_the_backward_of_every_activation_is_its_derivative(run, name):
    """Add a little to the activation itself, in every layer by turns: the loss follows as the gradient says."""
    assert run.grad[name].shape == run[name].shape
    rng = np.random.default_rng(8)
    for address in addresses(run.program, name):
        direction = rng.standard_normal(run[address].shape)
        up, down = (run.edit(address, add=1e-6 * sign * direction)["loss"].item() for sign in (1, -1))
        promised = (run.grad[address].array * direction).sum()
        assert promised == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8), address


def test_what_has_no_gradient_says_so(run):
    for name in NO_GRADIENT:
        with pytest.raises(byhand.AddressError, match="does not depend on"):
            run.grad[name]


def test_training_with_adamw_lowers_the_loss(example):
    lesson = example("03_gpt2_saved_activations")
    assert (lesson.RATE, lesson.BETA1, lesson.BETA2, lesson.EPS, lesson.DECAY) == (1e-4, 0.9, 0.999, 1e-8, 0.01)
    assert len(lesson.losses) == 10 and lesson.losses == sorted(lesson.losses, reverse=True)
    # Adam's steps have the size of the rate whatever the gradient's, and decay takes a share of the weight itself.
    start, end = lesson.model.weights["token.weight"], lesson.weights["token.weight"]
    assert 0.5 * 10 * 1e-4 < np.abs(end - start).max() < 1.2 * 10 * 1e-4


# --- the 124M model, without running it -------------------------------------------------------------------------------


def test_the_124m_shapes_at_b4_t64():
    model = byhand.load("gpt2-124m")
    program = model.program_with(targets=True)
    shapes = program.shapes(B=4, T=64)
    total = 0
    for name, axes in SHAPES.items():
        numbers = sum(prod(shapes[address]) for address in addresses(program, name))
        assert numbers == prod(sizes(axes, LARGE)), name
        total += numbers
    assert total == 73_323_776
    assert sum(prod(sizes(axes, LARGE)) for axes in PARAMETERS.values()) == program.parameters == 124_439_808
    assert shapes["blocks.3.attn.scores"] == (4, 12, 64, 64)
    assert shapes["blocks.3.attn.q"] == shapes["blocks.3.attn.heads"] == (4, 64, 12, 64)
    assert shapes["blocks.3.mlp.pre"] == shapes["blocks.3.mlp.act"] == (4, 64, 3072)
    assert shapes["blocks.3.norm1.mean"] == shapes["final_norm.rstd"] == shapes["losses"] == (4, 64)
    assert all(model.weights.pending(address) for address in model.weights)


def test_the_table_says_how_many_bytes_backward_needs():
    program = byhand.load("gpt2-124m").program_with(targets=True)
    saved = {row.address: row.saved for row in program.table(B=4, T=64)}
    assert saved["blocks.0.attn.scores"] == 0  # softmax goes back from its weights alone
    assert saved["blocks.0.attn.weights"] == 4 * 4 * 12 * 64 * 64
    assert saved["blocks.0.norm1.out"] == 4 * (4 * 64 * 768 + 2 * 4 * 64)  # with its mean and rstd
    assert saved["probs"] == 0 and saved["logits"] == 4 * 4 * 64 * 50257  # the loss is read from the logits

"""Dumps: in other projects' names, of a few values, with weights, with gradients, and what cannot be one."""

import numpy as np
import pytest

import byhand
from byhand import aliases
from byhand.checkpoints import llmc_state
from byhand.compare import compare
from byhand.families import gpt2

from .planted import CONFIGS, PLANTED, other, sound

IDS = [3, 14, 15, 9, 26, 5, 35, 8]
PROJECTS = {"llm.c": 0, "TransformerLens": 1, "Hugging Face": 2}
STATE = gpt2.Config(layers=2, width=16, heads=2, hidden=64, vocabulary=50, context=16)


def named(model, project, weights=False):
    """All values of a model in another project's words; weights: with those too. Planted operators have no kernels."""
    run = model.run(IDS, engine="reference")
    views = aliases.projects(run.program)[PROJECTS[project]]
    chosen = {n: v for n, v in views.items() if weights or v.addresses[0] in run.program.producer}
    return {name: np.array(view.build(run.look)) for name, view in chosen.items()} | {"input_ids": run.look("tokens")}


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("family", CONFIGS)
def test_other_names(family, project, weights):
    model = sound(family)
    found = compare(model, named(model, project, weights))
    assert found.first is None, str(found)
    assert len(found.compared) > 15


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize(
    "name", ["GELU, gpt2", "eps, llama", "eps, bert", "no mask", "transposed, bert", "a weight, gpt2"]
)
def test_planted_under_other_names(name, project):
    planted = PLANTED[name]
    found = compare(sound(planted.family), named(planted.model, project))
    assert found.verdict == "differ"
    assert found.causes[0].kind == planted.kind


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_weights_in_a_dump_are_compared(family):
    planted = PLANTED[f"a weight, {family}"]
    found = compare(sound(family), named(planted.model, "Hugging Face", weights=True))
    assert found.first.weight == "blocks.1.mlp.up.weight"
    assert "blocks.1.mlp.up.weight[" in found.causes[0].said


def test_unseen_steps_are_named():
    """With only the block's ends shown, the layout is found and the steps between are said to be judged together."""
    run = other("llama", rotary="halves").run(IDS)
    values = {
        a: run.look(a) for a in ("embed.out", "blocks.0.attn.q", "blocks.0.attn.k", "blocks.0.attn.weights", "tokens")
    }
    found = compare(sound("llama"), values)
    assert found.first.address == "blocks.0.attn.weights"
    assert "blocks.0.attn.q_rot" in found.first.through
    assert found.causes[0].kind == "rotary layout"
    assert "judged together with" in str(found)


def test_what_is_not_in_the_dump_is_said():
    run = sound("gpt2").run(IDS)
    found = compare(
        sound("gpt2"), {"logits": run.look("logits"), "mine": np.zeros(3, np.float32), "tokens": run.look("tokens")}
    )
    assert "values not in B" in str(found)
    assert "not compared, since the names are unknown: mine" in str(found)


@pytest.mark.parametrize(("engine", "verdict"), [("reference", "same"), ("cpu", "same up to rounding")])
def test_a_batch_of_one_may_be_left_out(engine, verdict):
    run = sound("gpt2").run(IDS, engine=engine)
    assert compare(sound("gpt2"), {"logits": run.look("logits")[0]}, IDS).verdict == verdict


def test_bfloat16_in_an_npz(tmp_path):
    run = sound("gpt2").run(IDS, dtype="bfloat16")
    np.savez(tmp_path / "b.npz", tokens=run.look("tokens"), **{s.address: run.look(s.address) for s in run.program})
    found = compare(sound("gpt2"), tmp_path / "b.npz")
    assert found.verdict == "same up to rounding"
    assert found.dtypes[1] == "bfloat16"


def test_what_stays_in_float32_is_held_to_float32():
    """In a bfloat16 run probabilities keep float32; a change that bfloat16 would hide is found there."""
    run = sound("gpt2").run(IDS, dtype="bfloat16")
    values = {a: np.array(run.look(a)) for a in [*run.program.producer, "tokens"]}
    assert compare(sound("gpt2"), values).first is None
    values["probs"][0, 3, 5] *= np.float32(1 + 1e-4)
    assert compare(sound("gpt2"), values).first.address == "probs"


def test_gradients():
    model = sound("gpt2")
    run = model.run(IDS)
    run.backward()
    good = {f"d:{a}": np.array(run.grad.look(f"d:{a}")) for a in model.program.weights} | {"tokens": run.look("tokens")}
    good["logits"] = run.look("logits")
    assert compare(model, good).first is None
    name = "d:blocks.1.attn.v.weight"
    good[name][2, 1, 3] += 1e-3 * np.abs(good[name]).max()
    found = compare(model, good)
    assert (found.first.address, found.first.gap.index) == (name, (2, 1, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_debug_state_of_llmc(tmp_path, dtype):
    model, ids = byhand.make("gpt2", STATE, seed=4), np.random.default_rng(0).integers(0, 50, (2, 2, 9))
    run = model.run(ids[0], targets=ids[1], dtype=dtype)
    run.backward()
    llmc_state.write_state(run, tmp_path / "state.bin")
    found = compare(model, tmp_path / "state.bin")
    assert found.verdict == "same up to rounding", str(found)
    checked = {each.address for each in found.compared}
    assert {"logits", "loss", "d:token.weight", "d:blocks.1.mlp.down.bias"} <= checked
    wrong = model.edit("blocks.1.mlp.up.weight", (3, 5), add=0.05)
    assert compare(wrong, tmp_path / "state.bin").first.address == "logits"


MISFITS = {
    "shape": (
        {"logits": np.zeros((1, 9, 60), np.float32)},
        "has shape (1, 9, 60), but logits (BTV) of gpt2 has (1, 8, 60)",
    ),
    "nothing known": ({"mine": np.zeros(3, np.float32)}, "has no value of gpt2; its names are mine"),
    "tokens": ({"tokens": np.array([[99]]), "logits": np.zeros((1, 1, 60), np.float32)}, "token"),
    "alias": ({"qkv": np.zeros((2, 1, 8, 71), np.float32)}, "qkv in the arrays has shape (2, 1, 8, 71)"),
}


@pytest.mark.parametrize(("arrays", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit(arrays, message):
    with pytest.raises(byhand.ByhandError) as error:
        compare(sound("gpt2"), arrays, None if "tokens" in arrays else IDS)
    assert message in str(error.value)


def test_files_that_are_no_dumps(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    np.savez(tmp_path / "objects.npz", logits=np.array([{"a": 1}], object))
    np.savez(tmp_path / "none.npz")
    whole = tmp_path / "whole.npz"
    np.savez(whole, logits=np.zeros((1, 8, 60)))
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    for name in ("text", "empty", "objects", "none", "cut", "missing"):
        with pytest.raises(byhand.InputError) as error:
            compare(sound("gpt2"), tmp_path / f"{name}.npz")
        assert "\n" not in str(error.value)


def test_two_dumps_say_nothing_about_steps():
    with pytest.raises(byhand.InputError, match="give a model as one"):
        compare({"logits": np.zeros(3)}, {"logits": np.zeros(3)})


@pytest.mark.parametrize("hides", [np.finfo(np.float32).min, -1e10, -1e5])
def test_scores_may_be_hidden_by_any_large_number(hides):
    run = sound("gpt2").run(IDS, engine="reference")
    values = {a: np.array(run.look(a)) for a in [*run.program.producer, "tokens"]}
    for address in ("blocks.0.attn.masked", "blocks.1.attn.masked"):
        values[address] = np.where(np.isneginf(values[address]), np.float32(hides), values[address])
    assert compare(sound("gpt2"), values).verdict == "same"
    values["blocks.1.attn.masked"][0, 2, 1, 6] = -3
    assert compare(sound("gpt2"), values).first.address == "blocks.1.attn.masked"

"""Mistakes easily made in Python, each answered in one line; and what looks like a mistake but is none."""

import pickle

import numpy as np
import pytest

import byhand
from byhand.errors import AddressError, ByhandError, InputError
from byhand.families import bert, gpt2, llama, original

SMALL = {"layers": 1, "width": 8, "heads": 2, "hidden": 8, "vocabulary": 9, "context": 5}


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("gpt2", gpt2.Config(**SMALL | {"width": 30, "heads": 4}), "width 30 cannot be shared evenly by 4 heads"),
        ("bert", bert.Config(**SMALL | {"heads": 3}), "width 8 cannot be shared evenly by 3 heads"),
        ("gpt2", gpt2.Config(**SMALL | {"layers": -1}), "layers is -1; give a whole number, 1 or more"),
        ("gpt2", gpt2.Config(**SMALL | {"layers": 1.0}), "layers is 1.0; give a whole number"),
        ("gpt2", gpt2.Config(**SMALL | {"layers": True}), "layers is True; give a whole number"),
        ("gpt2", gpt2.Config(**SMALL | {"heads": 0}), "heads is 0; give a whole number"),
        ("gpt2", gpt2.Config(**SMALL | {"context": 0}), "context is 0; give a whole number"),
        ("llama", gpt2.SHAPES["gpt2-tiny"], "llama needs a llama.Config, got Config"),
        ("gpt2", None, "gpt2 needs a gpt2.Config, got None"),
        (None, None, "no family None; there are: original, gpt2"),
        ({}, None, "no family {}; there are: original, gpt2"),
        ("llama", llama.Config(**SMALL, head_width=3, groups=2), "head_width 3 cannot be shared evenly by 2 features"),
        ("llama", llama.Config(**SMALL | {"heads": 6}, groups=4), "heads 6 cannot be shared evenly by 4 groups"),
        ("original", original.Config(**SMALL | {"width": 9, "heads": 3}, part="encoder"), "width 9 cannot be shared"),
    ],
)
def test_sizes_that_make_no_model_are_refused_when_it_is_made(family, config, message):
    with pytest.raises(ByhandError, match=message) as caught:
        model = byhand.make(family, config)
        model.run([1, 2])
    assert "\n" not in str(caught.value)


def run(**setting):
    return byhand.load("gpt2-tiny").run("Hello", dtype="float64", **setting)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: run()[3], "a run is asked for a value by its address, such as run"),
        (lambda: run()["blocks.*.out"], "is a pattern, which may name several values: use run.matching"),
        (lambda: run().shape("nope"), "has no value 'nope'; addresses look like embed.token, embed.position"),
        (lambda: run(keep=None), "keep is None; give 'all', or a list"),
        (lambda: run(keep=3), "keep is 3; give 'all', or a list"),
        (lambda: run(keep=["d:blocks.0.mid"]), "keep= is for values; gradients are made, all of them, by run.backward"),
        (lambda: run().diff(None), "a run is compared with another run, got NoneType"),
        (lambda: run().edit("logits", from_run=3), "from_run must be another run, got int"),
        (lambda: run().edit("blocks.0.attn.heads", head=True, zero=True), "True is no index; give a whole number"),
        (lambda: byhand.load(None), "no model None"),
        (lambda: byhand.make("gpt2", gpt2.Config(**SMALL), [1]), "weights must be arrays by address, got list"),
        (lambda: byhand.load("aab").edit("nope", zero=True), "has no value 'nope'"),
        (
            lambda: byhand.load("aab").edit("token.weight"),
            "exactly one of set, add, scale, zero .or from_run.; got none",
        ),
        (lambda: byhand.load("gpt2-tiny").kept_bytes("a", 10), "B is 'a'; give a whole number"),
        (
            lambda: byhand.load("gpt2-tiny").kept_bytes(1, 1000),
            "T is 1000; give a whole number from 1, a text up to 64",
        ),
        (lambda: byhand.load("gpt2-tiny").run(["ab", "cde"]), "the lists have different lengths; pad them"),
        (lambda: byhand.load("original-tiny").generate("a"), "original-tiny translates; give source="),
        (lambda: byhand.load("gpt2-tiny").generate("a", dtype="int4"), "no dtype 'int4'"),
        (
            lambda: byhand.load("original-tiny").run("ab", source="cd", **{"source.mask": [[0, 0]]}),
            "cross.mask leaves position 0 of text 0 with nothing to see",
        ),
        (lambda: byhand.load("bert-tiny").run("ab").backward(), "this run has no loss: give targets=, or name a value"),
    ],
)
def test_a_mistake_is_one_line(mistake, message):
    with pytest.raises(ByhandError, match=message) as caught:
        mistake()
    assert "\n" not in str(caught.value)


def test_weights_must_be_arrays():
    model = byhand.load("aab")
    with pytest.raises(InputError, match="token.weight is of type list; give a NumPy array"):
        byhand.make(model.family, model.config, {**model.weights, "token.weight": [[1.0]]})


def test_texts_of_one_length_make_a_batch():
    model = byhand.load("gpt2-tiny")
    both = model.run(["Hello", "World"], dtype="float64")
    for place, text in enumerate(["Hello", "World"]):
        assert np.abs(both["logits"].array[place] - model.run(text, dtype="float64")["logits"].array[0]).max() < 1e-12


def test_padding_on_the_left_changes_nothing_for_the_tokens_behind_it():
    model = byhand.load("gpt2-tiny")
    alone = model.run([1, 2, 3, 4], dtype="float64")["logits"].array[0]
    padded = model.run([[0, 0, 1, 2, 3, 4]], dtype="float64", mask=[[0, 0, 1, 1, 1, 1]], positions=[[0, 0, 0, 1, 2, 3]])
    assert np.abs(padded["logits"].array[0, 2:] - alone).max() < 1e-12
    assert padded["blocks.0.attn.weights"].array[0, :, 2:, :2].max() == 0
    assert (padded["blocks.0.attn.weights"].array[0, :, :2] == np.eye(6)[:2]).all()  # padding sees itself alone
    assert padded["loss"].item() == pytest.approx(model.run([1, 2, 3, 4], dtype="float64")["loss"].item())


def test_a_mask_of_one_text_needs_no_batch_axis():
    model = byhand.load("gpt2-tiny")
    seen = np.tri(5, dtype=bool) & (np.arange(5) != 1)
    seen[1, 1] = True
    one, other = (model.run("Hello", dtype="float64", mask=mask) for mask in (seen, seen[None]))
    assert np.array_equal(one["logits"].array, other["logits"].array)
    assert one["blocks.0.attn.weights"].array[0, 0, 3, 1] == 0


def test_patterns_may_be_of_other_projects_names():
    short = run(keep="blocks.*.hook_resid_post")
    assert set(short.kept) == {"blocks.0.out", "blocks.1.out", "logits", "losses", "loss"}
    assert list(run().matching("blocks.*.attn.hook_pattern")) == ["blocks.0.attn.weights", "blocks.1.attn.weights"]


def test_a_model_is_edited_under_other_projects_names():
    model = byhand.load("gpt2-tiny")
    edited = model.edit("wte", [1], zero=True)
    assert not edited.weights["token.weight"][1].any() and model.weights["token.weight"][1].any()


def test_a_run_lists_its_addresses():
    assert run().keys() == list(run()) == run().program.addresses


def test_models_and_explanations_can_be_pickled():
    model = byhand.load("llama-tiny", seed=4)
    other = pickle.loads(pickle.dumps(model))
    assert repr(other) == repr(model)
    why = other.run("Hello").explain("blocks.0.attn.weights", (0, 1, 3, 2))
    assert str(pickle.loads(pickle.dumps(why))) == str(
        model.run("Hello").explain("blocks.0.attn.weights", (0, 1, 3, 2))
    )


def test_the_address_is_named_where_a_rearranged_name_cannot_be_used():
    with pytest.raises(AddressError, match="att is a rearrangement of blocks.0.attn.weights, blocks.1.attn.weights"):
        run().edit("att", [0, 0, 1, 2, 1], zero=True)


@pytest.mark.parametrize(
    ("name", "index", "address", "at"),
    [
        ("att", (1, 0, 2, 3, 1), "blocks.1.attn.weights", (0, 2, 3, 1)),
        ("att", (1, 0, 0, 0, 0), "blocks.1.attn.weights", (0, 0, 0, 0)),
        ("qkv", (0, 0, 4, 32 + 13), "blocks.0.attn.k", (0, 4, 1, 5)),
        ("qkvw", (1, 64 + 13, 7), "blocks.1.attn.v.weight", (7, 1, 5)),
        ("transformer.h.1.attn.c_attn", (0, 2, 3), "blocks.1.attn.q", (0, 2, 0, 3)),
        ("blocks.0.attn.hook_z", (0, -1, 3, 7), "blocks.0.attn.heads", (0, 4, 3, 7)),
    ],
)
def test_an_element_of_a_rearranged_array_is_explained_where_it_lies(name, index, address, at):
    of = run()
    why = of.explain(name, index)
    assert (why.address, why.index, why.stored) == (address, at, of[name].array[index])
    assert of.explain("att", layer=1, head=2, query=3, key=1).address == "blocks.1.attn.weights"
    of.backward()
    assert of.explain(f"d:{name}", index).address == f"d:{address}"
    assert of.explain(f"d:{name}", index).stored == of.grad[name].array[index]
    if not name.endswith("w"):
        assert of.backward(name, index).of == address and of.grad.look(address)[at] == 1


def test_what_is_computed_from_values_is_not_explained():
    with pytest.raises(AddressError, match="hook_normalized is computed from .*; name one of these"):
        run().explain("blocks.0.ln1.hook_normalized", (0, 0, 0))

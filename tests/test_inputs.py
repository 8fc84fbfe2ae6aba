"""Inputs: texts, ids, batches, masks, targets, positions, segments; and one clear line for all that is wrong."""

from typing import Any

import numpy as np
import pytest

from byhand import inputs
from byhand.errors import ByhandError, InputError

from .small_models import model, run, same_bits

GPT2, BERT, LLAMA = model("gpt2-tiny"), model("bert-tiny"), model("llama-tiny")
PAIR = [[40, 69, 76, 76, 79], [55, 79, 82, 76, 68]]

# --- texts and ids ------------------------------------------------------------------------------------------------


def test_a_text_its_ids_and_an_array_of_them_are_the_same():
    of = GPT2.run("Hello", dtype="float64")
    ids = GPT2.token_ids("Hello")[0].tolist()
    forms: list[Any] = [ids, tuple(ids), [ids], np.array(ids), np.array([ids], np.int32), np.array([ids], np.uint8)]
    for given in forms:
        assert same_bits(GPT2.run(given, dtype="float64").look("logits"), of.look("logits"))
    assert of.look("tokens").tolist() == [ids] and of.look("tokens").dtype == np.int64


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny", "original-encoder-tiny"])
def test_a_batch_is_its_texts_one_by_one(name):
    source = [[34, 79, 78], [10, 11, 12]] if name == "original-tiny" else None
    both = model(name).run(PAIR, dtype="float64", source=source, targets=PAIR)
    for b, ids in enumerate(PAIR):
        alone = model(name).run(ids, dtype="float64", source=source and source[b], targets=ids)
        for address in ("logits", "blocks.1.attn.weights", "losses"):
            assert np.abs(both.look(address)[b] - alone.look(address)[0]).max() < 1e-13
    assert abs(both.look("loss") - both.look("losses").mean()) < 1e-15


# --- padding and masks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-encoder-tiny"])
def test_padding_on_the_right_changes_nothing_where_tokens_are_real(name):
    real = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    padded = model(name).run([PAIR[0], [*PAIR[1][:3], 0, 95]], mask=real, dtype="float64")
    alone = [model(name).run(PAIR[0], dtype="float64"), model(name).run(PAIR[1][:3], dtype="float64")]
    for b, each in enumerate(alone):
        T = each.look("tokens").shape[1]
        assert np.abs(padded.look("logits")[b, :T] - each.look("logits")[0]).max() < 1e-13
    if "loss" in padded.program:
        assert padded.look("targets").tolist() == [[69, 76, 76, 79, -1], [79, 82, -1, -1, -1]]
        losses = [each.look("losses")[0, :-1] for each in alone]
        assert abs(padded.look("loss") - np.concatenate(losses).mean()) < 1e-13


def test_a_mask_of_all_true_is_no_mask():
    of = run("gpt2-tiny")
    for given in (np.ones((1, 5), bool), np.ones((1, 5), int), np.ones((1, 5, 5), bool), [[True] * 5]):
        assert same_bits(GPT2.run("Hello", mask=given, dtype="float64").look("logits"), of.look("logits"))
    assert same_bits(of.look("mask"), np.tri(5, dtype=bool)[None])
    assert run("bert-tiny").look("mask").all()


def test_a_mask_hides_beyond_what_the_model_hides_itself():
    hidden = np.ones((1, 5, 5), bool)
    hidden[0, 4, 2] = False
    of = GPT2.run("Hello", mask=hidden, dtype="float64")
    assert same_bits(of.look("mask"), np.tri(5, dtype=bool)[None] & hidden)
    assert (of.look("blocks.0.attn.weights")[0, :, 4, 2] == 0).all()
    assert same_bits(of.look("logits")[:, :4], run("gpt2-tiny").look("logits")[:, :4])
    column = GPT2.run("Hello", mask=[[1, 0, 1, 1, 1]], dtype="float64")
    assert (column.look("blocks.1.attn.weights")[0, :, 1:, 1] == 0).all()


def named(name: str, array: Any) -> dict[str, Any]:
    """An argument whose name has a dot in it."""
    return {name: array}


def test_source_and_cross_masks():
    translate = model("original-tiny")
    plain = translate.run("Hello", source="Bon", dtype="float64")
    padded = translate.run("Hello", source="Bon??", dtype="float64", **named("source.mask", [[1, 1, 1, 0, 0]]))
    assert np.abs(plain.look("logits") - padded.look("logits")).max() < 1e-13
    assert padded.look("cross.mask").tolist() == [[[True] * 3 + [False] * 2] * 5]
    crossed = translate.run("Hello", source="Bon", dtype="float64", **named("cross.mask", [[1, 0, 1]]))
    assert same_bits(crossed.look("source.blocks.1.out"), plain.look("source.blocks.1.out"))
    assert (crossed.look("blocks.0.cross.weights")[..., 1] == 0).all()
    # who may see whom inside a source of as many tokens as the text says nothing of what the text may see
    inside = translate.run("Hello", source="World", **named("source.mask", np.tri(5, dtype=bool)[None]))
    assert inside.look("cross.mask").all() and not inside.look("source.mask").all()


# --- targets, positions, segments ---------------------------------------------------------------------------------


def test_targets_are_the_next_tokens_unless_given():
    of = GPT2.run([3, 4, 5], dtype="float64")
    assert of.look("targets").tolist() == [[4, 5, -1]]
    probs_TV = of.look("probs")[0]
    assert np.allclose(of.look("losses"), [[-np.log(probs_TV[0, 4]), -np.log(probs_TV[1, 5]), 0]], rtol=1e-13)
    assert abs(of.look("loss") - of.look("losses")[0, :2].mean()) < 1e-15
    for targets in ([9, -1, 2], [[9, -1, 2]], np.array([9, -100, 2])):
        other = GPT2.run([3, 4, 5], targets=targets, dtype="float64")
        assert np.allclose(other.look("losses"), [[-np.log(probs_TV[0, 9]), 0, -np.log(probs_TV[2, 2])]], rtol=1e-13)


def test_one_token_has_a_loss_only_with_a_target():
    assert "loss" not in GPT2.run([3]).program and "loss" in GPT2.run([3], targets=[4]).program
    assert "loss" not in BERT.run("Hello").program and "loss" in BERT.run("Hello", targets=[1, -1, -1, -1, 2]).program
    assert "loss" not in GPT2.run([[3, 0]], mask=[[1, 0]]).program  # nothing real to predict


def test_positions_and_segments_are_inputs():
    assert run("gpt2-tiny").look("positions").tolist() == [[0, 1, 2, 3, 4]]
    moved = GPT2.run([3, 4], positions=[7, 2], dtype="float64")
    assert same_bits(moved.look("embed.position")[0], GPT2.weights["position.weight"][[7, 2]].astype(float))
    assert BERT.run("Hello").look("segments").tolist() == [[0] * 5]
    assert run("bert-tiny").look("segments").tolist() == [[0, 0, 1, 1, 0]]
    # rotary positions are relative: a text moved as a whole gives the same attention
    one, other = (LLAMA.run("Hello", positions=np.arange(5) + start, dtype="float64") for start in (0, 1000))
    assert np.abs(one.look("blocks.0.attn.weights") - other.look("blocks.0.attn.weights")).max() < 1e-12
    assert np.abs(one.look("blocks.0.attn.q_rot") - other.look("blocks.0.attn.q_rot")).max() > 0.1


def test_next_tokens():
    ids = np.array([[3, 4, 5], [6, 7, 8]])
    assert inputs.next_tokens(ids).tolist() == [[4, 5, -1], [7, 8, -1]]
    assert inputs.next_tokens(ids, np.array([[1, 1, 0], [0, 1, 1]])).tolist() == [[4, -1, -1], [-1, 8, -1]]
    assert ids.tolist() == [[3, 4, 5], [6, 7, 8]]


# --- what is wrong ------------------------------------------------------------------------------------------------

WRONG = [
    (GPT2, "", {}, "the text is empty; give at least one token"),
    (GPT2, [], {}, "the text is empty"),
    (GPT2, [[]], {}, "the text is empty"),
    (GPT2, "a" * 65, {}, "the text has 65 tokens, but the model reads at most 64; shorten it"),
    (GPT2, "Zoë", {}, "character 'ë' at 2 is not in the alphabet .* of this model; use only those"),
    (model("aab"), "abc", {}, "character 'c' at 2 is not in the alphabet 'ab' of this model"),
    (model("aab"), "ababab", {}, "the text has 6 tokens, but the model reads at most 5"),
    (model("llama 3.1"), "text", {}, "llama 3.1 has no tokenizer; give token ids from 0 to 95"),
    (GPT2, [3, 96], {}, r"token id of the text is 96 at \[0, 1\]; the vocabulary has 0 … 95"),
    (GPT2, [[3, 4], [5, -1]], {}, r"token id of the text is -1 at \[1, 1\]"),
    (GPT2, [3.0, 4.0], {}, "token ids must be whole numbers, got float64; encode text with the model's tokenizer"),
    (GPT2, [True, False], {}, "token ids must be whole numbers, got bool"),
    (GPT2, ["Hello", 3], {}, "a list of texts and other things; give texts only, or ids only"),
    (GPT2, None, {}, "token ids must be whole numbers, got object"),
    (GPT2, 5, {}, r"token ids need 1 axis \(one text\) or 2 axes \[B, T\], got shape \(\)"),
    (GPT2, [[[1]]], {}, r"got shape \(1, 1, 1\)"),
    (GPT2, [[1, 2], [3]], {}, r"text: the lists have different lengths; pad them to one length and give mask=\[B, T\]"),
    (GPT2, "Hi", {"dtype": "float16"}, "no dtype 'float16'; there are: float64, float32, bfloat16"),
    (GPT2, "Hi", {"dtype": np.float32}, "no dtype <class 'numpy.float32'>; there are: float64"),
    (GPT2, "Hi", {"engine": "cuda"}, "no engine 'cuda'; there are: cpu, reference"),
    (GPT2, "Hi", {"source": "Ho"}, "gpt2 has no input 'source.tokens'; it reads: tokens, positions, mask"),
    (GPT2, "Hi", {"segments": [0, 0]}, "gpt2 has no input 'segments'; it reads: tokens, positions, mask"),
    (GPT2, "Hi", {"dytpe": "float64"}, "gpt2 has no input 'dytpe'"),
    (GPT2, "Hi", {"tokens": [1, 2]}, "tokens are given as the text; leave tokens= out"),
    (GPT2, "Hi", {"mask": [[1, 1, 1]]}, r"mask has shape \(1, 3\); give \[B,S\] = \(1, 2\) or \[B,T,S\] = \(1, 2, 2\)"),
    (GPT2, "Hi", {"mask": [1, 1]}, r"mask has shape \(2,\)"),
    (GPT2, "Hi", {"mask": [[1], [1, 1]]}, "mask: the lists have different lengths"),
    (GPT2, "Hi", {"mask": [[0.0, -np.inf]]}, "mask holds float64 numbers; give True .or 1. where a token may be seen"),
    (GPT2, "Hi", {"mask": [[1, 2]]}, "mask holds int64 numbers; give True"),
    (
        GPT2,
        "Hi",
        {"mask": [[[0, 0], [0, 1]]]},
        "mask leaves position 0 of text 0 with nothing to see; let every position see one",
    ),
    (GPT2, "Hi", {"positions": [0, 64]}, r"positions is 64 at \[0, 1\]; the table of positions has 0 … 63"),
    (LLAMA, "Hi", {"positions": [0, -1]}, r"positions is -1 at \[0, 1\]; they count from 0"),
    (GPT2, "Hi", {"positions": [0.0, 1.0]}, "positions holds float64; give whole numbers"),
    (
        GPT2,
        "Hi",
        {"positions": [0, 1, 2]},
        r"positions has shape \(1, 3\), but the tokens have \(1, 2\); give one a token",
    ),
    (BERT, "Hi", {"segments": [0, 2]}, r"segments is 2 at \[0, 1\]; the table of segments has 0 … 1"),
    (GPT2, "Hi", {"targets": [1, 96]}, r"targets is 96 at \[0, 1\]; the vocabulary has 0 … 95"),
    (GPT2, "Hi", {"targets": [1, 0.5]}, "targets holds float64; give whole numbers"),
    (GPT2, "Hi", {"targets": [1]}, r"targets has shape \(1, 1\), but the tokens have \(1, 2\)"),
    (GPT2, "Hi", {"targets": [[1, 2], [3]]}, "targets: the lists have different lengths"),
    (
        GPT2,
        "Hi",
        {"targets": [-1, -1]},
        "targets: every place says that there is none; give at least one token id to predict",
    ),
    (GPT2, "Hi", {"targets": "Hi"}, "targets holds <U2|targets has shape"),
    (model("original-tiny"), "Hi", {}, "this model needs source.tokens; give source= and the tokens to continue"),
    (model("original-tiny"), "Hi", {"source": ""}, "the source text is empty"),
    (
        model("original-tiny"),
        "Hi",
        {"source": "a" * 65},
        "the source text has 65 tokens, but the model reads at most 64",
    ),
    (model("original-tiny"), "Hi", {"source": PAIR}, "source.mask has 2 texts, tokens has 1; give as many of both"),
    (
        model("original-tiny"),
        "Hi",
        {"source": "Ho", "source.tokens": [[1]]},
        "source.tokens are given as source=; leave",
    ),
]


@pytest.mark.parametrize("of, text, given, message", WRONG, ids=range(len(WRONG)))
def test_one_line_for_everything_that_is_wrong(of, text, given, message):
    with pytest.raises(InputError, match=message) as caught:
        of.run(text, **given)
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)

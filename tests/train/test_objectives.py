"""Batches: a function of seed, step and part; what is predicted from what; padding said to be padding."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import byhand
from byhand import engines, inputs
from byhand.checkpoints.tokens import write_tokens
from byhand.engines import Parameters
from byhand.errors import InputError
from byhand.loading import make
from byhand.tokenizer.learning import END, MASK
from byhand.train.corpus import Corpus, gather
from byhand.train.objectives import Batches, batches


@pytest.fixture
def stream(tmp_path) -> Corpus:
    """A thousand ids of which each is one more than the one before."""
    write_tokens(tmp_path / "a.bin", np.arange(1000))
    return gather(tmp_path / "a.bin", folder=tmp_path, seed=1)


@pytest.fixture
def texts(tmp_path) -> Corpus:
    """Forty texts of 1 to 40 letters."""
    lines = (json.dumps({"text": "abcdefghij"[i % 10] * (i + 1)}) for i in range(40))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    return gather(tmp_path / "a.jsonl", "bpe:258", folder=tmp_path, masked=True)


@pytest.fixture
def pairs(tmp_path) -> Corpus:
    """Forty texts of 1 to 40 letters, and the same letters as capitals."""
    made = ("abcdefghij"[i % 10] * (i + 1) for i in range(40))
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps({"source": m, "target": m.upper()}) for m in made))
    return gather(tmp_path / "p.jsonl", "bpe:257", folder=tmp_path)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def of(objective: str, corpus: Corpus, length: int = 32, **how) -> Batches:
    return batches(objective, corpus, **{"batch": 4, "length": length, "seed": 5, **how})


# --- the same again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("objective", ["causal", "masked", "translation"])
def test_a_batch_is_a_function_of_seed_step_and_part(texts, pairs, objective, packed):
    corpus = pairs if objective == "translation" else texts
    first, second = (of(objective, corpus, packed=packed) for _ in range(2))
    for place in [(1, 0), (1, 1), (2, 0), (1000, 3)]:
        list(first.validation(2))  # what was made in between changes nothing
        assert same(first.at(*place), second.at(*place))
    assert same(first.at(1), first.at(1, 0))
    others = [first.at(1, 1), first.at(2, 0), of(objective, corpus, packed=packed, seed=6).at(1)]
    assert not any(same(first.at(1), each) for each in others)


@pytest.mark.alone
def test_a_batch_takes_as_long_from_much_data_as_from_little(tmp_path):
    write_tokens(tmp_path / "a.bin", np.zeros(20_000_000, np.uint16))
    much = of("causal", gather(tmp_path / "a.bin", folder=tmp_path))
    start = time.perf_counter()
    for step in range(1, 101):
        much.at(step)
    assert time.perf_counter() - start < 1  # reading all of it once takes as long as ten of these


def test_validation_is_always_the_same_and_spread_over_all(stream):
    made = of("causal", stream, length=9, batch=2)
    first = list(made.validation(3))
    assert len(first) == 3 and all(map(same, first, made.validation(3)))
    held = stream.validation.window(0, 100)
    starts = [row[0] - held[0] for each in first for row in each["tokens"]]
    assert starts == [0, 18, 36, 54, 72, 90]
    assert len(list(made.validation(1000))) == 5  # ten windows of ten ids, two a batch
    assert not {int(row[0]) for each in islice(map(made.at, range(1, 50)), 49) for row in each["tokens"]} & {*held}


# --- causal -------------------------------------------------------------------------------------------------------


def test_the_next_token_is_predicted(stream):
    made = of("causal", stream).at(3)
    assert made.keys() == {"tokens", "targets"} and made["tokens"].shape == (4, 32)
    assert np.array_equal(made["tokens"][:, 1:], made["targets"][:, :-1])
    assert ((made["targets"] - made["tokens"] == 1).sum(1) >= 31).all()  # but where the held back stretch was


def test_every_place_is_drawn(stream):
    made = of("causal", stream, length=99, batch=20)
    firsts = {int(first) for step in range(1, 400) for first in made.at(step)["tokens"][:, 0]}
    ids = stream.train.window(0, len(stream.train))
    assert firsts == set(ids[: len(ids) - 99].tolist())


def test_texts_by_themselves_are_padded_and_say_so(texts):
    made = of("causal", texts, length=20, packed=False, batch=8)
    end = texts.tokenizer.special[END]
    for step in range(1, 20):
        each = made.at(step)
        real = each["mask"]
        assert each["tokens"].shape[1] in (16, 20) and (np.diff(real.astype(int)) <= 0).all()
        assert (each["targets"][~real] == -1).all() and (each["targets"][real] >= 0).all()
        assert np.array_equal(each["tokens"][:, 1:][real[:, 1:]], each["targets"][:, :-1][real[:, 1:]])
        whole = real.sum(1) < 20  # a longer text may be a stretch of it
        assert (each["tokens"][whole, 0] == end).all()
        assert (each["targets"][whole, real.sum(1)[whole] - 1] == end).all()


def test_padding_changes_no_loss_and_no_gradient(texts):
    model = tiny(texts)
    program = model.program_with(True)
    given = of("causal", texts, length=20, packed=False).at(2)
    other = {**given, "tokens": np.where(given["mask"], given["tokens"], 7)}
    assert (~given["mask"]).any()
    first, second = (learned(model, program, each) for each in (given, other))
    assert first[0] == second[0] and np.array_equal(first[1], second[1])


def tiny(corpus: Corpus, name: str = "gpt2-tiny"):
    model = byhand.load(name)
    return make(model.family, replace(model.config, vocabulary=corpus.vocabulary))


def learned(model, program, given):
    parameters = Parameters(program, model.weights)
    loss = engines.REFERENCE.learner(program, parameters).learn(inputs.prepare(program, given))
    return loss, parameters.gradients.flat


# --- masked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_hidden_tokens_are_predicted_in_the_shares_of_the_paper(texts, packed):
    made = of("masked", texts, batch=50, packed=packed)
    mask, special = texts.tokenizer.special[MASK], [*texts.tokenizer.special.values()]
    counts = np.zeros(4)
    for step in range(1, 81):
        each = made.at(step)
        hidden = each["targets"] >= 0
        assert hidden.any(1).all() and not np.isin(each["targets"], special).any()
        assert packed or not (hidden & ~each["mask"]).any()
        real = (np.isin(each["tokens"], special, invert=True) & each.get("mask", True)) | hidden
        shown, right = each["tokens"][hidden], each["targets"][hidden]
        counts += [hidden.sum() / real.sum(), *(part.mean() for part in (shown == mask, shown == right, shown > 200))]
    share, masked, kept, unseen = counts / 80
    assert share == pytest.approx(0.15, abs=0.01) and masked == pytest.approx(0.8 + 0.1 / 258, abs=0.01)
    assert kept == pytest.approx(0.1 + 0.1 / 258, abs=0.01)
    assert unseen == pytest.approx(masked + 0.1 * 57 / 258, abs=0.01)  # any token of all 258, not of those of the text


def test_a_tokenizer_without_a_mask_token_is_refused(pairs, stream, tmp_path):
    (tmp_path / "b.txt").write_text("abc" * 300)
    with pytest.raises(InputError, match=r"has no \[MASK\]"):
        of("masked", gather(tmp_path / "b.txt", folder=tmp_path))
    with pytest.raises(InputError, match=r"has no \[MASK\]"):
        of("masked", stream)


# --- translation --------------------------------------------------------------------------------------------------


def test_a_translation_is_predicted_from_its_source(pairs):
    made, end = of("translation", pairs, length=20, batch=8), pairs.tokenizer.special[END]
    for step in range(1, 20):
        each = made.at(step)
        for b in range(8):
            source = each["source.tokens"][b][each["source.mask"][b]].tolist()
            tokens = each["tokens"][b][each["mask"][b]].tolist()
            targets = each["targets"][b][each["mask"][b]].tolist()
            written = pairs.tokenizer.decode(source[1:])
            assert source[0] == tokens[0] == targets[-1] == end and tokens[1:] == targets[:-1]
            assert pairs.tokenizer.decode(tokens[1:]) == written.upper() and len(written) < 20
    # 40 pairs of 1 … 40 letters, begun by one token: 19 of them fit into 20
    assert made.left_out == 21
    assert {len(row[row > 0]) for step in range(1, 60) for row in made.at(step)["source.mask"]} <= set(range(2, 21))


@pytest.mark.parametrize(("source", "target", "fits"), [(9, 9, 1), (10, 1, 0), (1, 10, 0)])
def test_a_pair_fits_if_both_sides_do(tmp_path, source, target, fits):
    texts = [("a" * source, "b" * target), ("a", "b")] * 20
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps({"source": s, "target": t}) for s, t in texts))
    made = of("translation", gather(tmp_path / "p.jsonl", "bpe:257", folder=tmp_path, validation=0.4), length=10)
    shapes = [
        each[name].shape for step in range(1, 30) for each in [made.at(step)] for name in ("source.tokens", "tokens")
    ]
    assert made.left_out == 20 * (1 - fits) and max(T for _, T in shapes) <= 10


@pytest.mark.parametrize(
    ("name", "objective"),
    [("gpt2-tiny", "causal"), ("llama-tiny", "causal"), ("bert-tiny", "masked"), ("original-tiny", "translation")],
)
@pytest.mark.parametrize("packed", [True, False])
def test_every_family_learns_from_its_batches(texts, pairs, name, objective, packed):
    corpus = pairs if objective == "translation" else texts
    model = tiny(corpus, name)
    program = model.program_with(True)
    parameters = Parameters(program, model.weights)
    learner = engines.REFERENCE.learner(program, parameters)
    made = of(objective, corpus, length=41, packed=packed)
    first = [learner.loss(inputs.prepare(program, each)) for each in made.validation(2)]
    for number in range(1, 16):
        learner.learn(inputs.prepare(program, made.at(number)))
        learner.update(engines.Update(number, 1e-2))
    last = [learner.loss(inputs.prepare(program, each)) for each in made.validation(2)]
    assert max(last) < min(first) - 1


# --- refused ------------------------------------------------------------------------------------------------------


def test_data_shorter_than_the_length_is_refused(stream, pairs):
    with pytest.raises(
        InputError, match=r"the validation data of .* has 100 tokens, but a text of length 100 needs 101"
    ):
        of("causal", stream, length=100)
    with pytest.raises(InputError, match=r"the training data of .* has 900 tokens"):
        of("causal", stream, length=900)
    assert of("causal", stream, length=99).at(1)["tokens"].shape == (4, 99)
    with pytest.raises(InputError, match=r"none of the 36 pairs of the training data of .* fits into 1 tokens"):
        of("translation", pairs, length=1)


def test_an_objective_needs_its_kind_of_data(stream, pairs):
    with pytest.raises(InputError, match="has single texts, but this objective learns from source and target"):
        of("translation", stream)
    with pytest.raises(InputError, match="has pairs, but this objective learns from single texts"):
        of("causal", pairs)
    with pytest.raises(InputError, match="causal, masked, translation"):
        of("casual", stream)

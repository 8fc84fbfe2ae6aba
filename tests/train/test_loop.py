"""The loop: the same bits however often it is stopped, parts that add up, what is clipped, decays and diverges."""

import json
from pathlib import Path

import numpy as np
import pytest

import byhand
from byhand.errors import InputError
from byhand.train import (
    Diverged,
    Evaluated,
    Failed,
    Sampled,
    Saved,
    Stepped,
    begin,
    made,
    resume,
    saving,
    tracing,
    train,
)
from byhand.train.logs import Log, read

TEXT = "".join(
    f"the {a} {b} sat on the {c}. " for a in ("old", "big", "red") for b in ("cat", "dog") for c in ("mat", "log")
)
SIZES = {"layers": 1, "width": 16, "heads": 2, "hidden": 32, "context": 16}
USUAL = {"family": "gpt2", "sizes": SIZES, "engine": "reference", "steps": 6, "batch": 3, "rate": 0.01, "warmup": 2}
USUAL |= {"evaluate": 3, "batches": 2, "sample": 0, "save": 3}
FAMILIES = {
    "gpt2": {},
    "llama": {"groups": 1},
    "original": {},
    "bert": {"segments": 1},
}


@pytest.fixture
def data(tmp_path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 4)
    return str(path)


def begun(folder: Path, data: str, **settings):
    with saving.alone(folder):
        return begin(made(USUAL | {"data": data} | settings), folder)


def finished(training):
    with saving.alone(training.folder):
        return training, list(training.run())


def bits(training) -> list[bytes]:
    return [piece.flat.tobytes() for piece in training.parameters.pieces.values()]


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"dropout": 0.2, "accumulate": 2, "decay": "linear"}])
def test_a_training_that_was_stopped_goes_on_with_the_same_bits(tmp_path, data, more):
    straight, _ = finished(begun(tmp_path / "straight", data, **more))
    stopped = begun(tmp_path / "stopped", data, **more)
    for event in stopped.run():
        stopped.stopping = isinstance(event, Stepped) and event.step == 2
        if event == Saved(2, tmp_path / "stopped" / "step-00000002"):
            break
    assert stopped.step == 2
    again, _ = finished(resume(tmp_path / "stopped", {}))
    assert bits(again) == bits(straight)
    assert [loss for _, loss in again.log.curve("loss")] == [loss for _, loss in straight.log.curve("loss")]
    assert again.tokens == straight.tokens == 6 * 3 * 16 * more.get("accumulate", 1)


def test_another_seed_gives_other_bits(tmp_path, data):
    one, two = (finished(begun(tmp_path / str(seed), data, seed=seed))[0] for seed in (0, 1))
    assert bits(one) != bits(two)


def test_going_on_refuses_what_would_change_it(tmp_path, data):
    finished(begun(tmp_path / "t", data))
    for given, words in (
        ({"rate": 0.5}, "rate is 0.5 now and was 0.01"),
        ({"sizes": {"layers": 2}}, "layers is 2 now and was 1"),
        ({"data": "else.txt"}, "data is else.txt now"),
        ({"steps": 6}, "at step 6, its last"),
    ):
        with pytest.raises(InputError, match=words):
            resume(tmp_path / "t", given)
    longer = resume(tmp_path / "t", {"steps": 8, "save": 1, "rate": 0.01, "sizes": {"layers": 1}})
    assert (longer.step, finished(longer)[0].step) == (6, 8)
    with pytest.raises(InputError, match="holds a training; go on with --resume"):
        begun(tmp_path / "t", data)
    with pytest.raises(InputError, match="no checkpoint to go on from"):
        resume(tmp_path / "empty", {})


def test_the_log_goes_on_where_the_checkpoint_was(tmp_path, data):
    training = begun(tmp_path / "t", data)
    for event in training.run():
        if isinstance(event, Stepped) and event.step == 5:
            break  # as if killed: steps 4 and 5 are in the log, the checkpoint is of step 3
    with training.log.path.open("a") as file:
        file.write('{"step": 5, "lo')
    assert [line["step"] for line in read(training.log.path) if "loss" in line] == [1, 2, 3, 4, 5]
    again, _ = finished(resume(tmp_path / "t", {}))
    assert [step for step, _ in again.log.curve("loss")] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in again.log.curve("validation")] == [3, 6]


# --- one step -------------------------------------------------------------------------------------------------------


def test_parts_add_up_to_one_batch_of_all_their_tokens(tmp_path, data):
    parts = begun(tmp_path / "parts", data, accumulate=2)
    whole = begun(tmp_path / "whole", data, batch=6)
    first, second = parts.batches.at(1, 0), parts.batches.at(1, 1)
    second["targets"] = np.where(np.arange(16) < 5, second["targets"], -1)  # fewer tokens, so a smaller share
    parts.batches = Given([first, second])
    whole.batches = Given([{name: np.concatenate([first[name], second[name]]) for name in first}])
    one, other = parts.learn(), whole.learn()
    assert one.tokens == other.tokens == 6 * 16
    np.testing.assert_allclose([one.loss, one.length], [other.loss, other.length], rtol=1e-5)
    np.testing.assert_allclose(parts.parameters.gradients.flat, whole.parameters.gradients.flat, rtol=1e-4, atol=1e-6)


class Given:
    """Batches that are given."""

    def __init__(self, parts):
        self.parts = parts

    def at(self, step, part=0):
        return self.parts[part]


def test_what_is_clipped_and_what_decays(tmp_path, data, monkeypatch):
    training = begun(tmp_path / "t", data, clip=0.25, weight_decay=0.5)
    seen = []
    monkeypatch.setattr(training.learner, "update", seen.append)
    step = training.learn()
    (update,) = seen
    assert step.length > 0.25 and update.scale == 0.25 / step.length
    assert (update.number, update.rate, update.beta2) == (1, 0.005, 0.99)
    assert set(update.decay.values()) == {0.5}
    assert set(update.decay) == {name for name in training.plain.weights if name.endswith("weight")}


def test_evaluating_leaves_nothing_out_and_changes_nothing(tmp_path, data):
    training = begun(tmp_path / "t", data, dropout=0.5)
    plain = begun(tmp_path / "plain", data)
    before = bits(training)
    assert training.evaluate().validation == training.evaluate().validation == plain.evaluate().validation
    assert bits(training) == before
    assert training.learn().loss != plain.learn().loss


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns(tmp_path, data, family):
    tokenizer = "bpe:300" if family == "bert" else "characters"
    more = {"family": family, "sizes": SIZES | FAMILIES[family], "tokenizer": tokenizer}
    training, events = finished(begun(tmp_path / "t", data, **more, steps=30, evaluate=30, sample=30))
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    (evaluated,) = (event for event in events if isinstance(event, Evaluated))
    assert evaluated.validation < losses[0]
    (sampled,) = (event for event in events if isinstance(event, Sampled))
    assert sampled.text and ("[" in sampled.text) is (family == "bert")
    loaded = byhand.load(tmp_path / "t" / "step-00000030")
    assert np.array_equal(loaded.weights["token.weight"], training.parameters.values["token.weight"])


def test_pairs_are_learned_and_answered(tmp_path):
    lines = [{"source": word, "target": word[::-1]} for word in ("abc", "bca", "ccab", "ba", "aabb", "cab")] * 5
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    training = begun(tmp_path / "t", str(path), family="original", tokenizer="bpe:300", sample=6)
    _, events = finished(training)
    assert training.settings.objective == "translation"
    (sampled,) = (event for event in events if isinstance(event, Sampled))
    assert len(sampled.text.splitlines()) == 3 and all(" → " in line for line in sampled.text.splitlines())


# --- going on from a model ------------------------------------------------------------------------------------------


def test_a_model_is_trained_on(tmp_path, data):
    finished(begun(tmp_path / "one", data))
    start = str(tmp_path / "one" / "step-00000006")
    training = begun(tmp_path / "two", data, family=None, sizes={}, start=start, rate=1e-9)
    assert np.array_equal(training.parameters.values["token.weight"], byhand.load(start).weights["token.weight"])
    finished(training)
    again = resume(tmp_path / "two", {"steps": 7})
    assert again.model.config == byhand.load(start).config


def test_a_model_that_does_not_know_the_tokens_is_refused(tmp_path, data):
    byhand.make("gpt2", byhand.load("aab-gpt2").config, name="small").save(tmp_path / "small")
    with pytest.raises(InputError, match="tokens, but small knows 2"):
        begun(tmp_path / "t", data, family=None, sizes={}, start=str(tmp_path / "small"))


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_rate_that_diverges_is_named_and_the_last_checkpoint_kept(tmp_path, data):
    training = begun(tmp_path / "t", data, save=1, warmup=0, rate=1e25, steps=50)
    with pytest.raises(Diverged) as error:
        finished(training)
    words = str(error.value)
    assert words.startswith(f"step {training.step + 1} diverged: ") and "\n" not in words
    assert "is the first" in words and "lower rate" in words and "try 1e+24" in words
    kept = saving.latest(tmp_path / "t")
    assert kept is not None and kept.name == f"step-{training.step:08}" and f"step {training.step} is kept" in words
    assert np.isfinite(training.parameters.values.flat).all()


def test_the_first_step_that_overflows_is_found(tmp_path, data):
    training = begun(tmp_path / "t", data)
    training.parameters.values["blocks.0.mlp.up.weight"][...] = 3e38
    with pytest.raises(Diverged, match=r"step 1 diverged: blocks\.0\.mlp\.pre .*nothing was saved before it"):
        training.learn()
    training.parameters.values["blocks.0.mlp.up.weight"][0, 0] = np.inf
    with pytest.raises(Diverged, match=r"left inf at \[0,0\] in the weight blocks\.0\.mlp\.up\.weight"):
        training.save()
    assert saving.latest(tmp_path / "t") is None


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, data, monkeypatch):
    training = begun(tmp_path / "t", data, save=1, evaluate=100)
    monkeypatch.setattr(training.learner, "update", lambda how: training.parameters.values.flat.fill(np.inf))
    with pytest.raises(Diverged, match=r"step 2 diverged: the last update left inf at \[0,0\] in the weight"):
        finished(training)
    with pytest.raises(Diverged):
        list(training.attempt(training.save))
    assert saving.latest(tmp_path / "t") is None


def test_a_gradient_that_overflows_is_found(tmp_path, data):
    training = begun(tmp_path / "t", data)
    values = training.parameters.values
    values["blocks.0.mlp.up.weight"][...] = 0  # nothing is given on, so what is great beside it stays unseen
    values["blocks.0.norm2.gain"][...] = 1e30
    values["blocks.0.mlp.down.weight"][:, 0] = 1e38
    with pytest.raises(Diverged, match=r"d:blocks\.0\.mlp\.up\.weight \(linear backward\).* on the way back"):
        training.learn()


def test_training_goes_on_when_the_disk_is_full(tmp_path, data, monkeypatch):
    save = saving.save
    full = {3}

    def refused(folder, step, *rest):
        if step in full:
            raise InputError("cannot write it: No space left on device")
        return save(folder, step, *rest)

    monkeypatch.setattr(saving, "save", refused)
    _, events = finished(begun(tmp_path / "t", data))
    assert [event for event in events if isinstance(event, Failed)] == [
        Failed(3, "cannot write it: No space left on device")
    ]
    assert [event.step for event in events if isinstance(event, Saved)] == [6]
    full.add(6)
    with pytest.raises(InputError, match="No space left"):
        finished(begun(tmp_path / "other", data))


def test_what_cannot_be_trained_is_refused_before_it_starts(tmp_path, data):
    for more, words in (
        ({"length": 17}, "length is 17, but gpt2 reads at most 16"),
        ({"objective": "masked"}, "gpt2 cannot learn the objective masked"),
        ({"prompt": "the cat €"}, "not in the alphabet"),
        ({"prompt": TEXT}, "the prompt has"),
        ({"batch": 10**9}, "free; give a smaller batch"),
    ):
        with pytest.raises(byhand.errors.ByhandError, match=words):
            begun(tmp_path / "t", data, **more)


# --- a step that is kept whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_traced_step_can_be_looked_into(tmp_path, data, dropout):
    training = begun(tmp_path / "t", data, trace_step=2, accumulate=2, dropout=dropout)
    losses = {}
    for event in training.run():
        if isinstance(event, Stepped):
            losses[event.step] = event.loss
            if event.step == 2:
                break
    path = tmp_path / "t" / "traces" / "step-00000002"
    assert tracing.is_trace(path) and not tracing.is_trace(tmp_path / "t")
    runs = [tracing.read(path, part)[1] for part in range(2)]
    assert float(sum(run["loss"].array for run in runs)) / 2 == pytest.approx(losses[2], rel=1e-6)
    for name in ("token.weight", "blocks.0.mlp.up.weight"):
        both = sum(run.grad[name].array for run in runs)
        np.testing.assert_allclose(both, training.parameters.gradients[name], rtol=1e-4, atol=1e-7)
    found = runs[1].explain("d:blocks.0.mlp.act", [1, 3, 5])
    assert found.ulp < 100 and found.terms
    with pytest.raises(InputError, match=r"has the parts 0 … 1 of its step, not 2"):
        tracing.read(path, 2)


def test_one_call_trains(tmp_path, data):
    events = []
    model = train(tmp_path / "t", watch=events.append, **USUAL, data=data)
    assert [type(event).__name__ for event in events].count("Stepped") == 6
    assert np.array_equal(
        model.weights["token.weight"], byhand.load(tmp_path / "t/step-00000006").weights["token.weight"]
    )
    assert Log(tmp_path / "t").curve("loss")[0][0] == 1
    longer = train(tmp_path / "t", go_on=True, steps=7)
    assert not np.array_equal(longer.weights["token.weight"], model.weights["token.weight"])

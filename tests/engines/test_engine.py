"""The cpu engine gives the reference engine's values, whatever the model, the shapes, the threads and what is kept."""

import gc
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byhand
from byhand.engines.cpu import engine as module
from byhand.engines.cpu.simd import COMPILED
from byhand.engines.tolerances import TOLERANCES
from byhand.errors import InputError
from byhand.families import bert, gpt2, llama, original

from ..edits import CASES
from ..small_models import TEXTS, everything, fresh, model, same_bits

TOLERANCE = TOLERANCES["cpu", "float32"]
compiled = pytest.mark.skipif(not COMPILED, reason="too slow in plain Python")


def difference(got, expected) -> float:
    """The largest difference divided by the largest size; infinite where one is infinite or NaN and the other not."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(expected)
    if got.shape != expected.shape or not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
        return np.inf
    if not np.isfinite(got[finite]).all():
        return np.inf
    largest = np.abs(expected[finite]).max(initial=0.0)
    apart = np.abs(got[finite] - expected[finite]).max(initial=0.0)
    return float(apart / largest) if largest else float(apart)


def check_values(run, expected) -> None:
    """Every value of a run on the cpu is the reference run's."""
    for address, step in run.program.producer.items():
        apart = difference(run.look(address), expected.look(address))
        if address.endswith(".mean"):  # of numbers that may cancel
            averaged = expected.look(step.reads[0])
            apart *= np.abs(expected.look(address)).max() / np.abs(averaged).max()
        assert apart <= TOLERANCE, f"{address} differs by {apart:.3g} of its largest number"


# --- shapes -----------------------------------------------------------------------------------------------------


@dataclass
class Drawing:
    """Draws the sizes of a model and what it is given."""

    data: st.DataObject

    def size(self, most, least=1):
        return self.data.draw(st.integers(least, most))

    def any_of(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def common(self):
        """Sizes that every family has. No size is a multiple of anything but by chance."""
        heads = self.size(5)
        sizes = {"layers": self.size(2), "heads": heads, "hidden": self.size(70), "vocabulary": self.size(101, 2)}
        # a norm over one or two numbers makes whatever rounding left as large as the rest
        return sizes | {"width": heads * self.size(19, 1 if heads > 3 else 5), "context": 40}

    def gpt2(self):
        c = gpt2.Config(
            **self.common(),
            bias=self.any_of(True, False),
            tied=self.any_of(True, False),
            activation=self.any_of("gelu_tanh", "gelu_erf", "relu"),
        )
        return byhand.make("gpt2", c, seed=1), self.given(c, masked=True)

    def llama(self):
        sizes = self.common()
        groups, many = self.size(3), self.size(3)
        sizes |= {"heads": groups * many, "groups": groups, "head_width": 2 * self.size(13)}
        c = llama.Config(
            **sizes,
            rotary=self.any_of("pairs", "halves"),
            tied=self.any_of(True, False),
            scaling=self.any_of(None, llama.Scaling(original_context=8)),
        )
        return byhand.make("llama", c, seed=1), self.given(c, masked=True)

    def bert(self):
        c = bert.Config(
            **self.common(),
            segments=self.size(3),
            tied=self.any_of(True, False),
            next_sentence=self.any_of(True, False),
        )
        given = self.given(c, masked=True)
        shape, rng = given["text"].shape, np.random.default_rng(3)
        given["segments"] = rng.integers(0, c.segments, shape)
        given["targets"] = rng.integers(-3, c.vocabulary, shape)
        given["targets"].flat[-1] = 0
        return byhand.make("bert", c, seed=1), given

    def original(self):
        part = self.any_of("encoder", "decoder", "encoder-decoder")
        sizes = self.common()
        sizes["width"] *= 1 + sizes["width"] % 2  # half of the positions' waves are sines
        c = original.Config(part=part, attention_bias=self.any_of(True, False), **sizes)
        given = self.given(c, masked=part != "encoder-decoder")
        if part == "encoder-decoder":
            rng, B, S = np.random.default_rng(4), len(given["text"]), self.size(20)
            given["source"] = rng.integers(0, c.vocabulary, (B, S))
            given["source.mask"] = self.padding(B, S)
        return byhand.make("original", c, seed=1), given

    def given(self, c, masked):
        B, T = self.size(3), self.any_of(1, 2, 3, 7, 8, 16, 17, 33)
        given = {"text": np.random.default_rng(2).integers(0, c.vocabulary, (B, T))}
        return given | ({"mask": self.padding(B, T)} if masked and self.any_of(True, False) else {})

    def padding(self, B, T):
        """Which tokens are real: the first few, or the last, or any."""
        ends_B1 = np.random.default_rng(5).integers(1, T + 1, (B, 1))
        real_BT = np.arange(T) < ends_B1
        how = self.any_of("end", "holes")
        return real_BT if how == "end" else real_BT & ((np.arange(T) % 3 != 1) | (np.arange(T) == 0))


@compiled
@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "original"])
@given(data=st.data())
def test_every_value_is_the_references(family, data):
    made, given = getattr(Drawing(data), family)()
    text = given.pop("text")
    run = made.run(text, engine="cpu", **given)
    check_values(run, made.run(text, dtype="float64", **given))


@pytest.mark.parametrize("name", TEXTS)
def test_models_on_their_texts(name):
    check_values(fresh(name, "float32", engine="cpu"), fresh(name))


@compiled
def test_a_longer_text_with_more_keys_than_fit_into_any_block():
    c = gpt2.Config(layers=1, width=40, heads=2, hidden=50, vocabulary=61, context=600)
    made, text = byhand.make("gpt2", c), np.random.default_rng(0).integers(0, 61, (1, 523))
    check_values(made.run(text, engine="cpu"), made.run(text, dtype="float64"))


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_the_bits_do_not_depend_on_what_is_kept_or_asked_for_alone(name):
    whole = fresh(name, "float32", engine="cpu")
    for keep in (["logits"], ["blocks.0.attn.*"], ["*.mlp.act"], ["blocks.1.attn.weights", "*.mlp.out"]):
        keep = [each for each in keep if each != "logits" or each in whole.program]
        run = fresh(name, "float32", engine="cpu", keep=keep)
        assert run.kept.keys() < whole.kept.keys()
        for address in run.program.producer:
            assert same_bits(run.look(address), whole.look(address)), f"{address} with keep={keep}"


@compiled
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original with biases"])
def test_the_bits_do_not_depend_on_the_threads(name, monkeypatch):
    bits = []
    for threads in "1237":
        monkeypatch.setenv("BYHAND_THREADS", threads)
        bits.append({a: array.tobytes() for a, array in everything(fresh(name, "float32", engine="cpu")).items()})
    assert all(each == bits[0] for each in bits[1:])


@pytest.mark.parametrize("text", ["bad", "0", "-1", "1.5", "99999"])
def test_a_number_of_threads_that_is_none(text, monkeypatch):
    monkeypatch.setenv("BYHAND_THREADS", text)
    with pytest.raises(InputError, match="BYHAND_THREADS is"):
        fresh("aab", "float32", engine="cpu")


# --- edits, gradients, explanations -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_edits(case):
    """What comes before keeps its bits; what comes after is the reference's edited run."""
    before, exact = fresh(case.name, "float32", engine="cpu"), fresh(case.name)
    edited, expected = case.edit(before), case.edit(exact)
    check_values(edited, expected)
    upstream = before.program.producer.keys() - before.program.dependents(case.address) - {case.address}
    for address in upstream:
        assert same_bits(edited.look(address), before.look(address)), address
    again = case.edit(fresh(case.name, "float32", engine="cpu", keep=["logits"]))
    for address in before.program.producer:
        assert same_bits(again.look(address), edited.look(address)), f"{address} computed when asked for"
    if case.address in before.program.producer:
        assert same_bits(again.look(case.address + "@unedited"), before.look(case.address))
    unchanged = fresh(case.name, "float32", engine="cpu")
    for address in before.program.producer:
        assert same_bits(before.look(address), unchanged.look(address)), f"{address} of the run that was edited"


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_gradients(name):
    run, expected = fresh(name, "float32", engine="cpu", keep=["logits"]), fresh(name)
    of = {} if "loss" in run.program else {"of": "logits", "index": (0, 1, 2)}
    run.backward(**of)
    expected.backward(**of)
    for address in expected.grad:
        assert difference(run.look(address), expected.look(address)) <= 20 * TOLERANCE, address


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_explanations(name):
    run = fresh(name, "float32", engine="cpu", keep=["logits"])
    for address in run.program.producer:
        shape = run.shape(address)
        why = run.explain(address, tuple(n - 1 for n in shape))
        assert why.value == pytest.approx(float(run.look(address)[(-1,) * len(shape)]), abs=1e-6, nan_ok=True), address


# --- threads, pickles, memory -------------------------------------------------------------------------------------


@compiled
def test_runs_from_several_threads_at_once():
    """More shapes than there are plans to remember."""
    made = byhand.load("gpt2-tiny", seed=3)
    texts = [list(range(1, length + 1)) for length in range(1, 2 + module.PLANS)]
    expected = [made.run(text, engine="cpu").look("logits") for text in texts]
    wrong = []

    def work(seed):
        try:
            for i in np.random.default_rng(seed).integers(0, len(texts), 40):
                run = made.run(texts[i], engine="cpu", keep=["logits"])
                if not same_bits(run.look("logits"), expected[i]):
                    wrong.append(i)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_pickled_run():
    run = fresh("gpt2-tiny", "float32", engine="cpu", keep=["logits"])
    again = pickle.loads(pickle.dumps(run))
    assert again.engine == "cpu"
    for address in run.program.producer:
        assert same_bits(again.look(address), run.look(address)), address


def test_a_run_keeps_its_values_when_others_follow():
    of = model("gpt2-tiny")
    first = of.run("Hello", engine="cpu")
    bits = {address: array.tobytes() for address, array in first.kept.items()}
    held = [of.run(text, engine="cpu") for text in ("World", "Never", "Knows")]
    assert {address: array.tobytes() for address, array in first.kept.items()} == bits
    assert len({each.look("logits").tobytes() for each in held}) == 3
    with pytest.raises(ValueError):
        first.kept["logits"][0, 0, 0] = 1


@compiled
def test_memory_does_not_grow_over_many_runs():
    """What a run kept is used again by the next but one, when nobody holds it any more."""
    c = gpt2.Config(layers=2, width=64, heads=2, hidden=256, vocabulary=999, context=64)
    made, tokens = byhand.make("gpt2", c), np.zeros((2, 64), int)
    places = set()
    for _ in range(200):
        run = made.run(tokens, engine="cpu")
        places.add(run.look("logits").ctypes.data)
        del run
        gc.collect(0)
    assert len(places) <= 3
    (plan,) = module.prepared(made.weights).plans.values()
    assert sum(map(len, plan.pool.free.values())) <= 2 * len(plan.kept)


def test_the_environment_is_read_by_a_new_process():
    code = "import byhand; print(byhand.load('aab').run('ab', engine='cpu').engine)"
    environment = {**os.environ, "BYHAND_THREADS": "bad"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "InputError: BYHAND_THREADS is 'bad'" in done.stderr

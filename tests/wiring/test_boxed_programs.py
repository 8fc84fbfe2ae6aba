"""The programs that come with the package as models: made from their wirings bit for bit, and models like any other."""

import numpy as np
import pytest

import byhand
from byhand.boxed import wired
from byhand.errors import InputError
from byhand.train import train
from byhand.wiring import compile
from byhand.wiring.zoo import PROGRAMS

from .weights import stored

EVERY = [(name, family) for name, program in PROGRAMS.items() for family in program.families]
MOST = 5_000_000  # bytes of all of them together
AS_ANY = pytest.mark.parametrize("name", ["wired-aab-gpt2", "wired-aab-llama"])


def test_every_program_is_there_and_all_together_are_small():
    assert set(wired.names()) == {f"wired-{name}-{family}" for name, family in EVERY}
    assert all(byhand.names()[name] == family for name, family in wired.names().items())
    assert sum(path.stat().st_size for path in wired.FOLDER.iterdir()) <= MOST


@pytest.mark.parametrize("name, family", EVERY)
def test_compiling_it_again_gives_the_same_bits(name, family):
    made, found = compile(PROGRAMS[name].make(), family), byhand.load(f"wired-{name}-{family}")
    assert found.config == made.model.config
    assert found.tokenizer.prepared(made.wiring.alphabet) == made.model.tokenizer.prepared(made.wiring.alphabet)
    here, there = stored(made), {address: np.asarray(found.weights[address]) for address in found.program.weights}
    assert list(here) == list(there)
    for address, array in here.items():
        assert array.dtype == there[address].dtype == np.float32
        assert array.tobytes() == there[address].tobytes(), address  # then the report is the same too


@AS_ANY
def test_it_runs_and_generates_on_both_engines(name):
    model = byhand.load(name)
    for engine in ("reference", "cpu"):
        logits_BTV = model.run("aabaa", engine=engine).look("logits")
        assert ["^ab"[each] for each in logits_BTV[0].argmax(-1)] == [*"aabaab"]
    assert model.generate("aab", max_tokens=6).finish().text == "aabaab"


@AS_ANY
@pytest.mark.parametrize("text", ["a^b", "^", "ab^", "axb"])
def test_a_text_has_letters_only(name, text, tmp_path):
    """The begin token has a letter too; inside a text it would be an input that nothing was proven for."""
    model = byhand.load(name)
    model.save(tmp_path / "saved")
    for each in (model, byhand.load(tmp_path / "saved")):
        for encode in (each.tokenizer.encode, each.tokenizer.trace, each.run):
            with pytest.raises(InputError, match=r"has no token for '[x^]' of the text; it knows 'ab'"):
                encode(text)
    assert model.tokenizer.encode("^ab", special=True) == [0, 1, 2]


@AS_ANY
def test_it_is_traced_and_explained(name):
    run = byhand.load(name).run("aab")
    assert (run.look("blocks.0.attn.weights")[0, 0] == np.eye(4)[[0, 0, 1, 2]]).all()  # the letter before, exactly
    explained = run.explain("logits", position=3, token=1)
    assert explained.stored == run.look("logits")[0, 3, 1] and "logits[0,3,1]" in str(explained)


@AS_ANY
def test_it_is_edited_and_compared(name):
    model = byhand.load(name)
    assert not byhand.compare(model, model, "aab").first
    found = byhand.compare(model, model.edit("blocks.0.attn.v.weight", set=0), "aab").first
    assert found and found.weight == "blocks.0.attn.v.weight"


@AS_ANY
def test_one_can_go_on_training_it(name, tmp_path):
    """It is taught another text, "abbabb...", and becomes better at it."""
    (tmp_path / "text.txt").write_text("abb" * 2000)
    settings = {"steps": 40, "rate": 0.05, "length": 16, "batch": 4, "warmup": 1, "sample": 0, "engine": "reference"}
    losses = []

    def watch(event):
        losses.append(getattr(event, "loss", None))

    model = train(tmp_path / "out", start=name, data=str(tmp_path / "text.txt"), watch=watch, **settings)
    assert losses[0] > 10 and min(filter(None, losses[-6:])) < 1
    assert model.family is byhand.load(name).family

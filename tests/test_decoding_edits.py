"""What is captured and changed while a text grows is what a run of the whole text has; what cannot be is refused."""

from types import ModuleType

import numpy as np
import pytest

from byhand import memory
from byhand.changes import Edit
from byhand.decoding import Decoding
from byhand.engines.reference import precision
from byhand.errors import AddressError, ByhandError, InputError, MemoryRefused
from byhand.families import gpt2, original

from .small_models import model, same_bits
from .test_decoding import decoding, lengthened, run_of

ALL = slice(None)
TEXT = np.random.default_rng(2).integers(0, 96, 12).tolist()
STEPS = [TEXT[:4], TEXT[4:5], TEXT[5:6], TEXT[6:9], *([token] for token in TEXT[9:])]


def fed(name: str, dtype: str = "float64", cached: bool = True, edits=(), keep="all") -> Decoding:
    made = decoding(model(name), dtype=dtype, cached=cached, edits=edits, keep=keep)
    for new in STEPS:
        made.feed([new])
    return made


def check_same(made: Decoding, run, b: int = 0, batch: int | None = None) -> None:
    """Every captured value is the run's; scores of keys after the query are 0, since those were not there yet."""
    T = run.inputs["tokens"].shape[1]
    for address in made.kept:
        captured, expected = made.captured(address), run[address].array
        array = captured.array if captured.shape == expected.shape else captured.array[b : b + 1]
        array = array[tuple(slice(n) for n in expected.shape)]
        if address.endswith(".attn.scores") and not address.startswith("source."):
            seen_BHTS = np.broadcast_to(np.tri(T, dtype=bool), expected.shape)
            assert (array[~seen_BHTS] == 0).all()
            expected = np.where(seen_BHTS, expected, 0)
        assert same_bits(np.ascontiguousarray(array), np.ascontiguousarray(expected)), address


# --- captures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-decoder-tiny", "original-tiny"])
def test_captures_are_the_values_of_the_whole_run(name, dtype):
    run = run_of(model(name), TEXT, dtype=dtype)
    for cached in (True, False):
        check_same(fed(name, dtype, cached), run)


def test_captures_of_texts_of_different_lengths():
    of = lengthened("original-tiny")
    made = decoding(of, 3, "float32", keep="all")
    rng = np.random.default_rng(0)
    for counts in ([70, 3, 1], [1, 1, 1], [0, 9, 2], [3, 0, 70]):
        made.feed([rng.integers(0, 96, count).tolist() for count in counts])
    for b, text in enumerate(made.texts):
        check_same(made, run_of(of, text, b, 3, "float32"), b)
    assert made.captured("logits").shape == (3, 74, 96)
    assert not made.captured("logits").array[1, 13:].any()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("cached", [True, False])
def test_captures_of_a_text_longer_than_the_context(cached, dtype):
    of = model("aab")
    made = decoding(of, 2, dtype, keep=["blocks.*"], cached=cached)
    for new in ([[0, 1], [0]], [[1, 1], [1]], [[0], []], [[1], [0]], [[], [1]]):
        made.feed(new)
    for b, text in enumerate(made.texts):
        check_same(made, run_of(of, text[-5:], dtype=dtype), b)


def test_a_capture_knows_its_axes_and_tokens():
    made = fed("gpt2-tiny", keep=["blocks.0.attn.weights", "blocks.1.attn.k"])
    tensor = made.captured("blocks.0.attn.weights")
    run = run_of(model("gpt2-tiny"), TEXT)
    assert (tensor.axes, tensor.labels) == ("BHTS", {"T": list(map(str, TEXT)), "S": list(map(str, TEXT))})
    assert made.captured("blocks.1.attn.k").axes == "BSGK"
    assert same_bits(made.captured("blocks.0.attn.hook_pattern").array, run.look("blocks.0.attn.weights"))
    with pytest.raises(AddressError, match="logits was not kept; name it in keep="):
        made.captured("logits")
    with pytest.raises(AddressError, match="has no value 'nope'"):
        made.captured("nope")
    with pytest.raises(InputError, match="nothing was read yet"):
        decoding(model("gpt2-tiny"), keep=["logits"]).captured("logits")


# --- edits ------------------------------------------------------------------------------------------------------

DRAW = np.random.default_rng(0)
EDITS = [
    ("gpt2-tiny", "blocks.0.attn.heads", {"head": 1}, {"zero": True}),
    ("gpt2-tiny", "blocks.0.attn.heads", {"head": 1, "position": 5}, {"scale": 2.5}),
    ("gpt2-tiny", "blocks.1.attn.masked", {"key": 2, "query": slice(3, None)}, {"set": -np.inf}),
    ("gpt2-tiny", "blocks.1.attn.masked", {"key": 2}, {"add": -3.0}),
    ("gpt2-tiny", "blocks.0.attn.weights", {"query": 7, "key": slice(1, 4)}, {"set": 0.25}),
    ("gpt2-tiny", "blocks.0.attn.weights", {"query": 7, "key": slice(1, 4), "head": 0}, {"add": DRAW.random(3)}),
    ("gpt2-tiny", "blocks.0.attn.k", {"position": 3}, {"add": 1.0}),
    ("gpt2-tiny", "blocks.1.attn.v", {"position": slice(2, 9, 3), "head": 2}, {"scale": -1.0}),
    ("gpt2-tiny", "blocks.0.mlp.act", {}, {"add": DRAW.standard_normal(128)}),
    ("gpt2-tiny", "blocks.0.mlp.act", {"position": slice(1, 6)}, {"add": DRAW.standard_normal((5, 128))}),
    ("gpt2-tiny", "blocks.1.mid", {"position": 4}, {"set": DRAW.standard_normal((1, 32))}),
    ("gpt2-tiny", "logits", {"token": 5}, {"set": 1.0}),
    ("gpt2-tiny", "token.weight", {"token": TEXT[2]}, {"scale": 0.5}),
    ("gpt2-tiny", "tokens", {"position": 6}, {"set": 11}),
    ("gpt2-tiny", "mask", {"query": slice(3, 9), "key": 1}, {"set": False}),
    ("llama-tiny", "blocks.1.attn.k_rot", {"position": 5, "group": 1}, {"scale": 2.0}),
    ("llama-tiny", "rotary.angle", {"pair": 1}, {"scale": 0.5}),
    ("original-tiny", "source.blocks.1.out", {"position": 3}, {"zero": True}),
    ("original-tiny", "source.tokens", {"position": 2}, {"set": 7}),
    ("original-tiny", "blocks.0.cross.k", {"position": slice(0, 2)}, {"add": DRAW.standard_normal((2, 4, 8))}),
    ("original-tiny", "blocks.0.cross.weights", {"query": slice(2, None), "key": 1}, {"set": 0.5}),
    ("original-tiny", "cross.mask", {"query": 5, "key": 3}, {"set": False}),
    ("original-tiny", "blocks.1.crossed", {"dimension": 3}, {"zero": True}),
]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize(("name", "address", "where", "change"), EDITS, ids=lambda value: str(value)[:60])
def test_an_edit_holds_as_in_a_run_of_the_whole_text(name, address, where, change, dtype):
    run = run_of(model(name), TEXT, dtype=dtype)
    edited = run.edit(address, **where, **change)
    assert not same_bits(edited.look("logits"), run.look("logits"))
    for cached in (True, False):
        made = fed(name, dtype, cached, edited.edits)
        check_same(made, edited)


def test_edits_follow_one_another_and_stay_in_their_text():
    of = model("gpt2-tiny")
    base = of.run([TEXT, TEXT[::-1]], dtype="float32", engine="reference")
    one = base.edit("blocks.0.mid", batch=1, position=4, add=1.0).edit("blocks.0.mid", position=4, scale=3.0)
    edits = one.edit("blocks.1.attn.q.weight", head=0, zero=True).edits
    for cached in (True, False):
        made = decoding(of, 2, "float32", cached=cached, edits=edits, keep="all")
        for new, other in ((TEXT[:6], TEXT[::-1][:2]), ([], TEXT[::-1][2:9]), (TEXT[6:], TEXT[::-1][9:])):
            made.feed([new, other])
        edited = base
        for edit in edits:
            edited = edited.edited(edit)
        check_same(made, edited)


def test_an_edit_shows_nobody_what_is_not_written_yet():
    """A run of the whole text would let position 0 read position 2; while the text grows there is none."""
    run = run_of(model("gpt2-tiny"), TEXT, dtype="float32")
    edits = run.edit("blocks.0.attn.weights", key=2, set=0.5).edits
    kept, again = (fed("gpt2-tiny", "float32", cached, edits) for cached in (True, False))
    weights_BHTS = kept.captured("blocks.0.attn.weights").array
    assert not weights_BHTS[:, :, :2, 2].any() and (weights_BHTS[:, :, 2:, 2] == 0.5).all()
    assert same_bits(kept.captured("logits").array[:, :2], run.look("logits")[:, :2])
    for address in kept.kept:
        assert same_bits(kept.captured(address).array, again.captured(address).array), address


def test_an_edit_at_a_wrong_position_is_caught():
    run = run_of(model("gpt2-tiny"), TEXT)
    one, other = (run.edit("blocks.0.mid", position=p, scale=2.0) for p in (5, 6))
    with pytest.raises(AssertionError):
        check_same(fed("gpt2-tiny", edits=one.edits), other)


# --- what is refused --------------------------------------------------------------------------------------------


def edit(address: str, index: tuple, value=0.0) -> Edit:
    return Edit(address, index, "set", value)


NO_CACHE = ModuleType("of_my_own")
NO_CACHE.program = lambda config, targets=False: gpt2.program(config, targets)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: decoding(model("bert-tiny")), "bert does not read left to right, so it cannot continue a text"),
        (lambda: decoding(model("original-encoder-tiny")), "original encoder does not read left to right"),
        (lambda: start(NO_CACHE), "of_my_own.program takes no cached=, so it cannot read piece by piece; ask for"),
        (lambda: start(gpt2, keep=["nope"]), "has no value 'nope'"),
        (lambda: start(gpt2, keep=["d:logits"]), "keep= is for values"),
        (lambda: start(gpt2, edits=[edit("nopes", (ALL,))]), "has no value 'nopes'"),
        (lambda: start(gpt2, edits=[edit("positions", (ALL, ALL))]), "positions cannot be edited while a text grows"),
        (lambda: start(gpt2, edits=[edit("blocks.0.norm1.mean", (ALL, ALL))]), "norm1.mean cannot be edited"),
        (lambda: start(gpt2, edits=[edit("blocks.0.mid", (ALL, -1, ALL))]), "has no last position; count from the"),
        (
            lambda: start(gpt2, edits=[edit("blocks.0.mid", (ALL, slice(-3, None), ALL))]),
            "has no last position; count from the front",
        ),
        (
            lambda: start(gpt2, edits=[edit("blocks.0.mid", (ALL, ALL, ALL), np.ones((4, 32)))]),
            "its value is for 4 positions; name them, as in position=slice.0, 4.",
        ),
        (
            lambda: start(gpt2, edits=[edit("blocks.0.mid", (ALL, slice(0, 2), ALL), np.ones((2, 7)))]).feed([[1]]),
            "value of shape .2, 7. does not fit the part",
        ),
        (
            lambda: start(gpt2, edits=[edit("blocks.0.mid", (0, 1, ALL), np.ones((2, 7)))]),
            "value of shape .2, 7. does not fit",
        ),
        (lambda: start(gpt2, edits=[edit("blocks.0.mid", (0, 1))]), "it has axes BTD; give a place for each"),
        (lambda: start(gpt2, given={"mask": [[1]]}), "mask cannot be given for texts that grow; there is: nothing"),
        (lambda: start(original), "original encoder-decoder translates; give source.tokens"),
        (lambda: start(gpt2).feed([]), "there is no text to read"),
        (lambda: start(gpt2).feed([[1], []]), "text 1 is empty; give at least one token"),
        (lambda: start(gpt2).feed([[1, 96]]), "token id of text 0 is 96 at .1.; the vocabulary has 0 … 95"),
        (lambda: start(gpt2).feed([[1], [-1]]), "token id of text 1 is -1"),
        (lambda: start(gpt2).feed([[1.5]]), "text 0: token ids must be whole numbers"),
        (lambda: start(gpt2, True).feed([[1], [2]]), "got tokens for 2 texts, but there are 1"),
        (
            lambda: original.program(model("original-encoder-tiny").config, cached=True),
            "an encoder reads a text on both",
        ),
        (
            lambda: start(original, given={"source.tokens": [[1, 2]]}).feed([[1], [2]]),
            "source.mask has 1 texts, tokens has 2",
        ),
    ],
)
def test_a_mistake_is_one_line(mistake, message):
    with pytest.raises(ByhandError, match=message) as caught:
        mistake()
    assert "\n" not in str(caught.value)


def start(family, begun: bool = False, **setting) -> Decoding:
    of = model("original-tiny" if family is original else "gpt2-tiny")
    made = Decoding(family, of.config, of.weights, precision("float32"), **setting)
    if begun:
        made.feed([[1]])
    return made


def test_a_refused_step_changes_nothing():
    made = start(gpt2, True)
    with pytest.raises(InputError):
        made.feed([[96]])
    other = start(gpt2, True)
    assert made.texts == [[1]] and same_bits(made.feed([[2]]), other.feed([[2]]))


def test_a_first_step_that_failed_can_be_made_again():
    """With another number of texts, and without an edit of the source text being made twice."""
    run = run_of(model("original-tiny"), TEXT).edit("source.positions", position=1, add=3)
    for cached in (True, False):
        made = decoding(model("original-tiny"), cached=cached, edits=run.edits)
        for _ in range(2):
            with pytest.raises(ByhandError):
                made.feed([[1], [2]])
        assert same_bits(made.feed([TEXT])[0], run.look("logits")[0, -1])
    made = start(gpt2, edits=[edit("blocks.1.mid", (0, 2, 0), np.nan)])
    for count in (1, 2):
        with pytest.raises(ByhandError, match="NaN"):
            made.feed([[1, 2, 3]] * count)
    assert repr(made) == "<decoding of gpt2 cached: no tokens read, float32>"


def test_a_cache_that_would_not_fit_is_refused(monkeypatch):
    made = start(gpt2, True)
    monkeypatch.setattr(memory, "available", lambda: 60_000)
    with pytest.raises(MemoryRefused, match="a cache of 64 places for 40 texts, twice while it is made anew, needs"):
        start(gpt2).feed([[1]] * 40)
    assert made.texts == [[1]]

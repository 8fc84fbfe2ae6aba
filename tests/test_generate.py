"""Continuing texts: what is fed and chosen, how text is written and ended, several texts, edits, stopping early."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

import byhand
from byhand.engines.tolerances import TOLERANCES
from byhand.errors import ByhandError, InputError, MemoryRefused, NotANumber
from byhand.families import gpt2
from byhand.generate import Generation
from byhand.sampling import Settings

from .small_models import model

DRAWN = {"temperature": 1.0, "top_k": 30, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.2}


class Bytes:
    """A toy tokenizer: one token a byte, and some that are several; the last id ends a text."""

    more = ("ab", "ü".encode()[:1].decode("latin-1"), "END", " the")

    def __init__(self):
        self.table = [bytes([i]) for i in range(256)] + [each.encode("latin-1") for each in self.more] + [b"<end>"]
        self.stops = (len(self.table) - 1,)
        self.begin = self.end = ()

    def __len__(self):
        return len(self.table)

    def encode(self, text):
        return list(text.encode())

    def decode_bytes(self, ids):
        return b"".join(self.table[i] for i in ids)

    def decode(self, ids):
        return self.decode_bytes(ids).decode("utf-8", "backslashreplace")


TOY = Bytes()
END = TOY.stops[0]


class Script:
    """A model that says what it is told: one list of tokens for each text, whatever it is fed."""

    def __init__(self, *tokens, vocabulary=261):
        self.tokens, self.vocabulary, self.fed = tokens, vocabulary, []

    def feed(self, new):
        self.fed.append([list(ids) for ids in new])
        logits_BV = np.zeros((len(new), self.vocabulary), np.float32)
        for row, said in zip(logits_BV, self.tokens, strict=True):
            row[said[min(len(self.fed), len(said)) - 1]] = 9
        return logits_BV

    def captured(self, address):
        raise NotImplementedError


def said(*tokens, alone=True, **of):
    """A generation that chooses these tokens."""
    texts = [tokens] if alone else tokens
    settings = Settings(**({"max_tokens": max(map(len, texts), default=0)} | of))
    return Generation(Script(*texts), [[65, 66]] * len(texts), settings, len(TOY), TOY, alone)


# --- text out of tokens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["naïve", "日本語", "a😀b", "é"])
def test_no_character_is_split(text):
    of = said(*text.encode())
    assert list(of) == list(text) and of.text == text
    assert len(of.tokens) == len(text.encode())


def test_half_a_character_at_the_end_is_written_as_its_bytes():
    of = said(*"a😀".encode()[:-1])
    assert list(of) == ["a", "\\xf0\\x9f\\x98"]
    assert of.text == TOY.decode(of.tokens)


def test_bytes_that_are_no_text_are_written_as_such():
    of = said(0xFF, *b"a", 0xE6, *b"b")
    assert "".join(of) == "\\xffa\\xe6b"


def test_ids_are_written_without_a_tokenizer():
    of = Generation(Script([3, 4, 3], vocabulary=5), [[0]], Settings(max_tokens=3), 5)
    assert list(of) == ["3 ", "4 ", "3 "] and of.text == "3 4 3 "


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "stop", "text", "why"),
    [
        (b"one two", "two", "one ", "stop string 'two'"),
        ([*b"c", 256, *b"c"], "bc", "ca", "stop string 'bc'"),  # begins inside the token "ab"
        ([*b"x", 258, *b"y"], "ND", "xE", "stop string 'ND'"),  # ends inside "END", whose rest is cut too
        (b"aaab", "aab", "a", "stop string 'aab'"),
        (b"tototo!", ["toto!", "x"], "to", "stop string 'toto!'"),
        (b"abcd", ["cd", "bc"], "a", "stop string 'bc'"),  # the first to be complete
        ([256, *b"cd"], ["b", "ab"], "", "stop string 'ab'"),  # both at once: the one that begins first
        ("aüb".encode(), "ü", "a", "stop string 'ü'"),
        (b"abc", ord("b"), "a", "stop token 98"),
        ([*b"ab", END, *b"c"], (), "ab", "end of text"),
        (b"ab", "bx", "ab", "max_tokens"),  # what was held back is written after all
    ],
)
def test_a_text_ends_before_what_stops_it(tokens, stop, text, why):
    of = said(*tokens, stop=stop)
    pieces = list(of)
    assert ("".join(pieces), of.text, of.stopped) == (text, text, why)
    assert "" not in pieces


def test_what_may_begin_a_stop_string_is_held_back():
    of, seen = said(*b"a stormy day", stop="stop"), []
    for piece in of:
        seen.append((len(of.tokens), piece))
    assert seen[:4] == [(1, "a"), (2, " "), (6, "stor"), (7, "m")]


def test_the_token_that_ends_a_text_is_chosen_but_not_written():
    of = said(*b"ab", END, *b"cd").finish()
    assert of.tokens == [97, 98, END] and len(of.choices) == 3
    further = said(*b"ab", END, *b"c", stop_at_end=False).finish()
    assert (further.text, further.stopped) == ("ab<end>c", "max_tokens")


def test_no_tokens_at_all():
    of = said(*b"ab", max_tokens=0)
    assert (list(of), of.text, of.stopped, of.decoding.fed) == ([], "", "max_tokens", [])


# --- several texts --------------------------------------------------------------------------------------------------


def test_several_texts_end_each_for_itself():
    of = said(b"abcd", [*b"x", END, 0], b"stop", alone=False, stop="o")
    assert list(of) == [(0, "a"), (1, "x"), (2, "s"), (0, "b"), (2, "t"), (0, "c"), (0, "d")]
    assert of.texts == ["abcd", "x", "st"]
    assert of.stopped == ["max_tokens", "end of text", "stop string 'o'"]
    assert of.decoding.fed == [[[65, 66]] * 3, [[97], [120], [115]], [[98], [], [116]], [[99], [], []]]
    with pytest.raises(InputError, match="there are 3 texts here; ask for texts"):
        of.text  # noqa: B018
    assert [len(each) for each in of.choices] == [len(each) for each in of.tokens] == [4, 2, 3]


def test_a_list_of_one_text_speaks_in_pairs():
    of = model("gpt2-tiny").generate(["Hello"], max_tokens=2)
    assert [i for i, _ in of] == [0, 0] and len(of.texts) == 1 and of.stopped == ["max_tokens"]


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-decoder-tiny"])
def test_a_text_does_not_depend_on_those_beside_it(name):
    of, texts = model(name), ["Hello there", "a", "Good day"]
    together = of.generate(texts, max_tokens=6).finish().texts
    assert together == [of.generate(each, max_tokens=6).finish().text for each in texts]
    drawn = of.generate(texts, max_tokens=6, seed=3, **DRAWN).finish().texts
    assert drawn[0] == of.generate(texts[0], max_tokens=6, seed=3, **DRAWN).finish().text
    others = of.generate(["x", texts[1], "yz"], max_tokens=6, seed=3, **DRAWN).finish().texts
    assert others[1] == drawn[1] and others[2] != drawn[2]


def test_the_same_text_twice_draws_twice():
    one, other = model("gpt2-tiny").generate(["Hello"] * 2, max_tokens=9, temperature=1.0).finish().texts
    assert one != other


# --- with a model ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_text():
    def text(seed):
        return model("llama-tiny").generate("Hello", max_tokens=12, seed=seed, **DRAWN).finish().text

    assert text(1) == text(1) != text(2)


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny"])
def test_every_choice_is_made_from_the_logits_of_a_run(name):
    of = model(name)
    made = of.generate("Hello", max_tokens=4, seed=1, dtype="float64", **DRAWN).finish()
    text = made.prompts[0]
    for choice in made.choices:
        assert choice.position == len(text)
        np.testing.assert_array_equal(
            choice.run.look("logits")[0, 0], of.run(text, dtype="float64").look("logits")[0, -1]
        )
        assert set(np.flatnonzero(choice.run.look("seen")[0, 0])) == set(text)
        text = [*text, choice.token]
    assert made.tokens == text[5:]


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "original-decoder-tiny", "aab"])
def test_keeping_keys_and_values_changes_nothing(name):
    of, texts = model(name), ["ab", "b", "aab"]
    kept, anew = (
        of.generate(texts, max_tokens=9, seed=1, cached=way, engine="reference", **DRAWN).finish()
        for way in (True, False)
    )
    assert kept.tokens == anew.tokens
    for one, other in zip(chain(*kept.choices), chain(*anew.choices), strict=True):
        assert np.array_equal(one.run.look("logits"), other.run.look("logits"))


def test_probabilities_on_request():
    of = model("gpt2-tiny")
    made = of.generate("Hello", max_tokens=3, probabilities=4, explainable=False).finish()
    for choice in made.choices:
        probs = of.run([*made.prompts[0], *made.tokens[: choice.position - 5]]).look("probs")[0, -1]
        best = np.argsort(-probs, kind="stable")[:4].tolist()
        assert [each.token for each in choice.most_likely] == best
        assert [each.probability for each in choice.most_likely] == pytest.approx(probs[best].tolist(), rel=1e-5)
        assert choice.probability == pytest.approx(float(probs[choice.token]), rel=1e-5)


def test_edits_hold_all_the_time():
    of = model("gpt2-tiny")
    ablated = [
        ("blocks.0.attn.heads", {"head": 1, "zero": True}),
        ("blocks.1.mid", {"position": slice(2, None), "scale": 2}),
    ]
    made = of.generate("Hello", max_tokens=5, edits=ablated).finish()
    text = made.prompts[0]
    for token in made.tokens:
        run = of.run(text).edit("blocks.0.attn.heads", head=1, zero=True)
        run = run.edit("blocks.1.mid", position=slice(2, None), scale=2)
        assert token == run.look("logits")[0, -1].argmax()
        text = [*text, token]
    assert made.text != of.generate("Hello", max_tokens=5).finish().text
    run = of.run("Hello").edit("blocks.0.attn.q.weight", head=0, zero=True)
    assert of.generate("Hello", max_tokens=5, edits=run.edits).finish().text == (
        of.edit("blocks.0.attn.q.weight", head=0, zero=True).generate("Hello", max_tokens=5).finish().text
    )


@pytest.mark.parametrize(("engine", "apart"), [("reference", 0.0), ("cpu", TOLERANCES["cpu", "float32"])])
def test_captures_are_those_of_a_run(engine, apart):
    of = model("gpt2-tiny")
    made = of.generate("Hello", max_tokens=3, keep=["blocks.*.attn.weights"], engine=engine).finish()
    read = [*made.prompts[0], *made.tokens[:-1]]
    weights = of.run(read, engine=engine).look("blocks.1.attn.weights")
    np.testing.assert_allclose(made.captured("blocks.1.attn.weights").array, weights, rtol=0, atol=apart)


def test_translations_of_sources_of_different_lengths():
    of = model("original-tiny")
    texts = {"A": "Bonjour", "BC": "Non"}
    together = of.generate(list(texts), source=list(texts.values()), max_tokens=4).finish()
    for i, (text, source) in enumerate(texts.items()):
        alone = of.generate(text, source=source, max_tokens=4).finish()
        assert together.tokens[i] == alone.tokens
        for one, other in zip(together.choices[i], alone.choices, strict=True):
            assert one.probability == pytest.approx(other.probability, rel=1e-6)


class Begun(Bytes):
    """The toy tokenizer of a model whose texts begin with a token."""

    def __init__(self):
        super().__init__()
        self.begin = (END,)


def test_the_token_that_begins_a_text_is_added_and_shown():
    of = byhand.make("gpt2", replace(gpt2.SHAPES["gpt2-tiny"], vocabulary=len(TOY)), tokenizer=Begun())
    assert of.generate("ab", max_tokens=1).prompts == [[END, 97, 98]]
    assert of.generate(["ab", ""], max_tokens=1).prompts == [[END, 97, 98], [END]]
    assert of.generate([97, 98], max_tokens=1).prompts == [[97, 98]]


# --- stopping early -------------------------------------------------------------------------------------------------


def test_leaving_the_loop_pauses_it():
    of = said(*b"abcdef")
    assert next(of) == "a"
    for piece in of:
        assert piece == "b"
        break
    assert (of.text, of.stopped, of.tokens) == ("ab", None, [97, 98])
    assert of.finish().text == "abcdef"


def test_closing_keeps_what_there_is():
    of = said(*b"abcdef")
    next(of)
    of.close()
    assert (of.text, of.stopped, of.tokens, list(of)) == ("a", "interrupted", [97], [])
    unstarted = said(*b"abc")
    unstarted.close()
    assert (unstarted.text, unstarted.stopped, list(unstarted)) == ("", "interrupted", [])


@pytest.mark.parametrize("error", [KeyboardInterrupt, NotANumber])
def test_an_interruption_leaves_everything_as_it_was(error):
    of = said(*b"abcdef")
    feed, calls = of.decoding.feed, []

    def interrupted(new):
        calls.append(new)
        if len(calls) == 3:
            raise error
        return feed(new)

    of.decoding.feed = interrupted
    with pytest.raises(error):
        list(of)
    assert (of.text, of.tokens, len(of.choices), of.stopped) == ("ab", [97, 98], 2, "interrupted")
    assert list(of) == []


# --- what cannot be done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "given", "message"),
    [
        ("gpt2-tiny", "a", {"engine": "warp"}, "no engine 'warp'"),
        ("gpt2-tiny", "a", {"stop": 96}, "stop token 96 is not in the vocabulary; it has 0 … 95"),
        ("gpt2-tiny", "a", {"stop": "ü"}, "'ü'"),
        ("llama 3.1", [1], {"stop": "a"}, "stop is 'a', but this model has no tokenizer; give the token ids"),
        ("llama 3.1", "a", {}, "has no tokenizer; give token ids"),
        ("gpt2-tiny", ["a", 3], {}, "token ids need 1 axis"),
        ("gpt2-tiny", [], {}, "the text is empty"),
        ("gpt2-tiny", ["a", ""], {}, "the text is empty"),
        ("gpt2-tiny", "a", {"source": "b"}, "does not translate; leave out source="),
        ("original-tiny", "a", {}, "translates; give source="),
        ("original-tiny", ["a", "b"], {"source": "c"}, "the texts are 2 and the source texts 1; give one for each"),
        ("gpt2-tiny", "a", {"edits": [3]}, "edits holds 3; give pairs"),
        ("gpt2-tiny", "a", {"edits": [("blocks.0.mid", {})]}, "needs exactly one of set, add, scale, zero"),
        ("gpt2-tiny", "a", {"edits": [("nope", {"zero": True})]}, "has no value 'nope'"),
        ("gpt2-tiny", "a", {"edits": [("blocks.0.mid", {"position": -1, "zero": True})]}, "count from the front"),
        (
            "gpt2-tiny",
            "a",
            {"edits": [("blocks.0.mid", {"index": (0, slice(-2, None)), "zero": True})]},
            "from the front",
        ),
        ("gpt2-tiny", "a", {"edits": [("blocks.0.attn.heads", {"head": 9, "zero": True})]}, "index 9 is out of range"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(name, text, given, message):
    with pytest.raises(ByhandError, match=message) as caught:
        model(name).generate(text, **given)  # not even iterated
    assert "\n" not in str(caught.value)


def test_choices_that_would_not_fit_are_refused():
    with pytest.raises(MemoryRefused, match="lower max_tokens, or keep none with explainable=False"):
        said(*b"a", max_tokens=10**12)
    assert next(said(*b"a", max_tokens=10**12, explainable=False)) == "a"

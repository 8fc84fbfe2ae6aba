"""The trace, which is written out here, gives the ids of the libraries on all text; and what it says is true."""

import pytest
import regex
from hypothesis import given, settings
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from byhand.errors import InputError
from byhand.tokenizer import Match, Merge, Tokenizer, load
from byhand.tokenizer.alphabet import GPT2, LLAMA3, split

from .made import BYTE_LEVEL, ENCODING, FORMS
from .texts import BYTES, TEXTS

LOADED: dict[str, Tokenizer] = {}


@pytest.fixture(params=ENCODING, scope="module")
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    return loaded(request.param, tmp_path_factory)


@pytest.fixture(params=BYTE_LEVEL, scope="module")
def byte_level(request, tmp_path_factory) -> Tokenizer:
    return loaded(request.param, tmp_path_factory)


def loaded(name, tmp_path_factory) -> Tokenizer:
    if name not in LOADED:
        found = load(FORMS[name](tmp_path_factory.mktemp("form")))
        assert found is not None
        LOADED[name] = found
    return LOADED[name]


@settings(max_examples=400)
@given(text=TEXTS)
def test_the_trace_gives_the_ids_of_the_library(tokenizer, text):
    assert tokenizer.trace(text).ids == tokenizer.encode(text)
    assert tokenizer.trace(text, special=True).ids == tokenizer.encode(text, special=True)


@settings(max_examples=200)
@given(text=TEXTS)
def test_byte_level_text_comes_back(byte_level, text):
    assert byte_level.decode(byte_level.encode(text)) == text
    assert byte_level.decode_bytes(byte_level.encode(text, special=True)) == text.encode()


@settings(max_examples=200)
@given(data=BYTES)
def test_any_bytes_come_back(byte_level, data):
    ids = byte_level.encode(data)
    assert byte_level.decode_bytes(ids) == data
    assert byte_level.trace(data).ids == ids
    assert str(byte_level.trace(data))


@settings(max_examples=100)
@given(text=TEXTS)
def test_the_steps_of_a_trace_lead_to_its_tokens(tokenizer, text):
    for piece in tokenizer.trace(text).pieces:
        symbols = list(piece.symbols)
        for step in piece.steps:
            if isinstance(step, Merge):
                assert symbols[step.at : step.at + 2] == [step.left, step.right]
                symbols[step.at : step.at + 2] = [step.left + step.right]
        if symbols and not any(token.startswith("<0x") for token in piece.tokens):
            assert tuple(symbols) == piece.tokens
        if piece.steps and isinstance(piece.steps[0], Match):
            assert "".join(step.piece.removeprefix("##") for step in piece.steps) == piece.text
    assert all(line.isprintable() for line in tokenizer.trace(text).lines())


def test_a_trace_reads_as_a_lesson(tmp_path):
    tokenizer = load(FORMS["gpt2 tokenizer.json"](tmp_path))
    lines = str(tokenizer.trace(" lower")).splitlines()
    assert lines[:4] == ["text        ␣lower", "pieces      1", "", "piece 0  ␣lower"]
    assert lines[4] == "  bytes    20 6c 6f 77 65 72"
    assert lines[5] == "  start    ␣ l o w e r"
    assert lines[6].split() == ["rank", "10", "o", "+", "w", "→", "␣", "l", "ow", "e", "r"]
    assert lines[-1].split() == ["ids", "291", "␣low", "271", "er"]


@pytest.mark.parametrize("text", [" " * 1_000_000, "\n" * 20_000 + "a" * 20_000], ids=["spaces", "runs"])
def test_long_runs_are_no_trouble(byte_level, text):
    assert byte_level.decode(byte_level.encode(text)) == text


@pytest.mark.parametrize("pattern", [GPT2, LLAMA3], ids=["GPT-2", "Llama 3"])
def test_letters_that_only_a_newer_unicode_knows_are_cut_as_the_library_does(pattern):
    signs = [sign for sign in map(chr, range(0x300, 0x3FFFF, 37)) if regex.fullmatch(r"[\p{L}\p{N}]", sign)]
    text = "".join(f"a{sign}b1{sign} " for sign in [*signs, "\u0558", "\U00031350", "\U00011de0"])
    theirs = Split(Regex(pattern), "isolated").pre_tokenize_str(text)
    assert [piece for piece, _ in split(pattern, text)] == [piece for piece, _ in theirs]


def test_what_is_no_text_is_one_line(tokenizer):
    for wrong, said in ((5, "give a str"), (None, "give a str"), ("a\ud800b", r"U\+D800, half a character, at 1")):
        with pytest.raises(InputError, match=said):
            tokenizer.encode(wrong)
        with pytest.raises(InputError, match=said):
            tokenizer.trace(wrong)


@pytest.mark.parametrize("wrong", [5, "12", [1.5], [-1], [True], [None]])
def test_what_are_no_ids_is_one_line(tokenizer, wrong):
    with pytest.raises(InputError):
        tokenizer.decode(wrong)

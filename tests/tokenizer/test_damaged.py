"""Damaged files of every kind: one line each, no other error, no hang, nothing executed, nothing allocated."""

import json
import pickle
import random
import time
from pathlib import Path
from struct import pack

import pytest

from byhand.errors import ByhandError, InputError
from byhand.tokenizer import from_gguf, load, to_gguf

from . import made

GPT2 = json.loads(made.gpt2())
VOCAB, MERGES = made.two_files()
HEADER = pack("<256I", 20240328, 2, 1 << 31, 0, *[0] * 252)
LINES = made.ranks().splitlines(keepends=True)
START = list(made.pieces())


def changed(**model) -> str:
    return json.dumps({**GPT2, "model": {**GPT2["model"], **model}})


class Marker:
    """A pickle of this runs code."""

    def __reduce__(self):
        return (exec, ("open('ran', 'w').close()",))


WRONG: dict[str, dict[str, bytes | str]] = {
    "empty": {"tokenizer__json": b""},
    "blank": {"tokenizer__model": b"\n \n"},
    "half": {"tokenizer__json": made.gpt2()[:5000]},
    "no model": {"tokenizer__json": '{"version": "1.0", "model": 3}'},
    "no vocabulary": {"tokenizer__json": changed(vocab={})},
    "a list": {"tokenizer__json": changed(vocab=["a", "b"])},
    "ids as text": {"tokenizer__json": changed(vocab={"a": "0"})},
    "ids too large": {"tokenizer__json": changed(vocab={"a": 1 << 40})},
    "an id twice": {"tokenizer__json": changed(vocab={"a": 0, "b": 0}, merges=[])},
    "a token twice": {"tokenizer__json": '{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}'},
    "half a character": {"tokenizer__json": '{"model": {"type": "BPE", "vocab": {"\\ud800": 0}, "merges": []}}'},
    "merges of nothing": {"tokenizer__json": changed(merges=[["x", "nowhere"]])},
    "merges of three": {"tokenizer__json": changed(merges=[["a", "b", "c"]])},
    "merges as numbers": {"tokenizer__json": changed(merges=[1, 2])},
    "unigram": {"tokenizer__json": changed(type="Unigram")},
    "unknown step": {"tokenizer__json": json.dumps({**GPT2, "pre_tokenizer": {"type": "Magic"}})},
    "deep": {"tokenizer__json": '{"model":' * 100_000},
    "NaN": {"tokenizer__json": '{"model": NaN}'},
    "only vocab": {"tokenizer__json": VOCAB},
    "merges cut off": {"vocab__json": VOCAB, "merges__txt": MERGES[:600]},
    "other merges": {"vocab__json": VOCAB, "merges__txt": MERGES + b"Q Z\n"},
    "merge of one": {"vocab__json": VOCAB, "merges__txt": MERGES + b"Q\n"},
    "a byte missing": {"vocab__json": json.dumps({"a": 0, "b": 1}), "merges__txt": "#version\n"},
    "rank twice": {"tokenizer__model": b"".join(LINES + LINES[-1:])},
    "rank missing": {"tokenizer__model": b"".join(LINES[:300] + LINES[301:])},
    "byte missing": {"tokenizer__model": b"".join(LINES[1:])},
    "rank negative": {"tokenizer__model": b"".join(LINES) + b"AAAA -1\n"},
    "no base64": {"tokenizer__model": b"".join(LINES) + b"A=A 9\n"},
    "pieces cut off": {"tokenizer__model": made.sentencepiece()[:5000]},
    "huge length": {"tokenizer__model": b"\n\xff\xff\xff\xff\x7f"},
    "NaN score": {"tokenizer__model": made.sentencepiece([*START, ("zz", float("nan"), 1)])},
    "piece twice": {"tokenizer__model": made.sentencepiece([*START, START[-1]])},
    "unknown type": {"tokenizer__model": made.sentencepiece([*START, ("zz", 0.0, 9)])},
    "unigram model": {"tokenizer__model": made.sentencepiece(trainer=made.number(3, 1))},
    "folded text": {"tokenizer__model": made.sentencepiece(normalizer=made.field(2, b"table"))},
    "bin cut off": {"tokenizer__bin": made.llama2c()[:-3]},
    "bin length": {"tokenizer__bin": pack("<ifi", 1 << 30, 0.0, 1 << 29) + b"\0"},
    "bin score": {"tokenizer__bin": made.llama2c([*START, ("zz", float("inf"), 1)])},
    "bin bytes": {"tokenizer__bin": made.llama2c(START[:100])},
    "words twice": {"vocab__txt": made.vocab_txt() + b"the\n"},
    "words empty": {"vocab__txt": made.vocab_txt() + b"\nx\n"},
    "no words": {"vocab__txt": b"just some text\n"},
    "llm.c count": {"gpt2_tokenizer__bin": HEADER},
    "llm.c header": {"gpt2_tokenizer__bin": HEADER[:100]},
    "llm.c version": {"gpt2_tokenizer__bin": made.llmc(3)},
    "llm.c more": {"gpt2_tokenizer__bin": made.llmc() + b"x"},
    "pickle of code": {"meta__pkl": pickle.dumps({"itos": {0: Marker()}})},
    "pickle cut off": {"meta__pkl": made.meta()[:-5]},
    "pickle memo": {"meta__pkl": b"\x80\x04}r\xff\xff\xff\x7f."},
    "pickle of words": {"meta__pkl": pickle.dumps({"itos": {0: "ab"}})},
    "config": {"tokenizer__json": made.gpt2(), "tokenizer_config__json": '{"add_bos_token": "yes"}'},
    "config bos": {
        "tokenizer__json": made.gpt2(),
        "tokenizer_config__json": '{"add_bos_token": true, "bos_token": "<b>"}',
    },
    "config list": {"tokenizer__json": made.gpt2(), "generation_config__json": "[]"},
    "stops": {"tokenizer__json": made.gpt2(), "generation_config__json": '{"eos_token_id": "</s>"}'},
}


@pytest.mark.parametrize("files", WRONG.values(), ids=WRONG)
def test_a_damaged_file_is_one_line(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load(made.put(tmp_path / "model", **files))
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    assert not (tmp_path / "ran").exists()


def test_nothing_there(tmp_path):
    assert load(tmp_path) is None
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "missing")


def test_a_file_too_large_to_be_a_tokenizer_is_not_read(tmp_path):
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than any tokenizer"):
        load(path)


# --- mutations --------------------------------------------------------------------------------------------------

SAME = ("bert cased", "gpt2 vocab.bpe")  # formats that another form has already
FORMS = {name: form for name, form in made.FORMS.items() if name not in SAME}
ROUNDS = 2000
NASTY = [
    b"\0",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b"\n",
    b" ",
    b"9" * 30,
    b"-1",
    b"null",
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four small changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        if chance.random() < 0.3:  # where the headers are
            at = min(at, chance.randrange(80))
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:at] = chance.choice(NASTY)
            case 2:
                del changed[at : at + chance.choice([1, 2, 4, 50])]
            case 3:
                changed[at : at + 4] = chance.choice(NASTY)
            case _:
                del changed[at if chance.random() < 0.1 else len(changed) :]
    return bytes(changed)


@pytest.mark.parametrize("name", FORMS)
def test_mutations_give_a_tokenizer_or_one_line(name, tmp_path, capfd):
    path = FORMS[name](tmp_path)
    names = sorted(path.iterdir())
    originals, chance = [each.read_bytes() for each in names], random.Random(name)
    outcomes = {True: 0, False: 0}
    begun = time.monotonic()
    for _ in range(ROUNDS):
        which = chance.randrange(len(names))
        names[which].write_bytes(mutated(originals[which], chance))
        outcomes[tried(path, chance)] += 1
        names[which].write_bytes(originals[which])
    assert min(outcomes.values()) > ROUNDS // 100, outcomes
    assert time.monotonic() - begun < 120


def tried(path: Path, chance: random.Random) -> bool:
    """Whether a folder loads; everything else that is done with it may refuse with one line, but nothing more."""
    try:
        tokenizer = load(path)
    except ByhandError as error:
        assert "\n" not in str(error)
        return False
    if tokenizer is None:
        return False
    text = chance.choice(["the lower é🙂 12345", "a <|endoftext|>\n\n", " \x00[MASK]", ""])
    try:
        ids = tokenizer.encode(text)
        assert tokenizer.trace(text).ids == ids
        tokenizer.decode(ids)
        if chance.random() < 0.02:
            from_gguf(to_gguf(tokenizer))
    except ByhandError as error:
        assert "\n" not in str(error)
    return True


# --- fields of a GGUF file --------------------------------------------------------------------------------------

VALUES = [None, -1, 0, 3, 1 << 70, 1.5, float("nan"), "", "x", "gpt2", "llama", b"x", [], ["a"], [1], [None], {}, True]


@pytest.mark.parametrize("name", ["gpt2 tokenizer.json", "llama3 tokenizer.model", "llama2 tokenizer.model"])
def test_wrong_fields_give_a_tokenizer_or_one_line(name, tmp_path):
    fields, chance = to_gguf(load(made.FORMS[name](tmp_path))), random.Random(name)
    for _ in range(ROUNDS):
        wrong = dict(fields)
        key = chance.choice(list(fields))
        value = wrong[key]
        if isinstance(value, list) and value and chance.random() < 0.5:
            value = list(value)
            value[chance.randrange(len(value))] = chance.choice(VALUES)
            wrong[key] = value[: chance.choice([len(value), len(value), 5])]
        else:
            wrong[key] = chance.choice(VALUES)
        try:
            found = from_gguf(wrong)
            assert found is None or found.decode(found.encode("the")) is not None
        except ByhandError as error:
            assert "\n" not in str(error)

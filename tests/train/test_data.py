"""Data of every form becomes token ids, once; what cannot be read is refused in a line; the split is the seed's."""

from __future__ import annotations

import json
import os
import pickle
from itertools import islice

import numpy as np
import pytest

from byhand.checkpoints.tokens import write_tokens
from byhand.errors import InputError
from byhand.texts import GENERATORS
from byhand.tokenizer import PRINTABLE, Characters
from byhand.tokenizer.alphabet import GPT2, LLAMA3
from byhand.tokenizer.base import Ends
from byhand.tokenizer.document import Document, byte_level
from byhand.tokenizer.learning import END, byte_pairs
from byhand.train import encoding, reading
from byhand.train.corpus import Corpus, Split, gather
from byhand.train.encoding import Around, learn_tokenizer

WORDS = ["the", "cat's", "sat", "naïve", "été", "2024", "…!", "日本語", "\n", "\n\n", "  ", "\t", "🙂", "a\r\nb"]


def some_text(words: int, seed: int = 0) -> str:
    """Words of every kind, single spaces, runs of them and line ends between."""
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, words)).replace(" the", "\nthe")


def everything(split: Split) -> list[int]:
    return split.window(0, len(split)).tolist()


def texts_of(corpus: Corpus, split: Split) -> list[str]:
    assert corpus.tokenizer is not None
    return [corpus.tokenizer.decode(split.stretch(number)) for number in range(split.texts)]


def ending(corpus: Corpus) -> str:
    """What stands after every text."""
    assert corpus.tokenizer is not None and corpus.around.after
    return corpus.tokenizer.decode(corpus.around.after)


def refusal(*given, **settings) -> str:
    with pytest.raises(InputError) as caught:
        gather(*given, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- plain text ---------------------------------------------------------------------------------------------------


def test_a_text_file_is_split_into_one_stretch_and_the_rest(tmp_path):
    text = "".join(f"line {i:04d}\n" for i in range(500))
    (tmp_path / "a.txt").write_text(text)
    found = gather(tmp_path / "a.txt", folder=tmp_path / "out", seed=4, validation=0.2)
    assert isinstance(found.tokenizer, Characters) and found.tokenizer.alphabet == "".join(sorted(set(text)))
    whole = text + ending(found)
    held, rest = (found.tokenizer.decode(everything(each)) for each in (found.validation, found.train))
    assert len(found.validation) == round(0.2 * (len(text) + 1)) and held in whole
    assert rest == whole.replace(held, "", 1)
    assert found.train.texts == 2 and found.validation.texts == 1


def test_the_split_is_the_seeds(tmp_path):
    (tmp_path / "a.txt").write_text(some_text(500))
    first, again, other = (
        everything(gather(tmp_path / "a.txt", folder=tmp_path, seed=s).validation) for s in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("pattern", [GPT2, LLAMA3])
def test_a_text_in_pieces_has_the_ids_of_the_whole(tmp_path, monkeypatch, pattern):
    text = some_text(3000)
    (tmp_path / "a.txt").write_text(text, newline="")
    learned = byte_pairs([text], 500)
    model = learned.document["model"]
    document = byte_level({**model["vocab"], END: learned.special[END]}, model["merges"], pattern)
    tokenizer = Document(document, Ends(), {}, "it")
    monkeypatch.setattr(reading, "BLOCK", 97)
    pieces = list(reading.texts(tmp_path / "a.txt"))
    assert len(pieces) > 100 and "".join(each.text for each in pieces) == text
    assert sum(each.size for each in pieces) == len(text.encode()) and [each.last for each in pieces].count(True) == 1
    ids = [token for each in pieces for token in tokenizer.encode(each.text)]
    assert ids == tokenizer.encode(text)


def test_data_is_known_by_its_ids(tmp_path):
    def identity(text: str, seed: int = 0) -> str:
        (tmp_path / "a.txt").write_text(text)
        return gather(tmp_path / "a.txt", Characters(PRINTABLE), folder=tmp_path / "out", seed=seed).identity

    assert identity("some text") == identity("some text", 1) != identity("some next")
    write_tokens(tmp_path / "a.bin", [1] * 50)
    first = gather(tmp_path / "a.bin", folder=tmp_path).identity
    write_tokens(tmp_path / "a.bin", [1] * 49 + [2], force=True)
    assert gather(tmp_path / "a.bin", folder=tmp_path).identity != first


@pytest.mark.parametrize("block", [64, 1 << 16])
def test_texts_of_one_file_may_be_kept_apart_by_a_mark(tmp_path, monkeypatch, block):
    monkeypatch.setattr(reading, "BLOCK", block)
    texts = [f"Once there were {number} of them.\nAnd that was all.\n" for number in range(120)]
    (tmp_path / "a.txt").write_text(f"{END}\n".join(texts))
    found = gather(tmp_path / "a.txt", "bpe:260", folder=tmp_path)
    both = texts_of(found, found.train) + texts_of(found, found.validation)
    assert found.train.documents and sorted(both) == sorted(f"{text}{END}" for text in texts)


def test_a_text_without_lines_or_spaces_is_cut_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("é🙂" * 500)
    monkeypatch.setattr(reading, "BLOCK", 101)
    assert "".join(each.text for each in reading.texts(tmp_path / "a.txt")) == "é🙂" * 500


def test_the_mark_at_the_beginning_of_a_file_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffab".encode())
    assert [each.text for each in reading.texts(tmp_path / "a.txt")] == ["ab"]


@pytest.mark.parametrize(("before", "after"), [(0, 500), (300, 0), (1234, 900), (1234, 0)])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xe2\x82", b"\xc0\xaf"])
def test_undecodable_bytes_are_named_with_byte_and_line(tmp_path, monkeypatch, before, after, wrong):
    monkeypatch.setattr(reading, "BLOCK", 128)
    data = (b"eleven sig\n" * 200)[:before] + wrong + b"\nmore text" * after
    (tmp_path / "a.txt").write_bytes(data)
    said = refusal(tmp_path / "a.txt", folder=tmp_path / "out")
    line = 1 + before // 11
    assert f"a.txt: byte {before} (line {line}) is 0x{wrong[0]:02x}" in said and "UTF-8" in said
    assert not [*(tmp_path / "out").glob("*")]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_empty_data_is_refused(tmp_path, name):
    (tmp_path / name).write_text("\n\n" if name == "a.jsonl" else "")
    assert f"{name} is empty" in refusal(tmp_path / name, folder=tmp_path / "out")


def test_what_is_not_there_is_said(tmp_path):
    assert "there is no data at" in refusal(tmp_path / "none.txt", folder=tmp_path)
    assert "no file in" in refusal(tmp_path / "*.txt", folder=tmp_path)
    assert "has no text in it" in refusal(tmp_path, folder=tmp_path / "out")
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or device" in refusal(tmp_path / "pipe", folder=tmp_path / "out")
    (tmp_path / "a.txt").write_text("x")
    assert "too little to hold 0.1 of it back" in refusal(tmp_path / "a.txt", folder=tmp_path / "out")


# --- folders ------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_order_and_says_what_it_leaves_out(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, text in {"b.txt": "second ", "a.md": "first ", "sub/c.txt": "third ", "d.py": "fourth"}.items():
        (tmp_path / name).write_text(text * 30)
    (tmp_path / "e.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "f.bib").write_bytes(b"caf\xe9 au lait")
    (tmp_path / ".hidden.txt").write_text("never")
    found = gather(tmp_path, folder=tmp_path / ".out", validation=0.01)
    assert found.skipped == ("e.png was left out: it is no text", "f.bib was left out: it is no text in UTF-8")
    both = gather(tmp_path, folder=tmp_path / ".out", validation=0.01).train.ids
    text = found.tokenizer.decode(both.between(0, len(both)))
    end = ending(found)
    assert text == "first " * 30 + end + "second " * 30 + end + "fourth" * 30 + end + "third " * 30 + end
    (tmp_path / "f.txt").write_bytes(b"caf\xe9")
    assert "f.txt: byte 3 (line 1) is 0xe9" in refusal(tmp_path, folder=tmp_path / ".out")


def test_what_training_writes_must_not_become_data(tmp_path):
    (tmp_path / "a.txt").write_text("abc" * 30)
    for folder in (tmp_path, tmp_path / "run", tmp_path / "runs" / "one"):
        assert "would be read as data" in refusal(tmp_path, folder=folder)
    assert len(gather(tmp_path, folder=tmp_path / ".runs" / "one").train)


def test_files_called_train_and_val_are_the_split(tmp_path):
    (tmp_path / "my-train.txt").write_text("a" * 50)
    (tmp_path / "my-valid.txt").write_text("b" * 20)
    found = gather(tmp_path, folder=tmp_path / ".out", validation=0.5)
    sides, end = [texts_of(found, each) for each in (found.train, found.validation)], ending(found)
    assert sides == [["a" * 50 + end], ["b" * 20 + end]]  # the tokenizer knows the characters of both
    (tmp_path / "my-train.txt").rename(tmp_path / "interval.txt")
    assert len(gather(tmp_path, folder=tmp_path / ".out", validation=0.5).validation) == 36


def test_many_files_are_held_back_whole(tmp_path):
    for number in range(120):
        (tmp_path / f"{number:03d}.txt").write_text(f"text {number}\n")
    found = gather(tmp_path, folder=tmp_path / ".out", seed=1)
    assert (found.train.texts, found.validation.texts, found.train.documents) == (108, 12, True)
    both = texts_of(found, found.train) + texts_of(found, found.validation)
    assert sorted(both) == sorted(f"text {number}\n{ending(found)}" for number in range(120))


# --- records ------------------------------------------------------------------------------------------------------


def write_lines(path, records) -> None:
    path.write_text("".join(each if isinstance(each, str) else json.dumps(each) + "\n" for each in records))


def test_json_lines_are_texts_each_by_itself(tmp_path):
    write_lines(tmp_path / "a.jsonl", [*({"text": f"text {i}", "id": i} for i in range(20)), "\n", {"text": ""}])
    found = gather(tmp_path / "a.jsonl", "bpe:257", folder=tmp_path, validation=0.25)
    assert (found.train.texts, found.validation.texts) == (15, 5) and not found.train.pairs
    both = texts_of(found, found.train) + texts_of(found, found.validation)
    assert sorted(both) == sorted(f"text {i}{END}" for i in range(20))
    assert everything(found.train) == [t for n in range(15) for t in found.train.stretch(n).tolist()]


def test_pairs_stay_together_with_what_begins_and_ends_them(tmp_path):
    write_lines(tmp_path / "a.jsonl", ({"source": f"s{i}", "target": f"t{i}"} for i in range(20)))
    found = gather(tmp_path / "a.jsonl", "bpe:257", folder=tmp_path)
    assert found.train.pairs and (found.train.texts, found.validation.texts) == (36, 4)
    for split in (found.train, found.validation):
        texts = texts_of(found, split)
        for source, target in zip(texts[::2], texts[1::2], strict=True):
            number = source.removeprefix(f"{END}s")
            assert number.isdecimal() and target == f"{END}t{number}{END}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'text': 1}", "line 3 is no JSON"),
        ("[1]", "line 3 needs"),
        ('{"source": "a"}', "line 3 needs"),
        ('{"text": 5}', "line 3: text is 5"),
        ('{"text": "\\ud800"}', "line 3: text holds half a character"),
        ('{"source": "a", "target": "b"}', "line 3 has source and target, but the first one has text"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, said):
    write_lines(tmp_path / "a.jsonl", [{"text": "fine"}, "\n", f"{line}\n", {"text": "fine"}])
    assert f"a.jsonl, {said}" in refusal(tmp_path / "a.jsonl", folder=tmp_path / "out")


def test_undecodable_bytes_of_a_record_are_named(tmp_path):
    first = b'{"text": "a"}\n'
    (tmp_path / "a.jsonl").write_bytes(first + b'{"text": "\xe9"}\n')
    assert f"a.jsonl: byte {len(first) + 10} (line 2) is 0xe9" in refusal(tmp_path / "a.jsonl", folder=tmp_path / "out")


def test_generators_write_as_many_texts_as_asked_for(tmp_path):
    found = gather("sums", "bpe:300", folder=tmp_path, seed=7, examples=50)
    both = texts_of(found, found.train) + texts_of(found, found.validation)
    assert sorted(both) == sorted(f"{text}{END}" for text in islice(GENERATORS["sums"](7), 50))
    turned = gather("reversals", folder=tmp_path, seed=7, examples=50)
    assert turned.train.pairs and turned.train.texts + turned.validation.texts == 100


# --- files of tokens ----------------------------------------------------------------------------------------------


def test_shards_are_mapped_side_by_side(tmp_path):
    ids = np.arange(1000) % 300
    for number, part in enumerate(np.split(ids, [400, 650])):
        write_tokens(tmp_path / f"data_{number:06d}.bin", part)
    found = gather(tmp_path / "data_*.bin", folder=tmp_path / "out", validation=0.3, seed=2)
    held, start = everything(found.validation), int(found.validation.starts_N[0])
    assert found.vocabulary == 50257 and found.tokenizer is None
    assert (
        held == ids[start : start + 300].tolist()
        and everything(found.train) == np.delete(ids, slice(start, start + 300)).tolist()
    )
    for begin, end in ((0, 1000), (390, 660), (400, 401), (399, 400), (650, 1000)):
        assert found.train.ids.between(begin, end).tolist() == ids[begin:end].tolist()
    assert not (tmp_path / "out").exists()  # nothing is copied


def test_a_folder_of_nanogpt_has_its_tokenizer_and_its_split(tmp_path):
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"itos": dict(enumerate("abc")), "vocab_size": 3}))
    (tmp_path / "input.txt").write_text("whatever")
    np.array([0, 1, 2] * 30, "<u2").tofile(tmp_path / "train.bin")
    np.array([2, 1] * 10, "<u2").tofile(tmp_path / "val.bin")
    found = gather(tmp_path, folder=tmp_path / ".out")
    assert found.tokenizer.decode(everything(found.validation)) == "cb" * 10
    assert found.tokenizer.decode(everything(found.train)) == "abc" * 30 and found.vocabulary == 3
    assert "input.txt was left out: it is not a file of tokens, as others here are" in found.skipped
    np.array([0, 3], "<u2").tofile(tmp_path / "train.bin")
    assert "holds token 3 at place 1" in refusal(tmp_path, folder=tmp_path / ".out")


def test_token_files_are_refused_in_a_line(tmp_path):
    write_tokens(tmp_path / "a.bin", [1, 2, 3] * 50)
    assert "holds token ids already" in refusal(tmp_path / "a.bin", "bpe:300", folder=tmp_path)
    write_tokens(tmp_path / "b.bin", [1, 2], "llama3")
    assert "of different kinds (gpt2, llama3)" in refusal(tmp_path / "*.bin", folder=tmp_path)
    (tmp_path / "c.bin").touch()
    assert "c.bin is empty" in refusal(tmp_path / "c.bin", folder=tmp_path)


# --- encoded once -------------------------------------------------------------------------------------------------


def test_ids_are_kept_and_belong_to_source_and_tokenizer(tmp_path, monkeypatch):
    path, out = tmp_path / "a.txt", tmp_path / "out"
    path.write_text("abcd " * 100)
    calls: list[tuple[int, int]] = []
    gather(path, folder=out, progress=lambda *done: calls.append(done))
    assert calls[-1] == (500, 500) and calls.count((500, 500)) == 2  # learned from, then encoded
    first = sorted(each.name for each in out.iterdir())
    calls.clear()
    gather(path, folder=out, seed=9, validation=0.3, progress=lambda *done: calls.append(done))
    assert not calls and sorted(each.name for each in out.iterdir()) == first  # another split of the same ids
    gather(path, "bpe:260", folder=out, progress=lambda *done: calls.append(done))
    assert calls
    calls.clear()
    os.utime(path, ns=(1, 1))
    gather(path, folder=out, progress=lambda *done: calls.append(done))
    assert calls  # a later time of change: it may be another text


def test_ids_are_mapped_not_read(tmp_path):
    (tmp_path / "a.txt").write_text("abcd " * 100)
    found = gather(tmp_path / "a.txt", folder=tmp_path / "out")
    assert isinstance(found.train.ids.parts[0], np.memmap) and found.train.ids.parts[0].dtype == np.uint16


def test_what_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("abcd " * 100)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(encoding, "flush", full)
        assert "No space left on device" in refusal(tmp_path / "a.txt", folder=tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]
    assert len(gather(tmp_path / "a.txt", folder=tmp_path / "out").train)


def test_kept_ids_that_were_changed_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("abcd " * 100)
    gather(tmp_path / "a.txt", folder=tmp_path / "out")
    (ids,) = (tmp_path / "out").glob("ids-*/ids.bin")
    ids.write_bytes(ids.read_bytes()[:-2])
    assert "is not as it was written; delete it" in refusal(tmp_path / "a.txt", folder=tmp_path / "out")


def test_a_text_that_the_tokenizer_cannot_write_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("café")
    said = refusal(tmp_path / "a.txt", Characters(PRINTABLE), folder=tmp_path / "out")
    assert "text 1 of" in said and "character 'é' at 3" in said


# --- tokenizers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["bpe", "bpe:", "bpe:x", "characters:5"])
def test_a_wish_for_a_tokenizer_is_checked(tmp_path, asked):
    (tmp_path / "a.txt").write_text("abcd " * 100)
    assert "write characters, or bpe:1000" in refusal(tmp_path / "a.txt", asked, folder=tmp_path / "out")
    assert "no tokenizer at" in refusal(tmp_path / "a.txt", str(tmp_path / "none"), folder=tmp_path / "out")


def test_texts_end_as_the_tokenizer_says():
    learned = learn_tokenizer("bpe", ["abc"], 257)
    assert Around.of(learned) == Around((), (256,), (256,), (256,)) and Around.of(learned).first == (256,)
    assert Around.of(Characters("\nab")) == Around((), (0,), (0,), ()) and not Around.of(Characters("ab")).start
    llama = learn_tokenizer("bpe", ["abc"], 258, masked=True)
    llama.begin, llama.stops = (257,), (256,)  # begins with another token than it ends with
    assert Around.of(llama) == Around((257,), (256,), (257,), (257,)) and not Around.of(llama).first

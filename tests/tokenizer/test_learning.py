"""Tokenizers learned from texts: the same for the same texts, and back from the folder of a model."""

from __future__ import annotations

import pytest

import byhand
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.loading import make
from byhand.tokenizer import load
from byhand.tokenizer.learning import END, MASK, learn
from byhand.train.encoding import known

TEXT = "the cat's naïve été 2024 …! 日本語 sat\n\n  on\tthe mat 🙂 a\r\nb "


def test_learned_tokenizers_depend_on_the_text_alone_and_come_back_from_a_model(tmp_path):
    texts = [TEXT * 3 + str(seed) for seed in range(20)]
    for kind, size in (("characters", 0), ("bpe", 400)):
        made = learn(kind, texts, size)
        assert made.files_to_write() == learn(kind, texts[::-1], size).files_to_write()
        config = gpt2.Config(layers=1, width=8, heads=1, hidden=8, vocabulary=len(made))
        model = make("gpt2", config, tokenizer=made)
        found = byhand.load(model.save(tmp_path / kind)).tokenizer
        assert found.table == made.table and found.special == made.special and len(found) == len(made)
        assert (found.begin, found.end, found.stops) == (made.begin, made.end, made.stops)
        assert found.encode(texts[0]) == made.encode(texts[0]) and found.decode(found.encode(texts[0])) == texts[0]
        assert known(load(tmp_path / kind)) == known(made)  # so its ids are found again


def test_characters_stand_in_their_order():
    assert learn("characters", ["hello", "wörld\n"]).alphabet == "\ndehlorwö"  # pyright: ignore


def test_a_bpe_has_its_size_and_its_special_tokens(tmp_path):
    made = learn("bpe", ["the cat sat on the mat " * 9] * 9, 270, (END, MASK))
    assert len(made) <= 270 and made.special == {END: len(made) - 2, MASK: len(made) - 1}
    assert made.encode("the cat") != list(b"the cat") and len(made.encode(" the")) < 4
    with pytest.raises(InputError, match="at least 257 tokens"):
        learn("bpe", ["a"], 256)
    with pytest.raises(InputError, match="there is none"):
        learn("characters", [])


def test_special_tokens_stand_behind_the_characters(tmp_path):
    made = learn("characters", ["hello\n"], special=(END, MASK))
    made.write(tmp_path)
    for each in (made, load(tmp_path)):
        assert each.special == {END: 5, MASK: 6} and each.begin == each.stops == (5,) and len(each) == 7
        assert each.encode(f"he{END}o", special=True) == [2, 1, 5, 4] == each.trace(f"he{END}o", special=True).ids
        assert each.decode([2, 1, 5]) == f"he{END}"
        with pytest.raises(InputError, match="'<' at 2 is not in the alphabet"):
            each.encode(f"he{END}")

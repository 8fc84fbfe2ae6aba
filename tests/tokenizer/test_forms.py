"""Every form in which tokenizers lie on disk: what is read from it, written again, and said about a text's ends."""

import json
import pickle

import pytest
from hypothesis import given, settings

from byhand.errors import InputError
from byhand.tokenizer import PRINTABLE, Characters, check, difference, from_gguf, load, to_gguf
from byhand.tokenizer.alphabet import BYTES, GPT2, LETTERS, LLAMA3, split
from byhand.tokenizer.comparing import starts
from byhand.tokenizer.merging import NEVER, merged, merges

from . import made
from .texts import TEXTS

TEXT = "the lower é🙂 12345  x<|endoftext|></s>[MASK]"


@pytest.fixture(params=made.FORMS)
def form(request, tmp_path):
    return request.param, load(made.FORMS[request.param](tmp_path / "from"))


def test_what_is_written_loads_as_the_same(form, tmp_path):
    name, tokenizer = form
    written = tokenizer.write(tmp_path / "to")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == sorted(written)
    again = load(tmp_path / "to")
    for what in ("special", "begin", "end", "stops", "pattern"):
        assert getattr(again, what) == getattr(tokenizer, what), what
    assert len(again) == len(tokenizer)
    text = "ab é" if name == "characters" else TEXT
    if name != "llm.c":
        assert again.prepared(text, special=True) == tokenizer.prepared(text, special=True)
    assert [again.decode([i]) for i in range(len(again))] == [tokenizer.decode([i]) for i in range(len(again))]


def test_every_token_can_be_read_alone(form):
    _, tokenizer = form
    for token in range(len(tokenizer) + 3):
        assert isinstance(tokenizer.decode([token]), str)
        tokenizer.decode([token]).encode("utf-8")
    assert tokenizer.decode([len(tokenizer)]) == f"<{len(tokenizer)}>"


def test_a_tokenizer_can_be_pickled(form):
    name, tokenizer = form
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.kind == tokenizer.kind
    if name != "llm.c":
        assert again.encode("ab") == tokenizer.encode("ab")


ENDS = {
    "gpt2 tokenizer.json": ((), (), ["<|endoftext|>"]),
    "gpt2 vocab.bpe": ((), (), ["<|endoftext|>"]),
    "llama3 tokenizer.json": (["<|begin_of_text|>"], (), ["<|end_of_text|>"]),
    "llama3 tokenizer.model": (["<|begin_of_text|>"], (), ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]),
    "llama2 tokenizer.model": (["<s>"], (), ["</s>"]),
    "llama2 tokenizer.bin": (["<s>"], (), ["</s>"]),
    "bert tokenizer.json": (["[CLS]"], ["[SEP]"], ()),
    "bert vocab.txt": (["[CLS]"], ["[SEP]"], ()),
    "llm.c": ((), (), ["<|endoftext|>"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_ends_of_a_text(name, tmp_path):
    tokenizer = load(made.FORMS[name](tmp_path))
    found = (tokenizer.begin, tokenizer.end, tokenizer.stops)
    assert found == tuple(tuple(tokenizer.special[each] for each in ids) for ids in ENDS[name])
    if name != "llm.c":
        ids = tokenizer.encode("the")
        assert tokenizer.prepared("the") == [*tokenizer.begin, *ids, *tokenizer.end]
        for word in tokenizer.special:
            assert tokenizer.special[word] not in tokenizer.encode(word) or word == "[UNK]"
            assert tokenizer.special[word] in tokenizer.encode(word, special=True)


@pytest.mark.parametrize(
    ("config", "begin", "stops"),
    [
        ({"tokenizer_config": {"add_bos_token": True, "bos_token": "<|endoftext|>"}}, (400,), (400,)),
        ({"tokenizer_config": {"add_bos_token": True, "bos_token": {"content": "<|endoftext|>"}}}, (400,), (400,)),
        ({"tokenizer_config": {"add_bos_token": False, "bos_token": "<|endoftext|>"}}, (), (400,)),
        ({"special_tokens_map": {"eos_token": "the"}}, (), (258,)),
        ({"generation_config": {"eos_token_id": 7}}, (), (7,)),
        ({"generation_config": {"eos_token_id": [7, 9]}, "tokenizer_config": {"eos_token": "the"}}, (), (7, 9, 258)),
    ],
)
def test_settings_beside_a_tokenizer_decide_its_ends(config, begin, stops, tmp_path):
    files = {f"{name}__json": json.dumps(value) for name, value in config.items()}
    vocab, merges = made.two_files()
    the = json.loads(vocab)["the"]
    tokenizer = load(made.put(tmp_path, vocab__json=vocab, merges__txt=merges, **files))
    assert (tokenizer.begin, tokenizer.stops) == (begin, tuple(the if stop == 258 else stop for stop in stops))


@pytest.mark.parametrize(("name", "first"), [("gpt2 vocab.json", 401), ("llama2 tokenizer.model", 596)])
def test_tokens_added_to_a_vocabulary(name, first, tmp_path):
    folder = made.put(made.FORMS[name](tmp_path), added_tokens__json=json.dumps({"<pad>": first, "ow tool": first + 1}))
    tokenizer = load(folder)
    assert len(tokenizer) == first + 2 and tokenizer.special["<pad>"] == first
    assert first + 1 in tokenizer.encode("slow tool") and first not in tokenizer.encode("<pad>")
    assert tokenizer.trace("slow tool<pad>", special=True).ids == tokenizer.encode("slow tool<pad>", special=True)
    tokenizer.write(tmp_path / "to")
    assert load(tmp_path / "to").encode("slow tool") == tokenizer.encode("slow tool")


def test_tokens_added_where_they_cannot_be_are_refused(tmp_path):
    folder = made.put(made.FORMS["bert vocab.txt"](tmp_path), added_tokens__json=json.dumps({"<new>": 999}))
    with pytest.raises(InputError, match="<new>"):
        load(folder)


def test_special_ids_of_llama_3_are_told_by_their_place(tmp_path):
    tokenizer = load(made.FORMS["llama3 tokenizer.model"](tmp_path))
    first = len(tokenizer) - 256
    places = {"begin_of_text": 0, "end_of_text": 1, "start_header_id": 6, "end_header_id": 7, "eot_id": 9}
    assert all(tokenizer.special[f"<|{name}|>"] == first + place for name, place in places.items())
    assert sorted(tokenizer.special.values()) == [*range(first, first + 256)]
    assert tokenizer.special["<|reserved_special_token_247|>"] == first + 255


def test_llama_3s_two_files_are_one_tokenizer(tmp_path):
    document, ranks = (load(made.FORMS[f"llama3 tokenizer.{kind}"](tmp_path / kind)) for kind in ("json", "model"))
    assert document.encode(TEXT) == ranks.encode(TEXT)


def test_llama_2s_two_files_are_one_tokenizer(tmp_path):
    model, table = (load(made.FORMS[f"llama2 tokenizer.{kind}"](tmp_path / kind)) for kind in ("model", "bin"))
    assert model.table == table.table and model.encode(TEXT) == table.encode(TEXT)


def test_a_file_is_known_by_its_content_not_its_name(tmp_path):
    for name, data in (("a", made.ranks()), ("b", made.sentencepiece()), ("c", made.gpt2()), ("d", made.meta())):
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    kinds = [load(tmp_path / name).kind.split(",")[0] for name in "abcd"]
    assert kinds == ["byte-level BPE by ranks", "SentencePiece BPE by scores", "byte-level BPE", "characters"]


def test_llmc_only_decodes(tmp_path):
    tokenizer = load(made.FORMS["llm.c"](tmp_path))
    ids = load(made.FORMS["gpt2 tokenizer.json"](tmp_path / "gpt2")).encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    for call in (tokenizer.encode, tokenizer.trace):
        with pytest.raises(InputError, match="put GPT-2's encoder.json and vocab.bpe"):
            call("x")
    first = load(made.put(tmp_path / "one", gpt2_tokenizer__bin=made.llmc(1)))
    assert first.table == tokenizer.table and first.stops == ()


def test_characters(tmp_path):
    tokenizer = Characters(PRINTABLE)
    assert len(tokenizer) == 96 and tokenizer.decode(tokenizer.encode("Hi there\n")) == "Hi there\n"
    assert [piece.text for piece in tokenizer.trace("ab").pieces] == ["a", "b"]
    with pytest.raises(InputError, match="'é' at 1"):
        tokenizer.encode("aé")
    assert load(made.FORMS["characters"](tmp_path)).alphabet == "\n !abcé🙂"


def test_the_letters_of_bytes():
    assert len(LETTERS) == len(BYTES) == 256
    assert [LETTERS[byte] for byte in b" \n!~\x7f\xa0\xad\xff"] == ["Ġ", "Ċ", "!", "~", "ġ", "ł", "Ń", "ÿ"]


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        (GPT2, ["I", "'ll", " don", "'t", "  ", " 12345", "'", "LL", "\n\n", " x", "!?", "\r\n"]),
        (LLAMA3, ["I", "'ll", " don", "'t", "  ", " ", "123", "45", "'LL", "\n\n", " x", "!?\r\n"]),
    ],
)
def test_where_the_patterns_cut(pattern, pieces):
    assert [piece for piece, _ in split(pattern, "I'll don't   12345'LL\n\n x!?\r\n")] == pieces


# --- scores -----------------------------------------------------------------------------------------------------


def scored(tmp_path, *more, without_bytes=False):
    listed = [each for each in made.pieces() if not (without_bytes and each[2] == 6)]
    return load(made.put(tmp_path, tokenizer__model=made.sentencepiece([*listed, *more])))


def test_equal_scores_go_from_the_left(tmp_path):
    tokenizer = scored(tmp_path, ("qz", 9.0, 1), ("zq", 9.0, 1))
    assert tokenizer.trace("qzqz").pieces[0].tokens == ("▁", "qz", "qz")
    assert tokenizer.trace("zqzq").ids == tokenizer.encode("zqzq")
    assert tokenizer.files_to_write().keys() == {"tokenizer.model"}  # a tokenizer.json could not say the same


def test_pieces_the_user_defined_are_never_merged(tmp_path):
    tokenizer = scored(tmp_path, ("low!", 0.0, 4), ("!e", 5.0, 1))
    assert [tokenizer.decode([token]) for token in tokenizer.encode("slow!er")] == [" ", "s", "low!", "er"]
    assert tokenizer.trace("slow!er").ids == tokenizer.encode("slow!er")


def test_a_model_without_a_begin_token(tmp_path):
    nothing = made.number(41, (1 << 64) - 1)  # -1
    tokenizer = load(made.put(tmp_path, tokenizer__model=made.sentencepiece(trainer=nothing)))
    assert tokenizer.begin == () and tokenizer.prepared("a") == tokenizer.encode("a")


def test_unknown_characters_in_a_row_are_one_token(tmp_path):
    tokenizer = scored(tmp_path, without_bytes=True)
    assert tokenizer.encode("\x01\x02a\x03") == tokenizer.trace("\x01\x02a\x03").ids
    assert tokenizer.encode("\x01\x02a\x03").count(0) == 2


@settings(max_examples=200)
@given(text=TEXTS)
def test_the_queue_merges_as_the_search_does(text):
    """With the ranks of all pairs at odds with their order, so that merging goes back and forth."""

    def rank(left: str, right: str) -> float:
        return hash_of(left + right) if len(left + right) < 6 else NEVER

    def hash_of(word: str) -> float:
        return sum(ord(sign) * 31**place for place, sign in enumerate(word)) % 7

    symbols = list(text)
    list(merges(symbols, rank))
    assert merged(list(text), rank) == symbols


# --- GGUF, and two tokenizers -----------------------------------------------------------------------------------

GGUF = ["gpt2 tokenizer.json", "gpt2 vocab.bpe", "llama3 tokenizer.model", "llama2 tokenizer.model"]


@pytest.mark.parametrize("name", GGUF)
def test_gguf_fields_there_and_back(name, tmp_path):
    tokenizer = load(made.FORMS[name](tmp_path))
    again = from_gguf(to_gguf(tokenizer))
    assert (again.begin, again.stops, len(again)) == (tokenizer.begin, tokenizer.stops, len(tokenizer))
    assert again.prepared(TEXT, special=True) == tokenizer.prepared(TEXT, special=True)
    again.write(tmp_path / "again")
    assert load(tmp_path / "again").prepared(TEXT) == tokenizer.prepared(TEXT)
    assert load(tmp_path / "again").stops == tokenizer.stops
    assert to_gguf(again) == to_gguf(tokenizer)


def test_gguf_begins_and_stops(tmp_path):
    fields = to_gguf(load(made.FORMS["llama2 tokenizer.model"](tmp_path / "llama")))
    unsaid = {key: value for key, value in fields.items() if not key.endswith("add_bos_token")}
    assert from_gguf(unsaid).begin == (1,)
    assert from_gguf({**fields, "tokenizer.ggml.add_bos_token": False}).begin == ()
    vocab, merges = made.two_files()
    two = made.put(tmp_path / "gpt2", vocab__json=vocab, merges__txt=merges, generation_config__json=STOPS)
    fields = to_gguf(load(two))
    assert (fields["tokenizer.ggml.eos_token_id"], fields["tokenizer.ggml.eot_token_id"]) == (7, 9)


STOPS = json.dumps({"eos_token_id": [7, 9]})


def test_a_begin_token_can_be_switched_off(tmp_path):
    folder = made.put(made.FORMS["llama2 tokenizer.model"](tmp_path), tokenizer_config__json='{"add_bos_token": false}')
    assert load(folder).begin == ()


def test_a_tokenizer_json_of_llama_2_has_scores_by_the_order_of_its_merges(tmp_path):
    scores = load(made.FORMS["llama2 tokenizer.model"](tmp_path / "from"))
    made.put(tmp_path / "to", tokenizer__json=scores.files_to_write()["tokenizer.json"])
    fields = to_gguf(load(tmp_path / "to"))
    assert fields["tokenizer.ggml.model"] == "llama" and fields["tokenizer.ggml.add_space_prefix"]
    assert from_gguf(fields).prepared(TEXT) == scores.prepared(TEXT)


def test_gguf_says_what_it_cannot(tmp_path):
    assert from_gguf({}) is None and from_gguf({"tokenizer.ggml.model": "none"}) is None
    assert from_gguf(to_gguf(Characters(PRINTABLE))).alphabet == PRINTABLE
    for wrong in (load(made.FORMS["bert vocab.txt"](tmp_path)), Characters("é")):
        with pytest.raises(InputError, match="GGUF"):
            to_gguf(wrong)
    fields = to_gguf(load(made.FORMS["gpt2 tokenizer.json"](tmp_path / "gpt2")))
    with pytest.raises(InputError, match="'qwen2'"):
        from_gguf({**fields, "tokenizer.ggml.pre": "qwen2"})
    with pytest.raises(InputError, match="'bert'"):
        from_gguf({**fields, "tokenizer.ggml.model": "bert"})


def test_a_tokenizer_must_fit_its_model():
    check(Characters("abc"), 3, "here")
    check(Characters("abc"), 128, "here")
    with pytest.raises(InputError, match="here: the tokenizer has 3 ids, but the model has 2 rows"):
        check(Characters("abc"), 2, "here")


def test_where_two_tokenizers_part(tmp_path):
    document = json.loads(made.gpt2())
    document["pre_tokenizer"] = json.loads(made.llama3())["pre_tokenizer"]
    one = load(made.FORMS["gpt2 vocab.bpe"](tmp_path / "one"))
    other = load(made.put(tmp_path / "other", tokenizer__json=json.dumps(document)))
    assert difference(one, one, TEXT) is None
    found = difference(one, other, "é a12345 b")
    assert (found.position, found.same_pattern) == (5, False)  # 12|34|5 and 123|45 both begin with 12
    assert one.decode(found.first) == other.decode(found.second) == "345 b"
    assert difference(other, one, "é a12345 b").position == 5
    assert difference(one, other, "é a") is None


@pytest.mark.parametrize("name", made.ENCODING)
def test_where_tokens_start(name, tmp_path):
    tokenizer = load(made.FORMS[name](tmp_path))
    places = starts(tokenizer, "é🙂 the")
    assert len(places) == len(tokenizer.encode("é🙂 the")) and places == sorted(places)
    assert places[0] == 0 and places[-1] in (2, 3, 4, 5)  # inside or before " the"
    if name.startswith("llama2"):
        assert starts(tokenizer, "q the")[-1] == 1


def test_bert_is_lower_case_unless_its_settings_say_otherwise(tmp_path):
    lower, cased = (load(made.FORMS[name](tmp_path / name)) for name in ("bert vocab.txt", "bert cased"))
    assert lower.encode("THE Don") == lower.encode("the don") and cased.encode("THE Don") != cased.encode("the don")

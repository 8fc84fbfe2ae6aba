"""Windows of values against the arrays themselves, in NumPy: every cell, every digit, every label."""

import json
import random

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byhand
from byhand.checkpoints.files.quantized import Quantized
from byhand.errors import AddressError, ByhandError, InputError
from byhand.explorer import Session, blocks
from byhand.explorer.digits import number
from byhand.explorer.pooling import pooled
from byhand.explorer.scene import read_scene

from ..small_models import TEXTS, model
from .scenes import edit, edited, scene_of

NAMES = list(TEXTS)
SESSIONS: dict[str, Session] = {}


def session(name):
    return SESSIONS.setdefault(name, Session(model(name)))


def asked(name, op, **params):
    """The answer to a request that has been through JSON, as a page's has; its head must go through it too."""
    answer = session(name).handle(op, json.loads(json.dumps(params)))
    json.dumps(answer.head, allow_nan=False)
    return answer


def array_of(name, scene, address):
    return session(name).run(read_scene(scene)).look(address)


def two_axes(shape):
    """An index that shows the last two axes and the first place of the others."""
    return [0] * (len(shape) - 2) + [None] * min(2, len(shape))


def written(array):
    """The digits and bits of a matrix, by NumPy's own ways."""
    kind = f"u{array.dtype.itemsize}"
    texts = [[float(str(x)) if array.dtype.kind != "b" else float(x) for x in row] for row in array]
    return texts, [[f"{int(x.view(kind)):0{2 * array.dtype.itemsize}x}" for x in row] for row in array]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_every_model(name, dtype):
    scene = scene_of(name, dtype=dtype)
    entries = asked(name, "outline", scene=scene).head["entries"]
    assert entries
    for entry in entries:
        array = array_of(name, scene, entry["address"])
        assert (list(array.shape), array.dtype.name) == (entry["shape"], entry["dtype"]), entry["address"]
        index = two_axes(array.shape)
        answer = asked(name, "window", scene=scene, address=entry["address"], index=index)
        matrix = np.atleast_2d(array[tuple(slice(None) if i is None else i for i in index)])
        assert answer.arrays["values"].tobytes() == matrix.astype(np.float32).tobytes(), entry["address"]
        if matrix.size <= 4096 and dtype != "bfloat16":
            texts, bits = written(matrix)
            read = [
                [{"true": 1.0, "false": 0.0}.get(t) if t in ("true", "false") else float(t) for t in row]
                for row in answer.head["texts"]
            ]
            assert np.array_equal(read, texts, equal_nan=True), entry["address"]
            assert answer.head["bits"] == bits, entry["address"]


def test_the_outline_is_the_program():
    for name in NAMES:
        scene = scene_of(name)
        entries = asked(name, "outline", scene=scene).head["entries"]
        run = session(name).run(read_scene(scene))
        assert sorted(each["address"] for each in entries) == sorted(run.program.addresses)
        made = [each["address"] for each in entries if each["kind"] in ("value", "side")]
        assert made == [address for step in run.program for address in step.writes.values()]
        for each in entries:
            if each["kind"] == "value":
                step = run.program.producer[each["address"]]
                assert each["operator"] == step.operator.name
                assert each["reads"] == [read for read in step.reads if read is not None]
        assert sum(each["parameters"] for each in entries) == run.program.parameters
        seen = [each["address"] for each in entries]
        assert all(seen.index(r) < seen.index(e["address"]) for e in entries for r in e["reads"])


def test_the_outline_names_the_gradients():
    scene = scene_of("gpt2-tiny", gradient={"of": "logits", "index": [0, 2, 5]})
    entries = asked("gpt2-tiny", "outline", scene=scene).head["entries"]
    there = {each["address"]: each for each in entries if each["kind"] == "gradient"}
    run = session("gpt2-tiny").run(read_scene(scene))
    assert {a for a in there if "@" not in a} == {f"d:{a}" for a in run.grad}
    assert all(list(run.look(a).shape) == each["shape"] for a, each in there.items())
    assert there["d:blocks.0.mlp.act"]["operator"] == "linear backward"
    assert there["d:blocks.1.mid"]["block"] == 1 and there["d:logits"]["block"] is None


# --- windows ----------------------------------------------------------------------------------------------------


def test_a_part_of_a_matrix():
    scene, address = scene_of("gpt2-tiny"), "token.weight"
    whole = array_of("gpt2-tiny", scene, address)
    answer = asked(
        "gpt2-tiny", "window", scene=scene, address=address, index=[None, None], rows=[40, 50], columns=[3, 9]
    )
    assert np.array_equal(answer.arrays["values"], whole[40:50, 3:9])
    assert answer.head["row_labels"] == [model("gpt2-tiny").tokenizer.decode([v]) for v in range(40, 50)]
    assert answer.head["column_labels"] is None
    assert float(answer.head["maximum"]) == whole[40:50, 3:9].max()
    assert (answer.head["rows"], answer.head["columns"], answer.head["factor"]) == ([40, 50], [3, 9], [1, 1])


def test_one_axis_and_none():
    scene = scene_of("gpt2-tiny")
    whole = array_of("gpt2-tiny", scene, "logits")
    row = asked("gpt2-tiny", "window", scene=scene, address="logits", index=[0, 2, None])
    assert np.array_equal(row.arrays["values"], whole[0, 2][None])
    assert row.head["column_labels"][:2] == [" ", "!"] or len(row.head["column_labels"]) == 96
    column = asked("gpt2-tiny", "window", scene=scene, address="logits", index=[0, None, 7])
    assert np.array_equal(column.arrays["values"], whole[0, :, 7][None])
    assert column.head["column_labels"] == list("Hello")
    one = asked("gpt2-tiny", "window", scene=scene, address="loss", index=[])
    assert one.arrays["values"].shape == (1, 1)


def test_labels_are_those_of_the_tokens_shown():
    scene = scene_of("original-tiny")
    head = asked(
        "original-tiny",
        "window",
        scene=scene,
        address="blocks.0.cross.weights",
        index=[0, 1, None, None],
        rows=[1, 4],
        columns=[2, 7],
    ).head
    assert (head["row_labels"], head["column_labels"]) == (list("ell"), list("njour"))
    heads = asked(
        "original-tiny", "window", scene=scene, address="blocks.0.attn.weights", index=[0, None, 1, None]
    ).head
    assert heads["row_labels"] is None and heads["column_labels"] == list("Hello")


def naive(matrix, factors, way):
    """Every cell by itself."""
    rows, columns = (range(0, size, f) for size, f in zip(matrix.shape, factors, strict=True))
    return np.array([[cell(matrix[r : r + factors[0], c : c + factors[1]], way) for c in columns] for r in rows])


def cell(block, way):
    shown = block[~np.isneginf(block)].astype(np.float64)
    if not shown.size:
        return -np.inf
    if np.isnan(shown).any():
        return np.nan
    if way == "mean":
        return np.float32(shown.mean())
    low, high = shown.min(), shown.max()
    return low if abs(low) > abs(high) else high


@given(
    st.tuples(st.integers(1, 23), st.integers(1, 23)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(["extreme", "mean"]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_pooling_against_one_cell_at_a_time(shape, factors, way, seed, across):
    random_ = np.random.default_rng(seed)
    matrix = random_.standard_normal(shape[::-1] if across else shape).astype(np.float32)
    matrix = matrix.T if across else matrix
    matrix = np.where(random_.random(shape) < 0.2, random_.choice([-np.inf, np.inf, np.nan, 0], shape), matrix)
    if way == "mean":
        matrix[np.isposinf(matrix)] = 3
    matrix = matrix.astype(np.float32)
    got = pooled(matrix, factors, way)
    assert got.dtype == np.float32
    assert np.allclose(got, naive(matrix, factors, way), rtol=1e-6 if way == "mean" else 0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int64, np.bool_])
def test_pooling_other_types(dtype):
    matrix = (np.random.default_rng(0).standard_normal((40, 30)) * 3).astype(dtype)
    assert np.array_equal(pooled(matrix, (7, 4), "extreme"), naive(matrix.astype(np.float32), (7, 4), "extreme"))


def test_strips_join_without_a_seam(monkeypatch):
    matrix = np.random.default_rng(0).standard_normal((101, 30)).astype(np.float32)
    whole = pooled(matrix, (7, 4), "extreme")
    monkeypatch.setattr("byhand.explorer.pooling.AT_ONCE", 500)
    assert np.array_equal(pooled(matrix, (7, 4), "extreme"), whole)


def test_a_pooled_window_says_how_many_numbers_a_cell_stands_for():
    scene = scene_of("gpt2-tiny")
    whole = array_of("gpt2-tiny", scene, "token.weight")
    answer = asked("gpt2-tiny", "window", scene=scene, address="token.weight", index=[None, None], height=10, width=9)
    assert answer.head["factor"] == [10, 4]
    assert np.array_equal(answer.arrays["values"], naive(whole, (10, 4), "extreme"))
    assert "texts" not in answer.head and answer.head["row_labels"] is None
    assert (float(answer.head["minimum"]), float(answer.head["maximum"])) == (whole.min(), whole.max())


def test_masked_scores_are_counted_and_do_not_hide_others():
    scene = scene_of("gpt2-tiny")
    whole = array_of("gpt2-tiny", scene, "blocks.0.attn.masked")[0, 1]
    window = {"scene": scene, "address": "blocks.0.attn.masked", "index": [0, 1, None, None]}
    head = asked("gpt2-tiny", "window", **window).head
    assert head["masked"] == np.isneginf(whole).sum() == 10
    assert float(head["minimum"]) == whole[np.isfinite(whole)].min()
    small = asked("gpt2-tiny", "window", **window, height=2, width=2).arrays["values"]
    assert np.array_equal(small, naive(whole, (3, 3), "extreme"))
    assert np.isneginf(small).sum() < 2


# --- two scenes -------------------------------------------------------------------------------------------------


def test_the_second_scene_and_the_difference():
    scene = scene_of("gpt2-tiny")
    other = edited(scene, edit("blocks.0.attn.heads", [0, None, 1, None]))
    address, index = "blocks.1.attn.scores", [0, 2, None, None]
    a, b = (array_of("gpt2-tiny", each, address)[0, 2] for each in (scene, other))
    window = {"scene": scene, "other": other, "address": address, "index": index}
    shown = {part: asked("gpt2-tiny", "window", part=part, **window) for part in ("a", "b", "difference")}
    assert np.array_equal(shown["a"].arrays["values"], a)
    assert np.array_equal(shown["b"].arrays["values"], b)
    assert np.array_equal(shown["difference"].arrays["values"], b - a)
    assert (b - a).any()
    assert shown["difference"].head["bits"][1][0] == f"{(b - a)[1, 0].view('u4'):08x}"
    one = asked("gpt2-tiny", "cell", part="difference", **{**window, "index": [0, 2, 3, 1]}).head
    assert float(one["text"]) == float(str(b[3, 1] - a[3, 1])) and one["labels"] == {"T": "l", "S": "e"}


def test_the_difference_of_masked_places_is_masked_or_nothing():
    scene = scene_of("gpt2-tiny")
    other = edited(scene, edit("blocks.0.attn.q.weight", [None, 1, None]))
    head = asked(
        "gpt2-tiny",
        "window",
        scene=scene,
        other=other,
        part="difference",
        address="blocks.0.attn.masked",
        index=[0, 1, None, None],
    ).head
    assert head["texts"][0][1] == "nan" and head["texts"][1][0] != "nan"


@pytest.mark.parametrize(
    ("change", "error", "line"),
    [
        ({"part": "b"}, InputError, "needs an other scene"),
        ({"other": {"text": "Hi"}, "part": "difference"}, InputError, "texts of equal length"),
        ({"other": {"text": "Hi"}, "part": "c"}, InputError, "one of a, b, difference"),
        ({"address": "nowhere"}, AddressError, "no value 'nowhere'"),
        ({"address": "d:logits"}, InputError, "no gradient"),
        ({"index": [0, None]}, InputError, "4 places"),
        ({"index": [None, None, None, 0]}, InputError, "at most two axes"),
        ({"index": [0, 9, None, None]}, AddressError, "out of range"),
        ({"rows": [3, 3]}, InputError, "within 0 and 5"),
        ({"rows": [0, 6]}, InputError, "within 0 and 5"),
        ({"rows": [0]}, InputError, "within 0 and 5"),
        ({"columns": ["0", 1]}, InputError, "whole numbers"),
        ({"height": 5000}, InputError, "1 to 4096"),
        ({"height": 4000, "width": 4000}, InputError, "cells in all"),
        ({"pool": "best"}, InputError, "one of extreme, mean"),
    ],
)
def test_what_is_refused(change, error, line):
    window = {"scene": scene_of("gpt2-tiny"), "address": "blocks.0.attn.weights", "index": [0, 1, None, None]}
    with pytest.raises(error, match=line) as caught:
        asked("gpt2-tiny", "window", **window | change)
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)


# --- figures of whole values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_figures_against_numpy(name):
    scene = scene_of(name)
    addresses = [each["address"] for each in asked(name, "outline", scene=scene).head["entries"]]
    found = {}
    for start in range(0, len(addresses), 64):
        found |= asked(name, "stats", scene=scene, addresses=addresses[start : start + 64]).head["stats"]
    for address in addresses:
        array, figures = array_of(name, scene, address), found[address]
        finite = array[np.isfinite(array)].astype(np.float64)
        assert float(figures["minimum"]) == float(str(array[np.isfinite(array)].min() + 0)), address
        assert float(figures["maximum"]) == float(str(array[np.isfinite(array)].max() + 0)), address
        assert float(figures["mean"]) == pytest.approx(finite.mean(), rel=1e-6, abs=1e-12), address
        counts = np.isnan(array).sum(), np.isinf(array).sum(), (array == 0).sum(), array.size
        assert tuple(figures[each] for each in ("nan", "infinite", "zero", "size")) == counts, address


def test_figures_of_a_value_in_parts(monkeypatch):
    monkeypatch.setattr("byhand.weights.AT_ONCE", 64)
    test_figures_against_numpy("gpt2-tiny")


def test_random_cells_have_their_bits():
    chance = random.Random(5)
    for name in ("gpt2-tiny", "llama-tiny", "original-tiny", "aab"):
        scene = scene_of(name)
        addresses = [each["address"] for each in asked(name, "outline", scene=scene).head["entries"]]
        for _ in range(40):
            array = array_of(name, scene, address := chance.choice(addresses))
            index = [chance.randrange(size) for size in array.shape]
            head = asked(name, "cell", scene=scene, address=address, index=index).head
            stored = array[tuple(index)]
            assert head["bits"] == f"{int(stored.view(f'u{stored.itemsize}')):0{2 * stored.itemsize}x}"
            assert head["value"] == (float(stored) if np.isfinite(stored) else None)


# --- weights that do not lie plain in memory --------------------------------------------------------------------


def test_a_window_of_a_weight_reads_only_that_part(monkeypatch):
    made = byhand.load("gpt2-tiny", seed=1)
    plain = {address: np.array(made.weights[address]) for address in made.weights}
    own = Session(byhand.make(made.family, made.config, plain, tokenizer=made.tokenizer, name="plain"))
    looked = []
    monkeypatch.setattr(Session, "look", lambda self, scene, address, job=None: looked.append(address))
    window = {"scene": {"text": "Hello"}, "address": "token.weight", "index": [None, None], "rows": [4, 9]}
    assert np.array_equal(own.handle("window", window).arrays["values"], plain["token.weight"][4:9])
    assert looked == []


@pytest.fixture(scope="module", params=["q8", "q4", "bf16"])
def loaded(request, tmp_path_factory):
    """A model whose weights lie in a file, in blocks or in another type."""
    config = byhand.load("llama-tiny").config
    made = byhand.make(byhand.load("llama-tiny").family, config, seed=2)
    return byhand.load(made.save(tmp_path_factory.mktemp("file") / "m.gguf", format="gguf", dtype=request.param))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_files(loaded, dtype):
    own = Session(loaded)
    scene = {"tokens": [1, 2, 3, 4], "dtype": dtype}
    chance = random.Random(0)
    run = own.run(read_scene(scene))
    for address in loaded.weights:
        array = run.look(address)
        window = {"scene": scene, "address": address, "index": two_axes(array.shape)}
        whole = np.atleast_2d(array[tuple(slice(None) if i is None else i for i in window["index"])])
        assert np.array_equal(own.handle("window", window).arrays["values"], whole), address
        small = own.handle("window", {**window, "height": 3, "width": 5})
        assert np.array_equal(small.arrays["values"], naive(whole.astype(np.float32), small.head["factor"], "extreme"))
        assert small.head["dtype"] == whole.dtype.name
        assert small.head["maximum"] == number(whole.max()), address
        for _ in range(3):
            rows, columns = (sorted(chance.sample(range(size + 1), 2)) for size in whole.shape)
            part = own.handle("window", {**window, "rows": rows, "columns": columns}).arrays["values"]
            assert np.array_equal(part, whole[slice(*rows), slice(*columns)]), address
            index = [chance.randrange(size) for size in array.shape]
            one = own.handle("cell", {"scene": scene, "address": address, "index": index}).head
            assert one["value"] == float(array[tuple(index)]), address


@pytest.mark.parametrize("loaded", ["q8", "q4"], indirect=True)
def test_a_part_of_a_weight_in_blocks_makes_only_its_rows(loaded, monkeypatch):
    own, made = Session(loaded), []
    assert isinstance(loaded.weights.sources["token.weight"], Quantized)
    whole = loaded.weights["token.weight"]
    own.run(read_scene({"tokens": [1]}))
    real = blocks.numbers_of
    monkeypatch.setattr(blocks, "numbers_of", lambda kind, rows: made.append(len(rows)) or real(kind, rows))
    window = {"scene": {"tokens": [1]}, "address": "token.weight", "index": [None, None], "rows": [5, 9]}
    assert np.array_equal(own.handle("window", window).arrays["values"], whole[5:9])
    assert made == [4]

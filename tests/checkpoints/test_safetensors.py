"""safetensors: the library's files are read, ours are read by the library, and a damaged header is one line."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy as library
from safetensors import safe_open

from byhand.checkpoints.files import safetensors
from byhand.errors import InputError

from ..small_models import same_bits
from .folders import write_arrays

rng = np.random.default_rng(0)
ARRAYS = {
    "matrix": rng.standard_normal((3, 5)),
    "single": rng.standard_normal((7,)).astype(np.float32),
    "half": rng.standard_normal((2, 3, 1)).astype(np.float16),
    "brain": rng.standard_normal((5,)).astype(ml_dtypes.bfloat16),
    "number": np.array(2.5, np.float32),
    "none": np.zeros((0, 4), np.float32),
}
BUFFERS = {"mask": np.tri(3, dtype=bool), "ids": np.arange(4), "bytes": np.arange(9, dtype=np.uint8)}


def header(fields, data=b"\0" * 16) -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_the_librarys_files(tmp_path):
    path = tmp_path / "x.safetensors"
    library.save_file(ARRAYS | BUFFERS, path, {"format": "pt"})
    found = safetensors.read(path)
    assert found.keys() == (ARRAYS | BUFFERS).keys()
    for name, array in (ARRAYS | BUFFERS).items():
        assert same_bits(found[name], array), name
        assert not found[name].flags.writeable or not array.size


def test_our_files_in_the_library(tmp_path):
    write_arrays(tmp_path, ARRAYS)
    found = library.load_file(tmp_path / "model.safetensors")
    assert found.keys() == ARRAYS.keys() and all(same_bits(found[name], array) for name, array in ARRAYS.items())
    with safe_open(tmp_path / "model.safetensors", "numpy") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_what_is_not_contiguous_is_written_in_order(tmp_path):
    turned = {"t": np.arange(6.0).reshape(2, 3).T, "big": np.arange(3, dtype=">f8"), "step": np.arange(9.0)[::2]}
    plans = [safetensors.Planned(n, np.dtype("f8"), a.shape, lambda a=a: [a]) for n, a in turned.items()]
    safetensors.write(tmp_path, plans)
    found = library.load_file(tmp_path / "model.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in turned.items())


def test_shards(tmp_path):
    write_arrays(tmp_path, ARRAYS, shard=50)
    files = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    index = json.loads((tmp_path / safetensors.INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in ARRAYS.values())
    found = safetensors.read_sharded(tmp_path / safetensors.INDEX)
    assert all(same_bits(found[name], array) for name, array in ARRAYS.items())


def test_one_array_at_a_time_is_written(tmp_path, peak):
    size = 1 << 20
    plans = [
        safetensors.Planned(str(i), np.dtype("u1"), (size,), lambda: [np.zeros(size, np.uint8)]) for i in range(20)
    ]
    with peak() as used:
        safetensors.write(tmp_path, plans, shard=5 * size)
    assert used() < 3 * size


DAMAGED = {
    "seven bytes": (b"\x10\0\0\0\0\0\0", "has 7 bytes"),
    "zeros": (bytes(100), "is no JSON|no JSON"),
    "over-long header": ((10**9).to_bytes(8, "little") + b"{}", "says its header has 1000000000 bytes"),
    "endless header": (b"\xff" * 8 + b"{}", "says its header has"),
    "no JSON": (header(b'{"a":'), "no JSON"),
    "a list": (header([1]), "an object"),
    "no UTF-8": (header(b'{"\xff":1}'), "no UTF-8"),
    "deep": (header(b'{"a":' * 50_000), "no JSON"),
    "a long number": (header(b'{"a":' + b"9" * 9999 + b"}"), "no JSON"),
    "twice": (header(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2)), "'a' twice"),
    "twice among many": (header(b"{" + b",".join(b'"%d":1' % (n % 80_000) for n in range(80_001)) + b"}"), "'0' twice"),
    "a name of two lines": (header({"a\nbyhand: error: b": entry()}), "names are short texts in one line"),
    "a name that colours": (header({"\x1b[31m": entry()}), "names are short texts"),
    "a long name": (header({"a" * 201: entry()}), "names are short texts"),
    "dtype twice": (header(b'{"a":{"dtype":"F32","dtype":"F16"}}'), "'dtype' twice"),
    "no dtype": (header({"a": {"shape": [4], "data_offsets": [0, 16]}}), "needs dtype"),
    "more": (header({"a": entry() | {"strides": [1]}}), "needs dtype"),
    "not an object": (header({"a": 3}), "needs dtype"),
    "wrong dtype": (header({"a": entry("F31")}), "dtype 'F31'"),
    "float 8": (header({"a": entry("F8_E4M3", (16,))}), "convert the file first"),
    "dtype no text": (header({"a": entry(["F32"])}), "dtype"),
    "negative size": (header({"a": entry(shape=(-4,))}), "shape \\[-4\\]"),
    "half a size": (header({"a": entry(shape=(4.0,))}), "shape \\[4.0\\]"),
    "true": (header({"a": entry(shape=(True,))}), "shape"),
    "too many": (header({"a": entry(shape=(2**61, 0, 9), offsets=(0, 0))}), "which no array has"),
    "one offset": (header({"a": entry(offsets=(0,))}), "data_offsets"),
    "three offsets": (header({"a": entry(offsets=(0, 8, 16))}), "data_offsets"),
    "wrong product": (header({"a": entry(shape=(5,))}), "needs 20 bytes, but its data_offsets leave 16"),
    "backwards": (header({"a": entry(offsets=(16, 0))}), "leave -16"),
    "overlap": (header({"a": entry(shape=(3,), offsets=(0, 12)), "b": entry(shape=(2,), offsets=(8, 16))}), "overlap"),
    "same place": (header({"a": entry(), "b": entry()}), "overlap"),
    "hole": (header({"a": entry(shape=(1,), offsets=(0, 4)), "b": entry(shape=(1,), offsets=(12, 16))}), "hole"),
    "late": (header({"a": entry(shape=(3,), offsets=(4, 16))}), "hole"),
    "cut off": (header({"a": entry()}, b"\0" * 15), "cut off"),
    "more bytes": (header({"a": entry()}, b"\0" * 17), "unknown bytes"),
    "metadata": (header({"__metadata__": {"a": 1}, "a": entry()}), "__metadata__"),
}


@pytest.mark.parametrize(("data", "says"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_headers(tmp_path, data, says):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        safetensors.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value) and len(str(caught.value)) < 500


def test_the_library_agrees_on_what_is_damaged(tmp_path):
    """It lets through a type that we lack, names that no line can show, and what stands there too often."""
    accepted = []
    for number, (name, (data, _)) in enumerate(DAMAGED.items()):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(data)
        try:
            with safe_open(path, "numpy"):
                accepted.append(name)
        except Exception:
            continue
    assert set(accepted) <= {"float 8", "more", "twice", "dtype twice"} | {each for each in DAMAGED if "name" in each}


# --- an index ------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path):
    write_arrays(tmp_path, ARRAYS, shard=50)
    path = tmp_path / safetensors.INDEX

    def changed(**places):
        found = json.loads(path.read_text())
        found["weight_map"] |= places
        path.write_text(json.dumps(found))
        return path

    return changed


def refused(path, says):
    with pytest.raises(InputError, match=says) as caught:
        safetensors.read_sharded(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file", ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", "a\\b.safetensors"]
)
@pytest.mark.parametrize("more", ["", "C:x.safetensors", "x.txt", 3, None, ["a"]])
def test_shards_stay_in_the_folder(index, file, more):
    refused(index(matrix=more or file), "a .safetensors file of this folder belongs there")


def test_shards_that_do_not_belong(tmp_path, index):
    path = index()
    files = sorted(tmp_path.glob("*.safetensors"))
    where = json.loads(path.read_text())["weight_map"]
    other = next(file.name for file in files if file.name != where["brain"])
    refused(index(brain=other), f"holds brain, but .* lies in {other}|lacks brain")
    refused(index(brain=where["brain"], more=where["brain"]), "lacks more")
    index(more=where["brain"])
    text = json.loads(path.read_text())
    del text["weight_map"]["brain"]
    path.write_text(json.dumps(text))
    refused(path, "holds brain, but model.safetensors.index.json says that it lies nowhere")
    files[0].unlink()
    refused(path, f"lists {files[0].name}, which is not in")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "\0" * 9])
def test_a_damaged_index(tmp_path, text):
    (tmp_path / "i.json").write_text(text)
    refused(tmp_path / "i.json", "i.json")

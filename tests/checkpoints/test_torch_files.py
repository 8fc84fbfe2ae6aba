"""Files of torch.save: read where they lie, and nothing that they ask for is run."""

import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from byhand.checkpoints.files import torch_files
from byhand.errors import InputError

from ..small_models import same_bits
from . import torch_writer as w

FORMS = {"zip": w.zipped, "stream": w.streamed}


@pytest.fixture(params=[False, True], ids=["zip", "stream"])
def legacy(request):
    return request.param


def refused(path: Path, data: bytes, says: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        torch_files.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_arrays_are_views_of_the_file(tmp_path, legacy):
    path = w.save(tmp_path / "x.pt", w.arrays(), legacy)
    found = torch_files.read(path)
    assert found.keys() == w.arrays().keys()
    for name, array in w.arrays().items():
        assert same_bits(found[name], array), name
        assert not array.size or not (found[name].flags.writeable or found[name].flags.owndata)
    assert found["turned"].strides == w.arrays()["turned"].strides


def test_tied_tensors_are_one_place(tmp_path, legacy):
    table = np.arange(6.0)
    found = torch_files.read(w.save(tmp_path / "x.pt", {"wte": table, "head": table}, legacy))
    assert found["wte"].ctypes.data == found["head"].ctypes.data


def test_values_around_the_arrays(tmp_path, legacy):
    beside = {"iter_num": 3, "best": 1.5, "args": {"bias": True, "none": None}, "betas": [0.9, (1, 2**40)], "name": "é"}
    found = torch_files.read(w.save(tmp_path / "x.pt", {"a": np.ones(2)}, legacy, **beside))
    assert found.keys() == {"model", *beside}
    assert {name: found[name] for name in beside} == beside


def test_pickles_of_every_protocol(tmp_path):
    value = {"a": [1, -1, 2**70, 0.5, "ü" * 300, b"x", b"y" * 300, None, True], "b": {"c": (1, 2, 3, 4)}, "d": []}
    value["again"] = value["a"]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        body = pickle.dumps(value, protocol)
        if protocol == 2:  # which writes bytes as a call of _codecs.encode
            body = pickle.dumps(value | {"a": value["b"], "again": 1}, 2)
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr("archive/data.pkl", body)
        assert torch_files.read(tmp_path / "x.pt") == pickle.loads(body)


# --- malicious -----------------------------------------------------------------------------------------------------


class Evil:
    """Pickles as a call of whatever it is given."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def evil_pickles(target: Path) -> dict[str, bytes]:
    touch = f"open({str(target)!r}, 'w').close()"
    made = {
        "posix.system": pickle.dumps(Evil(os.system, (f"touch {target}",)), 2)[2:-1],
        "builtins.eval": pickle.dumps(Evil(eval, (touch,)), 4)[2:-1],
        "__builtin__.exec": pickle.dumps({"a": [Evil(exec, (touch,))]}, 2)[2:-1],
        "builtins.getattr": pickle.dumps(Evil(getattr, (Evil(__import__, ("os",)), "system")), 4)[2:-1],
        "builtins.__import__": w.name("builtins", "__import__") + w.many(w.text("os")) + b"R",
        "os.system": w.text("os") + w.text("system") + b"\x93" + w.many(w.text(f"touch {target}")) + b"R",
        "subprocess.Popen": w.name("subprocess", "Popen") + w.many(w.text("true")) + b"\x81",
        "torch.load": w.name("torch", "load") + w.many(w.text("x")) + b"R",
        "collections.OrderedDict.__class__": w.name("collections", "OrderedDict.__class__") + b")R",
    }
    made["__builtin__.eval"] = w.name("__builtin__", "eval") + w.many(w.text(touch)) + b"R"
    return made


@pytest.mark.parametrize("named", evil_pickles(Path("x")))
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_run(tmp_path, form, named):
    target = tmp_path / "was run"
    body = evil_pickles(target)[named]
    first = "builtins.__import__" if named == "builtins.getattr" else named
    refused(tmp_path / "x.pt", FORMS[form](body, {}), f"asks to call '({first}|nt.system)'")
    assert not target.exists()


@pytest.mark.parametrize(
    "body",
    [
        w.name("collections", "OrderedDict") + b")R" + b"}" + w.text("__class__") + b"Nsb",  # BUILD of attributes
        w.name("os", "system") + b"}" + w.text("_metadata") + b"Nsb",  # BUILD of a name
        b"K\x01" + b")R",  # REDUCE of a number
        b"]" + w.many(w.text("x")) + b"R",
        b"}" + b"]" + b"K\x01s",  # a key that is a list
        b"}" + w.many(b"K\x01") + b"K\x01s",  # a key whose hash could be made slow
        b"}(K\x01u",
        b"0" * 9,
        b"h\x05",
        b"\x82\x01",  # EXT1
        b"i",
        b"P0\n",
        b"\x97",
        w.storage("Float", "0", 4),  # a storage that stands alone
        w.many(w.text("module"), b"K\x01") + b"Q",
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_strange_instructions(tmp_path, form, body):
    (tmp_path / "x.pt").write_bytes(FORMS[form](body, {}))
    try:
        assert isinstance(torch_files.read(tmp_path / "x.pt"), torch_files.Storage)
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "bomb",
    [
        b"]" + b"q\x00h\x00" * 300_000,
        b"]" * 3_000_000,
        b"N" * 1_000_000,
        b"]r\xff\xff\xff\xff" + b"K\x01" * 1_000_000,
        b"X\xff\xff\xff\x7f" + b"x" * 100,
        b"\x8e" + b"\xff" * 8,
        b"".join(b"(" + b"h%c" % i * 10 + b"tq%c" % (i + 1) for i in range(1, 200)),
        b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(200)),  # 2**200 leaves, all one
        b"(" * 1_000_000,
        b"]" * 90_000 + b"a" * 89_999,  # lists in lists
        b"\x8a\xff" + b"\x01" * 255,
    ],
    ids=range(11),
)
def test_bombs_stay_small_and_quick(tmp_path, bomb, peak):
    (tmp_path / "x.pt").write_bytes(w.zipped(bomb, {}))
    with peak() as used:
        try:
            torch_files.read(tmp_path / "x.pt")
        except InputError as error:
            assert len(str(error)) < 500
    assert used() < 2 * (tmp_path / "x.pt").stat().st_size + (1 << 20)


# --- damaged -------------------------------------------------------------------------------------------------------

FLOATS = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (w.tensor(w.storage("Float", "0", 12), (3, 5), (5, 1)), "reaches beyond its storage of 12"),
        (w.tensor(w.storage("Float", "0", 12), (3, 4), (4, 1), 1), "reaches beyond"),
        (w.tensor(w.storage("Float", "0", 12), (3, 4), (5, 1)), "reaches beyond"),
        (w.tensor(w.storage("Float", "0", 12), (2**40,), (0,)), "reaches beyond"),
        (w.tensor(w.storage("Float", "0", 12), (3, 4), (4, -1)), "strides"),
        (w.tensor(w.storage("Float", "0", 12), (3, -4), (4, 1)), "no array has"),
        (w.tensor(w.storage("Float", "0", 12), (0, 2**63), (4, 1)), "no array has"),
        (w.tensor(w.storage("Float", "0", 12), (3, 4), (4, 1), -1), "offset -1"),
        (w.tensor(w.storage("Float", "0", 12), (3, 4), (4,)), "strides"),
        (w.tensor(w.storage("Double", "0", 12), (3, 4), (4, 1)), "need 96|has 12 numbers|should lie at"),
        (w.tensor(w.storage("Float", "0", 13), (3, 4), (4, 1)), "need 52|has 12 numbers"),
        (w.tensor(w.storage("Float", "0", -1), (0,), (1,)), "described wrongly"),
        (w.tensor(w.storage("ComplexFloat", "0", 12), (3, 4), (4, 1)), "ComplexFloatStorage, which weights are not"),
        (w.tensor(w.text("x"), (3, 4), (4, 1)), "described wrongly"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_tensors_that_do_not_fit(tmp_path, form, made, says):
    refused(tmp_path / "x.pt", FORMS[form](made, {"0": FLOATS}), says)


def test_damaged_archives(tmp_path):
    path = tmp_path / "x.pt"
    body = w.tensor(w.storage("Float", "0", 12), (12,), (1,))
    good = w.zipped(body, {"0": FLOATS})
    refused(path, good[: len(good) // 2], "damaged zip archive")
    refused(path, good[:60], "damaged zip archive")
    refused(path, w.zipped(body, {}), "lacks its part data/0")
    refused(path, w.zipped(body, {"0": FLOATS}, method=zipfile.ZIP_DEFLATED), "compressed")
    refused(path, good.replace(b"data.pkl", b"dada.pkl"), "without data.pkl")
    refused(path, good.replace(b"byteorder", b"byteordes").replace(b"little", b"big"), "damaged|is no|at")
    refused(path, b"", "is empty")
    refused(path, bytes(1000), "is no file of torch.save")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", w.START + b"N.")
        archive.writestr("b/data.pkl", w.START + b"N.")
    refused(path, path.read_bytes(), "two parts of one name")


def test_other_byte_order(tmp_path):
    good = w.zipped(b"N", {})
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a/data.pkl", w.START + b"N.")
        archive.writestr("a/byteorder", "big")
    refused(tmp_path / "x.pt", (tmp_path / "x.pt").read_bytes(), "byte order b'big'")
    (tmp_path / "x.pt").write_bytes(good)
    assert torch_files.read(tmp_path / "x.pt") is None


def test_damaged_streams(tmp_path):
    path = tmp_path / "x.pt"
    body = w.tensor(w.storage("Float", "0", 12, b"N"), (12,), (1,))
    good = w.streamed(body, {"0": FLOATS})
    refused(path, good[:-1], "should lie at")
    refused(path, good[:200], "cannot be read")
    refused(path, w.streamed(body, {"0": FLOATS}, ["0", "0"]), "list of its storages")
    refused(path, w.streamed(body, {"0": FLOATS}, ["0", "1"]), "that no tensor uses")
    refused(path, w.streamed(body, {}), "lacks storage '0'")
    refused(path, w.streamed(body, {"0": FLOATS[:5]}), "has 5 numbers, its tensors say 12")
    refused(path, good.replace(struct.pack("<q", 12), struct.pack("<q", -12)), "has -12 numbers")
    assert sys.byteorder == "little"


def test_a_pointer_is_named(tmp_path):
    refused(tmp_path / "x.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-LFS pointer")

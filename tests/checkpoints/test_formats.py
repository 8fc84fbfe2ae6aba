"""The registry: every file is told by its content; what is none of ours is named; nothing half written stays."""

import errno
import io
import os
import tarfile

import numpy as np
import pytest

import byhand
from byhand import checkpoints
from byhand.checkpoints.files.saving import beside
from byhand.errors import ByhandError, InputError

from . import torch_writer
from .folders import hugging_face, model

PARTS = model("aab-gpt2")


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(3))
    return file.getvalue()


def pth(body: bytes = b"N") -> bytes:
    return torch_writer.zipped(body, {})


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 548105171\n"
FILES = {
    "empty": (b"", "is empty"),
    "zeros": (bytes(3000), "filled with zeros"),
    "pointer": (POINTER, "git-LFS pointer.*git lfs pull"),
    "npz": (npz(), "NumPy archive"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    "model.onnx": (b"\x08\x07\x12\x07pytorch" + bytes(99), "ONNX"),
    "ggml": (b"tjgg\x03\0\0\0" + bytes(50), "before GGUF"),
    "html": (b"\n<!DOCTYPE html><html>", "web page"),
    "json": (b'{"a": 1}', "JSON file; name the folder"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "gzip"),
    "tar": (tar(), "tar archive"),
    "pickle": (b"\x80\x04K\x01.", "pickle that torch.save did not write"),
    "pth": (pth(), "torch.save without a config"),
    "bad pth": (pth()[:100], "damaged zip archive"),
    "evil pth": (pth(torch_writer.name("os", "system") + b")R"), "asks to call 'os.system'"),
    "text": (b"hello there, this is a text", "no model of a known format"),
}


@pytest.mark.parametrize(("data", "says"), FILES.values(), ids=FILES)
def test_files_that_are_no_model(tmp_path, data, says, request):
    path = tmp_path / request.node.callspec.id
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        checkpoints.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "an empty folder"),
        ({"config.json": b"{}"}, "config.json but no weights"),
        ({"params.json": b"{}"}, "params.json but no weights"),
        ({"config.json": b"{}", "tf_model.h5": b"x"}, "weights for TensorFlow only"),
        ({"config.json": b"{}", "flax_model.msgpack": b"x"}, "weights for Flax only"),
        ({"readme.txt": b"x"}, "without a model: it holds readme.txt"),
        ({"config.json": b'{"model_type": "gpt2"}', "model.safetensors": POINTER}, "git-LFS pointer"),
        ({"config.json": b"{}", "pytorch_model.bin": b""}, "is empty"),
        ({"config.json": b'{"model_type": "t5"}', "pytorch_model.bin": pth(b"}X\1\0\0\0aNs")}, "'a' is a NoneType"),
    ],
)
def test_folders_that_are_no_model(tmp_path, files, says):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says):
        checkpoints.read(tmp_path)


def test_a_folder_inside(tmp_path):
    hugging_face(tmp_path / "inner")
    with pytest.raises(InputError, match="perhaps you mean .*inner"):
        checkpoints.read(tmp_path)
    with pytest.raises(InputError, match="there is nothing at"):
        checkpoints.read(tmp_path / "none")


@pytest.mark.parametrize("format", ["byhand", "hf"])
def test_each_format_is_recognised(tmp_path, format):
    PARTS.save(tmp_path / "m", format=format)
    assert checkpoints.recognise(tmp_path / "m").NAME == format == checkpoints.read(tmp_path / "m").format


def test_every_format_has_its_parts():
    for name, module in checkpoints.known().items():
        assert name == module.NAME and module.TITLE and callable(module.recognise) and callable(module.read)
    assert {"byhand", "hf"} <= set(checkpoints.writable()) and "meta" not in checkpoints.writable()


# --- saving --------------------------------------------------------------------------------------------------------


def refused(says, path, **how):
    before = {each: each.stat().st_mtime_ns for each in path.parent.rglob("*")} if path.parent.is_dir() else {}
    with pytest.raises(ByhandError, match=says) as caught:
        PARTS.save(path, **how)
    assert "\n" not in str(caught.value)
    if before:
        assert {each: each.stat().st_mtime_ns for each in path.parent.rglob("*")} == before


def test_what_cannot_be_saved(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    refused("exists; name another place, or replace it with force", tmp_path / "there")
    refused("holds other things than a model .letter.txt., so it is not replaced", tmp_path / "there", force=True)
    refused("exists; name another", tmp_path / "file")
    refused("there is no folder", tmp_path / "a/b")
    refused("format 'tf' is unknown; byhand writes byhand", tmp_path / "m", format="tf")
    refused("format 'meta' is read only", tmp_path / "m", format="meta")
    refused("dtype 'q8_0' is none that hf can hold; use one of f64, f32", tmp_path / "m", format="hf", dtype="q8_0")


def test_force_replaces_a_model_and_a_file(tmp_path):
    PARTS.save(tmp_path / "m")
    (tmp_path / "m/vocab.txt").write_text("x")
    byhand.load("gpt2-tiny").save(tmp_path / "m", format="hf", force=True)
    assert byhand.load(tmp_path / "m").config.width == 32
    assert {each.name for each in (tmp_path / "m").iterdir()} >= {"config.json"}
    assert not (tmp_path / "m/vocab.txt").exists()
    (tmp_path / "file").write_text("x")
    PARTS.save(tmp_path / "file", force=True)
    assert (tmp_path / "file").is_dir() and len(list(tmp_path.iterdir())) == 2


def test_a_model_may_replace_its_own_files(tmp_path):
    PARTS.save(tmp_path / "m")
    byhand.load(tmp_path / "m").save(tmp_path / "m", force=True)
    assert byhand.load(tmp_path / "m").config == PARTS.config


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("format", ["byhand", "hf"])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, format, force):
    """Nothing is left of what was written, and what was there stays."""
    if force:
        PARTS.save(tmp_path / "m", format=format)
    kept = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot write .*No space left on device; nothing was written") as caught:
        byhand.load("gpt2-tiny").save(tmp_path / "m", format=format, force=force)
    assert "\n" not in str(caught.value)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == kept


def test_what_was_there_comes_back(tmp_path, monkeypatch):
    """The old folder has been moved aside when the new one cannot be put in its place."""
    PARTS.save(tmp_path / "m")
    kept = (tmp_path / "m/byhand.json").read_bytes()

    def broken(self, target):
        raise OSError(errno.EIO, "the cable is out")

    monkeypatch.setattr("pathlib.Path.replace", broken)
    with (
        pytest.raises(InputError, match="the cable is out; nothing was written"),
        beside(tmp_path / "m", force=True) as new,
    ):
        new.mkdir()
    assert (tmp_path / "m/byhand.json").read_bytes() == kept and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        checkpoints.read(tmp_path / "pipe")


def test_too_little_room_is_seen_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100})())
    refused("needs [0-9,]+ bytes, but its disk has 100 free", tmp_path / "m")


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PARTS.save(tmp_path / "m", progress=stop)
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_byte(tmp_path):
    seen = []
    PARTS.save(tmp_path / "m", progress=lambda what, done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] == sum(each.nbytes for each in PARTS.weights.values())


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with beside(tmp_path / "x") as new:
        new.write_text("x")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode

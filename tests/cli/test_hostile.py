"""Files, names and values made to harm: one printable line, exit code 2, nothing lost, nothing waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from io import BytesIO
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from rich.console import Group
from rich.text import Text

import byhand
from byhand import tokenizer
from byhand.checkpoints.files import torch_files
from byhand.checkpoints.files.saving import beside
from byhand.checkpoints.files.torch_files import looks_like
from byhand.cli import called, show
from byhand.compare.dump import read_npz
from byhand.errors import ByhandError, InputError

from ..checkpoints import torch_writer
from ..tokenizer.made import FORMS, gpt2, put

KILLED = """
import os, signal, sys
from byhand import cli
from byhand.checkpoints.formats import own
own.write = lambda parts, path, progress: (path.mkdir(), os.kill(os.getpid(), signal.SIGTERM), path.rmdir())
cli.main(["convert", "gpt2-tiny", sys.argv[1]])
"""


@pytest.fixture
def model():
    return byhand.load("gpt2-tiny")


def refused(words: list[str], capsys) -> str:
    """The one line with which a command ends."""
    assert called(words) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("byhand: error: ") and err.rstrip("\n").isprintable(), err
    return err


# --- what is no file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.json"])
def test_a_pipe_in_a_folder_is_not_waited_for(name, model, tmp_path, capsys):
    folder = model.save(tmp_path / "m", format="hf")
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    done = threading.Thread(target=lambda: called(["inspect", str(folder)]), daemon=True)
    done.start()
    done.join(20)
    assert not done.is_alive(), "it waits for the other end of the pipe"


def test_a_pipe_instead_of_a_dump_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "x.npz")
    assert "nothing to read" in refused(["compare", "gpt2-tiny", str(tmp_path / "x.npz")], capsys)


def test_a_device_without_end_is_not_read_whole(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("byhand.tokenizer.reading.LARGEST", 1000)
    where = put(tmp_path, tokenizer__json=gpt2())
    monkeypatch.setattr("byhand.cli.tokenize.found", lambda name: where)
    assert "more than" in refused(["tokenize", str(where), "--file", "/dev/zero"], capsys)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody-of-this-name/x"])
@pytest.mark.parametrize(
    "command", [["inspect"], ["run", "--ids", "1"], ["tokenize", "--file", "x"], ["compare", "aab"]]
)
def test_paths_that_cannot_be(command, path, capsys):
    refused([command[0], *command[1:], path], capsys)


def test_a_folder_that_may_not_be_looked_into(monkeypatch, tmp_path, capsys):
    def closed(self: Path, *_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)
    assert "Permission denied" in refused(["inspect", str(tmp_path / "m")], capsys)


# --- names that a terminal would obey -----------------------------------------------------------------------------


def test_messages_are_one_printable_line():
    error = InputError("red\x1b[31m\nline\u202e")
    assert str(error) == "red\\x1b[31m line\\u202e"


def test_names_are_shown_and_not_obeyed(model, tmp_path, capsys):
    folder = model.save(tmp_path / "ev\x1b[31mil", format="hf")
    assert called(["inspect", str(folder)]) == 0
    show.write("\x9b31m\u202eabc")
    out = capsys.readouterr().out.replace("\n", "")  # a long line is broken anywhere
    assert "\\x1b[31m" in out and "\\x9b31m\\u202eabc" in out and out.isprintable()


@pytest.mark.parametrize("before", range(60, 90))
def test_nothing_of_a_name_is_lost_where_a_line_ends(before, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show.write("d" * before + "/ev\x1b[31mil: and more", Text("\x1b[1m of it", style="bold"))
    show.write(Group("d" * before + "\x9bx", Text.assemble("a\tb ", ("\u202ec", "dim"))))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and all(map(str.isprintable, lines))
    name, more = "d" * before + "/ev\\x1b[31mil:andmore", "\\x1b[1mofit"
    assert "".join(lines).replace(" ", "") == f"{name}{more}{'d' * before}\\x9bxab\\u202ec"


# --- writing ------------------------------------------------------------------------------------------------------


def test_other_files_of_a_folder_are_kept(model, tmp_path, capsys):
    """A config.json alone makes no folder a model's: what else lies there is somebody's."""
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "thesis.txt"):
        (tmp_path / "mine" / name).write_text("{}")
    line = refused(["convert", "gpt2-tiny", str(tmp_path / "mine"), "--force"], capsys)
    assert "thesis.txt" in line and (tmp_path / "mine/thesis.txt").exists()
    for format in ("hf", "byhand", "hf"):
        model.save(tmp_path / "new", format=format, force=True)


def test_a_pipe_or_device_is_not_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    refused(["convert", "gpt2-tiny", str(tmp_path / "pipe"), "--format", "gguf", "--force"], capsys)
    assert (tmp_path / "pipe").is_fifo()


def test_who_is_quicker_is_not_overwritten(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(InputError, match="exists"), beside(path) as new:
        new.write_text("second")
        path.write_text("first")
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["x"]


def test_nothing_is_left_after_being_told_to_end(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], capture_output=True, timeout=60)
    assert ended.returncode == 143 and not ended.stderr and not os.listdir(tmp_path)


# --- files that take long, take much, or say too much -------------------------------------------------------------


def same_hash(count: int) -> bytes:
    """A dictionary's items whose keys all have the hash 0."""
    return b"".join(b"\x8a\x0a" + ((2**61 - 1) * i).to_bytes(10, "little") + b"N" for i in range(1, count))


def test_keys_of_one_hash_are_refused(tmp_path):
    data = b"\x80\x02}(" + same_hash(10) + b"u."
    (tmp_path / "x.pt").write_bytes(torch_writer.zipped(data[2:-1], {}))
    with pytest.raises(InputError, match="60 bits"):
        torch_files.read(tmp_path / "x.pt")
    (tmp_path / "meta.pkl").write_bytes(data)
    with pytest.raises(InputError, match="60 bits"):
        tokenizer.load(tmp_path / "meta.pkl")


def npz(path: Path, header: dict[str, object], data: bytes) -> Path:
    made = BytesIO()
    np.lib.format.write_array_header_1_0(made, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("logits.npy", made.getvalue() + data)
    return path


def test_dumps_that_lie(tmp_path):
    plain = {"descr": "<f4", "fortran_order": False, "shape": (2**50,)}
    with pytest.raises(ByhandError, match="cannot read"):
        read_npz(npz(tmp_path / "a.npz", plain, b"abcd"))
    with pytest.raises(InputError, match="holds Python objects$"):
        read_npz(npz(tmp_path / "b.npz", plain | {"descr": "|O", "shape": (1,)}, b"\x80\x02N."))


def test_a_dump_larger_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("byhand.memory.available", lambda: 10**6)
    np.savez_compressed(tmp_path / "a.npz", logits=np.zeros(10**6, np.float32))
    with pytest.raises(ByhandError, match="is free"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("key", ["layer_norm_epsilon", "n_layer"])
def test_numbers_beyond_any_float(key, model, tmp_path, capsys):
    config = model.save(tmp_path / "m", format="hf") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: 10**400}))
    assert key in refused(["inspect", str(tmp_path / "m")], capsys)


def test_a_prefix_that_the_library_would_panic_over(tmp_path, capfd):
    document = json.loads(gpt2())
    document["model"]["continuing_subword_prefix"] = "1" * 30
    where = put(tmp_path, tokenizer__json=json.dumps(document))
    with pytest.raises(InputError, match="continuing_subword_prefix"):
        tokenizer.load(where)
    assert capfd.readouterr().err == ""


def test_settings_beside_a_tokenizer_are_named_with_their_folder(tmp_path):
    folder = FORMS["gpt2 vocab.json"](tmp_path / "here")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match="here"):
        tokenizer.load(folder)


def test_a_short_file_of_the_system_is_not_opened(tmp_path, monkeypatch, capsys):
    """Some files of /proc have no bytes and wait for whoever opens them."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/kmsg").touch()
    monkeypatch.setattr("byhand.checkpoints.unknown.beginning", lambda path, length: pytest.fail(f"opens {path}"))
    refused(["inspect", str(tmp_path / "m")], capsys)


# --- values -------------------------------------------------------------------------------------------------------

ODD = [[], {}, 10**400, -(10**400), object(), np.array([]), b"x", pack]


@pytest.mark.parametrize("value", ODD, ids=lambda value: f"{value!r:.12}")
def test_wrong_types_are_one_line(value, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = [
        lambda: model.save(value),
        lambda: model.save("x", format=value),
        lambda: model.save("x", dtype=value),
        lambda: model.save("x", format="gguf", dtype=value),
        lambda: byhand.compare(model, model, [1], dtype=value),
        lambda: byhand.compare(model, model, [1], engine=value),
        lambda: byhand.make("gpt2", model.config, tokenizer=value),
        lambda: model.generate([1], dtype=value),
        lambda: model.generate([1], temperature=value),
        lambda: model.generate([1], max_tokens=value),
        lambda: tokenizer.load(value),
    ]
    for each in calls:
        with pytest.raises(ByhandError) as caught:
            each()
        assert str(caught.value).isprintable()
    assert not os.listdir(tmp_path)


def test_other_values_without_meaning(model):
    for edits in (None, 3, "ab"):
        with pytest.raises(InputError, match="edits"):
            model.generate([1], edits=edits)
    with pytest.raises(InputError, match="makes no array"):
        byhand.compare(model, {"logits": [1, [2]]}, [1])
    assert looks_like(Path("/nowhere")) is False


def test_parts_of_a_zip_that_lie_on_each_other(tmp_path):
    """Two names of the directory at one place would give one array the numbers of another."""
    arrays = {name: np.full((4, 4), at, np.float32) for at, name in enumerate("abc")}
    data = bytearray(torch_writer.save(tmp_path / "x.pt", arrays).read_bytes())
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[3] + 42 : entries[3] + 46] = data[entries[2] + 42 : entries[2] + 46]
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(InputError, match="at the place of b'archive/data/1' lies b'archive/data/0'"):
        torch_files.read(tmp_path / "x.pt")


def test_no_memory_left_is_one_line(monkeypatch, capsys):
    def full(name: str) -> None:
        raise MemoryError

    monkeypatch.setattr("byhand.cli.inspect.found", full)
    assert "not enough memory" in refused(["inspect", "x"], capsys)

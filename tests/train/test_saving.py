"""Checkpoints of a training: bit for bit, whole or not at all, the last kept; what is damaged is passed over."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import byhand
from byhand.checkpoints import stored
from byhand.engines import Parameters
from byhand.errors import InputError
from byhand.families import gpt2, llama
from byhand.loading import make
from byhand.tokenizer import Characters
from byhand.train import saving

from ..small_models import same_bits

CONFIG = gpt2.Config(layers=1, width=8, heads=2, hidden=16, vocabulary=12, context=8)
MODEL = make("gpt2", CONFIG, tokenizer=Characters("abcdefghijkl"), name="letters")
FACTS = {"loss": 0.1 + 0.2, "random": {"state": 2**127 + 1}, "losses": [1.5, float("inf")], "text": "ö\n"}
FILES = ("model.safetensors", "first.safetensors", "second.safetensors", "byhand.json", "tokenizer.json")


def parameters(seed: int = 0, model: byhand.Model = MODEL) -> Parameters:
    """In the middle of a training: nothing is zero, and some numbers are of the kinds that get lost."""
    rng, made = np.random.default_rng(seed), Parameters(model.program_with(True), model.weights)
    for piece in made.pieces.values():
        for array in piece.values():
            array[...] = rng.standard_normal(array.shape, np.float32)
            array.reshape(-1)[:4] = -0.0, 1e-42, np.finfo(np.float32).max, np.nextafter(np.float32(1), 2)
    return made


def save(folder: Path, step: int, of: Parameters | None = None, keep: int = 3) -> Path:
    return saving.save(folder, step, MODEL, of or parameters(step), FACTS, keep)


def empty() -> Parameters:
    return Parameters(MODEL.program_with(True), MODEL.weights)


def same(one: Parameters, other: Parameters) -> bool:
    return all(same_bits(one.pieces[name][at], other.pieces[name][at]) for name in one.pieces for at in one.shapes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def refused(says: str, action, *given) -> str:
    with pytest.raises(InputError, match=says) as caught:
        action(*given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_bits_and_facts_come_back(tmp_path):
    before, after = parameters(1), empty()
    path = saving.save(tmp_path, 7, MODEL, before, FACTS, keep=1)
    assert path == tmp_path / "step-00000007" and not same(before, after)
    assert saving.restore(path, after) == {**FACTS, "step": 7}
    assert same(before, after)
    assert {each.name for each in path.iterdir()} == {*FILES, "state.json"}


def test_a_checkpoint_is_a_model(tmp_path):
    before = parameters(1)
    loaded = byhand.load(save(tmp_path, 7, before))
    assert loaded.config == CONFIG and loaded.tokenizer.encode("cab") == [2, 0, 1]
    assert all(same_bits(loaded.weights[address], before.values[address]) for address in before.shapes)


@pytest.mark.parametrize("name", ["llama-tiny", "bert-tiny", "original-tiny", "handmade"])
def test_every_family(tmp_path, name):
    model = byhand.load("aab" if name == "handmade" else name)
    before, after = parameters(2, model), Parameters(model.program_with(True), model.weights)
    path = saving.save(tmp_path, 1, model, before, {}, keep=1)
    assert saving.restore(path, after) == {"step": 1} and same(before, after)
    assert byhand.load(path).config == model.config


def test_the_last_ones_are_kept(tmp_path):
    for step in (1, 2, 10, 20):
        save(tmp_path, step, keep=2)
    assert list(stored.stored_steps(tmp_path)) == [10, 20] and saving.latest(tmp_path) == tmp_path / "step-00000020"
    save(tmp_path, 15, keep=1)  # after an older one was gone back to: those of its future are not its to remove
    assert list(stored.stored_steps(tmp_path)) == [15, 20]
    assert len(list(tmp_path.iterdir())) == 2
    refused("keep is 0; at least 1", save, tmp_path, 30, parameters(), 0)


def test_the_same_step_again_replaces_it(tmp_path):
    save(tmp_path, 5, parameters(1))
    path, after = save(tmp_path, 5, parameters(2)), empty()
    saving.restore(path, after)
    assert same(after, parameters(2)) and list(tmp_path.iterdir()) == [path]


def test_nothing_saved(tmp_path):
    assert saving.latest(tmp_path) is None and saving.latest(tmp_path / "absent") is None
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-00000001").touch()
    assert saving.latest(tmp_path) is None


def test_facts_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError):
        saving.save(tmp_path, 1, MODEL, parameters(), {"loss": np.float32(1)}, 1)
    assert not list(tmp_path.iterdir())


def test_facts_come_back_as_json_has_them(tmp_path):
    path = saving.save(tmp_path, 1, MODEL, parameters(), {"by step": {10: (1, 2), 9: None}}, 1)
    assert stored.checked(path) == {"by step": {"10": [1, 2], "9": None}, "step": 1}


def test_a_checksum_is_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "AT_ONCE", 7)
    (tmp_path / "file").write_bytes(data := os.urandom(100))
    assert stored.checksum_of(tmp_path / "file") == zlib.crc32(data)


def test_saving_takes_no_memory(tmp_path):
    model = make("gpt2", gpt2.Config(layers=1, width=64, heads=2, hidden=64, vocabulary=16_000, context=8))
    big = Parameters(model.program_with(True), model.weights)
    tracemalloc.start()
    try:
        saving.save(tmp_path, 1, model, big, {}, 1)
        assert tracemalloc.get_traced_memory()[1] < big.values.flat.nbytes / 2 > 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="nothing says which file a number means")
def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done, fsync, rename = [], os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: [done.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)])
    monkeypatch.setattr(Path, "rename", lambda self, to: [done.append("renamed"), rename(self, to)][1])
    save(tmp_path, 1)
    part, when = tmp_path / ".step-00000001.part", done.index("renamed")
    assert set(done[:when]) == {str(part), *(str(part / name) for name in (*FILES, "state.json"))}
    assert done[when + 1 :] == [str(tmp_path)]


# --- what is damaged -------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("name", [*FILES, "state.json"])
@pytest.mark.parametrize("damage", [cut, emptied, flipped, grown, Path.unlink])
def test_a_damaged_one_is_said_and_passed_over(tmp_path, name, damage):
    good, bad, told = save(tmp_path, 1), save(tmp_path, 2), []
    damage(bad / name)
    if (name, damage) == ("state.json", cut):
        emptied(bad / name)  # its last sign is a line's end, which says nothing
    assert saving.latest(tmp_path, told.append) == good
    assert len(told) == 1 and str(bad) in told[0] and "looking for the checkpoint before it" in told[0]
    after = parameters(3)
    refused(f"{bad}", saving.restore, bad, after)
    assert same(after, parameters(3))
    shutil.rmtree(good)
    assert saving.latest(tmp_path) is None


def test_no_bit_of_the_state_can_change_unseen(tmp_path):
    path = save(tmp_path, 1)
    whole, facts, state = (path / "state.json").read_bytes(), stored.checked(path), path / "state.json"
    for place in range(len(whole)):
        state.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            assert stored.checked(path) == facts  # 1e-05 and 1E-05
        except InputError:
            continue
    state.write_bytes(whole)
    assert stored.checked(path) == facts


def test_a_length_is_enough_for_a_glance(tmp_path):
    path = save(tmp_path, 1)
    flipped(path / "model.safetensors")
    assert stored.checked(path, read=False)["step"] == 1
    cut(path / "model.safetensors")
    refused("model.safetensors has .* bytes, but state.json says .*; it was cut off", stored.checked, path, False)


def test_a_newer_version_is_named(tmp_path):
    path = save(tmp_path, 1)
    said = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(said | {"version": 2}))
    refused("version 2, but this byhand reads 1; get a newer one", stored.checked, path)


def test_what_is_no_checkpoint(tmp_path):
    MODEL.save(tmp_path / "model")
    refused(
        "model is no whole checkpoint of a training: it has no state.json", saving.restore, tmp_path / "model", empty()
    )
    refused("absent is no whole .*: there is no such folder", saving.restore, tmp_path / "absent", empty())


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            make("gpt2", gpt2.Config(layers=1, width=8, heads=2, hidden=24, vocabulary=12, context=8)),
            "float32 .8, 16. there",
        ),
        (make("gpt2", gpt2.Config(layers=2, width=8, heads=2, hidden=16, vocabulary=12, context=8)), "lacks blocks.1"),
        (make("gpt2", gpt2.Config(layers=1, width=8, heads=4, hidden=16, vocabulary=12, context=8)), "attn"),
        (make("llama", llama.TINY), "token.weight is .*12, 8. there and .*96, 32. here"),
    ],
)
def test_a_checkpoint_of_another_model(tmp_path, other, says):
    path, after = save(tmp_path, 1), parameters(3, other)
    refused(f"{path} .*{says}.*; it is of another model; go on with the settings", saving.restore, path, after)
    assert same(after, parameters(3, other))


# --- what fails ------------------------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system ends every write beyond so many bytes of a file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_in_the_middle(tmp_path):
    save(tmp_path, 1)
    before, largest = contents(tmp_path), 0
    for size in range(0, 10_000, 150):
        with files_of_at_most(size):
            try:
                save(tmp_path, 2, keep=1)
                break
            except InputError as error:
                assert "cannot write" in str(error) and "File too large" in str(error) and "\n" not in str(error)
                largest = size
        assert contents(tmp_path) == before and len(list(tmp_path.iterdir())) == 1
    assert largest > parameters().values.flat.nbytes  # so that it stopped in every file
    assert list(stored.stored_steps(tmp_path)) == [2]


def test_a_disk_that_is_too_small_is_seen_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, 1)
    before, need = contents(tmp_path), 3 * parameters().values.flat.nbytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 1000 - need + 1, need - 1))
    refused(f"step-00000002 needs {need:,} bytes, but its disk has {need - 1:,} free", save, tmp_path, 2)
    assert contents(tmp_path) == before


def test_a_folder_that_may_only_be_read(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def refuse(*given, **also):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    refused(
        "cannot write .*step-00000002: Read-only file system; what was saved before is as it was", save, tmp_path, 2
    )
    refused("cannot write to .*new: Read-only", saving.alone(tmp_path / "new").__enter__)
    assert saving.latest(tmp_path) == tmp_path / "step-00000001"


def test_a_folder_that_may_not_be_written_to(tmp_path):
    save(tmp_path, 1)
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("nothing is forbidden to this user")
    refused("cannot write .*Permission denied", save, tmp_path, 2)
    refused("cannot write to .*Permission denied; name another folder", saving.alone(tmp_path).__enter__)
    assert saving.latest(tmp_path) == tmp_path / "step-00000001"
    tmp_path.chmod(0o700)


def test_a_model_of_a_family_of_ones_own(tmp_path):
    model = make(sys.modules[__name__], CONFIG)
    refused(
        "is of a family of your own, test_saving, which a checkpoint",
        saving.save,
        tmp_path,
        1,
        model,
        parameters(),
        {},
        1,
    )


def program(config, targets=False):
    return gpt2.program(config, targets)


def test_a_disk_without_room_for_a_name_is_no_reason_not_to_begin(tmp_path):
    with files_of_at_most(0), saving.alone(tmp_path):
        assert (tmp_path / ".lock").read_bytes() == b""


def test_what_fails_in_a_training_is_its_own_error(tmp_path):
    with pytest.raises(OSError, match="^mine$"), saving.alone(tmp_path):
        raise OSError("mine")


# --- one at a time ---------------------------------------------------------------------------------------------------

HOLDING = """
import sys, time
from byhand.train import saving
with saving.alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_trainings_in_one_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        (tmp_path / "run/.step-00000001.part").mkdir()
        says = f"another training, process {other.pid}, is at work in .*run; wait until it is done"
        refused(says, saving.alone(tmp_path / "run").__enter__)
        assert (tmp_path / "run/.step-00000001.part").exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    with saving.alone(tmp_path / "run"):
        refused(f"process {os.getpid()},", saving.alone(tmp_path / "run").__enter__)
    with saving.alone(tmp_path / "run"):
        assert [each.name for each in (tmp_path / "run").iterdir()] == [".lock"]


def test_what_a_killed_training_left_is_put_in_order(tmp_path):
    """Killed while it wrote, while it put a checkpoint in another's place, and while it removed an old one."""
    for step in (1, 2, 3):
        save(tmp_path, step)
    shutil.copytree(tmp_path / "step-00000003", tmp_path / ".step-00000004.part")
    (tmp_path / "step-00000003").rename(tmp_path / ".step-00000003.old")
    (tmp_path / "step-00000001").rename(tmp_path / ".step-00000001.gone")
    (tmp_path / ".step-00000001.gone/state.json").unlink()
    for name in (".log.jsonl.0hiuihbf/log.jsonl", ".mine/log.jsonl", ".my.abcdefgh/other"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert saving.latest(tmp_path) == tmp_path / "step-00000002"
    with saving.alone(tmp_path):
        assert saving.latest(tmp_path) == tmp_path / "step-00000003"
    assert {each.name for each in tmp_path.iterdir()} == {
        "step-00000002",
        "step-00000003",
        ".lock",
        ".mine",
        ".my.abcdefgh",
    }

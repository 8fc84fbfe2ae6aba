"""Thousands of damaged files of each kind: never anything but one line, never slow, never more memory than the file."""

import random
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from byhand import checkpoints
from byhand.checkpoints.files import safetensors, torch_files
from byhand.errors import ByhandError

from . import torch_writer
from .folders import Arrays, arrays_of, hugging_face, model, write_arrays

MUTATIONS = 2000
NUMBERS = [
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hugging_face(tmp_path_factory.mktemp("fuzz") / "m")


def files(folder: Path, arrays: Arrays) -> dict[str, tuple[str, bytes, Callable]]:
    """Every kind of file with these arrays: its usual name, its bytes, its reader."""
    write_arrays(folder, arrays)
    made = {"safetensors": ("model.safetensors", (folder / "model.safetensors").read_bytes(), safetensors.read)}
    for name, legacy in (("zip", False), ("stream", True)):
        path = torch_writer.save(folder / "x.pt", arrays, legacy)
        made[name] = ("pytorch_model.bin", path.read_bytes(), torch_files.read)
    return made


def headers(data: bytes) -> list[int]:
    """The places that are no weights: what changes when the weights do not matter."""
    text = [match.span() for match in re.finditer(rb"[\x09-\x0d\x20-\x7e]{4,}", data)]
    near = {place for start, end in text for place in range(max(0, start - 24), min(len(data), end + 24))}
    return sorted(near | set(range(min(400, len(data)))) | set(range(max(0, len(data) - 400), len(data))))


def mutated(data: bytes, places: list[int], dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        at = min(dice.choice(places), max(0, len(changed) - 1))
        match dice.randrange(8):
            case 0:
                changed[at : at + 1] = bytes([dice.randrange(256)])
            case 1 if changed:
                changed[at] ^= 1 << dice.randrange(8)
            case 2:
                del changed[at : at + dice.choice([1, 1, 2, 8, 100])]
            case 3:
                changed[at:at] = bytes(dice.randrange(256) for _ in range(dice.choice([1, 1, 4, 30])))
            case 4:
                other = dice.choice(places)
                changed[at:at] = data[other : other + dice.choice([1, 5, 60])]
            case 5:
                size = dice.choice([1, 2, 4, 8])
                changed[at : at + size] = (dice.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, "little")
            case 6:
                found = list(re.finditer(rb"\d+", changed[:4000]))
                if found:
                    start, end = dice.choice(found).span()
                    changed[start:end] = str(dice.choice([*NUMBERS, -1, 10**30])).encode()
            case 7 if not dice.randrange(6):
                del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "stream"])
def test_damaged_files(tmp_path, kind):
    """Most bytes are numbers, as in every real file."""
    arrays = {f"blocks.{i}.weight": np.ones((10 * i + 5, 100 * i), np.float16) for i in range(6)}
    name, data, read = files(tmp_path, arrays)[kind]
    dice, places = random.Random(kind), headers(data)
    path, outcomes = tmp_path / name, {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        for number in range(MUTATIONS):
            changed = mutated(data, places, dice)
            path.write_bytes(changed)
            size, before = len(changed), time.perf_counter()
            del changed
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            outcomes[outcome(read, path)] += 1
            used = tracemalloc.get_traced_memory()[1] - held
            assert used < max(size, 1 << 16), (number, used, size)
            assert time.perf_counter() - before < 1, number
    finally:
        tracemalloc.stop()
    assert min(outcomes.values()) > MUTATIONS // 50, outcomes  # both happen: the mutations are neither dull nor blunt


def outcome(read: Callable, path: Path) -> str:
    """Read a file, and every number in it if that goes well."""
    try:
        arrays = read(path)
    except ByhandError as error:
        assert "\n" not in str(error) and len(str(error)) < 600, str(error)
        return "refused"
    for array in arrays.values() if isinstance(arrays, dict) else []:
        if isinstance(array, np.ndarray) and array.size:
            array.max()
    return "read"


@pytest.mark.parametrize("kind", ["safetensors", "zip", "stream"])
def test_damaged_folders(folder, tmp_path, kind):
    """The same through the front door, fewer of them: also a header that can be read may not fit its config."""
    (tmp_path / "made").mkdir()
    name, data, _ = files(tmp_path / "made", arrays_of(folder))[kind]
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    dice, places = random.Random(kind), headers(data)
    for _ in range(150):
        (tmp_path / name).write_bytes(mutated(data, places, dice))
        try:
            checkpoints.read(tmp_path)
        except ByhandError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(("format", "name"), [("hf", "config.json"), ("byhand", "byhand.json")])
def test_damaged_configs(tmp_path, format, name):
    folder = model("llama-tiny").save(tmp_path / "m", format=format)
    data = (folder / name).read_bytes()
    dice, places = random.Random(1), list(range(len(data)))
    for _ in range(600):
        (folder / name).write_bytes(mutated(data, places, dice))
        before = time.perf_counter()
        try:
            checkpoints.read(folder)
        except ByhandError as error:
            assert "\n" not in str(error)
        assert time.perf_counter() - before < 1

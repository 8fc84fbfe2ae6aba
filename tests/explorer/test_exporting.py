"""Values as files that other programs read."""

import io

import numpy as np
import pytest

from byhand.errors import AddressError, InputError
from byhand.explorer.exporting import MOST_WRITTEN
from byhand.explorer.scene import read_scene

from .requests import ask, session
from .scenes import scene_of


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_exported_files_hold_the_array(dtype):
    own, scene = session(), scene_of("gpt2-tiny", dtype=dtype)
    for address, index in [
        ("blocks.0.attn.weights", None),
        ("token.weight", [None, 3]),
        ("loss", None),
        ("mask", None),
    ]:
        array = own.look(read_scene(scene), address)
        array = array if index is None else array[:, 3]
        asked = {"scene": scene, "address": address} | ({} if index is None else {"index": index})
        answer = ask(own, "export", **asked, format="npy")
        found = np.load(io.BytesIO(answer.arrays["data"].tobytes()), allow_pickle=False)
        assert np.array_equal(found.astype(array.dtype), array) and found.shape == array.shape
        text = ask(own, "export", **asked, format="csv").arrays["data"].tobytes().decode()
        rows = [
            [{"true": 1.0, "false": 0.0}.get(x) if x in ("true", "false") else float(x) for x in line.split(",")]
            for line in text.splitlines()
        ]
        assert np.array_equal(np.array(rows).astype(array.dtype).reshape(array.shape), array), address
        assert answer.head["name"] == f"{address}.npy"


def test_a_large_file_comes_in_parts():
    own, asked = session(), {"scene": scene_of("gpt2-tiny"), "address": "token.weight"}
    for form in ("npy", "csv"):
        whole = ask(own, "export", **asked, format=form)
        data, total = whole.arrays["data"].tobytes(), whole.head["total"]
        assert len(data) == total
        parts = [
            ask(own, "export", **asked, format=form, **{"from": i, "to": i + 1000}).arrays["data"].tobytes()
            for i in range(0, total, 1000)
        ]
        assert b"".join(parts) == data
        assert ask(own, "export", **asked, format=form, **{"from": 10**9, "to": 10**9 + 1}).arrays["data"].size == 0


def test_files_that_are_refused(monkeypatch):
    own, asked = session(), {"scene": scene_of("gpt2-tiny"), "address": "token.weight"}
    for more, line in [
        ({"format": "exe"}, "one of npy, csv"),
        ({"format": "npy", "from": 5, "to": 5}, "at most"),
        ({"format": "npy", "index": [0]}, "2 places"),
        ({"format": "npy", "index": ["a", 0]}, "no index"),
    ]:
        with pytest.raises((InputError, AddressError), match=line):
            ask(own, "export", **asked, **more)
    monkeypatch.setattr("byhand.explorer.exporting.MOST_WRITTEN", 10)
    assert MOST_WRITTEN > 10
    with pytest.raises(InputError, match="too many for .csv"):
        ask(own, "export", **asked, format="csv")

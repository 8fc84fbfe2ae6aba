"""Scenes: plain data that says which numbers a run has, and what is refused."""

import json

import pytest

from byhand.errors import InputError
from byhand.explorer.scene import MOST_EDITS, read_scene

from .requests import EDITS
from .scenes import edit


def test_a_scene_comes_back_as_it_was():
    given = {
        "tokens": [1, 2],
        "source": "x",
        "dtype": "float64",
        "changes": [*EDITS, edit("x", [0, [None, 3]], "patch", {"text": "y", "changes": EDITS[:1]})],
        "gradient": {"of": "loss", "index": None},
    }
    scene = read_scene(given)
    again = read_scene(json.loads(json.dumps(scene.plain())))
    assert again == scene and again.key == scene.key
    assert scene.before.changes == scene.changes[:-1] and scene.before.gradient is None


def test_other_scenes_have_other_keys():
    scenes = [
        {"text": "a"},
        {"text": "b"},
        {"tokens": [1]},
        {"tokens": [1, 1]},
        {"text": "a", "dtype": "float64"},
        {"text": "a", "source": "a"},
        {"text": "a", "gradient": {"of": "loss"}},
        *({"text": "a", "changes": EDITS[:n]} for n in range(1, 5)),
        {"text": "a", "changes": EDITS[1::-1]},
    ]
    keys = [read_scene(each).key for each in scenes]
    assert len(set(keys)) == len(keys)
    assert read_scene({"text": "a", "dtype": "float32", "changes": []}).key == keys[0]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("x", "an object"),
        ({}, "a text or tokens"),
        ({"text": "a", "tokens": [1]}, "one of the two"),
        ({"text": 3}, "text is 3"),
        ({"tokens": [True]}, "whole numbers"),
        ({"text": "a", "dtype": "float8"}, "one of float32"),
        ({"text": "a", "colour": 1}, "no parameter 'colour'"),
        ({"text": "a", "changes": [1]}, "edit 0 is 1"),
        ({"text": "a", "changes": EDITS * MOST_EDITS}, "at most 200 edits"),
        ({"text": "a", "changes": [edit("x", [0.5])]}, "for each axis"),
        ({"text": "a", "changes": [edit("x", [0], "set")]}, "value is missing"),
        ({"text": "a", "changes": [edit("x", [0], "set", 10**400)]}, "a number"),
        ({"text": "a", "changes": [edit("x", [0], "explode")]}, "one of set, add"),
        ({"text": "a", "changes": [edit("x", [0], "patch", 3)]}, "patch is 3"),
        ({"text": "a", "gradient": {"of": 3}}, "of is 3"),
        ({"text": "x" * 1_000_001}, "at most 1000000"),
    ],
)
def test_a_scene_that_is_none(given, line):
    with pytest.raises(InputError, match=line):
        read_scene(given)


def test_edits_of_patches_count():
    inner = {"text": "a", "changes": EDITS[:3] * 30}
    for count, fits in ((2, True), (3, False)):
        scene = {"text": "a", "changes": [edit("embed.out", [0], "patch", inner)] * count}
        if fits:
            assert read_scene(scene).edits == count * 91
        else:
            with pytest.raises(InputError, match="has 273 edits"):
                read_scene(scene)


def test_patches_go_only_so_deep():
    scene = {"text": "a"}
    for _ in range(5):
        scene = {"text": "a", "changes": [edit("embed.out", [0], "patch", scene)]}
    with pytest.raises(InputError, match="at most 3 deep"):
        read_scene(scene)

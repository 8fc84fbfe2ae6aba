"""Copied Python, executed: it gives the same bits as the page."""

import contextlib
import io

import pytest

from byhand.explorer import Session
from byhand.explorer.scene import read_scene

from ..small_models import everything, fingerprint, model, same_bits
from .requests import EDITS, ask
from .scenes import edit, edited, scene_of

COPIED = {
    "plain": ("gpt2-tiny", {}),
    "float64": ("gpt2-tiny", {"dtype": "float64"}),
    "edits": ("gpt2-tiny", {"changes": EDITS}),
    "gradient": ("gpt2-tiny", {"changes": EDITS[:2], "gradient": {"of": "logits", "index": [0, 3, 7]}}),
    "loss": ("gpt2-tiny", {"gradient": {"of": "loss"}}),
    "translation": ("original-tiny", {"changes": [edit("blocks.0.cross.heads", [0, None, 1])]}),
    "patches": (
        "gpt2-tiny",
        {
            "changes": [
                edit("blocks.0.out", [0, [1, None], None], "patch", {"text": "World", "changes": EDITS[:1]}),
                edit("blocks.1.out", [0, 2], "patch", {"tokens": [5, 6, 7, 8, 9]}),
            ]
        },
    ),
}


@pytest.mark.parametrize(("name", "more"), COPIED.values(), ids=COPIED)
def test_copied_python_gives_the_same_bits(name, more):
    own = Session(model(name), load=f"byhand.load({name!r}, seed=3)")
    scene = scene_of(name) | more
    code = ask(own, "python", state={"a": scene, "view": {"address": "logits", "index": [0, 1, 2]}}).head["text"]
    values, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, values)
    run = own.run(read_scene(scene))
    assert fingerprint(everything(values["run"])) == fingerprint(everything(run))
    assert out.getvalue() == f"{run.explain('logits', (0, 1, 2))}\n"
    if "gradient" in scene:
        assert all(same_bits(values["run"].look(f"d:{a}"), run.look(f"d:{a}")) for a in run.grad)
    assert ask(own, "run", scene=scene).head["python"] in code


def test_copied_python_of_two_scenes():
    own = Session(model("gpt2-tiny"), engine="reference", load="byhand.load('gpt2-tiny', seed=3)")
    a, b = {"text": "Hello"}, edited({"text": "Hello"}, *EDITS)
    view = {"screen": "tensor", "address": "blocks.0.out", "index": [0, None, None], "part": "b"}
    code = ask(own, "python", state={"a": a, "b": b, "view": view}).head["text"]
    values, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, values)
    assert values["run"].engine == "reference"
    assert fingerprint(everything(values["other"])) == fingerprint(everything(own.run(read_scene(b))))
    assert out.getvalue().startswith(str(values["run"].diff(values["other"])))
    assert out.getvalue().endswith(f"{values['other']['blocks.0.out']}\n")

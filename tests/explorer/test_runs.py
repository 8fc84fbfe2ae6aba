"""From a run made in Python to the explorer and back: the same bits, or a clear word why not."""

import urllib.request
from typing import Any

import numpy as np
import pytest

import byhand
from byhand.errors import InputError
from byhand.explorer import Session
from byhand.explorer.runs import scene_of, session_of
from byhand.explorer.scene import read_scene


@pytest.fixture(scope="module")
def model() -> Any:
    return byhand.load("gpt2-tiny")


def same(one: Any, other: Any) -> bool:
    return one.tobytes() == other.tobytes()


def test_a_run_with_edits_and_gradients_is_made_again_bit_for_bit(model: Any) -> None:
    run = model.run("Hello", engine="reference")
    run = run.edit("blocks.0.attn.heads", head=1, zero=True).edit("blocks.0.out", (0, slice(0, 2), 3), add=0.5)
    run = run.edit("token.weight", (3, 1), scale=-2.0)
    run.backward("logits", (0, 1, 4))
    session, scene = session_of(run)
    assert session.run(scene) is run
    assert read_scene(scene.plain()) == scene
    again = Session(model, engine="reference").run(scene)
    assert again is not run and same(again.look("logits"), run.look("logits"))
    assert same(again.look("d:embed.out"), run.look("d:embed.out"))


def test_a_translation_keeps_its_source() -> None:
    run = byhand.load("original-tiny").run("Hello", source="Bonjour", engine="reference")
    scene = scene_of(run)
    assert scene.source_tokens is not None
    again = Session(run.setting.model, engine="reference").run(scene)
    assert same(again.look("logits"), run.look("logits"))


def test_what_no_link_can_hold_is_refused(model: Any) -> None:
    run = model.run("Hello", engine="reference")
    other = model.run("Hallo", engine="reference")
    refused = {
        "has 2; run one of them": model.run(["Hello", "Hallo"], engine="reference"),
        "cannot be written into a link: set blocks.0.out": run.edit("blocks.0.out", set=np.zeros((1, 5, 32))),
        "that of another run": run.edit("blocks.0.out", from_run=other),
        "its own mask": model.run("Hello", mask=[[True, False, True, True, True]], engine="reference"),
        "its own targets": model.run("Hello", targets=[[1, 2, 3, 4, 5]], engine="reference"),
        "has edited tokens": run.edit("tokens", (0, 1), set=7),
        "every 2th place": run.edit("blocks.0.out", (0, slice(None, None, 2), 3), zero=True),
    }
    for words, each in refused.items():
        with pytest.raises(InputError, match=words):
            scene_of(each)
    with pytest.raises(InputError, match="a run of a model"):
        step = model.generate("Hello", max_tokens=1, seed=1).finish().choices[0]
        step.run.explore(browser=False)


def test_outside_of_a_notebook_a_server_that_closes(model: Any) -> None:
    with model.run("Hello", engine="reference").explore(browser=False) as page:
        assert page.link in repr(page)
        assert b"<title>byhand" in urllib.request.urlopen(page.link, timeout=10).read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page.link, timeout=10)
    page.close()


def test_a_report_refuses_before_it_writes(model: Any, tmp_path: Any) -> None:
    run = model.run("Hello", engine="reference")
    with pytest.raises(byhand.AddressError, match="nothing"):
        run.report(tmp_path / "r.html", ["nothing.here"])
    with pytest.raises(InputError, match="pairs of address and index; got 7"):
        run.report(tmp_path / "r.html", [7])
    assert not list(tmp_path.iterdir())
    path = run.report(tmp_path / "r.html", ["blocks.0.attn.weights"])
    with pytest.raises(InputError, match="exists"):
        run.report(path, ["blocks.0.attn.weights"])
    text = path.read_text()
    assert "http://" not in text.split('<script type="module">')[0] and 'src="http' not in text

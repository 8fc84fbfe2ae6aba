"""Figures hold the numbers of the run, with its tokens, in formats that others can read."""

import builtins
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import byhand
from byhand.errors import InputError

TEXT = "Once upon a time"


@pytest.fixture(scope="module")
def run() -> Any:
    return byhand.load("stories").run(TEXT, engine="reference")


def images(figure: Any) -> list[np.ndarray[Any, Any]]:
    return [axes.images[0].get_array() for axes in figure.matplotlib.axes if axes.images]


def test_a_picture_is_the_array(run: Any) -> None:
    for address, choice in (("blocks.1.attn.weights", {"head": 2}), ("blocks.0.out", {}), ("token.weight", {})):
        wanted = run[address].at(**{"B": 0} if "B" in run[address].axes else {}).array
        wanted = wanted[choice["head"]] if choice else wanted
        (image,) = images(run.figure(address, **choice))
        assert np.array_equal(image.filled(np.nan) if np.ma.isMaskedArray(image) else image, wanted)


def test_three_axes_are_a_picture_each_in_the_same_colours(run: Any) -> None:
    figure = run.figure("blocks.1.attn.weights")
    found = images(figure)
    heads = run["blocks.1.attn.weights"].array[0]
    assert len(found) == len(heads) and all(np.array_equal(a, b) for a, b in zip(found, heads, strict=True))
    assert len({axes.images[0].get_clim() for axes in figure.matplotlib.axes if axes.images}) == 1


def test_a_difference_is_after_minus_before(run: Any) -> None:
    other = run.edit("blocks.0.attn.heads", head=1, zero=True)
    (image,) = images(run.figure("blocks.0.out", other=other))
    wanted = other.look("blocks.0.out")[0].astype(float) - run.look("blocks.0.out")[0].astype(float)
    assert np.abs(image).max() > 0 and np.array_equal(image, wanted)


def test_one_axis_is_a_curve_and_next_is_bars(run: Any) -> None:
    axes = run.figure("blocks.0.out", position=2).matplotlib.axes[0]
    assert np.array_equal(axes.lines[0].get_ydata(), run.look("blocks.0.out")[0, 2])
    bars = run.figure("next").matplotlib.axes[0].patches
    probs_V = run.look("probs")[0, -1]
    assert [bar.get_width() for bar in bars] == pytest.approx(sorted(probs_V)[-10:])


def test_files(run: Any, tmp_path: Any) -> None:
    figure = run.figure("blocks.1.attn.weights", head=0)
    svg = figure.save(tmp_path / "a.svg")
    root = ElementTree.parse(svg).getroot()
    comments = svg.read_text()
    assert root.tag.endswith("svg") and all(f"<!-- {word} -->" in comments for word in ("Once", " upon", " time"))
    assert figure.save(tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert figure.save(str(tmp_path / "a.pdf")).read_bytes().startswith(b"%PDF")
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"a\.png exists"):
        figure.save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"ends with '\.gif'; a figure is written as \.png, \.svg, \.pdf"):
        figure.save(tmp_path / "a.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "a.svg"]


def test_tokens_are_written_as_they_are() -> None:
    model = byhand.make("gpt2", byhand.load("gpt2-tiny").config)
    run = model.run([1, 2, 3], engine="reference")
    axes = run.figure("blocks.0.attn.weights", head=0).matplotlib.axes[0]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["1", "2", "3"]


def test_what_cannot_be_drawn(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="choose until two are"):
        byhand.load("stories").run(["Once upon", "Once upon"], engine="reference").figure(
            "blocks.0.attn.weights", index=[]
        )
    with pytest.raises(byhand.AddressError, match="blocks"):
        run.figure("blocks.0.atn.weights")
    real = builtins.__import__

    def without(name: str, *rest: Any, **settings: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"matplotlib, which is not installed; pip install 'byhand\[plot\]'"):
        run.figure("next")

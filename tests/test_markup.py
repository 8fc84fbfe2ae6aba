"""What notebooks show: the right numbers, no script, nothing that a token could smuggle in, and not too much."""

import re
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import byhand
from byhand import markup
from byhand.families import gpt2
from byhand.markup.picture import ABOVE, BELOW, NONE, ZERO, coloured, pooled
from byhand.tensor import Tensor

MOST_BYTES = 200_000


class Reader(HTMLParser):
    """All text and all tags of a piece of HTML; open tags must be closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def run() -> Any:
    return byhand.load("stories").run("Once upon a time", engine="reference")


def shown(each: Any) -> Reader:
    html = each._repr_html_()
    assert len(html.encode()) <= MOST_BYTES
    read = Reader(html)
    assert "script" not in read.tags and "iframe" not in read.tags and "http" not in html
    return read


def test_every_object_has_a_page_without_a_script(run: Any) -> None:
    other = run.edit("blocks.0.attn.heads", head=1, zero=True)
    explained = run.explain("blocks.1.mlp.out", (0, 2, 5))
    for each in (run, run["blocks.0.out"], explained, run.diff(other), run.diff(run), run.program):
        shown(each)


def test_a_run_lists_every_kept_value_with_its_range(run: Any) -> None:
    words = shown(run).words
    for address, array in run.kept.items():
        at = words.index(address)
        assert words[at + 2] == (" x ".join(map(str, array.shape)) or "a number")
        finite = array[np.isfinite(array)]
        assert words[at + 3].startswith(f"{finite.min():.4g} … {finite.max():.4g}")
    best = run.predictions()[-1].best
    assert words[words.index("next token") + 1] == repr(run.setting.tokens.text(best))


def test_a_value_that_is_no_number_is_said() -> None:
    from byhand.listing import extent

    assert extent(np.array([1.0, np.nan, -2.0, np.inf], np.float32)) == "-2 … 1, not finite: 2"
    assert extent(np.array([np.nan])).startswith("nan")


def test_a_table_has_the_numbers_of_its_array(run: Any) -> None:
    tensor = run["blocks.0.out"]
    words = shown(tensor).words
    assert f"{tensor.array[0, 2, 3]:.4g}" in words and "without 118 more D" in words
    assert any(word.endswith("' time'") for word in words)


def test_tokens_cannot_become_tags() -> None:
    tensor = Tensor(np.zeros((1, 2), np.float32), "BT", "<b>x</b>", {"T": ["<script>alert(1)</script>", '"><img>']})
    read = shown(tensor)
    assert "script" not in read.tags and read.tags.count("img") == 1


def test_an_explanation_shows_terms_and_the_rest(run: Any) -> None:
    explained = run.explain("blocks.1.mlp.out", (0, 2, 5))
    words = shown(explained).words
    rest = len(explained.terms) - 12
    assert f"the other {rest}" in words
    left = float(words[words.index(f"the other {rest}") - 1])
    first = [float(words[words.index(str(i), words.index("from")) + 1]) for i in range(12)]
    assert sum(first) + left == pytest.approx(explained.value, abs=1e-6)


def test_large_models_stay_small() -> None:
    config = gpt2.Config(layers=60, width=16, heads=2, hidden=32, vocabulary=40, context=16)
    run = byhand.make("gpt2", config).run([1, 2, 3], engine="reference")
    shown(run)
    shown(run.program)
    shown(Tensor(np.ones((5000, 3000), np.float32), "DF", "large"))


# --- pictures ------------------------------------------------------------------------------------------------------


def pixels(html: str) -> np.ndarray[Any, Any]:
    """The colours of the PNG in an image, decoded without the code that wrote it."""
    found = re.search(r"base64,([^\"]+)", html)
    assert found
    data = b64decode(found[1])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, size = 8, b"", (0, 0)
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        inside = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + inside) == int.from_bytes(data[at + 8 + length : at + 12 + length])
        if kind == b"IHDR":
            size = int.from_bytes(inside[4:8]), int.from_bytes(inside[:4])
        body += inside * (kind == b"IDAT")
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(size[0], 1 + 3 * size[1])
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(*size, 3)


def test_a_picture_has_the_colours_of_its_numbers() -> None:
    values = np.array([[0.0, 2.0, -2.0], [1.0, np.nan, np.inf]])
    seen = pixels(markup.heat(values, "x"))
    assert seen.shape == (2, 3, 3)
    assert [tuple(seen[place].tolist()) for place in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))] == [
        ZERO,
        ABOVE,
        BELOW,
        NONE,
        NONE,
    ]
    assert (np.abs(seen[1, 0].astype(float) - (np.array(ZERO) + ABOVE) / 2) <= 1).all()
    assert (coloured(np.zeros((2, 2))) == ZERO).all()


def test_a_large_picture_shows_the_extreme_of_each_block() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((1300, 40))
    values[7, 5] = -50
    made, factors = pooled(values)
    assert factors == (3, 1) and made.shape == (434, 40)
    assert made[2, 5] == -50
    block = values[3:6, 9]
    assert made[1, 9] == block[np.abs(block).argmax()]
    values[0, 0] = np.nan
    assert np.isnan(pooled(values)[0][0, 0])
    assert "a pixel is the largest of 3 x 1 numbers" in markup.heat(values, "x")

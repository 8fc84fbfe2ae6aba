"""A value as a matrix: every number that is read out has the bits of the array, wherever the cursor goes."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from playwright.sync_api import Page

from .conftest import Open
from .reading import shown, under_cursor
from .serving import PROMPTS, Explored, explored

CELLS, VALUES = 200, 12
ADDRESSES = {
    "aab": "embed.out blocks.0.attn.q.weight blocks.0.attn.q blocks.0.attn.k blocks.0.attn.v blocks.0.attn.scores "
    "blocks.0.attn.masked blocks.0.attn.weights blocks.0.attn.heads blocks.0.attn.out blocks.0.out logits",
    "stories": "token.weight embed.out blocks.0.norm1.out blocks.0.norm1.rstd blocks.1.attn.q blocks.1.attn.weights "
    "blocks.2.attn.heads blocks.2.mid blocks.3.mlp.act blocks.3.mlp.down.weight logits probs",
    "stories-llama": "token.weight embed.out blocks.0.norm1.out blocks.1.attn.q_rot blocks.1.attn.k_rot "
    "blocks.2.attn.v blocks.2.attn.weights blocks.2.attn.heads blocks.3.mlp.gate blocks.3.mlp.up blocks.3.out logits",
    "reversals": "source.embed.out source.blocks.0.attn.weights source.blocks.1.out source.blocks.1.mlp.act embed.out "
    "blocks.0.attn.weights blocks.0.cross.q blocks.0.cross.k blocks.0.cross.weights blocks.1.cross.heads blocks.1.out "
    "logits",
}


def chosen(of: Explored, name: str) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Twelve values and some random places in each, 200 in all."""
    draw = random.Random(f"cells of {name}")
    addresses = ADDRESSES[name].split()
    assert len(addresses) == VALUES
    counts = [CELLS // VALUES + (i < CELLS % VALUES) for i in range(VALUES)]
    return [
        (each, [tuple(draw.randrange(n) for n in of.array(each).shape) for _ in range(count)])
        for each, count in zip(addresses, counts, strict=True)
    ]


# What a person does at the fields of the page, 200 times: the places of the other axes, row and column, "Go".
GOING = """async ([address, indices]) => {
  const put = (field, value) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, value);
    field.dispatchEvent(new Event('input', {bubbles: true}));
  };
  const soon = () => new Promise(then => setTimeout(then));
  const until = async (found, what) => {
    for (const end = Date.now() + 15000; Date.now() < end; await soon()) if (found()) return found();
    throw new Error(`never seen: ${what}`);
  };
  const read = [];
  for (const index of indices) {
    const axes = [...document.querySelectorAll('.axes select')].map(each => Number(each.value));
    for (const field of document.querySelectorAll('.axes input')) put(field, index[field.dataset.axis]);
    const fields = [...document.querySelectorAll('.jump input')];
    fields.forEach((field, i) => put(field, index[axes[i]]));
    await soon();
    document.querySelector('.jump button').click();
    const where = `[data-name="${address}"][data-index="${index}"]`;
    const shown = await until(() => document.querySelector(`.cell .readout${where}`), where);
    read.push([shown.dataset.bits, shown.textContent]);
  }
  return read;
}"""


@pytest.mark.parametrize("name", PROMPTS)
def test_the_cursor_reads_the_bits_of_200_random_cells(open_page: Open, name: str) -> None:
    of = explored(name)
    page = open_page(name, of.state("tensor", address="logits"))
    cells = chosen(of, name)
    for address, indices in cells:
        show(page, address)
        read = page.evaluate(GOING, [address, indices])
        for index, (bits, text) in zip(indices, read, strict=True):
            assert bits == of.bits(address, index), (address, index)
            assert np.float32(text).tobytes() == of.array(address)[index].astype(np.float32).tobytes()
    assert sum(len(indices) for _, indices in cells) == CELLS


def show(page: Page, address: str) -> None:
    """Choose a value by its address."""
    picker = page.get_by_label("Value", exact=True)
    if picker.input_value() != address:
        picker.fill(address)
    page.wait_for_selector(f'section.tensor[aria-label="{address}"]')


def test_a_row_and_a_column_are_found_by_number_and_by_token(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="logits"))
    go = page.get_by_role("form", name="Go to")
    for row, column, index in [("5", "17", (0, 5, 17)), ("time", " time", None), ("9", "999", (0, 9, 999))]:
        go.get_by_label("Row").fill(row)
        go.get_by_label("Column").fill(column)
        go.get_by_role("button", name="Go").click()
        index = index or (0, 4, int(of.session.model.token_ids(" time")[0][-1]))
        assert under_cursor(page, "logits", index).bits == of.bits("logits", index)


@pytest.mark.parametrize("name", ["aab", "stories"])
def test_arrows_page_keys_home_and_end_move_the_cursor(open_page: Open, name: str) -> None:
    of = explored(name)
    page = open_page(name, of.state("tensor", address="logits"))
    T, V = of.array("logits").shape[1:]
    grid = page.get_by_role("grid")
    grid.focus()
    row, column = 0, 0
    for key, to in [
        ("ArrowDown", lambda r, c: (min(r + 1, T - 1), c)),
        ("ArrowRight", lambda r, c: (r, min(c + 1, V - 1))),
        ("End", lambda r, c: (r, V - 1)),
        ("Control+End", lambda r, c: (T - 1, V - 1)),
        ("ArrowUp", lambda r, c: (r - 1, c)),
        ("Home", lambda r, c: (r, 0)),
        ("Control+Home", lambda r, c: (0, 0)),
        ("PageDown", lambda r, c: (T - 1, c)),
    ]:
        row, column = to(row, column)
        grid.press(key)
        assert under_cursor(page, "logits", (0, row, column)).bits == of.bits("logits", (0, row, column))
    grid.press("Enter")
    page.wait_for_selector(f'.number .stored .readout[data-index="0,{row},{column}"]')


def test_a_click_reads_the_cell_under_the_pointer(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="blocks.1.attn.weights", index=[0, 2, None, None]))
    page.wait_for_selector('.matrix[aria-busy="false"]')
    box = page.get_by_role("grid").bounding_box()
    assert box
    left, top = (float(page.get_by_role("grid").get_attribute(f"data-{name}")) for name in ("left", "top"))
    across, down = (float(page.get_by_role("grid").get_attribute(f"data-{name}")) for name in ("across", "down"))
    for row, column in [(0, 0), (4, 2), (9, 9), (7, 3)]:
        page.mouse.click(box["x"] + left + (column + 0.5) * across, box["y"] + top + (row + 0.5) * down)
        index = (0, 2, row, column)
        assert under_cursor(page, "blocks.1.attn.weights", index).bits == of.bits("blocks.1.attn.weights", index)


def test_the_table_has_the_numbers_and_leads_to_them(open_page: Open) -> None:
    of = explored("stories-llama")
    page = open_page("stories-llama", of.state("tensor", address="blocks.0.mlp.up", index=[0, 5, 300], table=True))
    page.wait_for_selector(".numbers td")
    read = shown(page.locator(".numbers .readout"))
    assert len(read) == 10 * 20
    for each in read:
        assert each.bits == of.bits("blocks.0.mlp.up", each.index)
    assert {each.index[2] for each in read} == set(range(300, 320))
    page.locator('.numbers .readout[data-index="0,7,311"]').click()
    page.wait_for_selector('.number .stored .readout[data-index="0,7,311"]')


def test_tokens_name_the_rows_and_columns(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="blocks.0.attn.weights", table=True))
    page.wait_for_selector(".numbers td")
    tokens = [of.session.model.tokens.text(int(each)) for each in of.array("tokens")[0]]
    written = [f"{i} {text.replace(' ', '·')}" for i, text in enumerate(tokens)]
    assert page.locator(".numbers thead th").all_inner_texts() == written
    assert page.locator(".numbers tbody th").all_inner_texts() == written


PIXELS = """(canvas, places) => {
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return places.map(([x, y]) => [...context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data.slice(0, 3)]);
}"""


def test_the_pooled_picture_shows_the_largest_of_each_block(open_page: Open) -> None:
    of = explored("stories")
    page = open_page("stories", of.state("tensor", address="token.weight"))
    grid = page.get_by_role("grid")
    page.wait_for_selector('.matrix[aria-busy="false"][data-down]')
    page.wait_for_load_state("networkidle")
    left, top, across, down = (float(grid.get_attribute(f"data-{name}")) for name in ("left", "top", "across", "down"))
    weight = of.array("token.weight").astype(np.float64)
    each = 2 ** int(np.ceil(np.log2(1 / down)))
    assert each > 1
    assert f"each dot stands for {each} × 1 cells" in page.locator(".legend").inner_text()
    draw = random.Random("dots")
    chosen = [(draw.randrange(1, len(weight) // each), draw.randrange(1, weight.shape[1])) for _ in range(200)]
    places = [[left + (column + 0.5) * across, top + (block + 0.5) * each * down] for block, column in chosen]
    colours = page.locator(".matrix canvas").evaluate(PIXELS, places)
    strong = 0
    for (block, column), (red, _, blue) in zip(chosen, colours, strict=True):
        part = weight[block * each : (block + 1) * each, column]
        value = part[np.abs(part).argmax()]
        if abs(value) > 0.1 * np.abs(weight).max():
            strong += 1
            assert (red > blue) == (value > 0), (block, column, value)
    assert strong > 50


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_a_saved_file_holds_the_numbers(open_page: Open, kind: str) -> None:
    of = explored("reversals")
    page = open_page("reversals", of.state("tensor", address="blocks.0.cross.weights", index=[0, 1, None, None]))
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f".{kind}").click()
    data = waiting.value.path().read_bytes()
    array = of.array("blocks.0.cross.weights")
    if kind == "npy":
        assert np.load(io.BytesIO(data)).tobytes() == array.tobytes()
    else:
        read = np.array([line.split(",") for line in data.decode().splitlines()], np.float32)
        assert read.tobytes() == array[0, 1].tobytes()


def test_the_picture_can_be_saved(open_page: Open) -> None:
    of = explored("aab")
    page = open_page("aab", of.state("tensor", address="logits"))
    page.wait_for_selector('.matrix[aria-busy="false"]')
    with page.expect_download() as waiting:
        page.get_by_role("button", name=".png").click()
    assert waiting.value.path().read_bytes().startswith(b"\x89PNG")
    assert waiting.value.suggested_filename == "logits.png"


def test_the_view_that_is_seen_is_in_the_link(open_page: Open) -> None:
    of = explored("stories")
    state = of.state("tensor", address="token.weight", rows=[400, 420], columns=[10, 20], index=[405, 12])
    page = open_page("stories", state)
    page.wait_for_selector('.matrix[aria-busy="false"]')
    assert under_cursor(page, "token.weight", (405, 12)).bits == of.bits("token.weight", (405, 12))
    assert page.get_by_role("grid").get_attribute("data-seen").startswith("400,420,10,2")

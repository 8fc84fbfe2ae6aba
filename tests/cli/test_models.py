"""The list of models, and a model as the table of its steps."""

from math import prod

import pytest

import byhand as package
from byhand.cli.models import Line, sections


def test_every_model_is_listed(byhand):
    data = byhand("models", "--json").data
    assert [each["name"] for each in data] == list(package.names())
    sizes = {each["name"]: each for each in data}
    assert sizes["gpt2-124m"]["parameters"] == 124_439_808
    assert sizes["llama3-8b"]["parameters"] == 8_030_261_248
    assert sizes["llama3-8b"]["key_value_heads"] == 8
    answer = byhand("models")
    for name in package.names():
        if name.startswith("wired-"):
            assert name.removesuffix("-gpt2").removesuffix("-llama") in answer.out
        else:
            assert answer.row(name)
    assert answer.row("llama3-8b") == ["llama3-8b", "8.03B", "32", "4096", "32/8", "128256", "8192"]
    assert answer.row("aab") == ["aab", "344", "1", "8", "1", "2", "5"]


@pytest.mark.parametrize("words", [(), ("llama3.1-405b",), ("original-big", "--backward")])
def test_tables_fit_eighty_columns(byhand, words):
    assert max(map(len, byhand("models", *words).lines)) <= 80


def test_the_table_is_the_program(byhand):
    rows = package.load("gpt2-124m").program.table(B=4, T=64, itemsize=8)
    data = byhand("models", "gpt2-124m", "--batch", "4", "--tokens", "64", "--dtype", "float64", "--json").data
    assert [line["address"] for line in data["lines"]] == [row.address for row in rows]
    assert [tuple(line["reads"]) for line in data["lines"]] == [row.reads for row in rows]
    assert data["flops"] == sum(row.flops for row in rows)
    assert data["saved"] == sum(row.saved for row in rows)
    assert data["parameters"] == 124_439_808


def test_equal_blocks_are_shown_once(byhand):
    answer = byhand("models", "llama3-8b")
    assert "blocks.0, and the same in blocks.1 to blocks.31" in answer.lines
    assert answer.out.count("attn.weights    softmax") == 1
    assert answer.row("attn.q to_heads") == ["attn.q", "to_heads", "1", "8", "32", "128", "268.4M", "16.78M"]
    assert "8,030,261,248 parameters" in answer.out
    everything = byhand("models", "llama3-8b", "--all")
    assert everything.out.count("attn.weights    softmax") == 32
    assert "blocks.31" in everything.lines


def test_different_blocks_are_not_called_equal():
    def line(block: str, reads: tuple[str, ...]) -> Line:
        return Line(f"{block}.out", "add", reads, (f"{block}.out",), (1,), 0, 1, 0, block)

    alike = [line("blocks.0", ("embed.out", "blocks.0.mid")), line("blocks.1", ("blocks.0.out", "blocks.1.mid"))]
    assert [title for title, _ in sections(alike, everything=False)] == ["blocks.0, and the same in blocks.1"]
    swapped = [alike[0], line("blocks.1", ("blocks.1.mid", "blocks.0.out"))]
    assert [title for title, _ in sections(swapped, everything=False)] == ["blocks.0", "blocks.1"]
    elsewhere = [line("source.blocks.1", ("source.blocks.1.mid",)), line("blocks.1", ("source.blocks.1.mid",))]
    assert [title for title, _ in sections(elsewhere, everything=False)] == ["source.blocks.1", "blocks.1"]


@pytest.mark.parametrize("name", ["aab", "gpt2-tiny", "llama-tiny", "bert-tiny", "original-tiny"])
def test_the_reversed_program(byhand, name):
    steps = package.load(name).program_with(targets=True).reverse()
    data = byhand("models", name, "--backward", "--json").data
    assert [line["writes"] for line in data["lines"]] == [list(step.writes.values()) for step in steps]
    B, T = data["sizes"]["B"], data["sizes"]["T"]
    shapes = package.load(name).program_with(targets=True).shapes(B, T, data["sizes"].get("S"))
    for line, each in zip(data["lines"], steps, strict=True):
        if each.step:
            sizes = each.step.sizes(shapes)
            assert line["flops"] == each.step.operator.operations(sizes, "backward", each.step.absent)
        else:
            assert line["flops"] == (len(each.reads) - 1) * prod(line["shape"])
    answer = byhand("models", name, "--backward")
    assert f"{len(steps)} steps" in answer.lines[0]


def test_a_model_without_a_loss_goes_back_from_its_last_value(byhand):
    answer = byhand("models", "minilm-l6", "--backward")
    assert answer.row("d:pooler.pre")


def test_source_tokens(byhand):
    lines = byhand("models", "original-tiny", "--tokens", "5", "--source-tokens", "3", "--json").data["lines"]
    shapes = {line["address"]: line["shape"] for line in lines}
    assert shapes["source.blocks.0.attn.weights"] == [1, 4, 3, 3]
    assert shapes["blocks.0.cross.weights"] == [1, 4, 5, 3]


def test_without_sizes_it_fits_the_context(byhand):
    assert "for B = 1, T = 5" in byhand("models", "aab").out
    assert "for B = 1, T = 8" in byhand("models", "gpt2-tiny").out

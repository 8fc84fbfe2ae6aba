"""A part of a model written out."""

import pytest

import byhand as package
from byhand.pseudocode import pseudocode, worked


@pytest.mark.parametrize("depth", ["vector", "operators"])
@pytest.mark.parametrize("backward", [False, True])
def test_it_is_the_librarys(byhand, depth, backward):
    program = package.load("llama-tiny").program_with(targets=backward)
    made = pseudocode(program, "blocks.1.attn", depth, "backward" if backward else "forward")
    words = ("pseudocode", "llama-tiny", "blocks.1.attn", "--depth", depth, *["--backward"] * backward)
    assert byhand(*words).out == made.text(80) + "\n"
    assert byhand(*words, "--short").out == made.text(80, short=True) + "\n"
    assert byhand(*words, "--markdown").out == made.markdown()
    assert byhand(*words, "--json").data["steps"] == made.to_dict()["steps"]


def test_without_a_part_it_is_the_first_block(byhand):
    assert byhand("pseudocode", "gpt2-124m", "--json").data["part"] == "blocks.0"
    steps = byhand("pseudocode", "gpt2-124m", "all", "--json").data["steps"]
    assert [step["address"] for step in steps] == [step.address for step in package.load("gpt2-124m").program]


def test_sizes_and_one_head(byhand):
    program = package.load("original-tiny").program
    made = pseudocode(program, "blocks.0.cross", B=2, T=5, S=3, heads=True)
    sizes = ("--batch", "2", "--tokens", "5", "--source-tokens", "3")
    assert byhand("pseudocode", "original-tiny", "blocks.0.cross", *sizes, "--heads").out == made.text(80) + "\n"


@pytest.mark.parametrize("place", ["blocks.0.attn.heads[0,2,0,7]", "d:blocks.0.attn.heads[0,2,0,7]"])
def test_numbers_of_one_element(byhand, place):
    run = package.load("aab").run("baa")
    run.backward()
    made = worked(run, place.partition("[")[0], (0, 2, 0, 7))
    words = ("pseudocode", "aab", "--depth", "numbers", "--element", place)
    assert byhand(*words, "--text", "baa").out == made.text(80) + "\n"
    assert byhand(*words, "--ids", "1,0,0", "--json").data["steps"] == made.to_dict()["steps"]


def test_numbers_in_a_part_and_with_all_terms(byhand):
    run = package.load("gpt2-tiny").run("Hi")
    made = worked(run, "blocks.0.attn.out", (0, 1, 3), "blocks.0.attn.out", digits=3, most=None)
    words = ("--element", "attn.out[0,1,3]".replace("attn", "blocks.0.attn"), "--terms", "all", "--digits", "3")
    answer = byhand("pseudocode", "gpt2-tiny", "blocks.0.attn.out", "--depth", "numbers", "--text", "Hi", *words)
    assert answer.out == made.text(80) + "\n"


def test_numbers_of_an_edited_run(byhand):
    words = ("pseudocode", "aab", "--depth", "numbers", "--text", "baa", "--element", "blocks.0.out[0,2,6]")
    assert byhand(*words, "blocks.0.out").lines[-1].endswith("= 1024")
    edit = ("--edit", "blocks.0.attn.out[0,2,6]=5")
    assert byhand(*words, "blocks.0.out", *edit).lines[-1].endswith("= 5")

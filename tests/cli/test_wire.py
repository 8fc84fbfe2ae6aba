"""``byhand wire``: somebody's own file as a proven model, and every mistake in it as one line."""

import json
from pathlib import Path

import pytest

import byhand as package

PARITY = """\
from byhand.wiring import Wiring, offset

parity = Wiring("01", context=9, name="parity")
with parity.layer():
    before = parity.head("before", offset(-1), parity.tokens, default="0")
    parity.predict(parity.function("sum", [before, parity.tokens], lambda a, b: "1" if {a, b} >= {"0", "1"} else "0"))
"""
FOLLOWS = """
def follows(text):
    return str(text.zfill(2)[-2:].count("1") % 2)
"""
OTHER = PARITY.replace("parity", "other")
MAKER = "def make():\n" + "".join(f"    {line}\n" for line in PARITY.splitlines()) + "    return parity\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A function that writes a file and goes where it is."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="mine.py"):
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write


def test_it_reports_and_saves_a_model_that_others_commands_take(byhand, file):
    answer = byhand("wire", file(PARITY), "--save", "made")
    assert answer.lines[0].startswith("parity: gpt2 (tied), 1 layers")
    assert any(line.startswith("layer 0 head before  offset -1") and "exact" in line for line in answer.lines)
    assert "saved made" in answer.out and not answer.err
    last = byhand("run", "made", "0110", "--json").data["positions"][-1]
    assert last["predicted"][0]["token"] == "1"
    assert package.load("made").generate("01", max_tokens=3).finish().text == "101"


def test_the_report_is_the_same_as_json(byhand, file):
    data = byhand("wire", file(PARITY), "--family", "llama", "--json", "--verify", "--look").data
    assert data["name"] == "parity" and data["sizes"].startswith("llama (untied), 1 layers")
    assert data["verdicts"]["float32"] == "exact" and len(data["fingerprint"]) == 64
    sites = data["sites"]["float32"]
    assert [site["name"] for site in sites][-1] == "output" and all(site["slack"] for site in sites)
    assert data["verification"]["passed"] and data["verification"]["claimed"] == 0
    assert any("before = '0' and tokens = '1'" in part for part in data["sight"]) and data["saved"] is None


def test_a_file_that_says_what_should_follow_is_held_to_it(byhand, file):
    good = byhand("wire", file(PARITY + FOLLOWS), "--verify", "--random", "9")
    assert "right parity: all right" in " ".join(good.out.split())
    assert byhand("wire", "mine.py", "--verify", "--random", "9", "--json").data["verification"]["claimed"] > 1000
    bad = byhand("wire", file(PARITY + FOLLOWS.replace("% 2", "% 3")), "--verify", "--random", "9", code=1)
    assert "wrong parity: after '00000011' expected '2' (spec), got '0'" in bad.out


def test_random_texts_of_the_file_are_used(byhand, file):
    own = PARITY + "def texts(rng):\n    print('drawn')\n    return '0110'\n"
    answer = byhand("wire", file(own), "--verify", "--random", "3")
    assert answer.err == "drawn\n" * 3  # what it prints is no part of the answer


def test_it_shows_what_is_inside(byhand, file):
    out = byhand("wire", file(PARITY), "--look", "--step", "0110").out
    for title in ("the residual stream of parity", "layer 0 head before: scores", "position 4 (0) of ^0110"):
        assert title in out
    assert "layer 0 sum:   before = '1' and tokens = '0': '0' -> '1'" in out


def test_a_name_says_which(byhand, file):
    assert byhand("wire", file(PARITY + OTHER), "--name", "other").out.startswith("other: ")
    assert byhand("wire", file(MAKER), "--name", "make").out.startswith("parity: ")
    assert byhand("wire", file(PARITY + "again = parity\n")).out.startswith("parity: ")


def test_a_program_of_the_zoo_by_name(byhand):
    assert byhand("wire", "aab", "--family", "llama").out.startswith("aab: llama (untied), 1 layers")


def test_its_main_part_is_not_run_and_its_neighbours_are_found(byhand, file):
    file(PARITY, "neighbour.py")
    answer = byhand("wire", file("from neighbour import parity\nif __name__ == '__main__':\n    raise SystemExit(1)\n"))
    assert answer.out.startswith("parity: ")


NEVER = """\
    parity.rules("never", [({parity.tokens: "^", before: "1"}, "x")], default="0")
"""


def test_what_never_applies_is_warned_of(byhand, file):
    answer = byhand("wire", file(PARITY + NEVER))
    assert answer.err.startswith("byhand: warning: layer 0, rules 'never': ") and answer.err.count("\n") == 1
    assert (
        byhand("wire", "mine.py", "--json")
        .data["warnings"][0]
        .endswith("never applies: where tokens is '^', before is '0'")
    )


FAULTS = {
    "no such file": (None, "no file 'mine.py', and no program of the zoo is called so; there are aab, "),
    "syntax": ("x = 1\nwith:\n", "mine.py, line 2: invalid syntax"),
    "an exception": ("x = 1\ny = 1 / 0\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
    "in a function": ("def f():\n    return {}['a']\n\nf()\n", "mine.py, line 2: KeyError: 'a'"),
    "an end": ("import sys\nsys.exit(3)\n", "mine.py, line 2: it ended itself, with the exit code 3"),
    "refused as it is written": (
        PARITY.replace("offset(-1)", "offset(1)"),
        "mine.py, line 5: offset(1): a position reads only itself and what stands before it",
    ),
    "refused when compiled": (PARITY[: PARITY.index("    parity.predict")], "parity: it predicts nothing"),
    "no wiring": ("x = 1\n", "mine.py makes no Wiring; put one at the top level of the file"),
    "a function only": (MAKER, "mine.py makes no Wiring; put one at the top level of the file, or name a function"),
    "several": (PARITY + OTHER, "mine.py makes 2 wirings, parity, other; say which with --name"),
    "follows is a text": (PARITY + "follows = 'a'\n", "mine.py: follows is 'a'; make it a function"),
    "no module": ("import nowhere_to_be_found\n", "mine.py, line 1: ModuleNotFoundError: No module named"),
    "no text at all": ("\0", "mine.py, line "),
}


@pytest.mark.parametrize("text, line", FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_file_is_one_line(byhand, file, text, line):
    if text is not None:
        file(text)
    answer = byhand("wire", "mine.py", code=2)
    assert answer.out == "" and answer.err.startswith(f"byhand: error: {line}") and answer.err.count("\n") == 1


def test_a_fault_of_what_should_follow_is_one_line_too(byhand, file):
    answer = byhand("wire", file(PARITY + "def follows(text):\n    return text[7]\n"), "--verify", code=2)
    assert answer.err == "byhand: error: mine.py, line 8: IndexError: string index out of range\n"


WRONG = {
    "a folder": ((".",), ". is a folder; give the Python file that makes the wiring"),
    "family": (("mine.py", "--family", "bert"), "--family is 'bert'; give gpt2 or llama"),
    "random": (("mine.py", "--random", "-1"), "--random is -1; give 0 or more"),
    "name": (("mine.py", "--name", "x"), "--name is 'x', and mine.py has nothing of that name"),
    "no wiring of that name": (("mine.py", "--name", "before"), "--name is 'before', which is "),
    "name and zoo": (("aab", "--name", "x"), "--name is 'x', and aab of the zoo has one wiring"),
    "foreign letter": (("mine.py", "--step", "012"), "parity has no token for '2' of the text; it knows '01'"),
    "save": (("mine.py", "--save", "mine.py"), "mine.py exists; name another folder"),
}


@pytest.mark.parametrize("words, line", WRONG.values(), ids=WRONG)
def test_wrong_use_is_one_line(byhand, file, words, line):
    file(PARITY)
    answer = byhand("wire", *words, code=2)
    assert answer.err.startswith(f"byhand: error: {line}") and answer.err.count("\n") == 1
    assert not Path("made").exists()


def test_json_is_one_document(byhand, file):
    assert json.loads(byhand("wire", file("print('hello')\n" + PARITY), "--json").out)["name"] == "parity"

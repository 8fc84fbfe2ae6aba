"""What all commands do alike: help, the version, colours, a closed pipe, Ctrl-C, progress."""

import io
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

import byhand as package
from byhand.cli import (
    app,
    bench,
    compare,
    convert,
    explain,
    explore,
    generate,
    inspect,
    models,
    pseudocode,
    pull,
    run,
    starting,
    tokenize,
    tour,
    trace,
    train,
    waiting,
    wire,
)

from ..provisions import provide

MODULES = {
    "tour": tour,
    "models": models,
    "run": run,
    "generate": generate,
    "trace": trace,
    "explain": explain,
    "pseudocode": pseudocode,
    "compare": compare,
    "inspect": inspect,
    "convert": convert,
    "tokenize": tokenize,
    "pull": pull,
    "train": train,
    "wire": wire,
    "explore": explore,
    "bench": bench,
}
# A network, somebody who ends it, another library, a machine without other work, somebody's data and time to learn it.
NEEDS_MORE = ("pull", "explore", "--with transformers", "bench", "notes", "tuned")
EXAMPLES = [
    example
    for module in MODULES.values()
    for example in module.EXAMPLES
    if not any(words in example for words in NEEDS_MORE)
]
BYHAND = (sys.executable, "-m", "byhand.cli")


def test_every_command_is_tested_here():
    assert [command.name for command in app.registered_commands] == list(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_help_has_examples(byhand, name):
    answer = byhand(name, "--help")
    assert answer.out == byhand(name, "-h").out
    assert max(map(len, answer.lines)) <= 80
    for example in MODULES[name].EXAMPLES:
        assert f"    byhand {example}" in answer.lines


def test_without_words_it_says_what_there_is(byhand):
    answer = byhand()
    assert answer == byhand("--help")
    assert set(MODULES) <= {line.split()[0] for line in answer.lines if line.strip()}
    assert answer.lines[-1].strip() == "Start with: byhand tour"


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_work(byhand, monkeypatch, tmp_path, example):
    words = shlex.split(example)
    code = 1 if "--edit-b" in words or "--compare" in words else 0  # they differ, as they should
    for again in (False, True):
        folder = tmp_path / str(again)
        before = provide(folder)
        monkeypatch.chdir(folder)
        if not again:
            answer = byhand(*words, code=code)
            assert answer.out and not answer.err
        elif "--markdown" not in words:
            assert byhand(*words, "--json", code=code).data
        made = {path.name for path in folder.iterdir()} - before
        assert len(made) == bool({"--out", "--save", "convert"} & set(words)) * (not again or "--markdown" not in words)


def test_the_version(byhand):
    assert byhand("--version").out == f"byhand {package.__version__}\n"


def test_colours_only_where_they_are_wanted(byhand, monkeypatch):
    assert "\x1b" not in byhand("tour").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1m" in byhand("tour").out
    assert "\x1b" not in byhand("tour", "--json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in byhand("tour").out


def test_ctrl_c_is_one_line(byhand, monkeypatch):
    def interrupted(*words, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(starting.byhand, "load", interrupted)
    answer = byhand("run", "aab", "aab", code=130)
    assert (answer.out, answer.err) == ("", "byhand: stopped\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("patience", "shown"), [(0.0, True), (60.0, False)])
def test_progress_is_shown_to_those_who_wait(monkeypatch, patience, shown):
    monkeypatch.setattr(waiting, "PATIENCE", patience)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    step = package.load("aab").program.steps[4]
    with starting.progress("running aab", 14) as tick:
        tick(step)
        time.sleep(0.3)
    assert ("running aab: blocks.0.attn.k" in sys.stderr.getvalue()) is shown


def test_progress_is_no_business_of_a_file(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with starting.progress("running aab"):
        time.sleep(0.1)
    assert sys.stderr.getvalue() == ""


# --- as a process of its own ------------------------------------------------------------------------------------


@pytest.fixture
def usual(monkeypatch):
    """The environment of somebody who has set nothing of Python's."""
    for name in ("PYTHONUNBUFFERED", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONWARNINGS", "error")


def started(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*BYHAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("words", [("models", "llama3.1-405b", "--all"), ("models", "llama3.1-405b", "--json")])
def test_a_closed_pipe_ends_quietly(usual, words):
    with started(*words) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("run", "aab", "aab"), ("tour", "--json")])
def test_a_pipe_that_nobody_reads_ends_quietly(usual, words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*BYHAND, *words], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("models",), ("tour", "--json")])
def test_a_full_disk_is_one_line(usual, words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*BYHAND, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"byhand: error: cannot write the answer: ")


def test_an_interrupt_from_outside(usual):
    words = ("explain", "gpt2-tiny", "Hello", "loss", "--depth", "100", "--terms", "all")
    with started(*words) as process:
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"byhand: stopped\n")


def test_a_terminal_that_knows_only_ascii(usual, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([*BYHAND, "tour"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"`-- token.weight[1,6] = 1" in done.stdout


def test_starting_loads_nothing_heavy():
    code = "import byhand.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numba", "transformers", "tokenizers", "scipy", "pydantic", "rich.progress"} & set(loaded)

"""Training from the command line: what is shown, what is kept, Ctrl-C, going on, and what is refused."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

import byhand as package
from byhand.cli import training as shown
from byhand.cli import waiting
from byhand.train import saving, tracing
from byhand.train.settings import from_toml

SMALL = ("--layers", "1", "--width", "16", "--heads", "2", "--context", "16", "--batch", "3", "--engine", "reference")
TEXT = "the old cat sat on the red mat. " * 60


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own with a text in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def words(*more: str, family: str = "gpt2", data: str = "text.txt", steps: int = 4) -> tuple[str, ...]:
    return ("train", "--family", family, "--data", data, "--out", "out", "--steps", str(steps), *SMALL, *more)


def test_it_says_what_it_does_and_what_comes_next(byhand, here):
    answer = byhand(*words("--evaluate", "2", "--sample", "4", "--prompt", "the"))
    assert answer.lines[0].startswith("gpt2: ") and "layers 1, width 16, heads 2" in answer.lines[0]
    assert answer.lines[1].startswith("text.txt: 1,72") and " to learn from, 192 held back; char" in answer.lines[1]
    assert "4 steps of 3 x 16 tokens, reference engine" in answer.out
    assert answer.row("step")[:6] == ["step", "loss", "validation", "rate", "tokens/s", "time"]
    assert [line[:8].strip() for line in answer.lines if line[:8].strip().isdecimal()] == ["2", "4"]
    assert any(line.startswith("    the") for line in answer.lines)
    assert "· training, o validation" in answer.out and "│" in answer.out
    assert not answer.err and max(len(line) for line in answer.lines if not line.startswith("Next: ")) <= 80
    model = package.load(here / "out" / "step-00000004")
    assert model.tokenizer.encode("the") and model.config.width == 16


@pytest.mark.parametrize(
    ("family", "more"), {"gpt2": (), "bert": ("--tokenizer", "bpe:300"), "llama": ("--prompt", "the cat")}.items()
)
def test_the_commands_that_come_next_work(byhand, here, family, more):
    answer = byhand(*words(*more, family=family))
    following = [shlex.split(line.removeprefix("Next: byhand ")) for line in answer.lines if line.startswith("Next: ")]
    assert [line[0] for line in following] == (["run"] if family == "bert" else ["generate", "explain"]) + ["train"]
    for line in following:
        assert byhand(*line).out
    assert (here / "out" / "step-00000008").is_dir()


def test_pairs_are_answered_next(byhand, here):
    answer = byhand(*words("--tokenizer", "bpe:300", "--examples", "60", family="original", data="reversals"))
    (line,) = (line for line in answer.lines if line.startswith("Next: byhand generate"))
    assert "--source" in line and byhand(*shlex.split(line.removeprefix("Next: byhand "))).out


def test_one_document(byhand, here):
    answer = byhand(*words("--json", "--save", "2", "--keep", "1"))
    data = answer.data
    assert not answer.err and (data["step"], data["tokens"]) == (4, 4 * 3 * 16)
    assert data["checkpoint"] == "out/step-00000004" and (here / data["checkpoint"] / "state.json").is_file()
    assert sorted(path.name for path in (here / "out").glob("step-*")) == ["step-00000004"]
    assert data["validation"] > 0 and data["settings"]["keep"] == 1
    assert data["next"][-1] == "byhand train --out out --resume --steps 8"


def test_options_go_before_the_file(byhand, here):
    (here / "some.toml").write_text(
        '[model]\nfamily = "llama"\nlayers = 2\n[data]\ndata = "text.txt"\n[training]\nrate = 0.5\nsteps = 3\n'
    )
    byhand("train", "--config", "some.toml", "--out", "out", "--rate", "0.25", *SMALL)
    given = from_toml(here / "out" / "settings.toml")
    assert (given["family"], given["sizes"]["layers"], given["rate"], given["steps"]) == ("llama", 1, 0.25, 3)
    again = byhand("train", "--config", "out/settings.toml", "--out", "again", "--json").data
    first, second = (package.load(here / name / "step-00000003") for name in ("out", "again"))
    assert (first.weights["token.weight"] == second.weights["token.weight"]).all() and again["settings"]["rate"] == 0.25


def test_it_goes_on(byhand, here):
    byhand(*words())
    answer = byhand("train", "--out", "out", "--resume", "--steps", "6")
    assert "6 steps from step 4 of" in answer.out
    refused = byhand("train", "--out", "out", "--resume", "--rate", "0.5", "--steps", "8", code=2)
    assert refused.err.startswith("byhand: error: rate is 0.5 now and was 0.001 when this training began; ")
    assert byhand("train", "--out", "out", "--resume", code=2).err.count("\n") == 1


def test_a_model_is_trained_on(byhand, here):
    byhand(*words())
    answer = byhand(
        "train", "--from", "out/step-00000004", "--data", "text.txt", "--out", "two", "--steps", "2", "--batch", "2"
    )
    assert answer.lines[0].startswith("step-00000004: ")


REFUSED = {
    "there is nothing to train on; give data": ("--family", "gpt2"),
    "what is to be trained: give family": ("--data", "text.txt"),
    "family is 'gtp2'; give one of gpt2": ("--family", "gtp2", "--data", "text.txt"),
    "got both family and from": ("--family", "gpt2", "--from", "aab", "--data", "text.txt"),
    "no model 'nothing'": ("--from", "nothing", "--data", "text.txt"),
    "rate is -1.0; give a number above 0": ("--family", "gpt2", "--data", "text.txt", "--rate", "-1"),
    "cannot read the settings in none.toml": ("--config", "none.toml"),
    "out holds no checkpoint to go on from": ("--resume",),
    "needs 17": ("--family", "gpt2", "--data", "few.txt", "--length", "16"),
}


@pytest.mark.parametrize(("line", "given"), REFUSED.items())
def test_one_line_says_what_is_wrong(byhand, here, line, given):
    (here / "few.txt").write_text("a few words")
    answer = byhand("train", "--out", "out", *given, code=2)
    assert answer.err.startswith("byhand: error: ") and line in answer.err and answer.err.count("\n") == 1
    assert not answer.out


def test_a_training_that_diverges_is_one_line(byhand, here):
    answer = byhand(*words("--rate", "1e25", "--warmup", "0", "--save", "1", steps=30), code=2)
    assert answer.err.count("\n") == 1 and " diverged: " in answer.err and " is kept in out" in answer.err
    assert saving.latest(here / "out") is not None


def test_a_step_is_kept_whole(byhand, here):
    answer = byhand(*words("--trace-step", "3"))
    assert "step 3 is kept whole in out/traces/step-00000003" in answer.out
    assert package.load(here / "out" / "traces" / "step-00000003").run("the")


def test_the_share_of_the_peak_is_told_on_the_cpu_engine(byhand, here, monkeypatch):
    monkeypatch.setattr(shown, "peak", lambda engine: 1e12)
    answer = byhand(*words())
    assert answer.row("step")[-3:] == ["of", "peak", "time"]
    assert [line for line in answer.lines if line.split()[:1] == ["4"] and line.split()[-2].endswith("%")]


def test_the_peak_is_measured(monkeypatch):
    assert shown.peak("reference") == 0
    assert 1e9 < shown.peak("cpu") < 1e13


def test_how_long_it_takes_reads_like_a_clock():
    assert [shown.clock(each) for each in (0, 59.6, 75, 3661)] == ["0:00", "1:00", "1:15", "1:01:01"]


# --- as a process of its own ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_can_be_stopped_and_goes_on_with_the_same_bits(byhand, here, number, code):
    command = [sys.executable, "-m", "byhand.cli", *words(steps=400), "--save", "1000", "--sample", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        log = here / "out" / "log.jsonl"
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 3):
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"stopping after this step" in err and b"--resume" in out
    stopped = saving.latest(here / "out")
    assert stopped is not None and 3 < int(stopped.name[5:]) < 400
    byhand("train", "--out", "out", "--resume", "--json")
    (here / "out").rename(here / "stopped")
    byhand(*words("--save", "1000", "--sample", "0", "--json", steps=400))
    first, second = (here / name / "step-00000400" / "second.safetensors" for name in ("stopped", "out"))
    assert first.read_bytes() == second.read_bytes()


def test_a_bar_is_shown_on_a_terminal(byhand, here, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(waiting, "PATIENCE", 60.0)
    answer = byhand(*words())
    assert "step 4 of 4" in answer.out and "tokens/s" in answer.out


def test_a_traced_step_is_explained(byhand, here):
    byhand(*words("--trace-step", "3", "--accumulate", "2"))
    trace = "out/traces/step-00000003"
    answer = byhand("explain", trace, "d:blocks.0.mlp.act[1,3,5]", "--depth", "1")
    assert answer.lines[0].startswith("d:blocks.0.mlp.act[1,3,5] = ") and answer.lines[1].startswith("batch 1, ")
    own = tracing.read(here / trace, 1)[1].grad["blocks.0.mlp.act"].array[1, 3, 5]
    given = byhand("explain", trace, "d:blocks.0.mlp.act[1,3,5]", "--part", "1", "--json").data
    assert given["stored"] == pytest.approx(float(own)) and byhand("trace", trace).out
    assert "has the parts 0 … 1" in byhand("explain", trace, "loss", "--part", "2", code=2).err


def test_the_ledger_says_what_is_held_and_what_is_computed_again(byhand, here):
    whole = byhand(*words("--ledger", "--json")).data
    held = {each["address"]: each for each in whole}
    assert held["blocks.0.mlp.act"]["bytes"] == 3 * 16 * 64 * 4 and held["blocks.0.mlp.act"]["state"] == "held"
    assert not saving.latest(here / "out", print)
    less = byhand(*words("--ledger", "--json", "--recompute", "blocks.*.mlp.act")).data
    again = {each["address"] for each in less if each["state"] == "computed again"}
    assert again == {each for each in held if each.endswith("mlp.act")} and again
    assert sum(each["bytes"] for each in less) < sum(each["bytes"] for each in whole)
    assert "recompute: nothing that is held fits 'mlp'" in byhand(*words("--recompute", "mlp"), code=2).err


def test_changed_data_is_not_gone_on_with(byhand, here):
    byhand(*words())
    (here / "text.txt").write_text(TEXT.replace("cat", "hat"))
    answer = byhand("train", "--out", "out", "--resume", "--steps", "6", code=2)
    assert "text.txt is no longer what this training learned from" in answer.err and answer.err.count("\n") == 1
    (here / "text.txt").write_text(TEXT)
    assert byhand("train", "--out", "out", "--resume", "--steps", "6").out

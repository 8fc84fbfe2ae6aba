"""``byhand pull``, as it is typed: against a hub on this machine."""

import io
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings

import pytest

from byhand import hub
from byhand.cli import pull
from byhand.errors import InputError
from byhand.hub.cache import cache
from byhand.hub.plan import plan
from byhand.hub.reach import reaching

from ..hub_server import COMMIT, TAKEN, Hub, isolate, serving, sharded

NAME = "org/tiny"
SHARD = TAKEN[2]
BYHAND = (sys.executable, "-m", "byhand.cli")


@pytest.fixture
def server(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    with serving(Hub(NAME, sharded())) as one:
        monkeypatch.setenv("HF_ENDPOINT", one.endpoint)
        yield one


def test_what_is_said(byhand, server):
    answer = byhand("pull", NAME)
    folder = hub.find(NAME)
    assert answer.lines[0] == f"{NAME} at main, commit {COMMIT[:12]}"
    assert answer.row(SHARD) == [SHARD, "3", "kB"]
    assert f"5 files, 6.16 kB, of which 6.04 kB are to come, from {server.endpoint}" in answer.lines
    assert answer.lines[-3:] == [str(folder), "", f"Next: byhand run {NAME} 'The cat sat on the'"]
    assert answer.err == ""
    again = byhand("pull", NAME)
    assert again.row(SHARD)[-1] == "here"
    assert "5 files, 6.16 kB, all of them here" in again.lines


def test_as_data(byhand, server):
    data = byhand("pull", NAME, "--json").data
    assert (data["commit"], data["folder"]) == (COMMIT, str(hub.find(NAME)))
    assert sorted(each["path"] for each in data["files"] if each["downloaded"]) == [
        path for path in TAKEN if "index" not in path
    ]
    again = byhand("pull", NAME, "--json").data
    assert (again["downloaded"], again["bytes"]) == (0, sum(len(server.files[path]) for path in TAKEN))


def test_into_a_folder(byhand, server, tmp_path):
    folder = tmp_path / "a b"
    answer = byhand("pull", NAME, "--to", str(folder), "--file", "original/*")
    assert sorted(path.name for path in (folder / "original").iterdir()) == ["consolidated.00.pth", "params.json"]
    assert answer.lines[-1] == f"Next: byhand run {shlex.quote(str(folder))} 'The cat sat on the'"
    assert not (cache() / "models--org--tiny").exists()


def test_a_revision_is_run_by_its_folder(byhand, server):
    answer = byhand("pull", NAME, "--revision", "v1")
    assert answer.lines[-1] == f"Next: byhand run {hub.find(NAME, 'v1')} 'The cat sat on the'"
    one = byhand("pull", f"{NAME}:model.gguf")
    assert one.lines[-1] == f"Next: byhand run {NAME}:model.gguf 'The cat sat on the'"


def test_offline(byhand, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = "byhand: error: HF_HUB_OFFLINE is set and org/tiny is not in the cache; unset it to download\n"
    assert byhand("pull", NAME, code=2).err == line
    monkeypatch.delenv("HF_HUB_OFFLINE")
    byhand("pull", NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.requests.clear()
    folder = hub.find(NAME)
    assert str(folder) in byhand("pull", NAME).lines
    assert byhand("pull", NAME, "--json").data["folder"] == str(folder)
    byhand("pull", NAME, "--to", "x", code=2)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so org/tiny cannot be downloaded"):
        plan(NAME)
    assert not server.requests
    (folder / SHARD).unlink()  # type: ignore[operator]
    assert f"{SHARD} is missing" in byhand("pull", NAME, code=2).err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("org/typo",), "there is no model org/typo at"),
        (("no name",), "'no name' is no name of a model on a hub; write org/name"),
        ((NAME, "--all", "--file", "x"), "got both --all and --file"),
        ((NAME, "--to", __file__), "is a file; name a folder with --to"),
        ((NAME, "--file", "*.onnx"), "has no file '*.onnx'"),
    ],
)
def test_mistakes_are_one_line(byhand, server, words, line):
    answer = byhand("pull", *words, code=2)
    assert line in answer.err and answer.err.count("\n") == 1
    assert answer.err.startswith("byhand: error: ") and not answer.out


def test_a_wrong_hash_is_one_line(byhand, server):
    server.served = {SHARD: b"?" * len(server.files[SHARD])}
    err = byhand("pull", NAME, "--json", code=2).err
    assert err.startswith(f"byhand: error: {SHARD} of {NAME} arrived with another hash") and err.count("\n") == 1


def test_what_the_library_says_is_not_passed_on(server):
    with reaching(NAME, "main"):
        from huggingface_hub.utils.logging import get_logger

        speaker = get_logger("huggingface_hub.download")
        assert not speaker.isEnabledFor(logging.ERROR)
        warnings.warn("a warning of its own", FutureWarning, stacklevel=1)
    assert speaker.isEnabledFor(logging.ERROR)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(byhand, server, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert byhand("pull", NAME).out
    assert re.search(rf"\.\.\.{SHARD[-21:]} .* 6.04 kB of 6.04 kB", terminal.getvalue())
    assert not {"\x1b[31m", "\x1b[32m", "\x1b[36m"} & set(re.findall(r"\x1b\[\d+m", terminal.getvalue()))


# --- as a process of its own, with huggingface_hub's own reading of the environment -----------------------------


def typed(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BYHAND, *words], capture_output=True, text=True, check=False, env={**os.environ, **more})


def test_only_the_hub_is_asked_and_only_we_speak(server, tmp_path):
    """Every socket that is opened leads to this machine; a connection that breaks is told by nobody else."""
    server.broken = {SHARD: [10]}
    watch = tmp_path / "sitecustomize.py"
    watch.write_text(
        "import socket, sys\n"
        "def heard(event, args):\n"
        "    if event == 'socket.connect' and args[1][0] not in ('127.0.0.1', '::1'):\n"
        "        raise SystemExit(f'asked {args[1]}')\n"
        "sys.addaudithook(heard)\n"
    )
    done = typed("pull", NAME, "--json", PYTHONPATH=str(tmp_path), PYTHONWARNINGS="always", HF_DEBUG="")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["endpoint"] == server.endpoint
    assert {request.path.split("/resolve/")[0].split("/cdn/")[0] for request in server.requests} == {
        f"/api/models/{NAME}/revision/main",
        f"/{NAME}",
        "",
    }


def test_ctrl_c(server, tmp_path):
    server.slow = SHARD
    with subprocess.Popen([*BYHAND, "pull", NAME], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 20
        while SHARD not in server.fetched and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"byhand: stopped\n")
    assert hub.find(NAME) is None
    (part,) = cache().rglob("*.incomplete")
    assert part.stat().st_size == 100
    server.slow = ""
    assert typed("pull", NAME).returncode == 0
    assert server.requests[-1].headers["range"] == "bytes=100-"


def test_every_example_is_a_way_to_ask(byhand, server):
    """They name models that are not on this machine's hub, so that is all there is to complain about."""
    for example in pull.EXAMPLES:
        assert "there is no model" in byhand(*shlex.split(example), code=2).err

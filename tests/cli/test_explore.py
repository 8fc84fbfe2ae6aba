"""``byhand explore`` as a process: it prints one link, serves it, and leaves nothing behind."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil
import pytest

from byhand.cli import tour
from byhand.explorer.serving import has_window, listening
from byhand.explorer.wire import decoded


@pytest.fixture
def started(tmp_path):
    """A function that starts the command and gives its process, and the link it printed."""
    processes = []

    def start(*words, browser=None):
        env = {**os.environ, "TMPDIR": str(tmp_path), **({"BROWSER": browser} if browser else {})}
        command = [sys.executable, "-m", "byhand.cli", "explore", *words, *([] if browser else ["--no-open"])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=tmp_path,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup, which may run us, ignores it
        )
        processes.append(process)
        assert process.stdout
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ask(link, op, **params):
    parts = urlsplit(link)
    with closing(HTTPConnection("127.0.0.1", parts.port, timeout=30)) as connection:
        headers = {"X-Byhand-Token": parts.path.strip("/")}
        connection.request("POST", f"{parts.path}api/{op}", json.dumps(params), headers)
        answer = connection.getresponse()
        return decoded(answer.read()).head


def ended(process, link, code, said):
    """The process has ended, with one line or none, and nothing of it is left."""
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (code, "", said)
    with pytest.raises(OSError):
        ask(link, "model")


def test_it_prints_a_link_that_works(started):
    process, link = started("gpt2-tiny", "Hello", "--dtype", "float64")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{43}/", link)
    head = ask(link, "model")
    assert (head["name"], head["first"]) == ("gpt2-tiny", {"text": "Hello", "dtype": "float64"})
    assert ask(link, "run", scene=head["first"])["python"].endswith("model.run('Hello', dtype='float64')")
    process.send_signal(signal.SIGINT)
    ended(process, link, 130, "byhand: stopped\n")


def test_what_the_tour_says_to_type_works(started):
    (words,) = [shlex.split(words) for _, words in tour.NEXT if words.startswith("explore ")]
    process, link = started(*words[1:])
    head = ask(link, "model")
    assert head["name"] == "stories" and ask(link, "run", scene=head["first"])["kept"]
    process.send_signal(signal.SIGINT)
    ended(process, link, 130, "byhand: stopped\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_being_told_to_end(started, number, code, tmp_path):
    process, link = started("aab", "aab")
    assert ask(link, "model")["vocabulary"] == 2
    process.send_signal(number)
    ended(process, link, code, "")
    assert list(tmp_path.iterdir()) == []


def test_the_link_for_scripts(started):
    _, line = started("aab", "aab", "--json")
    assert ask(json.loads(line)["link"], "model")["name"] == "aab"


def test_ctrl_c_while_it_computes(started):
    process, link = started("gpt2-124m", "--ids", ",".join(["7"] * 200))
    parts = urlsplit(link)
    with closing(HTTPConnection("127.0.0.1", parts.port, timeout=30)) as connection:
        headers = {"X-Byhand-Token": parts.path.strip("/")}
        connection.request(
            "POST", f"{parts.path}api/run", json.dumps({"scene": {"tokens": [7] * 200}, "job": "j"}), headers
        )
        while not ask(link, "progress", of="j")["running"]:
            time.sleep(0.01)
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        ended(process, link, 130, "byhand: stopped\n")
    assert time.perf_counter() - start < 8


def test_being_killed_leaves_nothing(started, tmp_path):
    process, link = started("aab", "aab")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children == []
    process.kill()
    process.communicate()
    assert list(tmp_path.iterdir()) == []
    again, other = started("aab", "aab", "--port", str(urlsplit(link).port))
    assert urlsplit(other).port == urlsplit(link).port and other != link
    assert ask(other, "model")["name"] == "aab"
    assert again.poll() is None


def test_the_browser_gets_a_link_that_works_once(started, tmp_path):
    """The browser's command line, which everybody here can read, does not hold the token."""
    seen = tmp_path / "seen"
    browser = tmp_path / "browser.py"
    browser.write_text(f"import sys\nopen({str(seen)!r}, 'w').write(sys.argv[1])\n", encoding="utf-8")
    _, link = started("aab", "aab", browser=f"{shlex.quote(sys.executable)} {browser} %s")
    for _ in range(500):
        if seen.exists() and seen.read_text(encoding="utf-8"):
            break
        time.sleep(0.02)
    once = urlsplit(seen.read_text(encoding="utf-8"))
    token = urlsplit(link).path.strip("/")
    assert once.netloc == urlsplit(link).netloc and token not in once.path
    places = []
    for _ in range(2):
        with closing(HTTPConnection("127.0.0.1", once.port, timeout=30)) as connection:
            connection.request("GET", once.path)
            answer = connection.getresponse()
            places.append((answer.status, answer.getheader("location")))
    assert places == [(303, urlsplit(link).path), (404, None)]


def test_no_browser_takes_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_window()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_window()


def test_a_port_that_is_taken(byhand):
    with listening(0) as listener:
        port = listener.getsockname()[1]
        answer = byhand("explore", "aab", "aab", "--port", str(port), "--no-open", code=2)
    assert (
        answer.err == f"byhand: error: port {port} cannot be used: Address already in use; give another, or 0 for any\n"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nothing-like-it", "x"], "no model 'nothing-like-it'"),
        (["aab", "xyz"], "xyz|x"),
        (["aab", "aab", "--port", "70000"], "--port is 70000"),
        (["aab", "aab", "--port", "x"], "whole number"),
        (["aab", "aab", "--dtype", "float8"], "no dtype 'float8'"),
        (["aab", "aab", "--engine", "abacus"], "abacus"),
        (["aab", "aab", "--ids", "0,1"], "one of the two"),
        (["aab", "--ids", "a"], "cannot read --ids"),
        (["original-tiny", "Hello"], "source"),
    ],
)
def test_what_cannot_be_explored(byhand, words, line):
    answer = byhand("explore", *words, "--no-open", code=2)
    assert answer.err.count("\n") == 1 and re.search(line, answer.err)

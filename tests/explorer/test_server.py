"""The session behind HTTP, over real connections: answers, many at once, cancelling, pages that go away."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest

from byhand.explorer import Session
from byhand.explorer.jobs import Job
from byhand.explorer.scene import read_scene
from byhand.explorer.server import AT_ONCE, MOST_BODY
from byhand.explorer.serving import served
from byhand.explorer.wire import decoded

from ..small_models import model
from .scenes import edit, edited, scene_of

SCENE = scene_of("gpt2-tiny")
WINDOW = {"scene": SCENE, "address": "blocks.0.attn.weights", "index": [0, 1, None, None]}


class Client:
    """A page: each request has a connection of its own, unless it is used as a context and keeps one open."""

    def __init__(self, link):
        self.link = urlsplit(link)
        self.connection = HTTPConnection("127.0.0.1", self.link.port, timeout=30)
        self.keeps = False

    def __enter__(self):
        self.keeps = True
        return self

    def __exit__(self, *error):
        self.connection.close()

    def send(self, method, path, body=None, **headers):
        try:
            return self.sent(method, path, body, headers)
        finally:
            if not self.keeps:
                self.connection.close()

    def sent(self, method, path, body, headers):
        given = {"X-Byhand-Token": self.link.path.strip("/"), **{k.replace("_", "-"): v for k, v in headers.items()}}
        self.connection.request(method, path, body, {name: value for name, value in given.items() if value is not None})
        answer = self.connection.getresponse()
        return answer, answer.read()

    def post(self, op, body, **headers):
        return self.send("POST", f"{self.link.path}api/{op}", body, **headers)

    def ask(self, op, **params):
        answer, data = self.post(op, json.dumps(params))
        assert answer.status == 200, data
        return decoded(data)

    def line(self, op, body):
        """The status and the one line of a refusal."""
        answer, data = self.post(op, body)
        assert answer.headers["content-type"] == "application/json"
        said = json.loads(data)
        assert list(said) == ["error"] and said["error"] and "\n" not in said["error"]
        return answer.status, said["error"]


@pytest.fixture
def session():
    return Session(model("gpt2-tiny"), first=read_scene(SCENE))


@pytest.fixture
def link(session):
    with served(session) as found:
        yield found.link


@pytest.fixture
def client(link):
    return Client(link)


def test_answers_arrive_as_the_session_gives_them(client, session):
    for op, params in [("model", {}), ("run", {"scene": SCENE}), ("window", WINDOW), ("outline", {"scene": SCENE})]:
        session.handle(op, params)  # the run is there
        direct, sent = session.handle(op, params), client.ask(op, **params)
        assert {**sent.head, "seconds": 0} == {**json.loads(json.dumps(direct.head)), "seconds": 0}
        assert all(np.array_equal(sent.arrays[name], array) for name, array in direct.arrays.items())


def test_every_own_operation_travels(client):
    scene = edited(SCENE, edit("blocks.0.attn.heads", [0, None, 1])) | {"gradient": {"of": "loss"}}
    at = {"scene": scene, "address": "d:blocks.0.mlp.act", "index": [0, 1, 3]}
    assert client.ask("number", **at).head["within"] is True
    assert client.ask("terms", **at, **{"from": 0, "to": 5}).head["terms"]
    assert client.ask("cell", **at).head["bits"]
    assert client.ask("stats", scene=scene, addresses=["d:logits"]).head["stats"]["d:logits"]["size"] == 480
    assert (
        client.ask("export", **at | {"index": [0, None, 3]}, format="npy").arrays["data"][:6].tobytes() == b"\x93NUMPY"
    )
    assert "zero=True" in client.ask("python", state={"a": scene}).head["text"]


def test_refusals_are_one_line(client):
    assert client.line("fly", "{}")[0] == 400
    assert client.line("window", json.dumps({**WINDOW, "address": "nowhere"}))[0] == 400
    assert client.line("window", b"\xff\xfe")[1] == "the request is no JSON"
    assert client.line("window", "[1]")[1] == "the request is no object of parameters"
    assert client.line("window", "[" * 200_000)[1] == "the request is no JSON"
    assert client.line("window", '{"a": NaN}')[1] == "the request is no JSON"
    assert client.line("window", '{"a": ' + "9" * 10_000 + "}")[1] == "the request is no JSON"
    assert client.line("window", "")[1] == "the request is no JSON"
    assert client.ask("model").head["name"] == "gpt2-tiny"  # the connection goes on


def test_a_mistake_of_byhand_is_said_and_does_not_end_it(client, monkeypatch, capsys):
    monkeypatch.setitem(__import__("byhand.explorer").explorer.OPERATIONS, "model", lambda *given: 1 / 0)
    status, line = client.line("model", "{}")
    assert status == 500 and "ZeroDivisionError" in line
    assert capsys.readouterr().err.count("\n") == 1
    assert client.ask("run", scene=SCENE).head["kept"]


def test_an_answer_that_would_be_too_large(client, monkeypatch):
    monkeypatch.setattr("byhand.explorer.wire.MOST_BYTES", 50)
    assert "ask for less" in client.line("window", json.dumps(WINDOW))[1]


def test_twenty_connections_at_once(link, session):
    """Kept open and used again and again, while one of them is slow."""
    expected = session.look(read_scene(SCENE), "blocks.0.attn.weights")[0, 1]

    def use(each):
        for _ in range(10):
            assert np.array_equal(each.ask("window", **WINDOW).arrays["values"], expected)
        return True

    with ExitStack() as open_ones, ThreadPoolExecutor(20) as pool:
        clients = [open_ones.enter_context(Client(link)) for _ in range(20)]
        assert all(pool.map(use, clients, timeout=60))


class Waiting:
    """Runs of one text wait until they are let go on, or are stopped."""

    def __init__(self, monkeypatch):
        self.begun, self.go, self.jobs = threading.Event(), threading.Event(), list[Job]()
        plain = Session.plain

        def slow(session, scene, job):
            if scene.text == "slow":
                self.jobs.append(job)
                self.begun.set()
                while not self.go.wait(0.01):
                    job.check()
            return plain(session, scene, job)

        monkeypatch.setattr(Session, "plain", slow)


@pytest.fixture
def waiting(monkeypatch):
    made = Waiting(monkeypatch)
    yield made
    made.go.set()


SLOW = {"text": "slow"}


def test_a_slow_run_does_not_hold_up_what_is_there(link, waiting):
    client = Client(link)
    client.ask("run", scene=SCENE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        slow = [pool.submit(Client(link).ask, "run", scene=SLOW) for _ in range(20)]
        assert waiting.begun.wait(10)
        start = time.perf_counter()
        client.ask("window", **WINDOW)
        assert time.perf_counter() - start < 2
        assert not any(each.done() for each in slow)
        waiting.go.set()
        assert all(each.result(30).head["kept"] for each in slow)
    assert len(waiting.jobs) == 1  # twenty asked, one computed


def test_cancelling_over_http(link, waiting):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(Client(link).line, "run", json.dumps({"scene": SLOW, "job": "j1"}))
        assert waiting.begun.wait(10)
        assert Client(link).ask("progress", of="j1").head["running"] is True
        assert Client(link).ask("cancel", of="j1").head == {"stopped": True}
        assert slow.result(10) == (409, "cancelled")
    assert Client(link).ask("run", scene=SCENE).head["kept"]


def test_progress_gets_through_when_all_threads_wait(session, waiting, monkeypatch):
    monkeypatch.setattr("byhand.explorer.server.AT_ONCE", 2)
    with served(session) as found, ThreadPoolExecutor(6) as pool:
        link = found.link
        slow = [pool.submit(Client(link).post, "run", json.dumps({"scene": SLOW, "job": f"j{i}"})) for i in range(6)]
        assert waiting.begun.wait(10)
        assert Client(link).ask("progress", of="none").head["running"] is False
        waiting.go.set()
        assert [each.result(30)[0].status for each in slow] == [200] * 6


def test_more_than_may_wait_are_refused(link, waiting, monkeypatch):
    monkeypatch.setattr("byhand.explorer.server.WAITING", 1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(Client(link).ask, "run", scene=SLOW)
        assert waiting.begun.wait(10)
        answer, data = Client(link).post("model", "{}")
        assert answer.status == 503 and "try again later" in json.loads(data)["error"]
        waiting.go.set()
        assert slow.result(30)


def test_a_page_that_goes_away_stops_its_work(link, waiting):
    with Client(link) as client:
        client.connection.timeout = 0.5
        with pytest.raises(TimeoutError):
            client.ask("run", scene=SLOW)
        assert not waiting.jobs[0].stop.is_set()
    assert waiting.jobs[0].stop.wait(10)
    assert Client(link).ask("run", scene=SCENE).head["kept"]


def test_the_end_of_the_server_stops_what_it_computes(session, waiting):
    with ThreadPoolExecutor(1) as pool, served(session) as found:
        link = found.link
        slow = pool.submit(Client(link).post, "run", json.dumps({"scene": SLOW}))
        assert waiting.begun.wait(10)
    assert waiting.jobs[0].stop.is_set()
    assert isinstance(slow.exception(10), Exception) or slow.result()[0].status == 409
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", urlsplit(link).port), timeout=1)


def test_a_request_that_never_arrives_ends(link, monkeypatch):
    monkeypatch.setattr("byhand.explorer.server.PATIENCE", 0.3)
    parts = urlsplit(link)
    with socket.create_connection(("127.0.0.1", parts.port), timeout=10) as connection:
        head = f"POST {parts.path}api/model HTTP/1.1\r\nHost: 127.0.0.1:{parts.port}\r\nContent-Length: 100\r\n"
        connection.sendall(f"{head}X-Byhand-Token: {parts.path.strip('/')}\r\n\r\n{{".encode())
        assert b" 408 " in connection.recv(4000).split(b"\r\n")[0]


def test_a_large_request_is_read_up_to_the_limit(client):
    text = json.dumps({"text": "x" * (MOST_BODY - 100)})
    assert client.line("tokenize", text)[0] == 400  # longer than the model reads, but read
    answer, data = client.post("tokenize", json.dumps({"text": "x" * MOST_BODY}))
    assert answer.status == 413 and "bytes" in json.loads(data)["error"]

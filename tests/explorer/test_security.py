"""Who is kept out: other pages, other names, other users of the machine, and requests made to break something."""

import contextlib
import json
import re
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byhand.errors import InputError
from byhand.explorer import Session
from byhand.explorer.guard import POLICY, new_token, same
from byhand.explorer.scene import read_scene
from byhand.explorer.server import FAR_TOO_MUCH, Server
from byhand.explorer.serving import Serving, listening, served

from ..small_models import model
from .scenes import scene_of
from .test_server import Client

SESSION = Session(model("gpt2-tiny"), first=read_scene(scene_of("gpt2-tiny")))


@pytest.fixture(scope="module")
def link():
    with served(SESSION) as found:
        yield found.link


@pytest.fixture
def client(link):
    return Client(link)


def status(client, method="POST", path=None, **headers):
    path = f"{client.link.path}api/model" if path is None else path
    answer, data = client.send(method, path, "{}" if method == "POST" else None, **headers)
    if answer.status != 200 and method != "HEAD":
        said = json.loads(data)["error"]
        assert "\n" not in said and client.link.path.strip("/") not in said
    return answer.status


def test_the_right_request_is_answered(client):
    here = f"127.0.0.1:{client.link.port}"
    assert status(client) == 200
    assert status(client, Origin=f"http://{here}", Sec_Fetch_Site="same-origin") == 200
    assert status(client, Host=f"localhost:{client.link.port}", Origin=f"http://localhost:{client.link.port}") == 200


@pytest.mark.parametrize("token", [None, "", "x", "é", "0" * 43])
def test_a_wrong_token(client, token):
    encoded = token.encode("latin1").decode("latin1") if token else token
    assert status(client, X_Byhand_Token=encoded) == 403
    right = client.link.path.strip("/")
    assert status(client, X_Byhand_Token=right[:-1]) == 403
    assert status(client, X_Byhand_Token=right + "x") == 403
    assert status(client, X_Byhand_Token=right.swapcase()) == 403


def test_a_token_in_the_header_does_not_open_another_path(client):
    right = client.link.path.strip("/")
    assert status(client, path="/api/model") in (403, 404)
    assert status(client, path=f"/{right[:-1]}/api/model") == 403
    assert status(client, "GET", path=f"/{right[:-1]}/") == 404
    assert status(client, "GET", path="/") == 404
    assert status(client, "GET", path="/app.js") == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "", "[::1]", "0.0.0.0"]
)
def test_a_foreign_host(client, host):
    assert status(client, Host=host) == 403
    assert status(client, "GET", client.link.path, Host=host) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://{here}", "http://{here}.evil.example", "http://127.0.0.1:1", ""]
)
def test_a_foreign_origin(client, origin):
    here = f"127.0.0.1:{client.link.port}"
    assert status(client, Origin=origin.replace("{here}", here)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
def test_a_browser_that_says_another_site_asks(client, site):
    assert status(client, Sec_Fetch_Site=site) == 403


def test_other_methods(client):
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert status(client, method) in (404, 405), method
    assert status(client, "POST", client.link.path) == 405
    assert status(client, "OPTIONS", Origin="http://evil.example", Access_Control_Request_Method="POST") == 403


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "static/../server.py",
        "server.py",
        "/etc/passwd",
        "..\\server.py",
        "app.js%00.html",
        "app.js/",
        ".",
        "..",
        "index.html/..",
        "api/",
        "api/a/b",
        "%ff%fe",
    ],
)
def test_paths_that_lead_elsewhere(client, path):
    assert status(client, "GET", client.link.path + path) in (404, 405)
    assert status(client, "GET", "/" + path) in (400, 404)


def test_every_answer_forbids_what_is_not_needed(client):
    for method, path, headers in [
        ("GET", client.link.path, {}),
        ("POST", f"{client.link.path}api/model", {}),
        ("POST", f"{client.link.path}api/model", {"X_Byhand_Token": "x"}),
        ("GET", "/nothing", {}),
    ]:
        answer, _ = client.send(method, path, "{}" if method == "POST" else None, **headers)
        found = {name.lower(): value for name, value in answer.getheaders()}
        assert found["content-security-policy"] == POLICY
        assert found["x-content-type-options"] == "nosniff" and found["referrer-policy"] == "no-referrer"
        assert found["cross-origin-resource-policy"] == "same-origin" and found["cache-control"] == "no-store"
        assert not {"access-control-allow-origin", "server", "set-cookie"} & found.keys()
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "form-action 'none'"):
        assert rule in POLICY
    assert "unsafe" not in POLICY and "http" not in POLICY


def test_the_page_names_nothing_from_elsewhere(client):
    answer, data = client.send("GET", client.link.path)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", data.decode())


def test_a_link_that_works_once():
    with listening(0) as listener:
        serving = Serving(SESSION, listener)
        start = serving.once()
    guard = serving.behind.app
    assert urlsplit(start).path.strip("/") in guard.starts
    assert serving.link not in start
    headers = {"host": f"127.0.0.1:{serving.port}"}
    first, second = (guard.refusal(Headers(headers), urlsplit(start).path) for _ in range(2))
    assert (first.status_code, first.headers["location"]) == (303, urlsplit(serving.link).path)
    assert second.status_code == 404


class Headers(dict):
    """Headers as the guard reads them."""

    def getlist(self, name):
        return [self[name]] if name in self else []


def test_only_this_machine_can_connect():
    with listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be used: Address already in use"):
            listening(port)
    with pytest.raises(InputError, match="cannot be used"):
        listening(10**6)


def test_tokens_are_long_and_new():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(each) >= 43 for each in tokens)
    assert same("a", "a") and not same("a", "b") and not same("\udcff", "a") and not same("", "a")


def test_only_files_of_the_page_are_served():
    page = Server(SESSION, "t", 1).page
    assert "index.html" in page
    assert all(re.fullmatch(r"[\w-]+\.(html|js|css|svg|png)", name) for name in page)


# --- requests made to break something ---------------------------------------------------------------------------


def head_of(link, op, size):
    """The beginning of a request with the right token, whose body has so many bytes."""
    parts = urlsplit(link)
    lines = [f"POST {parts.path}api/{op} HTTP/1.1", f"Host: 127.0.0.1:{parts.port}", f"Content-Length: {size}"]
    return "\r\n".join([*lines, f"X-Byhand-Token: {parts.path[1:-1]}", "", ""]).encode()


def raw(link, data):
    """What the server says to bytes; b"" where it just ends the connection, with some of them unread."""
    parts = []
    with (
        socket.create_connection(("127.0.0.1", urlsplit(link).port), timeout=10) as connection,
        contextlib.suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def refusal(said):
    """Whether an answer is an HTTP refusal of one line, without a traceback."""
    if not said:
        return True
    head, _, body = said.partition(b"\r\n\r\n")
    return re.match(rb"HTTP/1.1 4\d\d ", head) and body.count(b"\n") == 0 and b"Traceback" not in body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET",
        b"\x16\x03\x01\x02\0\x01\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
    ids=range(11),
)
def test_what_is_no_request(link, client, data):
    assert refusal(raw(link, data))
    assert status(client) == 200


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(link, data, behind):
    assert refusal(raw(link, head_of(link, "window", len(data)) + data if behind else data))


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_json(link, given_):
    client = Client(link)
    for op in ("window", "run", "number", "nothing"):
        answer, data = client.post(op, json.dumps(given_))
        assert answer.status == 400 and "\n" not in json.loads(data)["error"]


def test_a_request_that_is_too_large_is_not_read(link):
    for size in (10**12, FAR_TOO_MUCH + 1):
        assert b" 413 " in raw(link, head_of(link, "model", size)).split(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", urlsplit(link).port), timeout=10) as connection:
        head = head_of(link, "model", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        connection.sendall(head)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 10**8:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert sent < 5 * 10**7


def test_requests_behind_one_another_keep_apart(link):
    """A body that looks like a request is only a body."""
    inner = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    said = raw(link, head_of(link, "model", len(inner)) + inner)
    assert said.count(b"HTTP/1.1 ") == 1 and b"no JSON" in said

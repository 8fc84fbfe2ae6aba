"""A hub on 127.0.0.1: as much of the real one's HTTP as huggingface_hub needs, and ways to go wrong on purpose."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from byhand.hub import download, reach

COMMIT = "c" * 40
LARGE = 2_000  # bytes from which a file is kept in large storage, and served from another host


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Request:
    """What was asked: the path without its host, the host, and the headers in lower case."""

    path: str
    host: str
    headers: dict[str, str]

    @property
    def file(self) -> str:
        """The file that was asked for, on either host; "" for the listing."""
        return self.path.partition("/resolve/")[2].partition("/")[2] or self.path.partition("/cdn/")[2]


@dataclass
class Hub:
    """One repository, and what the server does with it.

    broken: a file and after how many bytes its body breaks off, one number for each time; failures: how many answers
    are 500 first; served: other bytes than the listing says; token: what must be sent to see the repository; listing:
    what is answered instead of the listing; slow: a file of which 100 bytes come, and then nothing for a while.
    """

    name: str
    files: dict[str, bytes]
    endpoint: str = ""
    token: str | None = None
    gated: bool = False
    failures: int = 0
    broken: dict[str, list[int]] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    slow: str = ""
    listing: bytes | None = None
    requests: list[Request] = field(default_factory=list)

    @property
    def fetched(self) -> list[str]:
        """The files whose bytes were asked for, once for each request that was answered with them."""
        return [request.file for request in self.requests if request.path.startswith("/cdn/") or self.small(request)]

    def small(self, request: Request) -> bool:
        return "/resolve/" in request.path and len(self.files.get(request.file, b"")) < LARGE

    def info(self) -> dict[str, Any]:
        return {"id": self.name, "modelId": self.name, "sha": COMMIT, "siblings": [*map(self.sibling, self.files)]}

    def sibling(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        entry = {"rfilename": path, "size": len(content), "blobId": git_hash(content)}
        if len(content) >= LARGE:
            entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
        return entry


class Answerer(BaseHTTPRequestHandler):
    """Answers GET and HEAD as the hub does. The hub itself is an attribute of the server."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests look at hub.requests."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.requests.append(Request(path, headers["host"], headers))
        if hub.failures:
            hub.failures -= 1
            return self.answer(500, b"oops")
        if path.startswith("/cdn/"):
            return self.content(hub, path.removeprefix("/cdn/"))
        if hub.token and headers.get("authorization") != f"Bearer {hub.token}":
            code = "GatedRepo" if hub.gated else "RepoNotFound"
            return self.answer(401, b"", {"X-Error-Code": code, "X-Error-Message": "no"})
        self.look_up(hub, path)

    def look_up(self, hub: Hub, path: str) -> None:
        """The listing of the repository, or one of its files."""
        if path == f"/api/models/{hub.name}" or path.startswith(f"/api/models/{hub.name}/revision/"):
            if not path.endswith((hub.name, "/main", f"/{COMMIT}", "/v1")):
                return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return self.answer(200, hub.listing or json.dumps(hub.info()).encode())
        if not path.startswith(f"/{hub.name}/resolve/"):
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        file = path.split("/resolve/")[1].partition("/")[2]
        if file not in hub.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if len(hub.files[file]) < LARGE:
            return self.content(hub, file)
        size, digest = len(hub.files[file]), sha256(hub.files[file])
        other = hub.endpoint.replace("127.0.0.1", "localhost")
        linked = {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": COMMIT}
        self.answer(302, b"", {**linked, "Location": f"{other}/cdn/{file}"})

    def content(self, hub: Hub, file: str) -> None:
        """The bytes of a file from where the range begins; as many as it says, unless it is to break off."""
        content = hub.served.get(file, hub.files[file])
        start = 0
        if hub.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        if start and start >= len(content):
            return self.answer(416, b"")
        headers = {"ETag": f'"{git_hash(hub.files[file])}"', "X-Repo-Commit": COMMIT}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if file == hub.slow:
            return self.hang(content)
        stop = hub.broken[file].pop(0) if hub.broken.get(file) else None
        self.answer(206 if start else 200, content[start:], headers, stop)

    def hang(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100])
        self.close_connection = True
        self.connection.settimeout(20)
        with suppress(OSError):
            self.connection.recv(1)  # until the other side goes away

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, stop: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:stop])
        self.close_connection = self.close_connection or stop is not None


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at an address of its own, until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answerer)
    server.daemon_threads = True
    server.hub = hub  # type: ignore[attr-defined]
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """An environment without this machine's settings, token, cache and proxies, and without waiting."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(folder / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    for module in (download, reach):
        monkeypatch.setattr(module, "WAIT", 0.0)


def sharded() -> dict[str, bytes]:
    """A small repository with weights in two shards, and much that byhand has no use for."""
    shards = {f"model-0000{i}-of-00002.safetensors": bytes([i]) * (3_000 + i) for i in (1, 2)}
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": [*shards][1]}}
    return {
        "config.json": b'{"model_type": "gpt2"}',
        "tokenizer.json": b"{}" * 10,
        "model.safetensors.index.json": json.dumps(index).encode(),
        **shards,
        "README.md": b"# a model",
        "pytorch_model.bin": b"p" * 2_500,
        "model.gguf": b"g" * 2_600,
        "original/consolidated.00.pth": b"o" * 2_700,
        "original/params.json": b"{}",
        "flax_model.msgpack": b"f" * 2_000,
        ".gitattributes": b"x",
    }


TAKEN = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
TAKEN += ["model.safetensors.index.json", "tokenizer.json"]  # what byhand takes of it

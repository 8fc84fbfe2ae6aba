"""Models of a hub: found without a network, downloaded whole, checked, and continued after a break."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from byhand import hub
from byhand.errors import InputError
from byhand.hub import download as downloading
from byhand.hub import reach
from byhand.hub.cache import cache
from byhand.hub.download import download
from byhand.hub.plan import plan

from .hub_server import COMMIT, TAKEN, Hub, isolate, serving, sharded

NAME = "org/tiny"
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def alone(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no token"))


@pytest.fixture
def server(alone, monkeypatch):
    with serving(Hub(NAME, sharded())) as one:
        monkeypatch.setenv("HF_ENDPOINT", one.endpoint)
        yield one


def pulled(name: str = NAME, **how) -> Path:
    return download(plan(name, **how))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- names and finding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["gpt2", "openai-community/gpt2", "meta-llama/Llama-3.2-1B", "a/b", "a_b/c.d", "org/x-GGUF:q8/m.gguf"]
)
def test_names(text):
    assert hub.looks_like_name(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "/a",
            "a/",
            "a/b/c",
            "./a",
            "../a",
            "a..b",
            "a--b",
            "~/m",
            "a b",
            "-a",
            "m.gguf",
            "dir/model.safetensors",
        ),
        *("a/b:", "a/b:../x", "a/b:/x", "C:\\x", "a\n", "ä/b", "a" * 97),
    ],
)
def test_no_names(text):
    assert not hub.looks_like_name(text)
    assert hub.find(text) is None


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}, "/b"),
        ({"HF_HOME": "/c", "XDG_CACHE_HOME": "/d"}, "/c/hub"),
        ({"HF_HOME": "", "XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HF_HOME": "", "HOME": "/e"}, "/e/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(alone, monkeypatch, settings, folder):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache() == Path(folder)


def test_finding_imports_nothing_and_asks_nobody():
    code = "import sys; from byhand import hub; hub.find('org/none'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"huggingface_hub", "httpx2", "httpx", "requests", "http.client"} & set(loaded)


def test_found_after_a_pull(server):
    assert hub.find(NAME) is None
    folder = pulled()
    asked = len(server.requests)
    assert folder == hub.find(NAME) == hub.find(NAME, COMMIT) == hub.find(NAME, "main")
    assert hub.find(NAME, "v1") is None
    assert hub.find(f"{NAME}:config.json") == folder / "config.json"
    assert hub.find(f"{NAME}:model.gguf") is None
    assert len(server.requests) == asked


@pytest.mark.parametrize("gone", [SHARD, "config.json", "model.safetensors.index.json"])
def test_a_missing_part_is_reported(server, gone):
    folder = pulled()
    (folder / gone).resolve().unlink()
    if gone.endswith("index.json"):
        for shard in folder.glob("*.safetensors"):
            shard.unlink()
    with pytest.raises(InputError, match=f"not whole.* missing; fetch the rest with: byhand pull {NAME}$"):
        hub.find(NAME)
    assert files(pulled()) == TAKEN
    assert hub.find(NAME) == folder


def test_the_cache_is_that_of_huggingface_hub(server):
    """The library itself finds the files without a network, and sees nothing wrong with its cache."""
    folder = pulled()
    code = (
        "import huggingface_hub as h, sys; seen = h.scan_cache_dir(); "
        f"print(h.hf_hub_download({NAME!r}, {SHARD!r}, local_files_only=True), len(seen.warnings), "
        "[len(r.files) for repo in seen.repos for r in repo.revisions], [list(r.refs) for r in seen.repos])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(None, 1) == [str(folder / SHARD), "0 [5] [['main']]\n"]
    assert (folder / SHARD).is_symlink()
    assert os.readlink(folder / SHARD).startswith("../../blobs/")


# --- what is taken ----------------------------------------------------------------------------------------------


def test_only_what_byhand_uses(server):
    folder = pulled()
    assert files(folder) == TAKEN == sorted(server.fetched)
    assert all(request.headers["accept-encoding"] == "identity" for request in server.requests if request.file)
    assert {file: (folder / file).read_bytes() for file in TAKEN} == {file: server.files[file] for file in TAKEN}


def test_the_second_time_nothing_comes(server):
    pulled()
    server.requests.clear()
    again = plan(NAME)
    assert not again.missing and again.missing_bytes == 0
    download(again)
    assert [request.path for request in server.requests] == [f"/api/models/{NAME}/revision/main"]


@pytest.mark.parametrize(
    ("without", "taken"),
    [
        ("model-", ["config.json", "pytorch_model.bin", "tokenizer.json"]),
        (".none", [*TAKEN[:1], "model.safetensors", "tokenizer.json"]),
    ],
)
def test_other_forms_of_weights(server, without, taken):
    server.files = {path: content for path, content in server.files.items() if without not in path}
    if without == "model-":
        del server.files["model.safetensors.index.json"]
    else:
        server.files["model.safetensors"] = b"whole" * 1000
    folder = pulled()
    assert files(folder) == sorted(taken)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="config.json is missing"):
        hub.find(NAME)


def test_files_by_name_and_all(server, tmp_path):
    assert files(pulled(f"{NAME}:model.gguf", to=tmp_path / "a")) == ["model.gguf"]
    of_meta = files(pulled(files=["original/*"], to=tmp_path / "b"))
    assert of_meta == ["original/consolidated.00.pth", "original/params.json"]
    assert files(pulled(everything=True, to=tmp_path / "c")) == sorted(server.files)
    with pytest.raises(InputError, match="no file 'x.gguf'; its files: config.json, "):
        plan(f"{NAME}:x.gguf")


def test_weights_of_another_kind_are_named(server):
    server.files = {path: server.files[path] for path in ("config.json", "model.gguf")}
    with pytest.raises(
        InputError, match="no model.safetensors and no pytorch_model.bin; name one of model.gguf with --f"
    ):
        plan(NAME)


def test_a_folder_of_the_callers(server, tmp_path):
    folder = pulled(to=tmp_path / "here")
    assert files(folder) == TAKEN
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    (folder / "config.json").write_bytes(b"x" * len(server.files["config.json"]))
    with pytest.raises(InputError, match="config.json exists and differs .* --force$"):
        pulled(to=folder)
    assert (folder / "config.json").read_bytes()[:1] == b"x"
    pulled(to=folder, force=True)
    assert (folder / "config.json").read_bytes() == server.files["config.json"]


def test_check_reads_what_is_already_here(server, monkeypatch):
    monkeypatch.setattr(downloading, "SMALL", 100)
    blob = (pulled() / SHARD).resolve()
    blob.write_bytes(b"?" * blob.stat().st_size)
    assert not plan(NAME).missing
    server.requests.clear()
    download(plan(NAME, check=True))
    assert (server.fetched, blob.read_bytes()) == ([SHARD], server.files[SHARD])


# --- what goes wrong on the way ---------------------------------------------------------------------------------


def test_a_broken_connection_goes_on_at_once(server):
    server.broken = {SHARD: [1000, 500]}
    ticks = []
    made = plan(NAME)
    download(made, lambda path, count: ticks.append(count))
    asked = [request.headers.get("range") for request in server.requests if request.path == f"/cdn/{SHARD}"]
    assert asked == [None, "bytes=1000-", "bytes=1500-"]
    assert sum(ticks) == sum(file.size for file in made.missing)


@pytest.mark.parametrize("how", ["cache", "folder"])
def test_the_second_attempt_goes_on_where_the_first_stopped(server, monkeypatch, tmp_path, how):
    to = None if how == "cache" else tmp_path / "here"
    monkeypatch.setattr(downloading, "TRIES", 1)
    server.broken = {TAKEN[2]: [1000, 0]}
    with pytest.raises(InputError, match="cannot download .*; what has arrived is kept"):
        pulled(to=to)
    assert hub.find(NAME) is None
    server.requests.clear()
    made = plan(NAME, to=to)
    assert made.missing_bytes == len(server.files[TAKEN[2]]) - 1000
    assert files(download(made)) == TAKEN
    assert server.fetched == [TAKEN[2]]
    assert server.requests[-1].headers["range"] == "bytes=1000-"


def test_after_ctrl_c_the_rest_comes(server, monkeypatch):
    def stopped(path: str, count: int) -> None:
        if path == TAKEN[2] and count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(plan(NAME), stopped)
    assert hub.find(NAME) is None
    server.requests.clear()
    assert files(pulled()) == TAKEN
    assert server.fetched in ([], [TAKEN[2]])  # the bytes may all have been written before the interrupt


def test_a_server_without_ranges(server):
    server.broken, server.ranges = {SHARD: [1000]}, False
    ticks = []
    made = plan(NAME)
    download(made, lambda path, count: ticks.append(count))
    assert sum(ticks) == sum(file.size for file in made.missing)


@pytest.mark.parametrize("file", [SHARD, "config.json"])
def test_a_wrong_hash(server, file):
    server.served = {file: b"?" * len(server.files[file])}
    with pytest.raises(InputError, match=f"^{file} of {NAME} arrived with another hash .* it was deleted"):
        pulled()
    assert hub.find(NAME) is None
    assert not any(path.read_bytes()[:1] == b"?" for path in cache().rglob("*") if path.is_file())
    server.served = {}
    assert files(pulled()) == TAKEN


def test_a_wrong_rest_of_another_download_is_replaced(server):
    made = plan(NAME)
    (file,) = (file for file in made.missing if file.path == SHARD)
    downloading.part_of(made.kept(file)).write_bytes(b"!" * 700)
    assert (download(made) / SHARD).read_bytes() == server.files[SHARD]
    assert [request.headers.get("range") for request in server.requests if request.file == SHARD][1] == "bytes=700-"


@pytest.mark.parametrize("sent", [b"", b"s" * 100])
def test_a_truncated_body(server, sent):
    server.served = {SHARD: sent}
    with pytest.raises(InputError, match=f"cannot download {SHARD} .*: it sends {len(sent)} B of 3 kB; what"):
        pulled()
    assert hub.find(NAME) is None


def test_a_body_that_is_too_long(server):
    server.served = {SHARD: server.files[SHARD] + b"more"}
    with pytest.raises(InputError, match="sends more of"):
        pulled()


def test_an_unwell_hub_that_recovers(server):
    server.failures = 2
    made = plan(NAME)
    server.failures = 2
    assert files(download(made)) == TAKEN


def test_an_unwell_hub(server):
    pulled()
    server.failures = 99
    with pytest.raises(InputError, match=r"is not well \(it answers 500\); .*; the copy in .* can be used meanwhile"):
        plan(NAME)
    assert server.failures == 99 - reach.TRIES


def test_no_network(alone, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(InputError, match="cannot reach http://127.0.0.1.*; check the network and HF_ENDPOINT$"):
            plan(NAME)


def test_a_token_goes_to_the_hub_and_to_nobody_else(server, monkeypatch):
    server.token = "secret"
    with pytest.raises(InputError, match="no model org/tiny at .*, or it is private; .* set HF_TOKEN"):
        plan(NAME)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(InputError, match="the token in HF_TOKEN"):
        plan(NAME)
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.requests.clear()
    assert files(pulled()) == TAKEN
    hosts = {request.host.partition(":")[0]: "authorization" in request.headers for request in server.requests}
    assert hosts == {"127.0.0.1": True, "localhost": False}


def test_gated_missing_and_unknown_revision(server):
    for name, how, line in (
        ("org/other", {}, "there is no model org/other at .*; check the spelling"),
        (NAME, {"revision": "v9"}, "has no revision 'v9'"),
        (NAME, {"revision": "../x"}, "cannot be a revision"),
        ("a/b/c", {}, "'a/b/c' is no name of a model on a hub"),
    ):
        with pytest.raises(InputError, match=line):
            plan(name, **how)
    server.token, server.gated = "secret", True
    with pytest.raises(InputError, match=f"is gated: accept its terms at {server.endpoint}/{NAME}, then set HF_TOKEN"):
        plan(NAME)


@pytest.mark.parametrize("path", ["../../evil", "/evil", "a/../../evil", "a\\..\\evil", "C:evil", "a//b", "a\nb", ".."])
def test_file_names_that_lead_outside(server, tmp_path, path):
    server.files[path] = b"evil"
    with pytest.raises(InputError, match="which lies outside its folder; nothing was downloaded"):
        pulled(everything=True)
    assert not server.fetched and not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(("shard", "line"), [("../../evil", "lies outside"), ("c.safetensors", "is not there")])
def test_an_index_that_leads_astray(server, shard, line):
    server.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": shard}}).encode()
    with pytest.raises(InputError, match=f"names .*{shard}.*, which {line}"):
        plan(NAME)


@pytest.mark.parametrize("listing", [b"<html>", b"[]", b"{}", b'{"id": "x", "siblings": [{}]}', b"null", b"\xff"])
def test_what_is_no_hub(server, listing):
    server.listing = listing
    with pytest.raises(InputError, match="check HF_ENDPOINT"):
        plan(NAME)


def test_no_room(server, monkeypatch):
    made = plan(NAME)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda folder: downloading.shutil._ntuple_diskusage(9, 9, 7))
    with pytest.raises(InputError, match="kB of org/tiny are missing, but .* has 7 B free; make room"):
        download(made)
    assert not any(SHARD in path for path in server.fetched)


def test_one_pull_at_a_time(server):
    made = plan(NAME)
    with downloading.alone(made), pytest.raises(InputError, match="another pull of org/tiny is at work"):
        download(made)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot use .*file.* to get org/tiny: Not a directory"):
        pulled(to=tmp_path / "file" / "folder")

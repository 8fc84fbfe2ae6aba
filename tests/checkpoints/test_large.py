"""A model of 2 GB in shards is loaded without reading it: little memory, and a run's first step begins at once.

The shards are sparse files, so that they take no room on the disk; to a reader they are like any other.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from byhand.checkpoints.files import safetensors
from byhand.checkpoints.formats import hugging_face_config
from byhand.families import llama
from byhand.layouts import rows_for, shape
from byhand.layouts.hugging_face import LLAMA

CONFIG = llama.Config(
    layers=14, width=2048, heads=16, groups=4, hidden=8192, vocabulary=32000, context=2048, rotary="halves"
)
TENTH = 0.1

# Run in a process of its own. VmData is its private, writable memory; a mapped file does not count, its pages being
# the system's to drop. The limit makes any more an error, also for a moment; what is left tells how much it was.
PROGRAM = """
import resource, sys, time
import byhand, byhand.engines.reference

def private():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))

folder, allowed = sys.argv[1], int(sys.argv[2])
byhand.load("llama-tiny").run("warm")
before = private()
resource.setrlimit(resource.RLIMIT_DATA, (before + allowed, resource.RLIM_INFINITY))
start = time.perf_counter()
model = byhand.load(folder)
loaded, grown = time.perf_counter() - start, private() - before
resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)

class Done(Exception):
    pass

def told(step):
    if step.address != "embed.out":  # the rows of the token table have been read
        raise Done

try:
    model.run([1, 2, 3], keep=[], progress=told)
except Done:
    pass
print(loaded, time.perf_counter() - start, grown, model.weights["token.weight"][3, 5])
"""


def sparse(folder, shards: int = 4) -> int:
    """Write a folder with random bits in one place and zeros everywhere else; returns the bytes of its weights."""
    program = llama.program(CONFIG)
    sizes = {row.name: shape(row, program) for row in rows_for(LLAMA, program)}
    weights, total = {}, 0
    names = list(sizes)
    for number in range(shards):
        file, header, place = f"model-{number}.safetensors", {}, 0
        for name in names[number::shards]:
            end = place + 2 * int(np.prod(sizes[name]))
            header[name] = {"dtype": "BF16", "shape": list(sizes[name]), "data_offsets": [place, end]}
            weights[name], place = file, end
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as opened:
            opened.write(len(text).to_bytes(8, "little") + text)
            opened.truncate(8 + len(text) + place)
        total += place
    (folder / safetensors.INDEX).write_text(json.dumps({"weight_map": weights}))
    said = hugging_face_config.written("llama", CONFIG, "LlamaForCausalLM", "bfloat16")
    (folder / "config.json").write_text(json.dumps(said))
    table = safetensors.read(folder / weights["model.embed_tokens.weight"])["model.embed_tokens.weight"]
    assert not table[3, 5]
    with (folder / weights["model.embed_tokens.weight"]).open("rb+") as opened:
        length = int.from_bytes(opened.read(8), "little")
        begin = json.loads(opened.read(length))["model.embed_tokens.weight"]["data_offsets"][0]
        opened.seek(8 + length + begin + 2 * (3 * CONFIG.width + 5))
        opened.write(b"\x80\x3f")  # 1.0
    return total


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own count of memory is needed")
def test_two_gigabytes(tmp_path):
    total = sparse(tmp_path)
    assert total > 1.9e9
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(int(TENTH * total))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded, first, grown, value = map(float, done.stdout.split())
    print(f"{total:,} bytes: loaded in {loaded:.2f} s, a run begins after {first:.2f} s, {grown:,.0f} bytes of its own")
    assert value == 1.0
    assert grown < TENTH * total and first < 1

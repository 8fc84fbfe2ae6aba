"""Files that the examples of the command line name, with small models in them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import byhand
from byhand.checkpoints.llmc_state import write_state

PARITY = """\
from byhand.wiring import Wiring, offset

parity = Wiring("01", context=12, name="parity")
with parity.layer():
    before = parity.head("before", offset(-1), parity.tokens, default="0")
    parity.predict(parity.function("sum", [before, parity.tokens], lambda a, b: "1" if {a, b} >= {"0", "1"} else "0"))


def follows(text):
    return str(text.zfill(2)[-2:].count("1") % 2)
"""


def provide(folder: Path) -> set[str]:
    """Put the files into a folder that is made for them, and return their names."""
    shutil.copytree(made(), folder)
    return {path.name for path in folder.iterdir()}


@cache
def made() -> Path:
    folder = Path(mkdtemp(prefix="byhand"))
    gpt2, llama = byhand.load("gpt2-tiny"), byhand.load("llama-tiny-halves")
    gpt2.save(folder / "gpt2", format="hf")
    gpt2.save(folder / "gpt2_124M.bin", format="llmc")
    batch = np.random.default_rng(1).integers(0, 96, (2, 9))
    run = gpt2.run(batch[:, :-1], targets=batch[:, 1:])
    run.backward()
    write_state(run, folder / "gpt2_124M_debug_state.bin")
    llama.save(folder / "llama", format="hf")
    llama.save(folder / "llama.gguf", format="gguf")
    np.savez(folder / "theirs.npz", **{name: llama.run([1, 2, 3]).look(name) for name in ("tokens", "logits")})
    (folder / "parity.py").write_text(PARITY, encoding="utf-8")
    tokenizer(folder / "tokenizer.json", "hello world lower lowest " * 20)
    (folder / "other").mkdir()
    tokenizer(folder / "other" / "tokenizer.json", "333 777 + 3333 7777 " * 20)
    return folder


def tokenizer(path: Path, text: str) -> None:
    """A small byte-level BPE, trained on a text."""
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([text], vocab_size=300, show_progress=False)
    trained.save(str(path))

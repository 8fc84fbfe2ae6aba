"""Who can take part: byhand, the machine itself, and the peers that are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from byhand.bench.work import Work

Array = np.ndarray[Any, Any]

BYHAND, REFERENCE, PLAIN, MACHINE = "byhand", "byhand reference", "byhand, nothing kept", "machine"


class Contestant(Protocol):
    """Somebody who does some work; made with it, which is when weights are loaded."""

    facts: dict[str, Any]

    def answer(self) -> Array:
        """Do the work once and return the logits, [B,V] after the last token or [B,T,V] of a forward run; of training
        the losses of the first steps.
        """
        ...

    def run(self) -> float:
        """Do the work and return the seconds it took."""
        ...


@dataclass(frozen=True)
class Entry:
    """A contestant by name. package: what has to be installed; works: what it is measured at, and with which kinds of
    weights; families: which models it knows; folder: whether it reads a folder of Hugging Face's, and no GGUF file.
    """

    name: str
    package: str
    works: dict[str, tuple[str, ...]]
    families: tuple[str, ...] = ("gpt2", "llama")
    folder: bool = False

    @property
    def version(self) -> str:
        """Of the installed package, "" where there is none."""
        from importlib.metadata import PackageNotFoundError, version  # slow to import, and not needed to start

        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""

    def takes(self, work: Work) -> bool:
        return work.kind in self.works.get(work.what, ()) and work.family in self.families


TEXTS = ("decode", "prefill", "start-up", "memory")
FLOATS, ALL = ("f32", "bf16"), ("f32", "f16", "bf16", "q8", "q4")
PEERS = (
    Entry("llama.cpp", "llama-cpp-python", dict.fromkeys(TEXTS, ALL)),
    Entry("transformers", "transformers", dict.fromkeys(TEXTS, FLOATS), folder=True),
    # in float32 whatever the kind: that is the fastest it has on a processor
    Entry("torch", "torch", {"forward": ALL, "train": ("f32",)}, folder=True),
    Entry("torch.compile", "torch", {"forward": ALL, "train": ("f32",)}, folder=True),
    Entry("TransformerLens", "transformer-lens", {"capture": ("f32",)}, families=("gpt2",), folder=True),
)


def peers(work: Work) -> list[Entry]:
    """The peers that are installed and do this work."""
    return [each for each in PEERS if each.takes(work) and each.version and (not each.folder or has_transformers())]


def has_transformers() -> bool:
    return all(each.version for each in PEERS if each.name in ("transformers", "torch"))


def find(name: str) -> Callable[[Work], Contestant]:
    """How a contestant is made. Only here is its library imported."""
    match name:
        case "byhand" | "byhand reference":
            from byhand.bench.own import CONTESTANTS
        case "byhand, nothing kept":
            from byhand.bench.own import Forward

            return Forward
        case "machine":
            from byhand.bench.limits import Machine

            return Machine
        case "llama.cpp":
            from byhand.bench.peers.llamacpp import CONTESTANTS
        case "transformers":
            from byhand.bench.peers.torches import CONTESTANTS
        case "torch":
            from byhand.bench.peers.torches import EAGER as CONTESTANTS
        case "torch.compile":
            from byhand.bench.peers.torches import COMPILED as CONTESTANTS
        case _:
            from byhand.bench.peers.lens import CONTESTANTS
    return lambda work: CONTESTANTS[work.what](work)


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of these packages, those that are installed."""
    found = {name: Entry("", name, {}).version for name in names}
    return {name: each for name, each in found.items() if each}

"""Whether every program of the zoo is right, from the exported folder on: ``python -m tests.wiring.exact [names]``.

Each is compiled, proven, saved and loaded by transformers, and run on all short texts and on 100,000 random ones of
full length, on every engine; every prediction is compared with what the wiring says, and that with what plain Python
says. A measurement is kept in figures.toml, and not made again as long as the weights are the same. It needs torch and
transformers, and takes long: OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=1 leave the other cores alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from byhand.compare.running import WAYS, Logits, from_folder
from byhand.wiring import Wired, Wiring, compile, predictions
from byhand.wiring.verifying import ENGINES, groups, running
from byhand.wiring.zoo import PROGRAMS, Program

Array = np.ndarray[Any, Any]
FIGURES = Path(__file__).parent / "figures.toml"
RANDOM, EXHAUSTIVE, SEED = 100_000, 20_000, 1
TOKENS = 2**14  # that are run together: more do not fit the caches
TELL = 5.0  # seconds between two lines of progress


class Wrong(Exception):
    """A prediction that is not what it should be: the engine and the text."""


@dataclass(frozen=True)
class Group:
    """Texts of one length as ids [B, T], and the id that should come after every one of them [B, T]."""

    ids: Array
    wanted: Array


def expected(name: str, random: int) -> tuple[list[Group], dict[str, int]]:
    """All texts with what should follow, and how many there are. Raises Wrong where wiring and plain Python differ."""
    program = PROGRAMS[name]
    wiring = program.make()
    place = {token: at for at, token in enumerate(wiring.tokens.domain)}
    found: dict[int, list[Group]] = {}
    count = {"exhaustive": 0, "random": 0, "predictions": 0, "claimed": 0}
    told = Told(f"{name}: what should follow")
    for kind, texts in drawn(program, wiring, random):
        rows = [predictions(wiring, text) for text in texts]
        count["claimed"] += sum(claimed(program, text, row) for text, row in zip(texts, rows, strict=True))
        ids = np.array([[place[letter] for letter in (wiring.begin, *text)] for text in texts])
        wanted = np.array([[place[value] for value in row] for row in rows])
        found.setdefault(ids.shape[1], []).append(Group(ids, wanted))
        count[kind] += len(texts)
        count["predictions"] += ids.size
        told(f"{count['exhaustive'] + count['random']:,} texts")
    return [group for some in found.values() for group in joined(some)], count


def joined(some: list[Group]) -> Iterator[Group]:
    """Groups of one length as few large ones."""
    ids, wanted = (np.concatenate([getattr(group, name) for group in some]) for name in ("ids", "wanted"))
    rows = max(1, TOKENS // ids.shape[1])
    for start in range(0, len(ids), rows):
        yield Group(ids[start : start + rows], wanted[start : start + rows])


def drawn(program: Program, wiring: Wiring, random: int) -> Iterator[tuple[str, list[str]]]:
    """All short texts, or all questions, then random ones of full length, in groups of one length."""
    for texts in groups(wiring, program.every() if program.every else [], EXHAUSTIVE, 0, SEED):
        yield "exhaustive", texts
    for texts in groups(wiring, program.texts, 0, random, SEED):
        yield "random", texts


def claimed(program: Program, text: str, row: list[Any]) -> int:
    """How many of the predictions plain Python speaks of. Raises Wrong where it says another token."""
    said = [program.follows(text[:end]) for end in range(len(row))]
    for end, (ours, theirs) in enumerate(zip(row, said, strict=True)):
        if theirs is not None and theirs != ours:
            raise Wrong(f"after {text[:end]!r} the wiring says {ours!r}, and it should be {theirs!r}")
    return sum(each is not None for each in said)


def figures(name: str, family: str, texts: list[Group]) -> dict[str, Any]:
    """What is said of one model. Raises Wrong."""
    begun = perf_counter()
    wired = compile(PROGRAMS[name].make(), family)
    report = wired.report()
    seconds = perf_counter() - begun
    config, worst = wired.model.config, report.worst
    gap = checked(wired, f"{name} {family}", texts)
    output = report.proof.sites["float32"][-1]
    proven = (output.margin or 0.0) - output.noise
    if gap < proven:
        raise Wrong(f"{name} {family}: the smallest gap of two logits is {gap}, and {proven} is proven")
    return {
        "fingerprint": report.fingerprint[:16],
        "layers": config.layers,
        "width": config.width,
        "heads": config.heads,
        "hidden": config.hidden,
        "context": config.context,
        "parameters": wired.model.parameters,
        "not_zero": sum(int(np.count_nonzero(wired.model.weights[each])) for each in wired.model.program.weights),
        "seconds": round(seconds, 1),
        "slack": float(f"{worst.slack:.3g}"),
        "slack_at": worst.name,
        **{dtype: report.proof.verdict(dtype) for dtype in report.proof.sites},
        "proven_gap": float(f"{proven:.4g}"),
        "smallest_gap": float(f"{gap:.4g}"),
        "engines": [*ENGINES, *WAYS],
    }


def checked(wired: Wired, what: str, texts: list[Group]) -> float:
    """The smallest gap of two logits that any engine gives. Raises Wrong."""
    gap = np.inf
    with TemporaryDirectory() as folder:
        saved = wired.save(Path(folder) / "model")
        runs = {engine: running(wired.model, engine) for engine in ENGINES}
        runs |= {way: from_folder(saved, way) for way in WAYS}
        if wired.prove().verdict("bfloat16") != "no":
            runs["hf-bfloat16"] = from_folder(saved, "hf-sdpa", "bfloat16")
        for engine, run in runs.items():
            found = engine_gap(run, f"{what} on {engine}", wired, texts)
            gap = gap if engine.endswith("bfloat16") else min(gap, found)
    return float(gap)


def engine_gap(run: Logits, what: str, wired: Wired, texts: list[Group]) -> float:
    """The same for one engine."""
    told, done, gap = Told(what), 0, np.inf
    for group in texts:
        logits = run(group.ids)
        wrong = np.argwhere(logits.argmax(-1) != group.wanted)
        if len(wrong):
            row, at = wrong[0]
            text = "".join(wired.wiring.tokens.domain[each] for each in group.ids[row, 1 : at + 1])
            raise Wrong(f"{what}: another token after {text!r}")
        top = np.partition(logits, -2, axis=-1)
        gap = min(gap, float((top[..., -1] - top[..., -2]).min()))
        done += len(group.ids)
        told(f"{done:,} texts")
    told(f"{done:,} texts, all right, smallest gap {gap:.4g}", True)
    return gap


class Told:
    """Says on standard error how far it is, now and then."""

    def __init__(self, what: str) -> None:
        self.what, self.begun = what, perf_counter()
        self.last = self.begun

    def __call__(self, how_far: str, always: bool = False) -> None:
        now = perf_counter()
        if always or now - self.last > TELL:
            self.last = now
            print(f"{self.what}: {how_far}, {now - self.begun:.0f} s", file=sys.stderr, flush=True)


# --- the file ---------------------------------------------------------------------------------------------------------


def read() -> dict[str, dict[str, Any]]:
    """What was measured, by program, then by family."""
    return tomllib.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def write(measured: dict[str, Any]) -> None:
    """In the order of the zoo; what is no longer in it is left out."""
    lines = [f"# Written by {__spec__.name if __spec__ else __name__}"]
    for name, program in PROGRAMS.items():
        for family in program.families:
            found = measured.get(name, {}).get(family)
            if found:
                lines += ["", f"[{name}.{family}]", *(f"{key} = {json.dumps(value)}" for key, value in found.items())]
    FIGURES.write_text("\n".join(lines) + "\n", encoding="utf-8")


def due(name: str, family: str, measured: dict[str, Any], random: int) -> bool:
    """Whether a model was not yet measured with so many random texts, or has other weights now."""
    found = measured.get(name, {}).get(family, {})
    if found.get("random", -1) < random:
        return True
    return compile(PROGRAMS[name].make(), family).report().fingerprint[:16] != found["fingerprint"]


def measure(names: list[str], random: int, again: bool) -> int:
    """Measure what is due, writing after each model; how many were wrong."""
    faults = 0
    for name in names or PROGRAMS:
        measured = read()
        families = [each for each in PROGRAMS[name].families if again or due(name, each, measured, random)]
        try:
            texts, count = expected(name, random) if families else ([], {})
            for family in families:
                measured.setdefault(name, {})[family] = figures(name, family, texts) | count
                write(read() | {name: measured[name]})
        except Wrong as fault:
            faults += 1
            print(f"WRONG: {fault}", file=sys.stderr, flush=True)
    return faults


def main() -> int:
    asked = argparse.ArgumentParser(description="Measure programs of the zoo; see the top of this file.")
    asked.add_argument("names", nargs="*", choices=[[], *PROGRAMS])
    asked.add_argument("--random", type=int, default=RANDOM, help="texts of full length")
    asked.add_argument("--again", action="store_true", help="also what was measured already")
    given = asked.parse_args()
    return 1 if measure(given.names, given.random, given.again) else 0


if __name__ == "__main__":
    sys.exit(main())

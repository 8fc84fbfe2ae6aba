"""Trust: random numbers of a run, each computed again from its formula, and the run beside another program's."""

from __future__ import annotations

from importlib.util import find_spec
from math import inf, isfinite, prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.compare import compare, with_transformers
from byhand.errors import InputError
from byhand.explanation import Explanation
from byhand.explorer.answer import Answer
from byhand.explorer.bounds import MARGIN, agrees, bound
from byhand.explorer.digits import bits, number
from byhand.explorer.jobs import Job
from byhand.explorer.lens import short
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.run import Run

if TYPE_CHECKING:
    from byhand.explorer.session import Session

MOST_CELLS, MOST_FAILURES, MOST_SECONDS = 2000, 20, 20.0
MOST_TERMS = 20_000  # of one number; with more of them one number would take seconds


@operation("trust")
def trust(session: Session, read: Parameters, job: Job) -> Answer:
    """Take random numbers apart and say how many are what their formula gives but for rounding, and which are not."""
    scene = session.scene(read)
    count, seed = read.whole("count", 1, MOST_CELLS, 200), read.whole("seed", 0, 2**63 - 1, 0)
    read.all_asked()
    run = session.run(scene, job)
    addresses, pick = checkable(run), Random(seed)
    job.expect(count, "checking numbers")
    start, checked, failures, used = perf_counter(), list[Explanation](), list[Explanation](), list[float]()
    while len(checked) < count and perf_counter() - start < MOST_SECONDS:
        address = addresses[len(checked) % len(addresses)] if count >= len(addresses) else pick.choice(addresses)
        each = session.explain(scene, address, tuple(pick.randrange(size) for size in run.look(address).shape), job)
        checked.append(each)
        used.append(rounding(run, each))
        if used[-1] > 1:
            failures.append(each)
        job.step()
    worst = int(np.argmax(used))
    head = {
        "checked": len(checked),
        "asked": count,
        "right": len(checked) - len(failures),
        "addresses": len({each.address for each in checked}),
        "of": len(addresses),
        "worst": shown(run, checked[worst]),
        "used": short(used[worst]),
        "failures": [shown(run, each) for each in failures[:MOST_FAILURES]],
        "operators": tally(checked, used),
        "seconds": short(perf_counter() - start),
    }
    return Answer(head)


def checkable(run: Run) -> list[str]:
    """The values, and gradients if there are any, whose numbers are looked at: what is kept and not too long."""
    values = [address for address in run.program.producer if address in run.kept]
    gradients = [] if run.gradients is None else [f"d:{address}" for address in run.grad.arrays]
    return [address for address in (*values, *gradients) if run.look(address).size and terms_at_most(run, address)]


def terms_at_most(run: Run, address: str) -> bool:
    """Whether one of its numbers has few enough terms. A weight's gradient sums over all positions of all texts."""
    step = run.program.producer.get(address.removeprefix("d:"))
    sizes = [run.shape(read) for read in (step.reads if step else ()) if read is not None]
    return max((max(shape, default=1) for shape in sizes), default=prod(run.inputs["tokens"].shape)) <= MOST_TERMS


def rounding(run: Run, each: Explanation) -> float:
    """How much of what rounding can do at most a number is off by: above 1, rounding alone does not explain it."""
    if agrees(run, each) and each.stored == each.value:
        return 0.0
    apart, most = abs(each.stored - each.value), MARGIN * bound(run, each)
    return apart / most if isfinite(apart) and most else 0.0 if agrees(run, each) else inf


def tally(checked: list[Explanation], used: list[float]) -> list[dict[str, Any]]:
    """How many numbers of each operator were checked, how far they were off in units of their last place, and how much
    of what rounding can do that is, both at most.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for each, share in zip(checked, used, strict=True):
        found.setdefault(each.operator or each.kind, []).append((each.ulp, share))
    return [
        {
            "operator": name,
            "count": len(pairs),
            "ulp": short(max(ulp for ulp, _ in pairs)),
            "used": short(max(share for _, share in pairs)),
        }
        for name, pairs in sorted(found.items())
    ]


def shown(run: Run, each: Explanation) -> dict[str, Any]:
    """One number: where it is, what is stored, what its formula gives, how far apart they are."""
    stored = run.look(each.address)[each.index]
    return {
        "address": each.address,
        "index": list(each.index),
        "operator": each.operator or each.kind,
        "stored": number(stored),
        "bits": bits(stored),
        "value": number(each.value),
        "ulp": short(each.ulp),
    }


@operation("beside")
def beside(session: Session, read: Parameters, job: Job) -> Answer:
    """This run beside the same model in transformers, if that is installed: the first step that differs."""
    scene = session.scene(read).forward
    read.all_asked()
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        return Answer({"available": False, "text": f"{' and '.join(missing)} not installed, so nothing is compared."})
    if scene.changes or scene.dtype not in ("float32", "float64", "bfloat16"):
        raise InputError("only a run without edits in float32, float64 or bfloat16 is compared with transformers")
    run = session.run(scene, job)
    with TemporaryDirectory() as folder:
        path = session.model.save(Path(folder) / "model", format="hf")
        found = compare(run, with_transformers(path, scene.dtype).model)
    first = None if found.first is None else found.first.address
    return Answer({"available": True, "verdict": found.verdict, "first": first, "text": str(found)})

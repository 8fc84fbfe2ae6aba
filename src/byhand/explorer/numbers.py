"""One number of a run taken apart: its formula, its terms, and whether what is stored is what they give."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from byhand.addresses import base
from byhand.arithmetic import exact_sum
from byhand.explanation import Explanation, Operand, Term, Working, axes_of, place
from byhand.explorer.answer import Answer
from byhand.explorer.bounds import agrees
from byhand.explorer.digits import number
from byhand.explorer.jobs import Job
from byhand.explorer.mathml import equation
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.session import Seen, Session
from byhand.explorer.windows import element_of, known, places, shown_number
from byhand.run import Run

ORDERS = ("size", "place")
MOST_TERMS, MOST_WORKING, MOST_OPERANDS, MOST_TEXT = 256, 64, 64, 2000
MOST_PLACE = 10**9


def explained(session: Session, read: Parameters, job: Job) -> tuple[Explanation, bool]:
    """The explanation that a request is about, and whether it agrees with what is stored. Raises ByhandError."""
    scene = session.scene(read)
    run = session.run(scene, job)
    address = known(run, read.text("address"))
    index = element_of(read, run, address, run.shape(address))
    key = (scene.key, address, index)

    def make() -> tuple[Explanation, bool]:
        seen = Seen(session, scene, job)
        made = seen.explain(address, index)
        found = made, agrees(seen, made)
        seen.job = Job()  # the explanation is remembered, the request is over
        return found

    return session.lately.get(key, make)


@operation("number")
def number_op(session: Session, read: Parameters, job: Job) -> Answer:
    """Everything about one number, with the first of its terms."""
    each, agreeing = explained(session, read, job)
    return Answer(described(session.run(session.scene(read), job), each, agreeing, read))


def described(run: Run, each: Explanation, agreeing: bool, read: Parameters) -> dict[str, Any]:
    """A number of a run, or of a choice, with as many of its terms as the request says, in the order that it says."""
    first, order = read.whole("first", 0, MOST_TERMS, 12), read.text("order", "size", one_of=ORDERS)
    values = each.run
    assert values is not None
    return {
        "address": each.address,
        "index": list(each.index),
        "axes": each.axes,
        "labels": places(run, each.address, each.index),
        "kind": each.kind,
        "operator": each.operator,
        "equation": equation_of(run, each),
        "stored": shown_number(values.look(each.address)[each.index]),
        "value": number(each.value),
        "ulp": each.ulp if isfinite(each.ulp) else None,
        "ulp_of_largest": each.cancelling if isfinite(each.cancelling) else None,
        "within": agreeing,
        **written(f"{each.address}{place(each.index)}", each.formula),
        **shortened("numbers_text", each.numbers),
        "count": len(each.terms),
        **terms_of(each, 0, first, order),
        "working": [worked(way) for way in each.working[:MOST_WORKING]],
        "working_count": len(each.working),
        "operands": [linked(values, operand) for operand in each.operands[:MOST_OPERANDS]],
        "operands_count": len(each.operands),
        "note": each.note,
        "remark": each.remark,
    }


def equation_of(run: Run, each: Explanation) -> str:
    """What the operator that made a number does, in its own words."""
    if each.kind == "gradient":
        step = run.backward_step(each.address)
        return step.step.operator.gradient if step and step.step else ""
    step = run.program.producer.get(base(each.address))
    return step.operator.equation if step else ""


@operation("terms")
def terms(session: Session, read: Parameters, job: Job) -> Answer:
    """Some more of a number's terms."""
    start, stop = read.whole("from", 0, MOST_PLACE), read.whole("to", 0, MOST_PLACE)
    order = read.text("order", "size", one_of=ORDERS)
    if not 0 <= stop - start <= MOST_TERMS:
        raise read.refuse("to", f"at most {MOST_TERMS} terms from there on")
    each, _ = explained(session, read, job)
    return Answer({"count": len(each.terms), **terms_of(each, start, stop, order)})


def terms_of(each: Explanation, start: int, stop: int, order: str) -> dict[str, Any]:
    """Terms in an order, each with the sum of all up to it, and the sum of all others."""
    values = [term.value for term in each.terms]
    whole = sum(abs(value) for value in values if isfinite(value))
    places_ = ordered(values, order)
    sorted_values = [values[i] for i in places_]
    shown = [
        shown_term(each, i, whole) | {"running": number(exact_sum(sorted_values[: start + n + 1]))}
        for n, i in enumerate(places_[start:stop])
    ]
    others = exact_sum([*sorted_values[:start], *sorted_values[stop:]])
    return {"terms": shown, "others": number(others), "from": start, "to": start + len(shown)}


def ordered(values: Sequence[float], order: str) -> list[int]:
    """The places of the terms: as they are added, or the largest first, NaN before all."""
    if order == "place":
        return list(range(len(values)))
    sizes = np.abs(np.array(values, np.float64))
    return np.argsort(-np.where(np.isnan(sizes), np.inf, sizes), kind="stable").tolist()


def shown_term(each: Explanation, i: int, whole: float) -> dict[str, Any]:
    """One term. share: its part of the sum of all sizes."""
    term: Term = each.terms[i]
    share = abs(term.value) / whole if whole and isfinite(term.value) else 0.0
    return {
        "place": i,
        "value": number(term.value),
        "share": share,
        **shortened("numbers", term.numbers),
        "operands": [linked(each.run, operand) for operand in term.operands[:MOST_OPERANDS]],
    }


def linked(run: Any, operand: Operand) -> dict[str, Any]:
    """An operand as a link: where it is and its digits as they are stored there."""
    at = {"address": operand.address, "index": list(operand.index), "kind": operand.kind}
    if operand.kind == "working":
        return {**at, "text": number(operand.value), "bits": None, "axes": ""}
    stored = shown_number(run.look(operand.address)[operand.index])
    return {**at, "text": stored["text"], "bits": stored["bits"], "axes": axes_of(run, operand.address)}


def worked(way: Working) -> dict[str, Any]:
    """A quantity computed on the way."""
    return {
        "name": way.name,
        **written(way.name, way.formula),
        **shortened("numbers", way.numbers),
        "value": number(way.value),
    }


def written(left: str, right: str) -> dict[str, str]:
    """A formula as MathML and as text; both empty where there is none."""
    return {"formula": equation(left, right) if right else "", "formula_text": f"{left} = {right}" if right else ""}


def shortened(name: str, text: str) -> dict[str, Any]:
    """A text of limited length; whether something was cut off stands beside it."""
    if len(text) <= MOST_TEXT:
        return {name: text, f"{name}_cut": 0}
    kept = text[:MOST_TEXT].rpartition(" ")[0]
    return {name: f"{kept} …", f"{name}_cut": len(text) - len(kept)}

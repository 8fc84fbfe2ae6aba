"""The first step at which two implementations part, and whether that is rounding or a bug."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from byhand.compare.alike import LENGTHS, rounded_note
from byhand.compare.beginning import Texts, agreed, token_cause, token_step
from byhand.compare.causes import Cause, find_causes
from byhand.compare.comparison import Comparison
from byhand.compare.gradients import gradient_steps
from byhand.compare.order import in_order_of
from byhand.compare.side import Side
from byhand.compare.sources import FromModel, Source, State, source, with_transformers
from byhand.compare.walk import DIFFERS, Checked, Gap, Walk
from byhand.errors import InputError
from byhand.model import Model
from byhand.program import Program
from byhand.run import Progress, silent

__all__ = ["Cause", "Checked", "Comparison", "Gap", "compare", "with_transformers"]


def compare(
    a: Any,
    b: Any,
    text: Any = None,
    *,
    dtype: str | None = None,
    dtype_b: str | None = None,
    engine: str | tuple[str, str] = "reference",
    progress: Progress = silent,
    **given: Any,
) -> Comparison:
    """Compare two of: a model, its name, folder or file, a run, a model of transformers, an ``.npz`` (or a mapping) of
    arrays by name, an llm.c debug state. One of them must be a model or a run, which says what the steps are.

    text: what both are run on, a text or token ids, where neither has tokens of its own; None for a few fixed ids.
    dtype: of A, and of B where dtype_b is None; for a dump, the precision it was computed in, which is otherwise seen
    from its numbers. engine: of both, or a pair. given: other inputs, such as source=, segments=, mask=, targets=.
    Raises InputError for models of different families or sizes, ShapeError, AddressError, MemoryRefused, NotANumber.
    """
    engines = (engine, engine) if isinstance(engine, str) else engine
    if not isinstance(engines, tuple) or len(engines) != 2:
        raise InputError(f"engine is {engine!r:.60}; give a name, or two in a tuple")
    dtypes = (dtype, dtype_b or other_dtype(b, dtype))
    sources: Any = [source(*each, progress) for each in zip((a, b), dtypes, engines, strict=True)]
    judge = 0 if sources[0].program is not None else 1
    if sources[judge].program is None:
        raise InputError(
            f"neither {sources[0].name} nor {sources[1].name} says what its steps are; give a model as one"
        )
    sources = [fitted(each, sources[judge]) for each in sources]
    sources[1 - judge], moved = one_order(sources[1 - judge], sources[judge])
    texts = agreed(sources, judge, text, given)
    sides = tuple(each.side(name, texts.inputs, texts.program) for each, name in zip(sources, "AB", strict=True))
    found = walked(sides, judge, texts, (sources[0].name, sources[1].name), progress)
    return replace(found, notes=(*moved, *found.notes))


def other_dtype(b: Any, dtype: str | None) -> str | None:
    """What A's dtype says about B: how a model is run, nothing about what was computed before."""
    named = isinstance(b, Model) or (not hasattr(b, "kept") and isinstance(b, str) and not b.endswith(".npz"))
    return dtype if named else None


def fitted(each: Source, judge: Source) -> Source:
    """The source, checked against the one with the program; a debug state learns its sizes. Raises InputError."""
    if isinstance(each, State) and isinstance(judge, FromModel):
        return replace(each, model=judge.model)
    if each is not judge and each.program is not None and judge.program is not None:
        refuse_unlike(judge, each, judge.program, each.program)
    return each


def one_order(each: Source, judge: Source) -> tuple[Source, tuple[str, ...]]:
    """The source with its rotary features in the order of the other, and what is to be said about it."""
    if not (isinstance(each, FromModel) and isinstance(judge, FromModel)):
        return each, ()
    model = in_order_of(each.model, judge.model)
    if model is None:
        return each, ()
    ways = f"{each.model.config.rotary} in {each.name} and {judge.model.config.rotary} in {judge.name}"
    note = f"the features of queries and keys lie in {ways}, which gives the same scores; they were put into one order"
    return replace(each, model=model), (note,)


def refuse_unlike(one: Source, other: Source, first: Program, second: Program) -> None:
    """Raise InputError, naming the sizes, for models that have no steps in common."""
    if first.name != second.name:
        raise InputError(f"{one.name} is a {first.name} and {other.name} a {second.name}; compare models of one family")
    sizes = [(letter, first.sizes[letter], second.sizes[letter]) for letter in first.sizes if letter in second.sizes]
    unlike = [f"{letter} is {m} and {n}" for letter, m, n in sizes if m != n and letter not in LENGTHS]
    if not unlike and layers(first) != layers(second):
        unlike = [f"there are {layers(first)} and {layers(second)} blocks"]
    if unlike:
        raise InputError(
            f"{one.name} and {other.name} are of different sizes: {', '.join(unlike)}; compare like models"
        )


def layers(program: Program) -> int:
    return len({address.split(".")[1] for address in program.producer if address.startswith("blocks.")})


def walked(sides: tuple[Side, ...], judge: int, texts: Texts, names: tuple[str, str], progress: Progress) -> Comparison:
    """The comparison of two sides on the same inputs."""
    walk = Walk(sides[judge], sides[1 - judge], texts.program)
    checked = walk.steps(progress)
    causes = find_causes(walk, checked)
    if sides[1 - judge].gradients:
        checked += gradient_steps(walk, any(each.state == DIFFERS for each in checked))
    if texts.differ:
        checked.insert(0, token_step(texts))
        causes = (token_cause(texts, checked, "AB"[judge]), *causes)
    causes = tuple(replace(cause, of="AB"[judge]) for cause in causes)
    labels = sides[judge].tokens
    return Comparison(
        names,
        (sides[0].dtype, sides[1].dtype),
        tuple(turned(each) if judge else each for each in checked),
        causes,
        axes_of(texts.program),
        tuple(tuple(labels.text(int(t)) for t in text) for text in texts.inputs["tokens"]),
        (
            *([rounded_note(walk.rounded)] if walk.rounded else []),
            *(note for side in sides for note in side.notes),
        ),
    )


def turned(each: Checked) -> Checked:
    """With A and B in the caller's order, where B says what the steps are."""
    if each.gap is None or (each.operator == "input" and each.address == "tokens"):
        return each
    gap = replace(each.gap, a=each.gap.b, b=each.gap.a)
    return replace(each, gap=gap, of={"a": "b", "b": "a"}.get(each.of, ""))


def axes_of(program: Program) -> dict[str, str]:
    return {address: program.axes(address) for address in [*program.inputs, *program.producer]} | {"tokens": "BT"}

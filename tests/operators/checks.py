"""What must hold of every operator. Each check takes a record and raises AssertionError; mutants.py breaks them all."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from byhand.arithmetic import Evaluation, Line, Node, index_letters, indices, terms
from byhand.operators.record import Operand, Operator, positional
from byhand.shapes import AXES

from .examples import Array, Example, hidden, variants

Cotangent = Callable[[np.random.Generator, tuple[int, ...]], Array]


# --- backward is the derivative of forward ------------------------------------------------------------------------


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def all_ones(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.ones(shape)


def slope(example: Example, name: str, direction: Array, cotangent: Array, h: float = 1e-4) -> float:
    """d/dh of sum(cotangent * main output) as one input moves along a direction, to fourth order in h."""

    def at(distance: float) -> float:
        out = example.forward(**{name: example.inputs[name] + distance * direction})[example.main]
        return float(np.sum(np.where(np.isfinite(out), out, 0) * cotangent))

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def gradient_error(example: Example, cotangent: Cotangent, rng: np.random.Generator) -> float:
    """The largest difference between backward and the slope along a random direction, over the differentiable inputs.

    Relative to what the slope could at most be; where that is next to nothing, to a thousandth of the cotangent.
    """
    c = cotangent(rng, example.forward()[example.main].shape)
    gradients, worst = example.backward(c), 0.0
    for name in example.differentiable:
        gradient, array = gradients[name], example.inputs[name]
        assert gradient is not None and gradient.shape == array.shape, f"d_{name} has not the shape of {name}"
        direction = rng.standard_normal(array.shape)
        difference = abs(float(np.sum(gradient * direction)) - slope(example, name, direction, c))
        bound = max(np.linalg.norm(gradient), 1e-3 * np.linalg.norm(c)) * np.linalg.norm(direction)
        worst = max(worst, difference / float(bound))
    return worst


def check_gradient(record: Operator, cotangent: Cotangent = normal) -> None:
    """Backward is the derivative, in float64, along random directions with random cotangents, at every variant."""
    for seed, example in enumerate(variants(record)):
        error = gradient_error(example, cotangent, np.random.default_rng(seed))
        assert error < 1e-7, f"{record}: backward is off by {error:.1e} at sizes {example.sizes}"
        for name, gradient in example.backward(example.forward()[example.main]).items():
            assert (gradient is None) == (name not in example.differentiable), f"{record}: d_{name} is {gradient}"


def check_float32(record: Operator) -> None:
    """float32 in gives float32 out, in both directions: nothing inside quietly computes in float64."""
    for example in variants(record):
        if not example.differentiable:
            continue
        low = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in example.inputs.items()}
        single = Example(record, example.sizes, low, example.settings)
        outputs = single.forward()
        gradients = single.backward(np.ones_like(outputs[single.main]))
        for name, array in {**outputs, **{f"d_{n}": g for n, g in gradients.items() if g is not None}}.items():
            assert array.dtype == np.float32, f"{record}: {name} became {array.dtype}"


# --- the arithmetic says what the NumPy code computes ---------------------------------------------------------------


def opened(example: Example) -> Iterator[tuple[Evaluation, dict[str, Array]]]:
    """Both directions of one example: the arithmetic ready to be evaluated, and what NumPy gives by the same names."""
    record, attributes = example.record, example.settings
    outputs = example.forward()
    yield Evaluation(record.lines(example.absent), example.inputs, example.sizes, attributes), outputs
    cotangent = normal(np.random.default_rng(1), outputs[example.main].shape)
    operands = {**example.saved(), f"d_{example.main}": cotangent}
    gradients = example.backward(cotangent)
    expected = {f"d_{name}": np.asarray(gradients[name]) for name in example.differentiable}
    yield Evaluation(record.gradient_lines(example.absent), operands, example.sizes, attributes), expected


def close(a: float, b: float, scale: float = 1.0) -> bool:
    return a == b or abs(a - b) <= 1e-12 * max(scale, abs(a), abs(b))


def tree(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from tree(part)


def check_arithmetic(record: Operator) -> None:
    """Every element of every output and gradient is what the scalar arithmetic says, its terms add up to it, and
    every operand in it is, bit for bit, the array's element; with hidden (-inf) scores too.
    """
    for example in (*variants(record), *hidden(record)):
        for evaluation, expected in opened(example):
            for name, array in expected.items():
                for index in np.ndindex(array.shape):
                    node = evaluation.element(name, index)
                    where = f"{record}: {name}{list(index)} at sizes {example.sizes}"
                    assert close(node.value, array[index].item()), f"{where}: {node.value} is not {array[index]}"
                    check_terms(node, where)
            for node in evaluation.done.values():
                check_operands(node, evaluation, str(record))


def check_terms(node: Node, where: str) -> None:
    values = [term.value for term in terms(node)]
    largest = max(abs(value) for value in values)
    assert close(math.fsum(values), node.value, largest), f"{where}: the terms add up to {math.fsum(values)}"


def check_operands(node: Node, evaluation: Evaluation, where: str) -> None:
    for leaf in tree(node):
        if leaf.kind == "operand":
            stored = evaluation.operands[leaf.name][leaf.index].item()
            assert leaf.value == stored, f"{where}: {leaf.name}{list(leaf.index)} is {stored}, not {leaf.value}"


# --- the record agrees with itself ----------------------------------------------------------------------------------


def check_declaration(record: Operator) -> None:
    """Names, axes, equation, gradient, arithmetic and the two functions of a record all speak of the same things."""
    assert record.summary and record.summary[-1] in ".:", f"{record} has no summary"
    check_signatures(record)
    check_equations(record)
    check_gradient_lines(record)
    written = {operand.name: operand for operand in (*record.inputs, *record.outputs)}
    for lines, extra in ((record.lines(), {}), (record.gradient_lines(), gradients_of(written.values()))):
        check_letters(record, lines, {**written, **extra})


def gradients_of(operands: Iterable[Operand]) -> dict[str, Operand]:
    return {f"d_{o.name}": Operand(f"d_{o.name}", o.axes) for o in operands}


def spelled(operand: Operand, prefix: str = "") -> str:
    return f"{prefix}{operand.name}_{operand.axes}".rstrip("_")


def check_signatures(record: Operator) -> None:
    """forward takes the inputs, backward the main output's gradient and then inputs and outputs, names with axes."""
    inputs = [spelled(operand) for operand in record.inputs]
    assert positional(record.forward) == inputs, f"{record}: forward takes {positional(record.forward)}, not {inputs}"
    first, *others = positional(record.backward)
    assert first == spelled(record.outputs[0], "d_"), f"{record}: backward starts with {first}"
    known = {*inputs, *(spelled(operand) for operand in record.outputs)}
    assert known.issuperset(others), f"{record}: backward takes {set(others) - known}, which forward does not know"
    assert all(letter in AXES for operand in (*record.inputs, *record.outputs) for letter in operand.axes)


def check_equations(record: Operator) -> None:
    """The equation names the main output, every input and every setting; the gradient names every gradient."""
    words = set(re.findall(r"[A-Za-z]\w*", record.equation))
    needed = {operand.name for operand in (*record.inputs, record.outputs[0])} | set(record.settings)
    assert words >= needed, f"{record}: the equation does not mention {needed - words}"
    words = set(re.findall(r"[A-Za-z]\w*", record.gradient))
    needed = {f"d_{name}" for name in record.differentiable}
    needed |= {f"d_{record.outputs[0].name}"} if needed else set()
    assert words >= needed, f"{record}: the gradient does not mention {needed - words}"
    assert bool(record.gradient.strip()) == bool(record.differentiable), f"{record}: gradient text and d_ lines differ"


def check_gradient_lines(record: Operator) -> None:
    """d_ lines exist for exactly the inputs that backward gives a gradient for, and read only what backward keeps."""
    for example in variants(record):
        gradients = example.backward(example.forward()[example.main])
        assert len(gradients) == len(example.inputs)
        given = {name for name, gradient in gradients.items() if gradient is not None}
        assert given == set(example.differentiable), f"{record}: backward gives {given}, unlike the d_ lines"
    available = {*record.saved, f"d_{record.outputs[0].name}"}
    for lines, known in ((record.lines(), {o.name for o in record.inputs}), (record.gradient_lines(), available)):
        read = {name for line in lines for name, _ in subscripts(line.expression)} - {line.name for line in lines}
        assert read <= known, f"{record}: the arithmetic reads {read - known}, which it is not given"


def subscripts(expression: ast.expr) -> Iterator[tuple[str, tuple[ast.expr, ...]]]:
    """Every array read in an expression, with its index expressions."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Subscript):
            assert isinstance(node.value, ast.Name)
            yield node.value.id, indices(node)


PARTS = {"G": "h", "H": "gr", "K": "j", "D": "i"}  # heads h // R and g * R + r; rotary pairs j; sines and cosines i


def check_letters(record: Operator, lines: tuple[Line, ...], operands: dict[str, Operand]) -> None:
    """An index letter stands at the axis of its capital, of a size that a line such as ``W = V`` names equal to it, or
    of one that it is a part of (PARTS).
    """
    same = {line.name: line.expression.id for line in lines if isinstance(line.expression, ast.Name)}
    for line in lines:
        for name, places in [(line.name, line.index), *subscripts(line.expression)]:
            axes = operands[name].axes if name in operands else None
            assert axes is None or len(places) == len(axes), f"{record}: {name} has axes {axes}"
            for place, axis in zip(places, axes or "", strict=axes is not None):
                if isinstance(place, ast.Subscript):
                    continue  # a looked-up index has its own letters, checked where it is read
                own = {letter for letter in index_letters(place) if axis in (letter.upper(), same.get(letter.upper()))}
                assert index_letters(place) - own <= set(PARTS.get(axis, "")), (
                    f"{record}: {name}[…{ast.unparse(place)}…] at axis {axis}"
                )


# --- the count of operations ----------------------------------------------------------------------------------------


def counted(node: Node) -> int:
    """The operations in one evaluated node, counted one by one."""
    free = {"operand", "local", "number", "neg", "where", "and", "or", "<", "<=", ">", ">=", "=="}
    runs = node.kind in ("sum", "max") and node.name  # over an axis; max(x, 0) is one operation and has no name
    own = len(node.parts) if runs else node.kind not in free
    return own + (0 if node.kind == "operand" else sum(counted(part) for part in node.parts))


def check_operations(record: Operator) -> None:
    """The count from the formulas is that of evaluating every element of every line, more where they choose."""
    for example in variants(record):
        for (evaluation, expected), direction in zip(opened(example), ("forward", "backward"), strict=True):
            for name, array in expected.items():
                for index in np.ndindex(array.shape):
                    evaluation.element(name, index)
            count = sum(counted(node) for node in evaluation.done.values())
            said = record.operations(example.sizes, direction, example.absent)
            chooses = "where" in record.arithmetic
            assert count <= said if chooses else count == said, f"{record} {direction}: {said}, counted {count}"

"""One model twice: as a byhand program and as a torch module with the same weights, and everything compared.

The weights go to torch, and what torch computes is compared, through byhand's own names for other projects' values: a
name that leads to the wrong array, or to none, fails here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from byhand import aliases
from byhand.aliases import View
from byhand.model import Model
from byhand.run import Run
from byhand.weights import random

from .watch import Seen, Watch, wide

Array = np.ndarray[Any, Any]
LOGITS, GRADIENT, FLOAT32 = 1e-10, 1e-9, 5e-5

MEASURED: dict[tuple[str, str], float] = {}


@dataclass
class Twin:
    """The same model twice, and what both are given.

    build: makes the oracle, with any weights; forward: calls it and gives its logits (or what `of` names); views: the
    oracle's names for its parameters and modules; modeling: the transformers module whose attention can be watched;
    unseen: patterns of the values with a gradient that the oracle does not show; silent: ends of names of its modules
    that have no value of their own.
    """

    name: str
    model: Model
    build: Callable[[], nn.Module]
    forward: Callable[[nn.Module], torch.Tensor]
    given: dict[str, Array]
    views: Mapping[str, View] = field(default_factory=dict)
    of: str = "logits"
    modeling: Any = None
    unseen: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.views = self.views or aliases.views(self.model.program_with("targets" in self.given))

    def run(self, dtype: str) -> Run:
        given = dict(self.given)
        return self.model.run(given.pop("tokens"), dtype=dtype, **given)

    def oracle(self, run: Run) -> nn.Module:
        """The oracle with the weights of the run: every one of its own, none left over."""
        made = self.build()
        state = {name: tensor(self.views[name].build(run.look)) for name in made.state_dict()}
        # but not the buffers: rotary frequencies stay in float32, as after from_pretrained
        for parameter in made.parameters():
            parameter.data = parameter.data.to(next(iter(state.values())).dtype)
        made.load_state_dict(state, strict=True)
        return made.eval()

    def output(self, oracle: nn.Module, run: Run) -> torch.Tensor:
        """What the oracle gives, in the shape that byhand has it."""
        return self.forward(oracle).reshape(run.look(self.of).shape)

    def record(self, kind: str, value: float) -> None:
        MEASURED[self.name, kind] = max(value, MEASURED.get((self.name, kind), 0.0))


def make(name: str, family: Any, config: Any, seed: int = 0) -> Model:
    """A byhand model with random weights; gains, shifts and biases are random too."""
    return Model(name, family, config, random(family.program(config), seed, np.float64))


def tokens(vocabulary: int, B: int, T: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, vocabulary, (B, T))


def tensor(array: Array) -> torch.Tensor:
    """The same numbers, also in bfloat16, which NumPy and torch name differently."""
    array = np.array(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def close(ours: Array, theirs: torch.Tensor, tolerance: float, what: str) -> float:
    """The largest difference. Raises AssertionError naming what differs; a NaN is a difference."""
    expected = theirs.detach().to(torch.float64).numpy()
    assert ours.shape == expected.shape, f"{what} has shape {ours.shape}, the oracle's {expected.shape}"
    difference = float(np.abs(ours.astype(np.float64) - expected).max())
    assert difference <= tolerance, f"{what} differs by {difference:.3g}, allowed is {tolerance:g}"
    return difference


# --- float64 ----------------------------------------------------------------------------------------------------


def check(twin: Twin) -> None:
    """Output, loss, the gradient of every parameter, and every value that the oracle shows with its gradient."""
    run = twin.run("float64")
    with wide():
        oracle = twin.oracle(run)
        with Watch(oracle, twin.views, run.program, twin.modeling, twin.silent) as watch:
            result = twin.output(oracle, run)
        twin.record("float64 output", close(run.look(twin.of), result, LOGITS, twin.of))
        backward(twin, run, result)
    check_parameters(twin, run, oracle)
    for seen in watch.seen:
        check_seen(twin, run, seen)
    check_coverage(twin, run, watch)


def backward(twin: Twin, run: Run, result: torch.Tensor) -> None:
    """Both backward passes: from the loss where there is one, else from the output with the same random cotangent."""
    if twin.of == "logits":
        # taken from the logits, because transformers' own loss goes through float32
        targets = tensor(run.look("targets")).reshape(-1)
        loss = nn.functional.cross_entropy(result.reshape(-1, result.shape[-1]), targets, ignore_index=-1)
        twin.record("float64 loss", close(run.look("loss"), loss, LOGITS, "loss"))
        run.backward()
        loss.backward()
    else:
        cotangent = np.random.default_rng(5).standard_normal(run.look(twin.of).shape)
        run.backward(twin.of, seed=cotangent)
        result.backward(torch.from_numpy(cotangent))


def check_parameters(twin: Twin, run: Run, oracle: nn.Module) -> None:
    """The gradient of every parameter of the oracle, and through them of every weight that the output depends on."""
    covered: set[str] = set()
    for name, parameter in oracle.named_parameters():
        view = twin.views[name]
        if parameter.grad is None:
            assert not any(address in run.grad for address in view.addresses), f"the oracle has no gradient for {name}"
            continue
        covered.update(view.addresses)
        gradient = view.build(run.grad.look)
        twin.record("float64 parameters", close(gradient, parameter.grad, GRADIENT, f"gradient of {name}"))
    assert covered == {address for address in run.program.weights if address in run.grad}


def check_seen(twin: Twin, run: Run, seen: Seen) -> None:
    """A value that the oracle showed while it ran, and its gradient."""
    value = seen.view.build(run.look)
    once = seen.tensor.ndim == value.ndim and len(seen.tensor) == 1  # positions are looked up once for all texts
    value = value[:1] if once else value
    twin.record("float64 activations", close(value, seen.tensor, LOGITS, seen.what))
    if seen.tensor.grad is not None:
        gradient = seen.view.build(run.grad.look)
        gradient = gradient.sum(0, keepdims=True) if once else gradient
        twin.record("float64 gradients", close(gradient, seen.tensor.grad, GRADIENT, f"gradient at {seen.what}"))


def check_coverage(twin: Twin, run: Run, watch: Watch) -> None:
    """Every value with a gradient was compared, but for those that are listed."""
    compared = {address for seen in watch.seen if seen.tensor.grad is not None for address in seen.view.addresses}
    left = [step.address for step in run.program if step.address in run.grad and step.address not in compared]
    listed = (*twin.unseen, "losses", "loss")
    missing = [address for address in left if not any(fnmatchcase(address, pattern) for pattern in listed)]
    assert not missing, f"not compared: {', '.join(missing)}"


# --- float32 and bfloat16 -----------------------------------------------------------------------------------------


def check_float32(twin: Twin) -> None:
    """The output in float32, where transformers needs no help."""
    run = twin.run("float32")
    with torch.no_grad():
        result = twin.output(twin.oracle(run), run)
    twin.record("float32 output", close(run.look(twin.of), result, FLOAT32, twin.of))


def ordinal(values: Array) -> Array:
    """Every bfloat16 number's place on the line of all of them, so that neighbours differ by one."""
    bits = np.asarray(values).view(np.int16).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFF), bits)


def units(values: torch.Tensor) -> Array:
    """The same for a torch tensor. Raises AssertionError when it is not in bfloat16."""
    assert values.dtype == torch.bfloat16, f"the oracle computed in {values.dtype}"
    return ordinal(values.contiguous().view(torch.int16).numpy())


def ulps(twin: Twin) -> Array:
    """How many bfloat16 numbers apart each output of the two is."""
    run = twin.run("bfloat16")
    with torch.no_grad():
        result = twin.output(twin.oracle(run), run)
    return np.abs(ordinal(run.look(twin.of)) - units(result))

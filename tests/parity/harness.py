"""One model twice: as a byhand program and as a torch module with the same weights, and everything compared.

The weights go to torch, and what torch computes is compared, through byhand's own names for other projects' values: a name
that leads to the wrong array, or to none, fails here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from byhand import aliases
from byhand.aliases import View
from byhand.errors import AddressError
from byhand.model import Model
from byhand.run import Run
from byhand.weights import random

Array = np.ndarray[Any, Any]
LOGITS, GRADIENT, FLOAT32 = 1e-10, 1e-9, 5e-5

MEASURED: dict[tuple[str, str], float] = {}


@dataclass
class Twin:
    """The same model twice, and what both are given.

    build: makes the oracle, with any weights; forward: calls it and gives its logits (or what `of` names); views: the
    oracle's names for its parameters and modules; silent: ends of names of modules without a value of their own.
    """

    name: str
    model: Model
    build: Callable[[], nn.Module]
    forward: Callable[[nn.Module], torch.Tensor]
    given: dict[str, Array]
    views: Mapping[str, View] = field(default_factory=dict)
    of: str = "logits"
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
        made.to(next(iter(state.values())).dtype)
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


def numbers(value: torch.Tensor) -> Array:
    """A tensor as float64 (exact from every dtype used here), as float32 where it was."""
    return value.detach().to(torch.float32 if value.dtype == torch.float32 else torch.float64).numpy()


@contextmanager
def wide():
    """Let float64 stay float64 in transformers.

    Llama's RMS norm, rotary angles and softmax ask for float32 by name whatever the model's dtype, so a model in float64
    would agree with nothing beyond float32. Here float32 means float64. Nothing else of the oracle is touched.
    """
    with (
        patch.object(torch, "float32", torch.float64),
        patch.object(torch, "float", torch.float64),
        patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield


def close(ours: Array, theirs: torch.Tensor, tolerance: float, what: str) -> float:
    """The largest difference. Raises AssertionError naming what differs; a NaN is a difference."""
    expected = numbers(theirs)
    assert ours.shape == expected.shape, f"{what} has shape {ours.shape}, the oracle's {expected.shape}"
    difference = float(np.abs(ours.astype(np.float64) - expected).max())
    assert difference <= tolerance, f"{what} differs by {difference:.3g}, allowed is {tolerance:g}"
    return difference


def check(twin: Twin) -> None:
    """Logits, loss, every parameter's gradient, every module's output and its gradient, in float64."""
    run = twin.run("float64")
    with wide():
        oracle = twin.oracle(run)
        outputs = recorded(oracle, twin)
        result = twin.output(oracle, run)
        twin.record("float64 output", close(run.look(twin.of), result, LOGITS, twin.of))
        backward(twin, run, result)
    check_parameters(twin, run, oracle)
    check_modules(twin, run, outputs)


def backward(twin: Twin, run: Run, result: torch.Tensor) -> None:
    """Both backward passes: from the loss where there is one, else from the output with the same random cotangent."""
    if twin.of == "logits":
        # transformers' own loss goes through float32, so it is taken from the logits
        targets = torch.from_numpy(run.look("targets")).reshape(-1)
        loss = nn.functional.cross_entropy(result.reshape(-1, result.shape[-1]), targets, ignore_index=-1)
        twin.record("float64 loss", close(run.look("loss"), loss, LOGITS, "loss"))
        run.backward()
        loss.backward()
    else:
        cotangent = np.random.default_rng(5).standard_normal(run.look(twin.of).shape)
        run.backward(twin.of, seed=cotangent)
        result.backward(torch.from_numpy(cotangent))


def check_parameters(twin: Twin, run: Run, oracle: nn.Module) -> None:
    """Every parameter of the oracle, and through them every weight of the program that has an influence on the output."""
    covered: set[str] = set()
    for name, parameter in oracle.named_parameters():
        view = twin.views[name]
        covered.update(view.addresses)
        if parameter.grad is None:
            assert all(address not in run.grad for address in view.addresses), f"only byhand has a gradient for {name}"
            continue
        twin.record("float64 parameters", close(view.build(run.grad.look), parameter.grad, GRADIENT, f"gradient of {name}"))
    with_gradient = {address for address in run.program.weights if address in run.grad}
    assert with_gradient <= covered, f"no parameter of the oracle covers {sorted(with_gradient - covered)}"
    assert with_gradient, "no gradient at all was compared"


def recorded(oracle: nn.Module, twin: Twin) -> dict[str, torch.Tensor]:
    """Fills with the (first) output of every module as the oracle runs, each keeping its gradient."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            first = output if isinstance(output, torch.Tensor) else output[0]
            first.retain_grad()
            outputs[name] = first

        return hook

    for name, module in oracle.named_modules():
        if name in twin.views:
            module.register_forward_hook(keep(name))
        else:
            without = isinstance(module, nn.Dropout | nn.ModuleList) or not name or name.endswith(twin.silent or ("-",))
            assert without, f"no name for the module {name}"
    return outputs


def check_modules(twin: Twin, run: Run, outputs: Mapping[str, torch.Tensor]) -> None:
    """The output of every module that ran, and its gradient."""
    assert outputs, "no module was compared"
    for name, output in outputs.items():
        view = twin.views[name]
        once = len(output) == 1 < len(twin.given["tokens"])  # position tables are looked up once for all texts
        value = view.build(run.look)
        twin.record("float64 activations", close(value[:1] if once else value, output, LOGITS, f"output of {name}"))
        if output.grad is None:
            continue
        gradient = view.build(run.grad.look)
        gradient = gradient.sum(0, keepdims=True) if once else gradient
        twin.record("float64 gradients", close(gradient, output.grad, GRADIENT, f"gradient at {name}"))


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


def ulps(twin: Twin) -> Array:
    """How many bfloat16 numbers apart each output of the two is."""
    run = twin.run("bfloat16")
    with torch.no_grad():
        result = twin.output(twin.oracle(run), run)
    assert result.dtype == torch.bfloat16, f"the oracle computed in {result.dtype}"
    return np.abs(ordinal(run.look(twin.of)) - ordinal(result.view(torch.int16).numpy()))

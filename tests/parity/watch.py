"""What a torch model computes on the way, kept with its gradients and with the byhand value that it should equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from byhand.aliases import View
from byhand.aliases.recipe import Make, Recipe
from byhand.program import Program

Array = np.ndarray[Any, Any]


@contextmanager
def wide() -> Iterator[None]:
    """Let float64 stay float64 in transformers.

    Llama's RMS norm, rotary angles and softmax ask for float32 by name whatever the model's dtype, so a model in
    float64 would agree with nothing beyond float32. Here float32 means float64. Nothing else of the oracle is touched.
    """
    with (
        patch.object(torch, "float32", torch.float64),
        patch.object(torch, "float", torch.float64),
        patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield


@dataclass(frozen=True)
class Seen:
    """A tensor of the oracle and the view of byhand's values that it should equal."""

    what: str
    tensor: torch.Tensor
    view: View


@dataclass
class Watch:
    """Sees the output of every module, the input of every module that has no parts, and the inside of attention.

    views: what the modules' names mean; modeling: the transformers module with `eager_attention_forward`, or None.
    Raises AssertionError for a module that has neither a name nor an excuse.
    """

    oracle: nn.Module
    views: Mapping[str, View]
    program: Program
    modeling: Any
    silent: tuple[str, ...]
    seen: list[Seen] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Watch:
        for name, module in self.oracle.named_modules():
            if name in self.views:
                self.stack.enter_context(module.register_forward_hook(self.hook(name)))
            else:
                excused = isinstance(module, nn.Dropout | nn.ModuleList) or name == "" or name.endswith(self.silent)
                assert excused, f"no name for the module {name}"
        if self.modeling:
            inner, count = self.modeling.eager_attention_forward, iter(range(1000))

            def watched(*arguments: Any, **settings: Any) -> Any:
                return self.attention(f"blocks.{next(count)}.attn", inner, arguments, settings)

            self.stack.enter_context(patch.object(self.modeling, "eager_attention_forward", watched))
        return self

    def __exit__(self, *problem: Any) -> None:
        self.stack.close()

    def keep(self, what: str, kept: torch.Tensor, view: View) -> None:
        if kept.requires_grad:
            kept.retain_grad()
        self.seen.append(Seen(what, kept, view))

    def hook(self, name: str) -> Callable[..., None]:
        """Keeps the module's (first) output; a module without parts reads what the step of its name reads."""
        view = self.views[name]

        def forward_hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self.keep(f"output of {name}", output if isinstance(output, torch.Tensor) else output[0], view)
            leaf = not list(module.children()) and not isinstance(module, nn.Dropout)
            if leaf and inputs[0].is_floating_point():
                address = self.program.producer[view.addresses[0]].reads[0]
                assert address is not None
                shape = tuple(inputs[0].shape)
                self.keep(f"input of {name}", inputs[0], value(lambda array: array.reshape(shape), address))

        return forward_hook

    def attention(self, at: str, inner: Callable[..., Any], arguments: Any, settings: Any) -> Any:
        """Runs transformers' attention, keeping its queries, keys, scores with mask, weights and the heads' results."""
        _, query_BHTK, key_BGSK, value_BGSK, *_ = arguments
        rotated = "rot_" if f"{at}.hook_rot_q" in self.views else ""
        softmax = nn.functional.softmax

        def watched(score_BHTS: torch.Tensor, *more: Any, **how: Any) -> torch.Tensor:
            weight_BHTS = softmax(score_BHTS, *more, **how)
            self.keep(f"{at} scores", score_BHTS, value(visible, f"{at}.masked", f"{at}.scores"))
            self.keep(f"{at} masked scores", score_BHTS, value(visible, f"{at}.masked", f"{at}.masked"))
            self.keep(f"{at} weights", weight_BHTS, value(np.asarray, f"{at}.weights"))
            return weight_BHTS

        with patch.object(nn.functional, "softmax", watched):
            heads_BTHK, weight_BHTS = inner(*arguments, **settings)
        for name, kept in ((f"{rotated}q", query_BHTK), (f"{rotated}k", key_BGSK), ("v", value_BGSK)):
            self.keep(f"{at} {name}", kept, heads_first(self.views[f"{at}.hook_{name}"]))
        self.keep(f"{at} heads", heads_BTHK, value(np.asarray, f"{at}.heads"))
        return heads_BTHK, weight_BHTS


def value(make: Make, *addresses: str) -> View:
    """Values of byhand, rearranged."""
    return View(addresses, "", Recipe(make, "", addresses))


def heads_first(view: View) -> View:
    """The same with the head axis before the position axis."""
    return value(lambda *arrays: view.recipe.make(*arrays).swapaxes(1, 2), *view.addresses)


def visible(masked_BHTS: Array, score_BHTS: Array) -> Array:
    """Scores with the smallest finite number, as in transformers, where byhand has -inf; gradients have neither."""
    return np.where(masked_BHTS == -np.inf, np.finfo(score_BHTS.dtype).min, score_BHTS)

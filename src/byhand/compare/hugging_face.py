"""A model of transformers as a side: what its modules give, under their names, and its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from byhand import aliases
from byhand.checkpoints.files.places import place_of
from byhand.compare.named import by_address
from byhand.compare.rounding import UNITS
from byhand.compare.side import Side
from byhand.errors import InputError
from byhand.program import Program

Array = np.ndarray[Any, Any]
EAGER = "eager"  # the only attention of transformers that shows its weights
GIVEN = {"tokens": "input_ids", "segments": "token_type_ids", "positions": "position_ids"}


def is_one(given: Any) -> bool:
    """Whether this is a model of transformers, told without importing it."""
    return all(hasattr(given, name) for name in ("named_modules", "named_parameters", "config", "forward"))


def loaded(folder: str | Path, dtype: str) -> HuggingFace:
    """The model in a folder, with the head that its config names. Raises InputError."""
    try:
        import transformers  # type: ignore[import-not-found]
    except ImportError:
        raise InputError("--with transformers needs transformers and torch: pip install transformers torch") from None
    folder = place_of(folder)
    if not folder.is_dir():
        raise InputError(f"--with transformers loads a folder, and {folder} is none")
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        names = config.architectures or ["AutoModel"]
        kind = getattr(transformers, names[0], transformers.AutoModel)
        model = kind.from_pretrained(folder, attn_implementation=EAGER, dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"transformers cannot load {folder}: {(str(error).splitlines() or [''])[0]:.200}") from None
    return HuggingFace(model, folder.name)


@dataclass(frozen=True, eq=False)
class HuggingFace:
    """A model of transformers."""

    model: Any
    name: str = "transformers"

    program: None = None

    @property
    def dtype(self) -> str:
        found = str(self.model.dtype).rpartition(".")[2]
        if found not in UNITS:
            raise InputError(f"the model of transformers is in {found}; compare it in {', '.join(UNITS)}")
        # transformers computes norms, angles and softmax of Llama in float32 whatever the model's own precision
        return "float32" if found == "float64" else found

    def fixed(self, program: Program) -> dict[str, Array]:
        return {}

    def side(self, name: str, inputs: Mapping[str, Array], program: Program) -> Side:
        """What its modules give for these inputs. Raises InputError for a model of another family or size."""
        shapes = program.shapes(**program.lengths({address: array.shape for address, array in inputs.items()}))
        seen = self.values(inputs, program)
        parameters = dict(self.model.named_parameters())
        if not any(each in aliases.views(program) for each in parameters):
            raise InputError(f"the model of transformers has no parameter of {program.name}; compare one family")
        values = by_address(seen, program, shapes, "transformers").arrays
        found = by_address(
            {each: array(tensor) for each, tensor in parameters.items()}, program, shapes, "transformers"
        )
        notes = [f"not compared, since byhand has no such weight: {', '.join(found.left[:5])}"] if found.left else []
        if not any(address.endswith(".attn.weights") for address in values):
            notes.append("attention weights are not compared: load the model with attn_implementation='eager'")
        return Side(name, self.dtype, values.get, found.arrays.get, inputs, coarse=self.dtype, notes=tuple(notes))

    def values(self, inputs: Mapping[str, Array], program: Program) -> dict[str, Array]:
        """The output of every module that has a name in byhand, and the attention weights, by name."""
        # it makes tensors, so that torch need not be imported here
        from transformers import BatchEncoding  # type: ignore[import-not-found]

        given = {GIVEN[key]: each for key, each in inputs.items() if key in GIVEN}
        usual = np.broadcast_to(np.arange(inputs["tokens"].shape[1]), inputs["tokens"].shape)
        if (given.get("position_ids", usual) == usual).all():
            given.pop("position_ids", None)
        if (mask := inputs.get("mask")) is not None and not mask[:, -1].all():
            given["attention_mask"] = mask[:, -1].astype(np.int64)
        if "segments" not in program.inputs:
            given.pop("token_type_ids", None)
        seen: dict[str, Array] = {}
        with watched(self.model, program, seen), resting(self.model):
            self.model(**BatchEncoding(given, tensor_type="pt").to(self.model.device))
        return seen


@contextmanager
def watched(model: Any, program: Program, seen: dict[str, Array]) -> Iterator[None]:
    """Keeps what named modules give while the model runs."""
    views = aliases.views(program)

    def hook(name: str) -> Any:
        def keep(module: Any, given: Any, output: Any) -> None:
            first = output if hasattr(output, "detach") else output[0]
            if name in views:
                seen.setdefault(name, array(first))
            at = views[name].addresses[0] if name in views else ""
            second = output[1] if not hasattr(output, "detach") and len(output) > 1 else None
            if at.endswith((".attn.out", ".attn.heads")) and hasattr(second, "detach"):
                seen.setdefault(at.rpartition(".")[0] + ".weights", array(second))

        return keep

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(hook(name)).remove)
        yield


@contextmanager
def resting(model: Any) -> Iterator[None]:
    """The model without dropout while it runs, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def array(tensor: Any) -> Array:
    """A tensor as an array; bfloat16, which NumPy lacks, as float32 with the same numbers."""
    plain = tensor.detach().to("cpu")
    return (plain.float() if "float" in str(plain.dtype) and "64" not in str(plain.dtype) else plain).numpy()

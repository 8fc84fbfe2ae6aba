"""byhand: a transformer that people can take apart."""

from typing import Any

from byhand.compare import Comparison, compare
from byhand.errors import (
    AddressError,
    ByhandError,
    ByhandWarning,
    InputError,
    MemoryRefused,
    NotANumber,
    ShapeError,
)
from byhand.generate import Generation
from byhand.loading import load, make, names
from byhand.model import Model
from byhand.operators import REGISTRY as operators
from byhand.program import Program
from byhand.run import Run
from byhand.tensor import Tensor


def explorer(name: str) -> Any:
    """A function of the explorer, which is imported when it is first called: it brings a server with it."""

    def called(*given: Any, **settings: Any) -> Any:
        from byhand.explorer import showing

        return getattr(showing, name)(*given, **settings)

    return called


Run.views.update({name: explorer(name) for name in ("explore", "figure", "report")})

__version__ = "0.1.0"

__all__ = [
    "AddressError",
    "ByhandError",
    "ByhandWarning",
    "Comparison",
    "Generation",
    "InputError",
    "MemoryRefused",
    "Model",
    "NotANumber",
    "Program",
    "Run",
    "ShapeError",
    "Tensor",
    "compare",
    "load",
    "make",
    "names",
    "operators",
]

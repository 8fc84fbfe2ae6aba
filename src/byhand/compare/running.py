"""A model as transformers runs it from the folder that byhand saves: from token ids to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.model import Model

Array = np.ndarray[Any, Any]
Logits = Callable[[Array], Array]
# The attention of transformers, and whether tokens go in one by one, with keys and values kept.
WAYS = {
    "hf-eager": ("eager", False),
    "hf-sdpa": ("sdpa", False),
    "hf-cached": ("eager", True),
    "hf-sdpa-cached": ("sdpa", True),
}


def saved_and_loaded(model: Model, way: str) -> Logits:
    """One of WAYS, for a model that is saved as a folder and loaded from there: ids [B, T] to logits [B, T, V].

    Raises InputError where transformers is not installed.
    """
    with TemporaryDirectory() as folder:
        return from_folder(model.save(Path(folder) / "model", format="hf"), way)


@contextmanager
def without_bars(logging: Any) -> Iterator[None]:
    """transformers shows a bar even for a model of a hundred numbers."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def from_folder(folder: Path, way: str, dtype: str = "float32") -> Logits:
    """The same for a folder, also in bfloat16. Raises InputError where transformers is not installed."""
    try:
        import torch  # type: ignore[import-not-found]
        import transformers  # type: ignore[import-not-found]
    except ImportError:
        raise InputError(f"{way} needs transformers and torch: pip install transformers torch") from None
    attention, cached = WAYS[way]
    load = transformers.AutoModelForCausalLM.from_pretrained
    with without_bars(transformers.utils.logging):
        model = load(folder, attn_implementation=attention, dtype=dtype).eval()

    def at_once(ids_BT: Array) -> Array:
        with torch.inference_mode():
            return model(torch.from_numpy(ids_BT), use_cache=False).logits.float().numpy()

    def one_by_one(ids_BT: Array) -> Array:
        past, made = None, []
        with torch.inference_mode():
            for at in range(ids_BT.shape[1]):
                found = model(torch.from_numpy(ids_BT[:, at : at + 1]), past_key_values=past, use_cache=True)
                past = found.past_key_values
                made.append(found.logits.float().numpy())
        return np.concatenate(made, 1)

    return one_by_one if cached else at_once

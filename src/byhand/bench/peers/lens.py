"""TransformerLens at work: a forward run that keeps every activation."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformer_lens.model_bridge import TransformerBridge  # type: ignore[import-not-found]

from byhand.bench.peers.torches import Transformers
from byhand.bench.work import Work

Array = np.ndarray[Any, Any]


class Lens(Transformers):
    """run_with_cache of its bridge to transformers' model."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.bridge = TransformerBridge.boot_transformers(work.folder, hf_model=self.model, device="cpu")

    def answer(self) -> Array:
        logits, kept = self.bridge.run_with_cache(self.ids)
        self.facts["values kept"] = len(kept)
        return logits.numpy()


CONTESTANTS = {"capture": Lens}

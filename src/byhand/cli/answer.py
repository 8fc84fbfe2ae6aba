"""What a model that comes trained makes of a text: it goes on to the end of a sentence, or of a line."""

from __future__ import annotations

import re

from byhand import boxed
from byhand.model import Model

MOST = 60  # tokens that are added, after which the sentence that is begun is left out
ENDING = re.compile(r'.*[.!?]"?(?=\s|$)', re.DOTALL)


def goes_on(model: Model, text: str | None, dtype: str = "float32", engine: str | None = None) -> str:
    """What comes after the text, each token the likeliest; "" for a model that has not learned to go on.

    dtype, engine: what computes, see `Model.generate`.
    """
    causal = model.program.inputs["mask"].rule == "causal" and "source.tokens" not in model.program.inputs
    if model.name not in boxed.MODELS or not causal or text is None:
        return ""
    _, (ids,) = model.prompts(text)
    most = min(MOST, model.config.context - len(ids))
    if most < 1:
        return ""
    made = "".join(model.generate(ids, max_tokens=most, dtype=dtype, engine=engine))
    sentences = ENDING.match(made)
    return sentences[0] if sentences and model.name.startswith("stories") else made.partition("\n")[0]

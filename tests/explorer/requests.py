"""Asking a session as a page does: through JSON, both ways."""

import json

from byhand.explorer import Session

from ..small_models import model
from .scenes import edit


def session(name="gpt2-tiny", **setting):
    return Session(model(name), **setting)


def ask(own, op, /, **params):
    answer = own.handle(op, json.loads(json.dumps(params)))
    json.dumps(answer.head, allow_nan=False)
    return answer


EDITS = [
    edit("blocks.0.attn.heads", [0, None, 1, None]),
    edit("blocks.0.mlp.down.weight", [3, None], "scale", -2.5),
    edit("blocks.1.mlp.act", [0, [1, 4], 7], "add", 0.3),
    edit("tokens", [0, 2], "set", 5),
]

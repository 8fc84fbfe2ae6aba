"""The page's comparison with transformers, which is only there in this environment."""

import pytest

from byhand.errors import InputError
from byhand.explorer import Session
from byhand.explorer.wire import decoded, encoded

from ..explorer.scenes import edit, edited, scene_of
from ..small_models import model


def beside(session, scene):
    return decoded(encoded(session.handle("beside", {"scene": scene}))).head


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny-halves"])
def test_a_run_beside_transformers_is_the_same(name):
    head = beside(Session(model(name), engine="reference"), scene_of(name))
    assert head["available"] and head["first"] is None and head["verdict"] in ("same", "same up to rounding")


def test_a_run_with_edits_is_not_compared():
    scene = edited(scene_of("gpt2-tiny"), edit("blocks.0.mid", [None, 2], "scale", 1.5))
    with pytest.raises(InputError, match="without edits"):
        beside(Session(model("gpt2-tiny")), scene)

"""Records that contradict themselves, and for each the checks that must notice."""

from dataclasses import replace

import numpy as np

from byhand.operators import gelu_tanh, relu, softmax, temperature

from . import checks
from .rewording import reworded


def wide(x_BTF):
    return relu.forward(x_BTF) * np.float64(1)


RECORDS = {
    "no summary": (replace(relu, summary=""), [checks.check_declaration]),
    "equation without an input": (replace(relu, equation="out = max(0, 0)"), [checks.check_declaration]),
    "equation without a setting": (replace(temperature, equation="out = logits / 2"), [checks.check_declaration]),
    "gradient that names none": (replace(relu, gradient="1 where x > 0"), [checks.check_declaration]),
    "letters in the wrong places": (
        replace(relu, arithmetic=reworded(relu, ("x[b,t,f]", "x[t,b,f]"))),
        [checks.check_declaration],
    ),
    "an axis too few": (replace(relu, arithmetic=reworded(relu, ("x[b,t,f]", "x[b,t]"))), [checks.check_declaration]),
    "no line for a gradient": (
        replace(relu, arithmetic=reworded(relu, ("d_x[", "slope["))),
        [checks.check_declaration],
    ),
    "arithmetic of what backward does not keep": (
        replace(softmax, arithmetic=reworded(softmax, ("* weight[", "* score["))),
        [checks.check_declaration],
    ),
    "backward of an unknown array": (
        replace(relu, backward=lambda d_out_BTF, y_BTF: (d_out_BTF,)),
        [checks.check_declaration],
    ),
    "forward with other axes": (replace(relu, forward=lambda x_BTD: x_BTD), [checks.check_declaration]),
    "float64 inside": (replace(relu, forward=wide), [checks.check_float32]),
    "a wrong count of operations": (replace(softmax, count={"forward": "B * H * T * S"}), [checks.check_operations]),
    "arithmetic with another constant": (
        replace(gelu_tanh, arithmetic=reworded(gelu_tanh, ("0.044715", "0.044716"))),
        [checks.check_arithmetic],
    ),
}

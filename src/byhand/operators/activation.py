"""What happens to each number by itself, and to pairs of numbers at the same place."""

import math

import numpy as np

from byhand.operators.record import operator

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has none


@operator
class relu:
    """Keep what is positive.

    The feed-forward of Vaswani et al. 2017, section 3.3.
    """

    shapes = "x_BTF -> out_BTF"
    equation = "out = max(x, 0)"
    gradient = "d_x = d_out where x > 0, else 0"
    arithmetic = """
        out[b,t,f] = max(x[b,t,f], 0)
        ---
        d_x[b,t,f] = where(x[b,t,f] > 0, d_out[b,t,f], 0)
    """

    def forward(x_BTF):
        return np.maximum(x_BTF, 0)

    def backward(d_out_BTF, x_BTF):
        return (np.where(x_BTF > 0, d_out_BTF, 0),)


@operator
class gelu_tanh:
    """Let a number through by how likely a normal variable is to be smaller, by GPT-2's tanh formula.

    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units". PyTorch: gelu(approximate="tanh"); transformers: gelu_new.
    """

    shapes = "x_BTF -> out_BTF"
    equation = "out = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))"
    gradient = """
        d_x = d_out * ((1 + tanh(u))/2 + x/2 * (1 - tanh(u)^2) * sqrt(2/pi) * (1 + 0.134145 * x^2))
        u = sqrt(2/pi) * (x + 0.044715 * x^3)
    """
    arithmetic = """
        bend[b,t,f] = tanh(sqrt(2 / pi) * (x[b,t,f] + 0.044715 * x[b,t,f] ** 3))
        out[b,t,f] = 0.5 * x[b,t,f] * (1 + bend[b,t,f])
        ---
        bend[b,t,f] = tanh(sqrt(2 / pi) * (x[b,t,f] + 0.044715 * x[b,t,f] ** 3))
        d_bend[b,t,f] = (1 - bend[b,t,f] ** 2) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x[b,t,f] ** 2)
        d_x[b,t,f] = d_out[b,t,f] * (0.5 * (1 + bend[b,t,f]) + 0.5 * x[b,t,f] * d_bend[b,t,f])
    """

    def forward(x_BTF):
        bend_BTF = np.tanh(SQRT_2_OVER_PI * (x_BTF + 0.044715 * x_BTF**3))
        return 0.5 * x_BTF * (1 + bend_BTF)

    def backward(d_out_BTF, x_BTF):
        bend_BTF = np.tanh(SQRT_2_OVER_PI * (x_BTF + 0.044715 * x_BTF**3))
        # forward: bend = tanh(u)      whose slope is (1 - bend^2) times the slope of u
        d_bend_BTF = (1 - bend_BTF**2) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x_BTF**2)
        # forward: out = x/2 * (1 + bend)
        return (d_out_BTF * (0.5 * (1 + bend_BTF) + 0.5 * x_BTF * d_bend_BTF),)


@operator
class gelu_erf:
    """Let a number through by how likely a normal variable is to be smaller, exactly.

    Hendrycks and Gimpel 2016; BERT's activation. PyTorch: gelu().
    """

    shapes = "x_BTF -> out_BTF"
    equation = "out = x/2 * (1 + erf(x / sqrt(2)))"
    gradient = "d_x = d_out * ((1 + erf(x / sqrt(2)))/2 + x * exp(-x^2 / 2) / sqrt(2 pi))"
    arithmetic = """
        below[b,t,f] = 0.5 * (1 + erf(x[b,t,f] / sqrt(2)))
        out[b,t,f] = x[b,t,f] * below[b,t,f]
        ---
        below[b,t,f] = 0.5 * (1 + erf(x[b,t,f] / sqrt(2)))
        density[b,t,f] = exp(-x[b,t,f] ** 2 / 2) / sqrt(2 * pi)
        d_x[b,t,f] = d_out[b,t,f] * (below[b,t,f] + x[b,t,f] * density[b,t,f])
    """

    def forward(x_BTF):
        return x_BTF * share_below(x_BTF)

    def backward(d_out_BTF, x_BTF):
        # forward: out = x * below(x)      and the slope of below is the normal density
        density_BTF = np.exp(-(x_BTF**2) / 2) / math.sqrt(2 * math.pi)
        return (d_out_BTF * (share_below(x_BTF) + x_BTF * density_BTF),)


def share_below(x_BTF):
    """The share of a standard normal distribution that lies below x."""
    return 0.5 * (1 + erf(x_BTF / math.sqrt(2)).astype(x_BTF.dtype))


@operator
class silu:
    """Let a number through by its own logistic share.

    Elfwing et al. 2017; with the gate it is Llama's SwiGLU (Shazeer 2020, "GLU Variants Improve Transformer").
    """

    shapes = "x_BTF -> out_BTF"
    equation = "out = x / (1 + exp(-x))"
    gradient = "d_x = d_out * share * (1 + x * (1 - share)), share = 1 / (1 + exp(-x))"
    arithmetic = """
        share[b,t,f] = 1 / (1 + exp(-x[b,t,f]))
        out[b,t,f] = x[b,t,f] * share[b,t,f]
        ---
        share[b,t,f] = 1 / (1 + exp(-x[b,t,f]))
        d_x[b,t,f] = d_out[b,t,f] * share[b,t,f] * (1 + x[b,t,f] * (1 - share[b,t,f]))
    """

    def forward(x_BTF):
        return x_BTF * logistic(x_BTF)

    def backward(d_out_BTF, x_BTF):
        share_BTF = logistic(x_BTF)
        # forward: out = x * share(x)      and the slope of share is share * (1 - share)
        return (d_out_BTF * share_BTF * (1 + x_BTF * (1 - share_BTF)),)


def logistic(x):
    """1 / (1 + exp(-x)). For a very negative x the exponential overflows, and 1 / inf = 0 is the right answer."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


@operator
class tanh:
    """Squash a number between -1 and 1: BERT's pooler."""

    shapes = "x_BTD -> out_BTD"
    equation = "out = tanh(x)"
    gradient = "d_x = d_out * (1 - out^2)"
    arithmetic = """
        out[b,t,d] = tanh(x[b,t,d])
        ---
        d_x[b,t,d] = d_out[b,t,d] * (1 - out[b,t,d] ** 2)
    """

    def forward(x_BTD):
        return np.tanh(x_BTD)

    def backward(d_out_BTD, out_BTD):
        return (d_out_BTD * (1 - out_BTD**2),)


@operator
class multiply:
    """Let one vector gate another, number by number.

    Dauphin et al. 2016 (gated linear units); Shazeer 2020.
    """

    shapes = "x_BTF, y_BTF -> out_BTF"
    equation = "out = x * y"
    gradient = """
        d_x = d_out * y
        d_y = d_out * x
    """
    arithmetic = """
        out[b,t,f] = x[b,t,f] * y[b,t,f]
        ---
        d_x[b,t,f] = d_out[b,t,f] * y[b,t,f]
        d_y[b,t,f] = d_out[b,t,f] * x[b,t,f]
    """

    def forward(x_BTF, y_BTF):
        return x_BTF * y_BTF

    def backward(d_out_BTF, x_BTF, y_BTF):
        return d_out_BTF * y_BTF, d_out_BTF * x_BTF


@operator
class add:
    """Add what was computed to the stream it was computed from: the residual connection.

    He et al. 2015, "Deep Residual Learning".
    """

    shapes = "x_BTD, y_BTD -> out_BTD"
    equation = "out = x + y"
    gradient = """
        d_x = d_out
        d_y = d_out
    """
    arithmetic = """
        out[b,t,d] = x[b,t,d] + y[b,t,d]
        ---
        d_x[b,t,d] = d_out[b,t,d]
        d_y[b,t,d] = d_out[b,t,d]
    """

    def forward(x_BTD, y_BTD):
        return x_BTD + y_BTD

    def backward(d_out_BTD):
        return d_out_BTD, d_out_BTD


@operator
class scale:
    """Multiply every number by a constant.

    The 2017 model multiplies embeddings by sqrt(D), Vaswani et al. section 3.4.
    """

    shapes = "x_BTD -> out_BTD"
    equation = "out = x * factor"
    gradient = "d_x = d_out * factor"
    arithmetic = """
        out[b,t,d] = x[b,t,d] * factor
        ---
        d_x[b,t,d] = d_out[b,t,d] * factor
    """

    def forward(x_BTD, *, factor):
        return x_BTD * factor

    def backward(d_out_BTD, *, factor):
        return (d_out_BTD * factor,)

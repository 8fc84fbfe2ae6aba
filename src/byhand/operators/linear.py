"""Products with a weight. Each is one einsum; a bias may be absent.

Heads keep their own axis: ``weight_DHK`` holds the matrix of head h at ``[:, h, :]``, so a head can be read, changed
and explained by itself.
"""

import numpy as np

from byhand.operators.product import product
from byhand.operators.record import operator


@operator
class linear:
    """Mix the features of every position into new features."""

    shapes = "x_BTD, weight_DF, bias_F? -> out_BTF"
    equation = 'out = einsum("BTD,DF->BTF", x, weight) + bias'
    gradient = """
        d_x = einsum("BTF,DF->BTD", d_out, weight)
        d_weight = einsum("BTD,BTF->DF", x, d_out)
        d_bias = einsum("BTF->F", d_out)
    """
    arithmetic = """
        out[b,t,f] = sum(d, x[b,t,d] * weight[d,f]) + bias[f]
        ---
        d_x[b,t,d] = sum(f, d_out[b,t,f] * weight[d,f])
        d_weight[d,f] = sum(b, t, x[b,t,d] * d_out[b,t,f])
        d_bias[f] = sum(b, t, d_out[b,t,f])
    """

    def forward(x_BTD, weight_DF, bias_F=None):
        out_BTF = product("BTD,DF->BTF", x_BTD, weight_DF)
        return out_BTF if bias_F is None else out_BTF + bias_F

    def backward(d_out_BTF, x_BTD, weight_DF):
        # forward: out = sum over d of x * weight, plus bias
        d_x_BTD = np.einsum("BTF,DF->BTD", d_out_BTF, weight_DF, optimize=True)
        d_weight_DF = np.einsum("BTD,BTF->DF", x_BTD, d_out_BTF, optimize=True)
        d_bias_F = np.einsum("BTF->F", d_out_BTF)
        return d_x_BTD, d_weight_DF, d_bias_F


@operator
class to_heads:
    """Give every head its own view of the vector: the query, key and value projections.

    Vaswani et al. 2017, section 3.2.2: the W_i of all heads i side by side.
    """

    shapes = "x_BTD, weight_DHK, bias_HK? -> out_BTHK"
    equation = 'out = einsum("BTD,DHK->BTHK", x, weight) + bias'
    gradient = """
        d_x = einsum("BTHK,DHK->BTD", d_out, weight)
        d_weight = einsum("BTD,BTHK->DHK", x, d_out)
        d_bias = einsum("BTHK->HK", d_out)
    """
    arithmetic = """
        out[b,t,h,k] = sum(d, x[b,t,d] * weight[d,h,k]) + bias[h,k]
        ---
        d_x[b,t,d] = sum(h, k, d_out[b,t,h,k] * weight[d,h,k])
        d_weight[d,h,k] = sum(b, t, x[b,t,d] * d_out[b,t,h,k])
        d_bias[h,k] = sum(b, t, d_out[b,t,h,k])
    """

    def forward(x_BTD, weight_DHK, bias_HK=None):
        out_BTHK = product("BTD,DHK->BTHK", x_BTD, weight_DHK)
        return out_BTHK if bias_HK is None else out_BTHK + bias_HK

    def backward(d_out_BTHK, x_BTD, weight_DHK):
        # forward: out = sum over d of x * weight, plus bias
        d_x_BTD = np.einsum("BTHK,DHK->BTD", d_out_BTHK, weight_DHK, optimize=True)
        d_weight_DHK = np.einsum("BTD,BTHK->DHK", x_BTD, d_out_BTHK, optimize=True)
        d_bias_HK = np.einsum("BTHK->HK", d_out_BTHK)
        return d_x_BTD, d_weight_DHK, d_bias_HK


@operator
class from_heads:
    """Add up what every head has to say: attention's output projection.

    Concatenating the heads and multiplying by W_O (Vaswani et al. 2017, section 3.2.2) is this sum over heads.
    """

    shapes = "x_BTHK, weight_HKD, bias_D? -> out_BTD"
    equation = 'out = einsum("BTHK,HKD->BTD", x, weight) + bias'
    gradient = """
        d_x = einsum("BTD,HKD->BTHK", d_out, weight)
        d_weight = einsum("BTHK,BTD->HKD", x, d_out)
        d_bias = einsum("BTD->D", d_out)
    """
    arithmetic = """
        out[b,t,d] = sum(h, k, x[b,t,h,k] * weight[h,k,d]) + bias[d]
        ---
        d_x[b,t,h,k] = sum(d, d_out[b,t,d] * weight[h,k,d])
        d_weight[h,k,d] = sum(b, t, x[b,t,h,k] * d_out[b,t,d])
        d_bias[d] = sum(b, t, d_out[b,t,d])
    """

    def forward(x_BTHK, weight_HKD, bias_D=None):
        out_BTD = product("BTHK,HKD->BTD", x_BTHK, weight_HKD)
        return out_BTD if bias_D is None else out_BTD + bias_D

    def backward(d_out_BTD, x_BTHK, weight_HKD):
        # forward: out = sum over h and k of x * weight, plus bias
        d_x_BTHK = np.einsum("BTD,HKD->BTHK", d_out_BTD, weight_HKD, optimize=True)
        d_weight_HKD = np.einsum("BTHK,BTD->HKD", x_BTHK, d_out_BTD, optimize=True)
        d_bias_D = np.einsum("BTD->D", d_out_BTD)
        return d_x_BTHK, d_weight_HKD, d_bias_D

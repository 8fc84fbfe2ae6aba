"""From token ids and positions to vectors, and from vectors back to one score per token."""

import numpy as np

from byhand.operators.product import product
from byhand.operators.record import operator
from byhand.shapes import split_evenly


@operator
class lookup:
    """Give every token (or position, or segment) its own row of a table.

    The same as multiplying a one-hot matrix with the table, without the multiplications.
    """

    shapes = "id_BT, table_VD -> out_BTD"
    equation = "out = table[id]"
    gradient = "d_table[v] = sum of d_out where id == v"
    arithmetic = """
        out[b,t,d] = table[id[b,t], d]
        ---
        d_table[v,d] = sum(b, t, where(id[b,t] == v, d_out[b,t,d], 0))
    """
    picks = True
    count = {"forward": "0", "backward": "B * T * D"}

    def forward(id_BT, table_VD):
        return table_VD[id_BT]

    def backward(d_out_BTD, id_BT, table_VD):
        # forward: out = table[id]      so a row gathers the gradients of every place that looked it up
        d_table_VD = np.zeros(table_VD.shape, d_out_BTD.dtype)
        np.add.at(d_table_VD, id_BT, d_out_BTD)
        return None, d_table_VD


@operator
class sinusoidal_positions:
    """Give every position a fixed vector of sines and cosines of geometrically growing wavelength.

    Vaswani et al. 2017, "Attention Is All You Need", section 3.5. D is even.
    """

    shapes = "position_BT -> out_BTD"
    equation = "out = sin(position / base ** (2i/D)) on even dimensions 2i, cos of the same on odd ones"
    gradient = ""
    arithmetic = """
        I = D // 2
        angle[b,t,i] = position[b,t] / base ** (2 * i / D)
        out[b,t,2*i] = sin(angle[b,t,i])
        out[b,t,2*i+1] = cos(angle[b,t,i])
    """

    def forward(position_BT, *, D, base=10000.0):
        split_evenly(D, 2, "width", "waves (sine and cosine)")
        wavelength_I = base ** (2 * np.arange(D // 2) / D)
        angle_BTI = position_BT[:, :, None] / wavelength_I
        out_BTI2 = np.stack([np.sin(angle_BTI), np.cos(angle_BTI)], axis=-1)
        return out_BTI2.reshape(*position_BT.shape, D)

    def backward(d_out_BTD):
        return (None,)


@operator
class unembed:
    """Score every token of the vocabulary by the dot product of its row with the vector.

    Tied when the table is the one that tokens are looked up in, untied when it is its own.
    """

    shapes = "x_BTD, table_VD, bias_V? -> logits_BTV"
    equation = 'logits = einsum("BTD,VD->BTV", x, table) + bias'
    gradient = """
        d_x = einsum("BTV,VD->BTD", d_logits, table)
        d_table = einsum("BTV,BTD->VD", d_logits, x)
        d_bias = einsum("BTV->V", d_logits)
    """
    arithmetic = """
        logits[b,t,v] = sum(d, x[b,t,d] * table[v,d]) + bias[v]
        ---
        d_x[b,t,d] = sum(v, d_logits[b,t,v] * table[v,d])
        d_table[v,d] = sum(b, t, d_logits[b,t,v] * x[b,t,d])
        d_bias[v] = sum(b, t, d_logits[b,t,v])
    """

    def forward(x_BTD, table_VD, bias_V=None):
        logits_BTV = product("BTD,VD->BTV", x_BTD, table_VD)
        return logits_BTV if bias_V is None else logits_BTV + bias_V

    def backward(d_logits_BTV, x_BTD, table_VD):
        # forward: logits = sum over d of x * table, plus bias
        d_x_BTD = np.einsum("BTV,VD->BTD", d_logits_BTV, table_VD, optimize=True)
        d_table_VD = np.einsum("BTV,BTD->VD", d_logits_BTV, x_BTD, optimize=True)
        d_bias_V = np.einsum("BTV->V", d_logits_BTV)
        return d_x_BTD, d_table_VD, d_bias_V


@operator
class first_position:
    """Keep only the first position: BERT's [CLS] token, from which the whole text is classified.

    Devlin et al. 2018, "BERT", section 3. The axis stays, with size one.
    """

    shapes = "x_BTD -> first_B1D"
    equation = "first = x[:, :1]"
    gradient = "d_x = d_first at position 0, zero elsewhere"
    arithmetic = """
        first[b,0,d] = x[b,0,d]
        ---
        d_x[b,t,d] = where(t == 0, d_first[b,0,d], 0)
    """
    count = {"forward": "0", "backward": "0"}

    def forward(x_BTD):
        return x_BTD[:, :1]

    def backward(d_first_B1D, x_BTD):
        # forward: first = x[:, 0]      the other positions were not read
        d_x_BTD = np.zeros_like(x_BTD)
        d_x_BTD[:, :1] = d_first_B1D
        return (d_x_BTD,)

"""Bringing every vector to a standard size before it is read."""

import numpy as np

from byhand.operators.record import operator


@operator
class layer_norm:
    """Give every vector mean 0 and variance 1, then let each feature choose its own scale and, mostly, shift.

    Ba, Kiros and Hinton 2016, "Layer Normalization".
    """

    shapes = "x_BTD, gain_D, shift_D? -> out_BTD, mean_BT, rstd_BT"
    equation = "out = (x - mean(x)) / sqrt(variance(x) + eps) * gain + shift"
    gradient = """
        d_x = rstd * (d_unit - mean(d_unit) - unit * mean(d_unit * unit))
        d_unit = d_out * gain, unit = (x - mean) * rstd
        d_gain = sum(d_out * unit) over b, t
        d_shift = sum(d_out) over b, t
    """
    arithmetic = """
        mean[b,t] = sum(d, x[b,t,d]) / D
        variance[b,t] = sum(d, (x[b,t,d] - mean[b,t]) ** 2) / D
        rstd[b,t] = 1 / sqrt(variance[b,t] + eps)
        out[b,t,d] = (x[b,t,d] - mean[b,t]) * rstd[b,t] * gain[d] + shift[d]
        ---
        unit[b,t,d] = (x[b,t,d] - mean[b,t]) * rstd[b,t]
        d_unit[b,t,d] = d_out[b,t,d] * gain[d]
        along_mean[b,t] = sum(d, d_unit[b,t,d]) / D
        along_unit[b,t] = sum(d, d_unit[b,t,d] * unit[b,t,d]) / D
        d_x[b,t,d] = rstd[b,t] * (d_unit[b,t,d] - along_mean[b,t] - unit[b,t,d] * along_unit[b,t])
        d_gain[d] = sum(b, t, d_out[b,t,d] * unit[b,t,d])
        d_shift[d] = sum(b, t, d_out[b,t,d])
    """

    def forward(x_BTD, gain_D, shift_D=None, *, eps=1e-5):
        mean_BT = x_BTD.mean(-1)
        centred_BTD = x_BTD - mean_BT[..., None]
        rstd_BT = 1 / np.sqrt((centred_BTD**2).mean(-1) + eps)
        out_BTD = centred_BTD * rstd_BT[..., None] * gain_D
        return out_BTD if shift_D is None else out_BTD + shift_D, mean_BT, rstd_BT

    def backward(d_out_BTD, x_BTD, gain_D, mean_BT, rstd_BT):
        unit_BTD = (x_BTD - mean_BT[..., None]) * rstd_BT[..., None]
        # forward: out = unit * gain + shift
        d_unit_BTD = d_out_BTD * gain_D
        d_gain_D = np.einsum("BTD,BTD->D", d_out_BTD, unit_BTD)
        d_shift_D = np.einsum("BTD->D", d_out_BTD)
        # forward: unit has mean 0 and variance 1, so a gradient along either of those directions cannot pass
        along_mean_BT1 = d_unit_BTD.mean(-1, keepdims=True)
        along_unit_BT1 = (d_unit_BTD * unit_BTD).mean(-1, keepdims=True)
        d_x_BTD = rstd_BT[..., None] * (d_unit_BTD - along_mean_BT1 - unit_BTD * along_unit_BT1)
        return d_x_BTD, d_gain_D, d_shift_D


@operator
class rms_norm:
    """Give every vector root-mean-square 1, then let each feature choose its own scale.

    Zhang and Sennrich 2019, "Root Mean Square Layer Normalization". In bfloat16 the vector is rounded before the gain
    is applied, as Llama's own code and transformers do.
    """

    shapes = "x_BTD, gain_D -> out_BTD, rstd_BT"
    equation = "out = x / sqrt(mean(x * x) + eps) * gain"
    gradient = """
        d_x = rstd * (d_unit - unit * mean(d_unit * unit))
        d_unit = d_out * gain, unit = x * rstd
        d_gain = sum(d_out * unit) over b, t
    """
    arithmetic = """
        square[b,t] = sum(d, x[b,t,d] ** 2) / D
        rstd[b,t] = 1 / sqrt(square[b,t] + eps)
        out[b,t,d] = x[b,t,d] * rstd[b,t] * gain[d]
        ---
        unit[b,t,d] = x[b,t,d] * rstd[b,t]
        d_unit[b,t,d] = d_out[b,t,d] * gain[d]
        along_unit[b,t] = sum(d, d_unit[b,t,d] * unit[b,t,d]) / D
        d_x[b,t,d] = rstd[b,t] * (d_unit[b,t,d] - unit[b,t,d] * along_unit[b,t])
        d_gain[d] = sum(b, t, d_out[b,t,d] * unit[b,t,d])
    """

    def forward(x_BTD, gain_D, *, eps=1e-5, rounded):
        rstd_BT = 1 / np.sqrt((x_BTD**2).mean(-1) + eps)
        return rounded(x_BTD * rstd_BT[..., None]) * gain_D, rstd_BT

    def backward(d_out_BTD, x_BTD, gain_D, rstd_BT):
        unit_BTD = x_BTD * rstd_BT[..., None]
        # forward: out = unit * gain
        d_unit_BTD = d_out_BTD * gain_D
        d_gain_D = np.einsum("BTD,BTD->D", d_out_BTD, unit_BTD)
        # forward: unit has mean square 1, so a gradient along unit cannot pass
        along_unit_BT1 = (d_unit_BTD * unit_BTD).mean(-1, keepdims=True)
        return rstd_BT[..., None] * (d_unit_BTD - unit_BTD * along_unit_BT1), d_gain_D

"""Rotary positions: turn each pair of features by an angle that grows with the position.

Su et al. 2021, "RoFormer". Two layouts of the pairs are in use, and a model's weights fit only one of them:
``rotary_pairs`` turns adjacent features (2j, 2j+1), as Meta's Llama files expect; ``rotary_halves`` turns (j, j + K/2),
as Hugging Face's converted weights expect.
"""

import numpy as np

from byhand.operators.record import operator


@operator
class rotary_angles:
    """The angle by which pair j is turned at each position.

    Su et al. 2021, section 3.2.2; J is half the head width.
    """

    shapes = "position_BT -> angle_BTJ"
    equation = "angle = position * theta ** (-j / J)"
    gradient = ""
    arithmetic = """
        frequency[j] = theta ** (-j / J)
        angle[b,t,j] = position[b,t] * frequency[j]
    """
    wide = True

    def forward(position_BT, *, J, theta):
        return position_BT[:, :, None] * frequencies(J, theta)

    def backward(d_angle_BTJ):
        return (None,)


@operator
class rotary_angles_llama31:
    """The angles of Llama 3.1 to 3.3, whose slow pairs turn slower still so that longer texts fit.

    Pairs that turn often within the original context keep their frequency, those that turn seldom are slowed by
    `factor`, and those between are blended. As in the code that Meta released with Llama 3.1 in 2024.
    """

    shapes = "position_BT -> angle_BTJ"
    equation = """
        angle = position * (share * frequency + (1 - share) * frequency / factor), frequency = theta ** (-j / J)
        share = (original_context * frequency / (2 pi) - low) / (high - low), at least 0 and at most 1
    """
    gradient = ""
    arithmetic = """
        frequency[j] = theta ** (-j / J)
        turns[j] = original_context * frequency[j] / (2 * pi)
        kept[j] = (turns[j] - low) / (high - low)
        share[j] = where(turns[j] > high, 1, where(turns[j] < low, 0, kept[j]))
        scaled[j] = share[j] * frequency[j] + (1 - share[j]) * frequency[j] / factor
        angle[b,t,j] = position[b,t] * scaled[j]
    """
    wide = True

    def forward(position_BT, *, J, theta, factor, low, high, original_context):
        frequency_J = frequencies(J, theta)
        turns_J = original_context * frequency_J / (2 * np.pi)
        share_J = np.clip((turns_J - low) / (high - low), 0, 1)
        scaled_J = share_J * frequency_J + (1 - share_J) * frequency_J / factor
        return position_BT[:, :, None] * scaled_J

    def backward(d_angle_BTJ):
        return (None,)


def frequencies(pairs, theta):
    """How far pair j turns per position, in radians."""
    return theta ** (-np.arange(pairs) / pairs)


@operator
class rotary_pairs:
    """Turn adjacent features, each pair a complex number multiplied by exp(i * angle). Meta's layout.

    Su et al. 2021, section 3.4.2; as in Meta's code the product is rounded once in bfloat16.
    """

    shapes = "x_BTHK, angle_BTJ -> out_BTHK"
    equation = "out = (x[2j] + 1i * x[2j+1]) * exp(1i * angle[j])"
    gradient = "d_x = (d_out[2j] + 1i * d_out[2j+1]) * exp(-1i * angle[j])"
    arithmetic = """
        out[b,t,h,2*j] = x[b,t,h,2*j] * cos(angle[b,t,j]) - x[b,t,h,2*j+1] * sin(angle[b,t,j])
        out[b,t,h,2*j+1] = x[b,t,h,2*j] * sin(angle[b,t,j]) + x[b,t,h,2*j+1] * cos(angle[b,t,j])
        ---
        d_x[b,t,h,2*j] = d_out[b,t,h,2*j] * cos(angle[b,t,j]) + d_out[b,t,h,2*j+1] * sin(angle[b,t,j])
        d_x[b,t,h,2*j+1] = d_out[b,t,h,2*j+1] * cos(angle[b,t,j]) - d_out[b,t,h,2*j] * sin(angle[b,t,j])
    """

    def forward(x_BTHK, angle_BTJ):
        return turn_pairs(x_BTHK, angle_BTJ)

    def backward(d_out_BTHK, angle_BTJ):
        # forward: out = x * exp(i angle)      a turn is undone by turning back
        return turn_pairs(d_out_BTHK, -angle_BTJ), None


def turn_pairs(x_BTHK, angle_BTJ):
    """Multiply the complex numbers x[2j] + i x[2j+1] by exp(i angle[j])."""
    z_BTHJ = x_BTHK[..., 0::2] + 1j * x_BTHK[..., 1::2]
    turned_BTHJ = z_BTHJ * np.exp(1j * angle_BTJ)[:, :, None, :]
    return np.stack([turned_BTHJ.real, turned_BTHJ.imag], axis=-1).reshape(x_BTHK.shape)


@operator
class rotary_halves:
    """Turn feature j together with feature j + K/2. Hugging Face's layout.

    The same function as rotary_pairs once the features of each head are reordered. In bfloat16 cosine, sine and both
    products are rounded, as transformers does.
    """

    shapes = "x_BTHK, angle_BTJ -> out_BTHK"
    equation = "out = x * cos(angle) + (-x[second half], x[first half]) * sin(angle)"
    gradient = "d_x = d_out * cos(angle) + (d_out[second half], -d_out[first half]) * sin(angle)"
    arithmetic = """
        out[b,t,h,j] = x[b,t,h,j] * cos(angle[b,t,j]) - x[b,t,h,j+J] * sin(angle[b,t,j])
        out[b,t,h,j+J] = x[b,t,h,j+J] * cos(angle[b,t,j]) + x[b,t,h,j] * sin(angle[b,t,j])
        ---
        d_x[b,t,h,j] = d_out[b,t,h,j] * cos(angle[b,t,j]) + d_out[b,t,h,j+J] * sin(angle[b,t,j])
        d_x[b,t,h,j+J] = d_out[b,t,h,j+J] * cos(angle[b,t,j]) - d_out[b,t,h,j] * sin(angle[b,t,j])
    """

    def forward(x_BTHK, angle_BTJ, *, rounded):
        return turn_halves(x_BTHK, angle_BTJ, rounded)

    def backward(d_out_BTHK, angle_BTJ):
        # forward: each (first, second) is turned by angle      a turn is undone by turning back
        return turn_halves(d_out_BTHK, -angle_BTJ, rounded=lambda array: array), None


def turn_halves(x_BTHK, angle_BTJ, rounded):
    """Turn (x[j], x[j + K/2]) by angle[j]."""
    first_BTHJ, second_BTHJ = np.split(x_BTHK, 2, axis=-1)
    cos_BT1J = rounded(np.cos(angle_BTJ))[:, :, None, :]
    sin_BT1J = rounded(np.sin(angle_BTJ))[:, :, None, :]
    turned = (
        rounded(first_BTHJ * cos_BT1J) - rounded(second_BTHJ * sin_BT1J),
        rounded(second_BTHJ * cos_BT1J) + rounded(first_BTHJ * sin_BT1J),
    )
    return np.concatenate(turned, axis=-1)

"""What single operators mean, computed in another way. Each check takes a record and raises AssertionError.

The checks of checks.py ask whether a record agrees with itself; an operator that is wrong everywhere in the same way
(rotary pairs in the other layout, say) is caught only here.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
from numpy.testing import assert_allclose

from byhand.operators import rotary_angles, rotary_pairs, scores
from byhand.operators.record import Operator

from .examples import Array, Example, example, variants

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def call(record: Operator, *arrays: Array | None, **settings: object) -> Array:
    """The main output for arrays given in the record's order."""
    given = {o.name: array for o, array in zip(record.inputs, arrays, strict=False) if array is not None}
    defaults = {name: default for name, default in record.settings.items() if name not in settings}
    return Example(record, {}, given, {**defaults, **settings}).forward()[record.outputs[0].name]


def same(actual: Array, expected: Array) -> None:
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def with_cotangent(each: Example, seed: int = 3) -> tuple[Array, Array, dict[str, Array]]:
    """The main output, a random gradient for it, and the gradients of the inputs."""
    out = each.forward()[each.main]
    d_out = np.random.default_rng(seed).standard_normal(out.shape)
    return out, d_out, {name: gradient for name, gradient in each.backward(d_out).items() if gradient is not None}


# --- tables and weights ---------------------------------------------------------------------------------------------


def check_lookup_is_one_hot(record: Operator) -> None:
    """Looking up rows is the product of a one-hot matrix with the table, and so is its gradient."""
    for each in variants(record):
        out, d_out, gradients = with_cotangent(each)
        one_hot_BTV = np.eye(each.sizes["V"])[each.inputs["id"]]
        same(out, one_hot_BTV @ each.inputs["table"])
        same(gradients["table"], np.tensordot(one_hot_BTV, d_out, ([0, 1], [0, 1])))


def check_product(record: Operator) -> None:
    """A product with a weight is one matrix product once the axes that are summed lie side by side, plus the bias."""
    for each in variants(record):
        x, weight, *_ = each.inputs.values()
        summed, kept = x.ndim - 2, "D" if record.name == "unembed" else ""
        rows, matrix = x.reshape(-1, int(np.prod(x.shape[2:]))), weight.T if kept else weight
        product = rows @ matrix.reshape(rows.shape[1], -1)
        bias = each.inputs["bias"].reshape(-1) if "bias" in each.inputs else 0
        expected = (product + bias).reshape(*x.shape[:2], *matrix.shape[summed:])
        same(each.forward()[each.main], expected)


def check_sinusoidal(record: Operator) -> None:
    """sin(position / 10000^(2i/d)) on even dimensions, cos on odd ones."""
    position_BT, D = np.array([[0, 1, 2, 500], [7, 3, 511, 40]]), 12
    out_BTD = call(record, position_BT, D=D)
    for (b, t, d), value in np.ndenumerate(out_BTD):
        angle = position_BT[b, t] / 10000 ** (2 * (d // 2) / D)
        assert abs(value - (math.cos if d % 2 else math.sin)(angle)) < 1e-12


# --- attention ------------------------------------------------------------------------------------------------------


def repeated(each: Example, name: str) -> Array:
    """Keys or values with every head copied to each of the query heads that read it: [B,S,H,K]."""
    return np.repeat(each.inputs[name], each.sizes["H"] // each.sizes["G"], axis=2)


def summed_back(d_repeated_BSHK: Array, each: Example) -> Array:
    B, S, H, K = d_repeated_BSHK.shape
    return d_repeated_BSHK.reshape(B, S, each.sizes["G"], H // each.sizes["G"], K).sum(3)


def check_scores_of_repeated_keys(record: Operator) -> None:
    """With every key head copied for its query heads, each head is q @ k.T / sqrt(K) by itself."""
    for each in variants(record):
        out, d_out, gradients = with_cotangent(each)
        query_BHTK, key_BHSK = each.inputs["query"].swapaxes(1, 2), repeated(each, "key").swapaxes(1, 2)
        root = each.sizes["K"] ** 0.5
        same(out, query_BHTK @ key_BHSK.swapaxes(2, 3) / root)
        same(gradients["query"], (d_out @ key_BHSK / root).swapaxes(1, 2))
        d_key_BSHK = (d_out.swapaxes(2, 3) @ query_BHTK / root).swapaxes(1, 2)
        same(gradients["key"], summed_back(d_key_BSHK, each))


def check_mix_of_repeated_values(record: Operator) -> None:
    """With every value head copied for its query heads, each head is weight @ value by itself."""
    for each in variants(record):
        out, d_out, gradients = with_cotangent(each)
        weight_BHTS, value_BHSK = each.inputs["weight"], repeated(each, "value").swapaxes(1, 2)
        d_out_BHTK = d_out.swapaxes(1, 2)
        same(out, (weight_BHTS @ value_BHSK).swapaxes(1, 2))
        same(gradients["weight"], d_out_BHTK @ value_BHSK.swapaxes(2, 3))
        d_value_BSHK = (weight_BHTS.swapaxes(2, 3) @ d_out_BHTK).swapaxes(1, 2)
        same(gradients["value"], summed_back(d_value_BSHK, each))


def check_append(record: Operator) -> None:
    """One token after the other, each into its place; and each place's gradient goes to whom it holds."""
    for each in variants(record):
        out, d_out, gradients = with_cotangent(each)
        past, new, place = (each.inputs[name] for name in ("past", "new", "place"))
        expected, holds = past.copy(), np.full(past.shape[:2], -1)
        for b, t in np.ndindex(place.shape):
            expected[b, place[b, t]], holds[b, place[b, t]] = new[b, t], t
        same(out, expected)
        same(gradients["past"], d_out * (holds < 0)[:, :, None, None])
        for b, t in np.ndindex(place.shape):
            same(gradients["new"][b, t], d_out[b, place[b, t]] * (holds[b, place[b, t]] == t))


def check_causal_mask(record: Operator) -> None:
    """With a causal mask, everything above the diagonal and nothing else is hidden, by -inf or by what one asks for."""
    score_BHTS = np.random.default_rng(0).standard_normal((2, 3, 5, 5))
    seen_BTS = np.tril(np.ones((2, 5, 5), bool))
    for fill in (-np.inf, -1e10):
        masked_BHTS = call(record, score_BHTS, seen_BTS, fill=fill)
        for (b, h, t, s), value in np.ndenumerate(masked_BHTS):
            assert value == (score_BHTS[b, h, t, s] if s <= t else fill)


def check_softmax(record: Operator) -> None:
    """exp over sum of exp; the same when a row is shifted; no overflow; exactly zero where the score is -inf."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5)[-len(record.inputs[0].axes) :])
    y = call(record, x)
    for row, shares in zip(x.reshape(-1, 5), y.reshape(-1, 5), strict=True):
        total = math.fsum(math.exp(number) for number in row)
        assert_allclose(shares, [math.exp(number) / total for number in row], rtol=1e-14)
    assert_allclose(call(record, x + 100 * rng.standard_normal((*x.shape[:-1], 1))), y, rtol=1e-12)
    assert_allclose(call(record, x + 1e5), y, rtol=1e-9)
    x[..., 2] = -np.inf
    assert (call(record, x)[..., 2] == 0).all()


# --- norms ----------------------------------------------------------------------------------------------------------


def check_norm(record: Operator) -> None:
    """Every vector by itself, number by number, with an eps large enough to be seen; only layer_norm has a middle."""
    for each in variants(record):
        for eps in (1e-5, 0.3):
            out = Example(record, each.sizes, each.inputs, {"eps": eps}).forward()[each.main]
            shift = each.inputs.get("shift", np.zeros(each.sizes["D"]))
            for place in np.ndindex(out.shape[:2]):
                x = each.inputs["x"][place].tolist()
                middle = math.fsum(x) / len(x) if record.name == "layer_norm" else 0.0
                size = math.sqrt(math.fsum((number - middle) ** 2 for number in x) / len(x) + eps)
                expected = [(number - middle) / size for number in x] * each.inputs["gain"] + shift
                same(out[place], expected)


# --- rotary positions -----------------------------------------------------------------------------------------------


def check_rotary_angles(record: Operator) -> None:
    """Pair j of a head of width K turns by theta^(-2j/K) a position."""
    for K, theta in ((8, 10000.0), (128, 500000.0)):
        angle_BTJ = call(record, np.array([[0, 1, 2, 4095]]), J=K // 2, theta=theta)
        for (_, t, j), value in np.ndenumerate(angle_BTJ):
            assert math.isclose(value, [0, 1, 2, 4095][t] * theta ** (-2 * j / K), rel_tol=1e-13)


def slowed(frequency: float, factor: float, low: float, high: float, context: int) -> tuple[float, str]:
    """Llama 3.1's frequency of one pair, by its wavelength in positions, and the regime it falls into."""
    wavelength = 2 * math.pi / frequency
    if wavelength < context / high:
        return frequency, "kept"
    if wavelength > context / low:
        return frequency / factor, "slowed"
    smooth = (context / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency, "blended"


def check_llama31_angles(record: Operator) -> None:
    """The shapes in use: Llama 3.1 8B (width 128, factor 8) and 3.2 1B (width 64, factor 32)."""
    positions = [0, 1, 8191, 131071]
    for J, factor in ((64, 8.0), (32, 32.0)):
        settings = {"factor": factor, "low": 1.0, "high": 4.0, "original_context": 8192}
        angle_BTJ = call(record, np.array([positions]), J=J, theta=500000.0, **settings)
        regimes = set()
        for j in range(J):
            frequency, regime = slowed(500000.0 ** (-j / J), factor, 1.0, 4.0, 8192)
            regimes.add(regime)
            assert_allclose(angle_BTJ[0, :, j], [position * frequency for position in positions], rtol=1e-13)
        assert regimes == {"kept", "blended", "slowed"}


def turned(K: int = 6, theta: float = 100.0) -> tuple[Array, Array, Array]:
    """Some vectors, the angles of their positions, and exp(i t theta^(-2j/K)) written out."""
    x_BTHK = np.random.default_rng(0).standard_normal((2, 5, 3, K))
    position_BT = np.array([[0, 1, 2, 3, 4], [9, 7, 7, 40, 2]])
    power_BTJ = np.array([[[t * theta ** (-2 * j / K) for j in range(K // 2)] for t in row] for row in position_BT])
    return x_BTHK, call(rotary_angles, position_BT, J=K // 2, theta=theta), np.exp(1j * power_BTJ)[:, :, None]


def check_complex_product(record: Operator) -> None:
    """rotary_pairs: features 2j and 2j+1 are a complex number, multiplied by exp(i t theta^(-2j/K))."""
    x_BTHK, angle_BTJ, turn_BT1J = turned()
    out_BTHK = call(record, x_BTHK, angle_BTJ)
    same(out_BTHK[..., 0::2] + 1j * out_BTHK[..., 1::2], x_BTHK.view(complex) * turn_BT1J)


def check_halves_are_reordered_pairs(record: Operator) -> None:
    """rotary_halves is rotary_pairs between putting the first of every pair before the second and back."""
    for each in variants(record):
        K = each.sizes["K"]
        order = [*range(0, K, 2), *range(1, K, 2)]
        out, d_out, gradients = with_cotangent(each)
        x_BTHK, d_pairs_BTHK = np.empty_like(out), np.empty_like(out)
        x_BTHK[..., order], d_pairs_BTHK[..., order] = each.inputs["x"], d_out
        same(out, call(rotary_pairs, x_BTHK, each.inputs["angle"])[..., order])
        d_x_BTHK = rotary_pairs.backward(d_pairs_BTHK, each.inputs["angle"])[0]
        same(gradients["x"], d_x_BTHK[..., order])


def check_rotation(record: Operator) -> None:
    """Lengths stay, the first feature turns towards its partner, and scores depend on the distance alone."""
    x_BTHK, angle_BTJ, _ = turned()
    out_BTHK = call(record, x_BTHK, angle_BTJ)
    assert_allclose(np.linalg.norm(out_BTHK, axis=-1), np.linalg.norm(x_BTHK, axis=-1), rtol=1e-13)
    first_K = call(record, np.eye(6)[:1].reshape(1, 1, 1, 6), np.full((1, 1, 3), 0.1)).ravel()
    assert_allclose([first_K[0], max(first_K[1:])], [math.cos(0.1), math.sin(0.1)], rtol=1e-13)
    near, far = (call(rotary_angles, np.arange(5)[None] + start, J=3, theta=100.0) for start in (0, 1000))
    query_BTHK, key_BTHK = x_BTHK[:1], x_BTHK[1:]
    at = [scores.forward(call(record, query_BTHK, angle), call(record, key_BTHK, angle)) for angle in (near, far)]
    assert_allclose(at[0], at[1], rtol=1e-10, atol=1e-10)


# --- activations, in 60 digits --------------------------------------------------------------------------------------


def gelu_by_tanh(x: Decimal) -> Decimal:
    power = (2 * (2 / PI).sqrt() * (x + Decimal("0.044715") * x**3)).exp()
    return x / 2 * (1 + (power - 1) / (power + 1))


def gelu_by_erf(x: Decimal) -> Decimal:
    """erf by its power series, 2/sqrt(pi) * sum of (-1)^n z^(2n+1) / (n! (2n+1))."""
    z = x / Decimal(2).sqrt()
    addend, total = z, z
    for n in range(1, 400):
        addend *= -z * z / n
        total += addend / (2 * n + 1)
    return x / 2 * (1 + total * 2 / PI.sqrt())


def by_logistic(x: Decimal) -> Decimal:
    return x / (1 + (-x).exp())


def check_activation(record: Operator) -> None:
    """To the last digits over -6 … 6; silu also relative to its size, far into its tail."""
    exact = {"gelu_tanh": gelu_by_tanh, "gelu_erf": gelu_by_erf, "silu": by_logistic}[record.name]
    with localcontext() as context:
        context.prec = 60
        x = np.linspace(-6, 6, 49)
        expected = [float(exact(Decimal(number))) for number in x.tolist()]
        assert_allclose(call(record, x.reshape(1, 1, -1)).ravel(), expected, rtol=1e-15, atol=2e-15)
        if record.name == "silu":
            x = np.array([-700.0, -80.0, -40.0, -20.0, -5.0, 30.0])
            expected = [float(exact(Decimal(number))) for number in x.tolist()]
            assert_allclose(call(record, x.reshape(1, 1, -1)).ravel(), expected, rtol=1e-14)


# --- loss -----------------------------------------------------------------------------------------------------------


def check_cross_entropy(record: Operator) -> None:
    """Minus the log of the right token's probability, 0 without a target; logits of a thousand do not overflow."""
    for each in variants(record):
        for shift in (0, 1000):
            logits, target = each.inputs["logits"] + shift, each.inputs["target"]
            loss = each.forward(logits=logits)["loss"]
            for place in np.ndindex(target.shape):
                row, right = (each.inputs["logits"][place]).tolist(), int(target[place])
                share = math.exp(row[max(right, 0)]) / math.fsum(map(math.exp, row))
                assert abs(loss[place] - (-math.log(share) if right >= 0 else 0)) < 1e-11


def check_mean_loss(record: Operator) -> None:
    for each in variants(record):
        loss, target = each.inputs["loss"].ravel().tolist(), each.inputs["target"].ravel().tolist()
        counted = [number for number, right in zip(loss, target, strict=True) if right >= 0]
        assert math.isclose(float(each.forward()["mean"]), math.fsum(counted) / len(counted), rel_tol=1e-13)


def check_temperature(record: Operator) -> None:
    """The ratio of two probabilities p/q becomes (p/q) ** (1/degree)."""
    each = example(record)
    ratio = np.exp(each.inputs["logits"][..., :1] - each.inputs["logits"])
    out = call(record, each.inputs["logits"], degree=0.5)
    assert_allclose(np.exp(out[..., :1] - out), ratio**2, rtol=1e-12)


# --- choosing -------------------------------------------------------------------------------------------------------


def rows_of(each: Example, name: str) -> list[tuple[tuple[int, ...], list[float]]]:
    """Every row of an input over the vocabulary, with its place."""
    array = each.inputs[name]
    return [(place, array[place].tolist()) for place in np.ndindex(array.shape[:2])]


def check_min_p(record: Operator) -> None:
    """What is kept is at least `share` times as probable as the best, and nothing else is."""
    for each in variants(record):
        for share in (0.05, 0.3, 1.0):
            out = call(record, each.inputs["logits"], share=share)
            for place, logits in rows_of(each, "logits"):
                total = math.fsum(map(math.exp, logits))
                probs = [math.exp(logit) / total for logit in logits]
                kept = [logit if p >= share * max(probs) else -math.inf for p, logit in zip(probs, logits, strict=True)]
                assert out[place].tolist() == kept


def check_repetition_penalty(record: Operator) -> None:
    """A seen token's logit is divided by the penalty where positive and multiplied where negative."""
    for each in variants(record):
        out = call(record, *each.inputs.values(), penalty=1.7)
        for place, logits in rows_of(each, "logits"):
            for v, logit in enumerate(logits):
                lowered = logit / 1.7 if logit > 0 else logit * 1.7
                assert out[place][v] == (lowered if each.inputs["seen"][place][v] else logit)


def check_running_sum(record: Operator) -> None:
    for each in variants(record):
        for place, probs in rows_of(each, "probs"):
            same(each.forward()["running"][place], [math.fsum(probs[: v + 1]) for v in range(len(probs))])


def check_draw(record: Operator) -> None:
    """The first token whose running sum is above the number."""
    for each in variants(record):
        for place, running in rows_of(each, "running"):
            first = next(v for v, total in enumerate(running) if total > each.inputs["uniform"][place])
            assert each.forward()["token"][place] == first


def check_argmax(record: Operator) -> None:
    """The best token, and the first of several that are equally good."""
    for each in variants(record):
        for flat in (each, Example(record, each.sizes, {"logits": np.round(each.inputs["logits"])}, {})):
            for place, logits in rows_of(flat, "logits"):
                assert flat.forward()["token"][place] == logits.index(max(logits))

"""What a report says of tf32 and bfloat16, against both written out once more: plain forward passes that round."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pytest

from byhand.operators import gelu_tanh, silu
from byhand.wiring import Wiring, compile, interpret, offset, predictions
from byhand.wiring.proof.attention import names, scored
from byhand.wiring.proof.certificate import Walk
from byhand.wiring.proof.rounding import at_bits, in_bfloat16, rounded, ways
from byhand.wiring.verifying import longest
from byhand.wiring.zoo.addition import addition
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab

from .programs import FAMILIES, doubled, histogram


def delayed():
    """The letter five back, in two steps."""
    wiring = Wiring("abcd", context=24, name="delayed")
    with wiring.layer():
        two = wiring.head("two", offset(-2), wiring.tokens, default="^")
    with wiring.layer():
        wiring.predict(wiring.head("five", offset(-3), two, default="^"))
    return wiring


MADE = {
    "aab": aab,
    "doubled": doubled,
    "delayed": delayed,
    "induction": partial(induction, "abc", context=32),
    "histogram": histogram,
    "addition": partial(addition, 3),
}
CASES = [(name, family) for name in MADE for family in FAMILIES]
CERTAIN = {(name, family) for name in ("aab", "doubled", "delayed", "induction") for family in FAMILIES}


# --- a forward pass that rounds ---------------------------------------------------------------------------------------


def same(x):
    return x


def bits(x, count, to=np.rint):
    return at_bits(np.asarray(x, np.float64), count, to).astype(np.float32)


@dataclass
class Rounds:
    """kept: what is handed on; taken: what a product reads; products, scores: whether those of heads are handed on."""

    kept: Callable = same
    taken: Callable = same
    products: bool = True
    scores: bool = True

    def times(self, left, right):
        return self.kept(self.taken(left) @ self.taken(right))


BFLOAT16 = partial(bits, count=8)
WAYS = {
    "tf32": [Rounds(taken=partial(bits, count=11)), Rounds(taken=partial(bits, count=11, to=np.trunc))],
    "bfloat16": [Rounds(BFLOAT16), Rounds(BFLOAT16, products=False), Rounds(BFLOAT16, products=False, scores=False)],
}


def forward(wired, ids, r):
    """(logits, the stream behind the last layer, scores by layer), in float32 but for what `r` rounds."""
    w = {address: r.kept(np.asarray(array)) for address, array in wired.model.weights.items()}
    c, llama = wired.model.config, wired.plan.name == "llama"
    x, seen = w["token.weight"][ids], []
    if not llama:
        x = r.kept(x + w["position.weight"][: ids.shape[1]])
    for layer in range(c.layers):
        at = f"blocks.{layer}"
        made, scores = attention(wired, w, f"{at}.attn", normed(x, w, f"{at}.norm1", c.eps, r), r)
        x, seen = r.kept(x + made), [*seen, scores]
        x = r.kept(x + feed_forward(w, f"{at}.mlp", normed(x, w, f"{at}.norm2", c.eps, r), r))
    table = w["token.weight" if c.tied else "unembed.weight"]
    return r.times(normed(x, w, "final_norm", c.eps, r), table.T), x, seen


def normed(x, w, at, eps, r):
    eps = np.float32(eps)
    if f"{at}.shift" not in w:
        return r.kept(r.kept(x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)) * w[f"{at}.gain"])
    away = x - x.mean(-1, keepdims=True)
    return r.kept(away / np.sqrt((away * away).mean(-1, keepdims=True) + eps) * w[f"{at}.gain"] + w[f"{at}.shift"])


def attention(wired, w, at, x, r):
    width = w[f"{at}.q.weight"].shape[-1]
    q, k, v = (np.einsum("btd,dhk->bhtk", r.taken(x), r.taken(w[f"{at}.{name}.weight"])) for name in "qkv")
    if f"{at}.q.bias" in w:
        q, k, v = (each + w[f"{at}.{name}.bias"][:, None] for each, name in ((q, "q"), (k, "k"), (v, "v")))
    q, k, v = r.kept(q), r.kept(k), r.kept(v)
    if wired.plan.rotary is not None:
        angle = (np.arange(x.shape[1])[:, None] * wired.plan.rotary.turns.astype(np.float32)).astype(np.float32)
        cosine, sine = (r.kept(np.tile(each(angle), 2)) for each in (np.cos, np.sin))
        q, k = (r.kept(r.kept(each * cosine) + r.kept(half_turned(each) * sine)) for each in (q, k))
    scores = r.taken(q) @ r.taken(k).swapaxes(-1, -2)
    scores = r.kept(scores) if r.products else scores
    scores = scores * np.float32(width**-0.5)
    scores = r.kept(scores) if r.scores else scores
    masked = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, np.float32(-np.inf))
    shares = np.exp(masked - masked.max(-1, keepdims=True))
    heads = r.times(r.kept(shares / shares.sum(-1, keepdims=True)), v)
    made = np.einsum("bhtk,hkd->btd", r.taken(heads), r.taken(w[f"{at}.out.weight"]))
    return r.kept(made + w.get(f"{at}.out.bias", 0)), scores


def half_turned(x):
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([-second, first], axis=-1)


def feed_forward(w, at, x, r):
    if f"{at}.gate.weight" in w:
        gate = r.kept(silu.forward(r.times(x, w[f"{at}.gate.weight"])))
        return r.times(r.kept(gate * r.times(x, w[f"{at}.up.weight"])), w[f"{at}.down.weight"])
    made = r.kept(gelu_tanh.forward(r.kept(r.taken(x) @ r.taken(w[f"{at}.up.weight"]) + w[f"{at}.up.bias"])))
    return r.kept(r.taken(made) @ r.taken(w[f"{at}.down.weight"]) + w[f"{at}.down.bias"])


# --- the tests --------------------------------------------------------------------------------------------------------


def wired(name, family, cache={}):  # noqa: B006
    if (name, family) not in cache:
        made = compile(MADE[name](), family)
        cache[name, family] = made, made.prove()
    return cache[name, family]


def texts(wiring):
    """All of one short length, and random ones of the full length."""
    rng, letters, full = np.random.default_rng(0), list(wiring.alphabet), wiring.context - 1
    short = ["".join(each) for each in product(letters, repeat=longest(wiring, 300))]
    long = [rng.choice(letters[: 2 + 8 * (row % 2)], full) for row in range(60)]
    return short, ["".join(each) for each in long]


def ids_of(made, some):
    return np.array([made.model.tokenizer.prepared(text) for text in some])


def test_the_forward_pass_is_that_of_the_model():
    for name, family in CASES:
        made, _ = wired(name, family)
        ids = ids_of(made, texts(made.wiring)[1][:9])
        found, theirs = forward(made, ids, Rounds())[0], made.model.run(ids, engine="reference").look("logits")
        assert np.allclose(found, theirs, rtol=0, atol=0.02), (name, family)


@pytest.mark.parametrize("precision", list(WAYS))
@pytest.mark.parametrize("name, family", CASES)
def test_what_is_certain_is_never_wrong(name, family, precision):
    made, proof = wired(name, family)
    verdict, site = proof.verdict(precision), proof.sites[precision][-1]
    assert verdict != "no" or (name, family) not in CERTAIN
    tokens = made.wiring.tokens.domain
    for some in texts(made.wiring) if verdict != "no" else ():
        wanted = [predictions(made.wiring, text) for text in some]
        for way in WAYS[precision]:
            logits = forward(made, ids_of(made, some), way)[0]
            assert [[tokens[i] for i in row] for row in logits.argmax(-1)] == wanted
            top = np.sort(logits, -1)
            assert (top[..., -1] - top[..., -2]).min() >= site.margin - site.noise


@pytest.mark.parametrize("precision", list(WAYS))
@pytest.mark.parametrize("name, family", CASES)
def test_what_is_in_the_stream_is_within_the_bounds(name, family, precision):
    """Whatever the verdict: every score, and each number behind the last layer, by what the variables should put."""
    made, _ = wired(name, family)
    some = texts(made.wiring)[1][:20]
    values = [interpret(made.wiring, text) for text in some]
    of = {name: np.array([[read.places[v] for v in each[name]] for each in values])
          for name, read in made.wiring.variables.items()}  # fmt: skip
    of |= {"next token": of[made.wiring.predicted.name], "position": np.arange(made.wiring.context)[None]}
    for rounding, way in zip(ways(precision), WAYS[precision], strict=True):
        walk = Walk(made.plan, made.model.weights, made.model.config, rounding)
        walk.sites()
        _, found, scores = forward(made, ids_of(made, some), way)
        for layer, parts in enumerate(made.wiring.layers):
            for place, head in enumerate(parts.heads):
                assert_within(walk, layer, place, head, of, scores[layer][:, place])
        wanted = sum(part.rows[of[variable]] for variable, part in walk.stream.parts.items())
        allowed = sum(part.error[of[variable]] for variable, part in walk.stream.parts.items()) + walk.stream.error
        assert (np.abs(found - wanted) <= allowed + 1e-9).all()


def assert_within(walk, layer, place, head, of, found):
    """Scores [texts, query positions, key positions] of one head, by those of its values; key 0 is the begin token."""
    weights = walk.head_weights(f"blocks.{layer}.attn", place)
    s = scored(head, walk.behind[f"blocks.{layer}.norm1"], weights, walk.start, walk.rounding)
    at = np.arange(found.shape[-1])
    asks, says = (of[name] if name else np.zeros(found.shape[:2], int) for name in names(head.where))
    where = asks[:, :, None], says[:, None], at[:, None], at
    later = np.broadcast_to((at[:, None] >= at) & (at > 0), found.shape)
    assert (np.abs(found - s.table[where]) <= s.off[where] + 1e-9)[later].all(), head.name
    first, off = (np.broadcast_to(each, (len(s.begin), len(at)))[asks, at] for each in (s.begin, s.begin_off))
    assert (np.abs(found[..., 0] - first) <= off + 1e-9)[:, 1:].all(), head.name


def test_numbers_with_few_bits_stay_as_they_are():
    exact = np.array([0.0, 1.0, -3.0, 0.75, 255.0, 2.0**-30])
    for each in ways("bfloat16"):
        values, errors = each.kept(exact, np.zeros(6))
        assert (values == exact).all() and not errors.any()
    values, errors = rounded(np.array([257.0]), np.zeros(1), 8)  # between 256 and 258, and on the edge
    assert (values, errors) == (257.0, 1.0)
    numbers = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert (at_bits(numbers.astype(float), 8) == in_bfloat16(numbers)).all()

"""The proof speaks of the weights as they are: what runs is never worse than it says, and what is changed shows."""

from itertools import product

import numpy as np
import pytest

from byhand.wiring import WiringError, compile
from byhand.wiring.proof import prove
from byhand.wiring.proof.certificate import Walk
from byhand.wiring.proof.rounding import ROUNDINGS
from byhand.wiring.report import report
from byhand.wiring.zoo.addition import addition, random_sum
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab

from .programs import FAMILIES, histogram

MADE = {
    "aab": aab,
    "induction": lambda: induction("abc", context=32),
    "addition": lambda: addition(3),
    "histogram": histogram,
}


def wired(name, family, cache={}):  # noqa: B006
    if (name, family) not in cache:
        cache[name, family] = compile(MADE[name](), family)
    return cache[name, family]


def texts(made, count, seed=0):
    rng = np.random.default_rng(seed)
    if made.wiring.name.startswith("addition"):
        return [random_sum(3)(rng) for _ in range(count)]
    letters, length = list(made.wiring.alphabet), made.wiring.context - 1
    few = [rng.choice(letters[:2], length) for _ in range(count // 2)]
    return ["".join(each) for each in [*few, *(rng.choice(letters, length) for _ in range(count - len(few)))]]


def run(made, **settings):
    ids = np.array([made.model.tokenizer.prepared(text) for text in texts(made, 40)])
    return ids, made.model.run(ids, **settings)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(MADE))
def test_every_decision_is_certain(name, family):
    proof = wired(name, family).prove()
    assert proof.holds
    assert proof.verdict() in ("exact", "ok")


def observed(made, found):
    """The least gap of each site in a run: scores of the two best keys, units from the bend, the two best logits."""
    act, least = made.plan.activation, {}
    for layer, parts in enumerate(made.wiring.layers):
        scores = found.look(f"blocks.{layer}.attn.masked")
        for place, head in enumerate(parts.heads):
            least[f"layer {layer} head {head.name}"] = between_two_best(scores[:, place, 1:])
        gates = found.look(f"blocks.{layer}.mlp.{'gate' if made.plan.name == 'llama' else 'pre'}")
        for part in made.plan.parts[layer]:
            z, gates = gates[..., : len(part.units)], gates[..., len(part.units) :]
            if part.units:
                least[f"layer {layer} {part.name}"] = np.where(z > 0, z - act.above, -act.below - z).min()
    return least | {"output": between_two_best(found.look("logits"))}


def between_two_best(figures):
    top = np.sort(figures, -1)
    return (top[..., -1] - top[..., -2]).min()


def ends(site):
    """The least and the largest that the smallest gap seen at a site may be."""
    assert site.margin is not None
    return site.margin - site.noise, site.margin + site.noise


def decided(proof):
    """The sites whose gaps can be observed: an average picks no single key."""
    return [site for site in proof.sites["float32"] if site.kind in ("head", "decision", "output")]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(MADE))
def test_what_is_observed_is_never_below_what_is_reported(name, family, engine):
    """Scores, hidden units and logits of real runs in float32, on random texts of the full length."""
    made = wired(name, family)
    least = observed(made, run(made, engine=engine)[1])
    for site in decided(made.prove()):
        assert least[site.name] >= ends(site)[0], site


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [lambda: aab(8), lambda: induction("ab", context=9)], ids=["aab", "induction"])
def test_what_is_reported_is_reached(make, family):
    """Over all texts up to the context the least gap of every head and unit is the reported one, up to its noise."""
    made = compile(make(), family)
    every = ["".join(each) for each in product(made.wiring.alphabet, repeat=made.wiring.context - 1)]
    least = observed(made, made.model.run([made.model.tokenizer.prepared(text) for text in every], engine="cpu"))
    for site in decided(made.prove()):
        assert least[site.name] >= ends(site)[0], site
        if site.kind != "output" or not made.plan.tied:  # the tied head's bound takes each of two ranges at its worst
            assert least[site.name] <= ends(site)[1], site
        else:
            assert least[site.name] <= 1.5 * site.margin


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", list(MADE))
def test_what_is_written_is_never_further_off_than_the_bound(name, family):
    """Every variable in the stream of a run in float32, against its code, within the error that the proof allows."""
    made = wired(name, family)
    ids, found = run(made, engine="reference")
    walk = Walk(made.plan, made.model.weights, made.model.config, ROUNDINGS["float32"])
    walk.sites()
    last = found.look(f"blocks.{len(made.wiring.layers) - 1}.out")
    values = [interpreted(made, text) for text in texts(made, 40)]
    for name_, part in walk.stream.parts.items():
        slot = made.plan.layout.slots[name_]
        shared = [s for s in walk.stream.parts if made.plan.layout.slots[s].first == slot.first]
        if len(shared) > 1 or name_ == "position":
            continue
        wanted = np.array([[part.rows[places[name_][at]] for at in range(ids.shape[1])] for places in values])
        allowed = np.array([[part.error[places[name_][at]] for at in range(ids.shape[1])] for places in values])
        off = np.abs(last - wanted)[..., slot.dims]
        assert (off <= (allowed + walk.stream.error)[..., slot.dims] + 1e-12).all(), name_


def interpreted(made, text):
    """The places of all values of a text."""
    from byhand.wiring import interpret

    values = interpret(made.wiring, text)
    return {name: [read.places[v] for v in values[name]] for name, read in made.wiring.variables.items()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [lambda: aab(12), lambda: induction("ab", context=12)], ids=["aab", "induction"])
def test_no_weight_can_be_changed_unnoticed(make, family):
    """Any entry of any array, zeros too: the fingerprint changes, and what is still proven still predicts the same."""
    made, rng, broken, fine = compile(make(), family), np.random.default_rng(0), set(), 0
    some = ["".join(rng.choice(list(made.wiring.alphabet), 11)) for _ in range(40)]
    ids = [made.model.tokenizer.prepared(text) for text in some]
    print_of = report(made.model, made.prove()).fingerprint
    before = made.model.run(ids, engine="reference").look("logits").argmax(-1)
    for address in made.model.program.weights:
        array = np.asarray(made.model.weights[address])
        places = [*rng.permutation(np.argwhere(array))[:4], *rng.permutation(np.argwhere(array == 0))[:3]]
        for index in map(tuple, places):
            changed = made.model.edit(address, index, set=float(array[index]) * rng.choice([-1, 0.5, 1.5]) + 0.25)
            proof = prove(made.plan, changed.weights, changed.config, ["float32"])
            assert report(changed, proof).fingerprint != print_of
            if not proof.holds:
                broken.add(address)
                continue
            fine += 1
            found = changed.run(ids, engine="reference")
            assert (found.look("logits").argmax(-1) == before).all(), (address, index)
            least = observed(made, found)
            assert all(least[site.name] >= ends(site)[0] for site in decided(proof)), (address, index)
    assert len(broken) > 5 and fine > 20, (broken, fine)


@pytest.mark.parametrize("family", FAMILIES)
def test_breaking_a_weight_breaks_the_proof(family):
    made = wired("induction", family)
    for address, index in (
        ("blocks.0.attn.q.weight", None),
        ("blocks.0.attn.v.weight", None),
        ("blocks.1.attn.k.weight", None),
        ("blocks.0.norm1.gain", (0,)),
        ("token.weight", (1, 1)),
    ):
        broken = made.model.edit(address, index, scale=-1.0)
        assert not made.prove(broken).holds, address


def test_a_weight_where_there_was_none_counts():
    made = wired("aab", "gpt2")
    stray = made.model.edit("blocks.0.mlp.up.weight", (4, 0), set=64.0)
    assert not made.prove(stray).holds
    assert made.report(stray).fingerprint != made.report().fingerprint


def test_the_report_is_a_table():
    text = str(wired("aab", "gpt2").report())
    assert "layer 0 head 1 back  offset -1" in text
    assert text.splitlines()[-1].startswith("certain on every text up to the context: float32 exact")


def test_matrices_of_your_own_are_held_to_the_same_proof():
    """Queries twice as strong look at the same place; queries turned around do not, and values swapped neither."""
    made = wired("aab", "gpt2")
    query, value = (np.array(made.model.weights[f"blocks.0.attn.{name}.weight"]) for name in "qv")
    stronger = made.with_weights({"blocks.0.attn.q.weight": 2 * query, "blocks.0.attn.q.bias": 2 * made_bias(made)})
    assert stronger.prove().sites["float32"][1].margin > 1.9 * made.prove().sites["float32"][1].margin
    assert stronger.verify(exhaustive=100, random=10, engines=["reference"]).passed
    with pytest.raises(WiringError, match="layer 0 head 1 back: offset -1: its margin is -"):
        made.with_weights({"blocks.0.attn.q.weight": -query})
    with pytest.raises(WiringError, match="layer 0 next: 1 rules"):
        made.with_weights({"blocks.0.attn.v.weight": value[..., ::-1]})
    with pytest.raises(WiringError, match="its model has no weight 'q'"):
        made.with_weights({"q": query})


def made_bias(made):
    return np.array(made.model.weights["blocks.0.attn.q.bias"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_that_misses_its_default_is_found(family):
    """Without the begin token's own score the first letter looks at itself."""
    made = wired("aab", family)
    key = np.array(made.model.weights["blocks.0.attn.k.weight"])
    key[0, 0, 2 if family == "gpt2" else 3] = 0  # the feature that only the begin token has
    with pytest.raises(WiringError, match="layer 0 head 1 back"):
        made.with_weights({"blocks.0.attn.k.weight": key})


def test_a_head_that_is_not_declared_must_be_silent():
    made = wired("histogram", "gpt2")  # its second layer has no head of its own
    value, output = (np.array(made.model.weights[f"blocks.1.attn.{name}.weight"]) for name in ("v", "out"))
    value[1, 0, 0], output[0, 0, 3] = 1, 1
    assert made.prove(made.with_weights({"blocks.1.attn.v.weight": value}).model).holds  # nothing reads it
    with pytest.raises(WiringError, match="layer 1 digit|output"):
        made.with_weights({"blocks.1.attn.v.weight": value, "blocks.1.attn.out.weight": output})


def test_a_slope_that_leaves_units_where_the_activation_bends_is_found():
    made = wired("aab", "gpt2")
    flat = made.model
    for name, factor in (("up.weight", 1 / 16), ("up.bias", 1 / 16), ("down.weight", 16)):
        flat = flat.edit(f"blocks.0.mlp.{name}", scale=factor)
    site = next(site for site in made.prove(flat).sites["float32"] if site.kind == "decision")
    assert site.verdict == "no" and site.margin < 0
    assert site.error > 0.05  # GELU of 1 and of -1 are not 1 and 0

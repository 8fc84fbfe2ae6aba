"""What families share: the activation of a feed-forward by name, the cache, and the end, probabilities and loss."""

from byhand.errors import InputError
from byhand.operators import append, cross_entropy, gelu_erf, gelu_tanh, mean_loss, probabilities, relu, silu
from byhand.operators.record import Operator
from byhand.program import Program

ACTIVATIONS = {each.name: each for each in (gelu_tanh, gelu_erf, relu, silu)}


def activation(name: str) -> Operator:
    """The operator of this name. Raises InputError for one that no feed-forward here uses."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation {name!r} is unknown; use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def sight(p: Program, cached: bool) -> str:
    """The input that says what each position may see: itself and those before it, which may be in a cache."""
    return p.input("mask BTS", "reached", extent="BTC") if cached else p.input("mask BTS", "causal")


def joined(p: Program, new: str, into: str, place: str) -> str:
    """New keys or values [B,T,G,K] among those of the input ``cache.`` + new, each at the place of its position."""
    past = p.input(f"cache.{new} BSGK", "cache", extent="BCGK")
    return p(f"{into} BSGK", append, past, new, place)


def predict(p: Program, logits: str, targets: bool) -> None:
    """Add ``probs`` and, when there are targets, the loss of every place (``losses``) and their mean (``loss``)."""
    p("probs BTV", probabilities, logits)
    if targets:
        right = p.input("targets BT", "targets")
        p("losses BT", cross_entropy, logits, right)
        p("loss", mean_loss, "losses", right)

"""The end that all language models share: probabilities, and the loss against what really came."""

from byhand.operators import cross_entropy, mean_loss, probabilities
from byhand.program import Program


def predict(p: Program, logits: str, targets: bool) -> None:
    """Add ``probs`` and, when there are targets, the loss of every place (``losses``) and their mean (``loss``)."""
    p("probs BTV", probabilities, logits)
    if targets:
        right = p.input("targets BT", "targets")
        p("losses BT", cross_entropy, logits, right)
        p("loss", mean_loss, "losses", right)

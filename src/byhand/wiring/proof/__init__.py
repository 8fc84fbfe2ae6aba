"""What a wired model does on every text, from its weights: read, bounded, compared with what was declared."""

from byhand.wiring.proof.certificate import Proof, prove
from byhand.wiring.proof.site import Site

__all__ = ["Proof", "Site", "prove"]

"""Reading a text piece by piece: the keys and values of earlier pieces come back as inputs, the new ones join them."""

from byhand.operators import append
from byhand.program import Program


def sight(p: Program, cached: bool) -> str:
    """The input that says what each position may see: itself and those before it."""
    return p.input("mask BTS", "reached", extent="BTC") if cached else p.input("mask BTS", "causal")


def joined(p: Program, new: str, into: str, place: str) -> str:
    """New keys or values [B,T,G,K] among those of the input ``cache.`` + new, each at the place of its position."""
    past = p.input(f"cache.{new} BSGK", "cache", extent="BCGK")
    return p(f"{into} BSGK", append, past, new, place)

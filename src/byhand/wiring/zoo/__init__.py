"""Programs that are wired, one short file each; PROGRAMS has them by name."""

from functools import partial

from byhand.wiring.parts import FIRST, LATEST
from byhand.wiring.zoo import addition, induction, kgram
from byhand.wiring.zoo.program import Program

__all__ = ["PROGRAMS", "Program"]

PROGRAMS = {
    "aab": Program(kgram.aab, kgram.follows(kgram.AAB, "a")),
    "induction-latest": Program(induction.induction, induction.follows(LATEST)),
    "induction-first": Program(partial(induction.induction, pick=FIRST), induction.follows(FIRST)),
    "addition-3": Program(partial(addition.addition, 3), addition.follows(3), addition.random_sum(3)),
    "addition-10": Program(partial(addition.addition, 10), addition.follows(10), addition.random_sum(10)),
}

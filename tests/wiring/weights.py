"""Writes the weights of the zoo that come with the package: ``python -m tests.wiring.weights [names]``."""

import sys

import numpy as np

from byhand.boxed import wired
from byhand.wiring import Wired, compile
from byhand.wiring.zoo import PROGRAMS


def stored(made: Wired) -> dict[str, np.ndarray]:
    """All weights as they are written."""
    return {address: np.asarray(made.model.weights[address]) for address in made.model.program.weights}


def write(names: list[str]) -> None:
    """The files of some programs, or of all; those of programs that are gone are removed."""
    wanted = {wired.path_of(name, family) for name, each in PROGRAMS.items() for family in each.families}
    for path in set(wired.FOLDER.glob("*.npz")) - wanted:
        path.unlink()
    for name in names or PROGRAMS:
        for family in PROGRAMS[name].families:
            made = compile(PROGRAMS[name].make(), family)
            path = wired.path_of(name, family)
            wired.write(path, made.model.config, list(made.wiring.tokens.domain), stored(made))
            print(f"{path.name}: {path.stat().st_size:,} bytes, {made.model.parameters:,} parameters")


if __name__ == "__main__":
    write(sys.argv[1:])

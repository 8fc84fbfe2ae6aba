"""Small models that come with the package: trained ones, a folder each, with their settings; and those of the zoo.

``recipes/NAME.toml`` says how NAME came about; ``byhand train --config`` makes it again.
"""

from __future__ import annotations

from pathlib import Path

MODELS = {"stories": "gpt2", "stories-llama": "llama", "sums": "gpt2", "reversals": "original"}
HERE = Path(__file__).parent


def path(name: str) -> Path:
    """The folder of one of MODELS, a model as byhand writes it."""
    return HERE / name


def recipe(name: str) -> Path:
    """The settings it was trained with."""
    return HERE / "recipes" / f"{name}.toml"

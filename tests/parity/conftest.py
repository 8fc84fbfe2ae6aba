"""Two threads, as the machine that checks every commit has; and the largest differences found, printed at the end."""

import pytest
import torch

from .harness import MEASURED

torch.set_num_threads(2)


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "default")  # the oracles warn about themselves, which is not our matter


def pytest_terminal_summary(terminalreporter):
    if not MEASURED:
        return
    terminalreporter.section("largest differences from the oracles")
    first, second = (max(map(len, column)) for column in zip(*MEASURED, strict=True))
    for (what, kind), value in sorted(MEASURED.items()):
        terminalreporter.write_line(f"{what:<{first}}  {kind:<{second}}  {value:.3g}")


@pytest.fixture(autouse=True)
def repeatable():
    torch.manual_seed(0)

"""Figures that a test measures are shown at the end of the run, also when it passes, whichever process it ran in."""

import pytest

FIGURE = "figure"


@pytest.fixture
def figure(record_property):
    """A function that takes one line to be shown at the end."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, line in report.user_properties:
            if name == FIGURE:
                terminalreporter.write_line(line)

"""Settings that all tests share."""

import fcntl
import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

# A script's job in the background is started with Ctrl-C ignored, and so would be what tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


ELSEWHERE = {"NUMBA_CPU_NAME", "NUMBA_DISABLE_JIT"}


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """All kernels are ready, here and for what tests start: none of them meets the line that says they are compiled."""
    if ELSEWHERE & os.environ.keys():
        return  # what a test started as another processor: it needs few of them
    from byhand.engines.cpu import kernels, plan  # noqa: F401  they fill the table of kernels
    from byhand.engines.cpu.compiling import prepare
    from byhand.engines.cpu.kernel import KERNELS

    prepare(list(KERNELS.values()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """A test that is marked alone measures time: where tests run in several processes, the others wait for it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)


# Figures that a test measures are shown at the end of the run, also when it passes, whichever process it ran in.

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

"""Teams of threads: all work is done once, calls are in order, and forks, other threads and Ctrl-C do no harm."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from byhand.engines.cpu import team as module
from byhand.engines.cpu.kernel import Job, array, kernel, take, whole
from byhand.engines.cpu.simd import COMPILED, int64
from byhand.engines.cpu.team import Calls, Team, team, wanted
from byhand.errors import InputError

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 7])


@kernel
def team_count(job, me):
    """Add one to each number, `some` at a time, and to the thread's own tally."""
    done_N, tally_M, some = array(job, 0, int64, 1), array(job, 1, int64, 1), whole(job, 2)
    start = take(job, some)
    while start < len(done_N):
        for n in range(start, min(start + some, len(done_N))):
            done_N[n] += 1
            tally_M[me] += 1
        start = take(job, some)


@kernel
def team_mix(job, me):
    """Each number out is one more than the number that another piece of the call before has written."""
    x_N, out_N = array(job, 0, int64, 1), array(job, 1, int64, 1)
    n = take(job, 1)
    while n < len(x_N):
        out_N[n] = x_N[(n * 7 + 3) % len(x_N)] + 1
        n = take(job, 1)


def counting(size, many=1000, some=7):
    done_N, tally_M = np.zeros(many, np.int64), np.zeros(size, np.int64)
    return done_N, tally_M, Calls([Job(team_count, done_N, tally_M, some)], [True])


def mixing(depth=100, wide=500 if COMPILED else 20):
    """Calls in a row, each of which reads what the one before wrote, and the numbers that they write."""
    x_KN = np.zeros((depth + 1, wide), np.int64)
    jobs = [Job(team_mix, x_KN[k], x_KN[k + 1]) for k in range(depth)]
    return x_KN, Calls(jobs, [True] * depth)


def check_mixed(x_KN):
    assert (x_KN == np.arange(len(x_KN))[:, None]).all()


@SIZES
@pytest.mark.parametrize("many, some", [(1000, 1), (1000, 7), (3, 1), (0, 1), (5, 100)])
def test_every_piece_is_done_once(size, many, some):
    done_N, tally_M, calls = counting(size, many, some)
    for runs in range(1, 30):
        Team(size).run(calls) if runs == 1 else team(size).run(calls)
        assert (done_N == runs).all()
        assert tally_M.sum() == runs * many


@SIZES
def test_a_call_sees_all_that_an_earlier_one_wrote(size):
    x_KN, calls = mixing()
    for _ in range(5):
        x_KN[1:] = -1
        team(size).run(calls)
        check_mixed(x_KN)


@SIZES
def test_only_the_calls_asked_for_are_run(size):
    x_KN, calls = mixing(depth=5)
    team(size).run(calls, 0, 2)
    team(size).run(calls, 2, 2)
    assert (x_KN == np.array([0, 1, 2, 0, 0, 0])[:, None]).all()
    team(size).run(calls, 2)
    check_mixed(x_KN)


@SIZES
def test_calls_that_need_not_meet_are_done_at_the_end(size):
    many = 1_000_000 if COMPILED else 40
    parts_KN, tally_M = np.zeros((5, many), np.int64), np.zeros(size, np.int64)
    calls = Calls([Job(team_count, part_N, tally_M, many // 4) for part_N in parts_KN], [False] * 5)
    for runs in range(1, 10):
        team(size).run(calls)
        ends_KM = parts_KN[:, many // 4 - 1 :: many // 4].copy()  # at once, before a late thread could write them
        assert (ends_KM == runs).all()
        assert (parts_KN == runs).all()


@pytest.mark.skipif(not COMPILED, reason="there is one thread")
def test_all_threads_take_part():
    done_N, tally_M, calls = counting(3, many=1_000_000, some=1)
    for runs in range(1, 200):
        team(3).run(calls)
        assert (done_N == runs).all()
        if runs > 20 and tally_M.all():
            return
    raise AssertionError(f"the threads did {tally_M} pieces")


@pytest.mark.parametrize("sizes", [[2, 2, 2], [1, 2, 3, 7]])
def test_several_python_threads_may_call_at_once(sizes):
    mixed, failed = [mixing(depth=50) for _ in sizes], []
    shared_N, _, shared = counting(max(sizes))

    def work(size, x_KN, calls):
        try:
            for _ in range(40):
                x_KN[1:] = -1
                team(size).run(calls)
                check_mixed(x_KN)
                if len(set(sizes)) == 1:
                    team(size).run(shared)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(size, *each)) for size, each in zip(sizes, mixed, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failed
    assert (shared_N == (120 if len(set(sizes)) == 1 else 0)).all()


class Stop(Exception):
    """What a signal raises here, as Ctrl-C raises KeyboardInterrupt."""


def raise_stop(*_):
    raise Stop


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timer that sends a signal")
@SIZES
def test_a_signal_leaves_the_team_usable(size):
    x_KN, calls = mixing(depth=20)
    new, before = Team(size), signal.signal(signal.SIGALRM, raise_stop)
    try:
        for k in range(60):
            with pytest.raises(Stop):
                signal.setitimer(signal.ITIMER_REAL, 1e-4 + k * 3e-5)
                while True:
                    new.run(calls)
            x_KN[1:] = -1
            new.run(calls)
            check_mixed(x_KN)
    finally:
        signal.signal(signal.SIGALRM, before)


def fork_and_run():
    """For a process of its own: fork with a team at work in another thread, and use it on both sides."""
    x_KN, calls = mixing(depth=50)
    others_KN, others = mixing(depth=50)
    team(3).run(calls)
    ended = threading.Event()

    def work():
        while not ended.is_set():
            team(3).run(others)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if not child:
            x_KN[1:] = -1
            team(3).run(calls)
            check_mixed(x_KN)
            os._exit(0)
        x_KN[1:] = -1
        team(3).run(calls)
        check_mixed(x_KN)
        assert os.waitpid(child, 0)[1] == 0
    ended.set()
    thread.join()
    check_mixed(others_KN)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_starts_its_own_threads():
    root = Path(__file__).parents[2]
    script = "from tests.engines.test_team import fork_and_run; fork_and_run()"
    command = [sys.executable, "-W", "ignore", "-c", script]  # Python warns of forks among threads
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " 3", "1025", "9" * 5000])
def test_what_is_no_number_of_threads_is_refused(monkeypatch, text):
    monkeypatch.setenv("BYHAND_THREADS", text)
    with pytest.raises(InputError, match="BYHAND_THREADS is .*give a whole number from 1 to 1024"):
        team()


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("BYHAND_THREADS", "3")
    assert team().size == 3 and team() is team(3)
    monkeypatch.delenv("BYHAND_THREADS")
    assert wanted() == module.cores() >= 1
    monkeypatch.setenv("BYHAND_THREADS", "")
    assert wanted() == module.cores()

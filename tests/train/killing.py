"""A small training that is killed, over and over: run as a program by test_killed.py, which reads what it prints.

One process prepares everything and forks a life for each kill, so that a life starts at once. What would be lost with
the machine's power is not tried here: see test_saving for what is on the disk when.
"""

import json
import mmap
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from byhand.checkpoints import stored
from byhand.engines import Parameters
from byhand.errors import InputError
from byhand.families import gpt2
from byhand.loading import make
from byhand.tokenizer import Characters
from byhand.train import saving
from byhand.train.logs import Log
from byhand.train.loop import Failed, Saved, Stepped, Training
from byhand.train.settings import Settings

STEPS, EVERY, KILLS, WRITING = 480, 4, 50, 17
FURTHEST = 8  # steps that a life makes at most
CONFIG = gpt2.Config(layers=1, width=8, heads=2, hidden=16, vocabulary=12, context=8)
MODEL = make("gpt2", CONFIG, tokenizer=Characters("abcdefghijkl"), name="letters")
SETTINGS = Settings(
    family="gpt2",
    data="-",
    engine="reference",
    dropout=0.1,
    steps=STEPS,
    save=EVERY,
    keep=2,
    sample=0,
    evaluate=50,
    batches=2,
)
FILE_EVENTS = {"open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}


class Letters:
    """Batches of twelve letters, each the one before it plus the first."""

    def at(self, step: int, part: int = 0) -> dict[str, Any]:
        start_B, by_B = np.random.default_rng([step, part]).integers(0, 12, (2, 4))
        ids = (start_B[:, None] + by_B[:, None] * np.arange(CONFIG.context + 1)) % 12
        return {"tokens": ids[:, :-1], "targets": ids[:, 1:]}

    def validation(self, count: int) -> Iterator[dict[str, Any]]:
        return (self.at(2**40 + each) for each in range(count))


def live(folder: Path, seen: Any) -> None:
    """Train from the last whole checkpoint to the end. seen: counts [steps, checkpoints] as they come."""
    with saving.alone(folder):
        training = Training(SETTINGS, MODEL, Letters(), folder)
        if path := saving.latest(folder):
            training.go_on(path)
        else:
            training.log.cut(0)
        for event in training.run():
            seen[0] += isinstance(event, Stepped)
            seen[1] += isinstance(event, Saved)


def forked(action: Callable[[], None]) -> int:
    """The process that does this and nothing else."""
    if child := os.fork():
        return child
    try:
        action()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(1)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def counters() -> Any:
    """Two numbers that a fork shares with the process it came from."""
    return np.frombuffer(mmap.mmap(-1, 16), np.int64)


# --- at random moments -----------------------------------------------------------------------------------------------


def kill_at_random(folder: Path, seed: int) -> dict[str, Any]:
    """Kill lives until there were enough, some of them surely while a checkpoint was written."""
    rng, kills, writing, steps, least = np.random.default_rng(seed), 0, 0, 0, 0
    while kills < KILLS or writing < WRITING:
        seen, in_writing = counters(), bool(rng.integers(KILLS - kills) < WRITING - writing if kills < KILLS else True)
        child = forked(lambda seen=seen, slow=in_writing: (slowed() if slow else None, live(folder, seen))[1])
        await_writing(folder, child, seen, rng) if in_writing else await_step(child, seen, rng)
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL, "it came to its end before it was killed"
        kills, writing, steps = kills + 1, writing + half_written(folder), steps + int(seen[0])
        least = check(folder, least)
    return {"kills": kills, "writing": writing, "steps": steps}


def await_step(child: int, seen: Any, rng: np.random.Generator) -> None:
    """Until some moment of one of the next steps, or of the start."""
    wait(lambda: seen[0] >= steps, child) if (steps := rng.integers(FURTHEST)) else None
    time.sleep(rng.uniform(0, 0.02 if steps == 0 else 0.006))


def await_writing(folder: Path, child: int, seen: Any, rng: np.random.Generator) -> None:
    """Until some moment of writing the next checkpoint, or the one after it."""
    wait(lambda: seen[1] >= before, child) if (before := rng.integers(2)) else None
    wait(lambda: half_written(folder), child)
    time.sleep(rng.uniform(0, 0.03))


def wait(done: Callable[[], Any], child: int) -> None:
    while not done():
        assert not os.waitpid(child, os.WNOHANG)[0], "it came to its end before it was killed"
        time.sleep(0.0002)


def half_written(folder: Path) -> bool:
    return any(re.fullmatch(r"\.step-\d+\.part", name) for name in os.listdir(folder)) if folder.exists() else False


def full_for_a_while(folder: Path) -> dict[str, Any]:
    """Train while three checkpoints cannot be written, each beyond what the system allows a file."""
    refused, least = [], 0
    with saving.alone(folder):
        training = Training(SETTINGS, MODEL, Letters(), folder)
        for event in training.run():
            if event.step == 10 * EVERY or len(refused) == 3:
                size = 2000 if event.step == 10 * EVERY else resource.RLIM_INFINITY
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            if isinstance(event, Failed):
                refused.append(event.why)
                least = check(folder, least)
    return {"refused": refused}


def slowed() -> None:
    """From now on this process takes its time for everything it does with files."""
    sys.addaudithook(lambda event, given: time.sleep(0.001) if event in FILE_EVENTS else None)


def check(folder: Path, least: int) -> int:
    """The step of the last checkpoint, none of which may be damaged or gone."""
    told: list[str] = []
    path = saving.latest(folder, told.append)
    step = stored.checked(path)["step"] if path else 0
    assert step >= least and not told, (step, least, told)
    return step


# --- at every operation on files -------------------------------------------------------------------------------------


class Nth:
    """Does something just before the n-th operation on files from now on, which then may not come about."""

    def __init__(self) -> None:
        self.left, self.act = -1, lambda: None
        sys.addaudithook(self.hook)

    def set(self, n: int, act: Callable[[], Any] = lambda: None) -> None:
        self.left, self.act = n, act

    def hook(self, event: str, given: Any) -> None:
        if self.left > 0 and event in FILE_EVENTS:
            self.left -= 1
            if self.left == 0:
                self.act()


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived its death")


def parameters(seed: int) -> Parameters:
    made = Parameters(MODEL.program_with(True), MODEL.weights)
    for piece in made.pieces.values():
        for each in piece.values():
            each[...] = np.random.default_rng(seed).standard_normal(each.shape)
    return made


def prepared(folder: Path) -> None:
    """Two checkpoints, of steps 1 and 2, from the seeds 1 and 2."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for step in (1, 2):
        saving.save(folder, step, MODEL, parameters(step), {"seed": step}, keep=2)


def holds_one_of(folder: Path, *known: tuple[int, int]) -> None:
    """All checkpoints are whole, the last has the bits of its seed, and its step and seed are among those known."""
    after, path = parameters(0), saving.latest(folder)
    assert path, "every checkpoint is gone"
    for each in stored.stored_steps(folder).values():
        stored.checked(each)
    facts = saving.restore(path, after)
    assert (facts["step"], facts["seed"]) in known, facts
    wanted = parameters(facts["seed"])
    assert all((after.pieces[name].flat == wanted.pieces[name].flat).all() for name in wanted.pieces)


def kill_at_each(folder: Path, step: int) -> dict[str, Any]:
    """Die before the first operation of saving, the second, ... until a life outlives all of them.

    step: 3 for a new checkpoint, 2 for one in the place of another, which then is the only one kept.
    """
    number, nth = 0, Nth()
    while True:
        number += 1
        prepared(folder)
        if step == 2:
            shutil.rmtree(folder / "step-00000001")
        code = ended(forked(lambda n=number: (nth.set(n, die), saved(folder, step))[1]))
        with saving.alone(folder):
            holds_one_of(folder, (2, 2), (step, 9))
            saved(folder, step)
            holds_one_of(folder, (step, 9))
        assert sorted(os.listdir(folder)) == [".lock", stored.name_of(step)], os.listdir(folder)
        if code == 0:
            return {"operations": number - 1}
        assert code == -signal.SIGKILL, code


def saved(folder: Path, step: int) -> None:
    saving.save(folder, step, MODEL, parameters(9), {"seed": 9}, keep=1)


def fail_at_each(folder: Path, error: BaseException) -> dict[str, Any]:
    """As `kill_at_each`, but the operation fails: the process goes on, and its next checkpoint comes about."""
    number, raised, nth = 0, 0, Nth()

    def fail() -> NoReturn:
        raise error

    while True:
        number += 1
        prepared(folder)
        nth.set(number, fail)
        try:
            saved(folder, 3)
            nth_left = nth.left
        except (InputError, KeyboardInterrupt) as caught:
            raised, nth_left = raised + 1, 0
            assert isinstance(caught, KeyboardInterrupt) or "cannot " in str(caught), caught
        nth.set(-1)
        holds_one_of(folder, (2, 2), (3, 9))
        saving.save(folder, 4, MODEL, parameters(9), {"seed": 9}, keep=1)
        holds_one_of(folder, (4, 9))
        assert os.listdir(folder) == ["step-00000004"], os.listdir(folder)
        if nth_left:
            return {"operations": number - 1, "raised": raised}


# --- the program -----------------------------------------------------------------------------------------------------


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on how often a training was killed."""
    path = saving.latest(folder)
    assert path
    facts = {name: value for name, value in stored.checked(path).items() if name != "seconds"}
    sums = {each.name: stored.checksum_of(each) for each in path.iterdir() if each.name != stored.STATE}
    curve = Log(folder).curve("loss")
    return {"facts": facts, "sums": sums, "curve": curve, "hidden": [n for n in os.listdir(folder) if n[:1] == "."]}


ACTIONS: dict[str, Callable[..., Any]] = {
    "live": lambda folder: live(folder, counters()),
    "random": lambda folder, seed: kill_at_random(folder, int(seed)),
    "kill": lambda folder, step: kill_at_each(folder, int(step)),
    "full for a while": full_for_a_while,
    "full": lambda folder: fail_at_each(folder, OSError(28, os.strerror(28))),
    "interrupt": lambda folder: fail_at_each(folder, KeyboardInterrupt()),
    "outcome": outcome,
}

if __name__ == "__main__":
    os.fsync = lambda file: None  # what was written outlives the process without it; waiting for the disk takes longest
    what, place, *rest = sys.argv[1:]
    print(json.dumps(ACTIONS[what](Path(place), *rest)))

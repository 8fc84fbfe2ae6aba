"""What the machine can do, contestants in processes of their own, and plans in figures."""

from types import SimpleNamespace

import numpy as np
import pytest

import byhand
from byhand.bench import Failed, Work, limits
from byhand.bench.contest import Worker
from byhand.bench.material import described, made
from byhand.bench.planned import Group, Line, groups_of, joined, lines, timed_plan
from byhand.engines.cpu.team import team

from .conftest import making


def test_every_number_is_read():
    calls, sums, size = limits.reading(3 * 4 * limits.STRETCH)
    limits.timed(calls)
    assert size == 3 * 4 * limits.STRETCH and sums.sum() == size // 4


@pytest.mark.parametrize(("in_bytes", "each"), [(False, 1), (True, 4)])
def test_every_product_is_made(in_bytes, each):
    calls, sums, count = limits.multiplying(in_bytes, rounds=50)
    limits.timed(calls)
    assert set(sums.ravel().tolist()) <= {0, 50 * each} and sums.any()
    assert count == 2 * 50 * each * sums.size


def test_as_many_threads_as_there_are():
    assert limits.multiplying(False)[1].shape[0] == team().size * limits.ROWS


# --- processes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(files) -> Work:
    asked = Work(what="decode", model="llama-tiny", kind="f32", tokens=3, engine="reference")
    return made(described(asked), False, making)


def test_a_worker_does_as_it_is_told(work):
    with Worker("byhand", 1) as worker:
        worker.prepare(work)
        first, again = worker.answer(), worker.answer()
        worker.turn()
        assert first.shape == (1, 96) and (first == again).all()
        assert 0 < worker.seconds[0] < 5 and worker.started < worker.answered
        assert worker.ask("memory")["peak"] > 10**7
    assert worker.process.poll() is not None


def test_what_goes_wrong_in_a_worker_is_said(work, tmp_path):
    with Worker("byhand", 1) as worker:
        with pytest.raises(Failed, match="byhand cannot prepare: InputError: no model"):
            worker.ask("prepare", work=work.to_dict() | {"file": str(tmp_path / "nothing.gguf")})
        worker.process.kill()
        with pytest.raises(Failed, match="byhand ended while it was to run"):
            worker.turn()


def test_a_worker_that_cannot_even_start():
    nowhere = {"PYTHONPATH": "", "PYTHONHOME": "/nowhere"}
    with Worker("byhand", 1, nowhere) as worker, pytest.raises(Failed, match="byhand ended while it was to run: "):
        worker.turn()


# --- plans ----------------------------------------------------------------------------------------------------------

LIMITS = {"bytes a second": 1e9, "float32 operations a second": 1e10, "int8 operations a second": 4e10}


def test_what_the_machine_allows():
    by_bytes = Group("a", 1, bytes=10**6, flops=100.0, seconds=1.0)
    by_flops = Group("a", 1, bytes=10, flops=1e7, seconds=1.0)
    in_int8 = Group("a", 1, bytes=10, flops=1e7, seconds=1.0, in_int8=True)
    assert [each.allowed(LIMITS) for each in (by_bytes, by_flops, in_int8)] == [1e-3, 1e-3, 0.25e-3]


def test_blocks_are_added_up():
    groups = [Group("embed.out", 1, 10, 1.0, 0.5), *[Group("*.attn.q", 2, 1000, 10.0, 0.25)] * 3]
    first, second = lines(groups, LIMITS)
    assert (first.name, first.count, first.bytes) == ("embed.out", 1, 10)
    assert second == Line("*.attn.q", 3, 6, 3000, 30.0, 0.75, pytest.approx(3e-6))


@pytest.mark.parametrize(
    ("addresses", "name"),
    [
        (["blocks.12.out"], "*.out"),
        (["logits"], "logits"),
        (["blocks.3.attn.scores", "blocks.3.attn.masked"], "*.attn.scores + masked"),
        (["blocks.3.mlp.out", "blocks.3.out"], "*.mlp.out + out"),
    ],
)
def test_names_without_their_block(addresses, name):
    assert joined(addresses) == name


def test_the_figures_of_a_group():
    model = byhand.load("gpt2-tiny")
    steps = [model.program.producer[f"blocks.0.mlp.{name}"] for name in ("pre", "act")]
    reads = [*steps[0].reads]
    writes = ["blocks.0.mlp.pre", "blocks.0.mlp.act"]
    fused = SimpleNamespace(steps=steps, reads=reads, writes=writes, direction="forward")
    plan = SimpleNamespace(groups=[fused], ranges=[(3, 5)], shapes=model.program.shapes(1, 4))
    (found,) = groups_of(plan, model.weights, [0.5])
    D, F, T = 32, 128, 4
    assert (found.name, found.calls, found.seconds, found.in_int8) == ("*.mlp.pre + act", 2, 0.5, False)
    assert found.bytes == 4 * (D * F + F + T * D + T * F)  # the value in between need not go through memory
    assert found.flops > 2 * T * D * F


def test_the_figures_of_a_backward():
    model = byhand.load("gpt2-tiny")
    program = model.program_with(targets=True)
    step = program.producer["blocks.1.mlp.out"]
    reads = ["d:blocks.1.mlp.out", "blocks.1.mlp.act"]
    writes = ["d:blocks.1.mlp.act", "d:blocks.1.mlp.down.weight", "d:blocks.1.mlp.down.bias"]
    back = SimpleNamespace(steps=[step], reads=reads, writes=writes, direction="backward")
    shapes = program.shapes(1, 4)
    plan = SimpleNamespace(
        groups=[back], ranges=[(3, 5)], shapes=shapes | {f"d:{name}": shape for name, shape in shapes.items()}
    )
    (found,) = groups_of(plan, model.weights, [0.5])
    D, F, T = 32, 128, 4
    assert found.name == "d:*.mlp.out"
    assert found.bytes == 4 * (2 * D * F + D + T * D + 2 * T * F)  # the matrix is read, and its gradient written
    assert found.flops >= 2 * 2 * T * D * F


@pytest.mark.parametrize("what", ["decode", "forward", "train"])
def test_the_plan_of_a_work(what, files):
    asked = Work(what=what, model="gpt2-tiny", kind="f32", tokens=8, threads=1)
    found = timed_plan(made(described(asked), False, making))
    assert all(each.seconds >= 0 for each in found) and sum(each.seconds for each in found) > 0
    assert [each.name for each in found if each.name in ("logits", "d:logits", "update")] == (
        ["logits", "d:logits", "update"] if what == "train" else ["logits"]
    )


def test_threads_are_not_spinning_when_the_next_one_starts(work):
    import psutil

    with Worker("byhand", 1) as worker:
        worker.prepare(work)
        worker.turn()
        process = psutil.Process(worker.process.pid)
        before = sum(process.cpu_times()[:2])
        np.linalg.norm(np.ones((500, 500)))
        assert sum(process.cpu_times()[:2]) - before < 0.1

"""Long work is watched and can be stopped, and the page goes on afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from byhand.explorer import Answer, Session
from byhand.explorer.jobs import Job

from .conftest import Open, Watch
from .reading import under_cursor
from .serving import explored, served

STEPS = 400


class Slow(Session):
    """A session whose runs take long, as long as `slow` says so."""

    slow = True

    def handle(self, op: str, params: Mapping[str, Any], job: Job | None = None) -> Answer:
        if op != "run" or not self.slow:
            return super().handle(op, params, job)
        job = self.jobs.begin(params["job"], job)
        try:
            job.expect(STEPS, "thinking")
            for _ in range(STEPS):
                time.sleep(0.05)
                job.step()
        finally:
            self.jobs.end(job)
        return super().handle(op, params, job)


def test_a_long_run_shows_its_progress_and_is_cancelled(new_context, watch: Watch) -> None:
    real = explored("aab")
    session = Slow(real.session.model, first=real.session.first)
    of = served(session, real.first)
    page = new_context().new_page()
    page.goto(of.to(of.state("tensor", address="logits")))
    progress = page.get_by_role("progressbar", name="thinking")
    progress.wait_for()
    first = int(progress.get_attribute("value") or 0)
    page.wait_for_function(f"() => document.querySelector('footer progress').value > {first}")
    assert progress.get_attribute("max") == str(STEPS)
    watch.refusals = 2  # the run, cancelled; another that waited for it
    page.get_by_role("button", name="Cancel: thinking").click()
    page.get_by_role("alert").wait_for()
    assert "Cancelled." in page.get_by_role("alert").inner_text()
    assert page.get_by_role("progressbar").count() == 0
    session.slow = False
    page.get_by_role("button", name="Run again").click()
    assert under_cursor(page, "logits", (0, 0, 0)).bits == real.bits("logits", (0, 0, 0))


def test_a_run_that_nobody_wants_any_more_is_stopped(open_page: Open, watch: Watch) -> None:
    real = explored("aab")
    session = Slow(real.session.model, first=real.session.first)
    session.slow = False
    page = open_page(served(session, real.first))
    session.slow = True
    page.get_by_label("Prompt").fill("bab")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("progressbar", name="thinking").wait_for()
    session.slow = False
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector("section.flow")
    page.get_by_role("progressbar").wait_for(state="detached")
    for _ in range(100):
        if not session.jobs.running:
            return
        page.wait_for_timeout(30)
    raise AssertionError(session.jobs.running)

"""What comes too late, an answer or a timer, neither undoes what was done meanwhile nor leads back."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from byhand.explorer import Answer, Session
from byhand.explorer.jobs import Job

from .conftest import Open
from .serving import Explored, explored, served, unpacked


class Late(Session):
    """A session that holds back the answers of one operation until they are let go."""

    op: str
    go: Event

    def handle(self, op: str, params: Mapping[str, Any], job: Job | None = None) -> Answer:
        answer = super().handle(op, params, job)
        if op == self.op:
            assert self.go.wait(60)
        return answer


def late(name: str, op: str) -> tuple[Explored, Event]:
    real = explored(name)
    session = Late(real.session.model, first=real.session.first)
    session.op, session.go = op, Event()
    return served(session, real.first), session.go


def write(page: Page, prompt: str) -> None:
    """Run another prompt; these tests take one that is two tokens with the one that begins a text."""
    box = page.get_by_role("textbox", name="Prompt")
    box.fill(prompt)
    box.press("Enter")


def come(page: Page, op: str, go: Event) -> None:
    """Let the answer that was held back come, and give the page the time to do what it should not."""
    with page.expect_response(lambda response: response.url.endswith(f"/api/{op}")):
        go.set()
    page.wait_for_timeout(200)


def test_a_number_followed_at_once_is_where_one_stays(open_page: Open) -> None:
    page = open_page("aab", explored("aab").state("tensor", address="logits", index=[0, 1, 1]))
    page.locator(".matrix[aria-busy=false]").focus()
    page.clock.install(time=0)
    page.clock.pause_at(100_000)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    link = page.locator(".terms .link").first
    for _ in range(20):  # 100 ms for the page, however long it takes to draw
        page.clock.run_for(5)
        page.wait_for_timeout(50)
        if link.is_visible():
            break
    link.click()
    page.wait_for_selector(".trail li")
    followed = page.locator("section.number").get_attribute("aria-label")
    page.clock.run_for(1000)
    assert page.locator(".trail li").count() == 1
    assert page.locator("section.number").get_attribute("aria-label") == followed


def test_a_jump_does_not_lead_back_to_a_tensor_that_was_left(open_page: Open) -> None:
    of, go = late("stories", "tokenize")
    page = open_page(of, of.state("tensor", address="logits", index=[0, 0, 0]))
    form = page.get_by_role("form", name="Go to")
    form.get_by_label("Column").fill(" the")
    with page.expect_request(lambda request: request.url.endswith("/api/tokenize")):
        form.get_by_role("button", name="Go").click()
    page.get_by_label("Value", exact=True).fill("blocks.0.attn.weights")
    page.wait_for_selector('section.tensor[aria-label="blocks.0.attn.weights"]')
    come(page, "tokenize", go)
    assert page.locator("section.tensor").get_attribute("aria-label") == "blocks.0.attn.weights"


@pytest.mark.parametrize("prompt", ["Once", None], ids=["another-prompt", "the-same-prompt"])
def test_a_step_is_written_behind_the_text_it_was_asked_for_alone(open_page: Open, prompt: str | None) -> None:
    of, go = late("stories", "step")
    page = open_page(of, of.state("next"))
    with page.expect_request(lambda request: request.url.endswith("/api/step")):
        page.get_by_role("button", name="Step: write it behind the text").click()
    tokens = page.locator(".timeline [data-token]")
    before = tokens.count()
    if prompt:
        write(page, prompt)
        expect(tokens).to_have_count(2)
    come(page, "step", go)
    expect(tokens).to_have_count(2 if prompt else before + 1)
    assert unpacked(page.url)["a"].get("text") == prompt


def test_a_token_is_not_swapped_in_a_prompt_written_meanwhile(open_page: Open) -> None:
    of, go = late("stories", "tokenize")
    page = open_page(of, of.state("change"))
    form = page.get_by_role("form", name="Swap a token")
    form.get_by_label("becomes").fill(" the")
    with page.expect_request(lambda request: request.url.endswith("/api/tokenize")):
        form.get_by_role("button", name="Swap").click()
    write(page, "Once")
    expect(page.locator(".tokens li")).to_have_count(2)
    come(page, "tokenize", go)
    assert unpacked(page.url)["b"] is None

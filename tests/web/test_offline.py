"""Nothing leaves this machine, the page is small, and what must fail these tests does."""

from __future__ import annotations

import pytest

from byhand.explorer.server import page_files

from .conftest import Open, Watch
from .serving import explored

MOST_PAGE = 150_000


def test_the_page_is_small_and_names_no_other_machine() -> None:
    built = page_files()
    assert len(built["app.js"]) <= MOST_PAGE
    for name in ("index.html", "app.css", "app.js"):
        text = built[name].decode()
        for sign in ("//cdn", "googleapis", "unpkg", "jsdelivr", "@import", "url(http"):
            assert sign not in text, (name, sign)


@pytest.mark.parametrize(
    "script",
    [
        "fetch('http://127.0.0.2:9/').catch(() => {})",
        "fetch('https://example.com/').catch(() => {})",
        "document.body.append(Object.assign(new Image(), {src: 'https://example.com/a.png'}))",
        "console.error('planted')",
        "console.warn('planted')",
        "setTimeout(() => { throw new Error('planted') })",
        "fetch('api/nothing', {method: 'POST'})",
    ],
)
def test_what_goes_wrong_on_a_page_is_noticed(open_page: Open, watch: Watch, script: str) -> None:
    page = open_page("aab")
    assert not watch.wrong
    page.evaluate(f"() => {{ {script} }}")
    for _ in range(100):
        page.wait_for_timeout(30)  # what the browser tells comes in while one waits
        if watch.wrong:
            break
    assert watch.wrong
    watch.wrong.clear()


def test_an_answer_that_is_too_large_is_noticed(open_page: Open, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.web.conftest.MOST_BYTES", 0)
    monkeypatch.setattr("tests.web.conftest.ROOM", 100)
    open_page("aab", explored("aab").state("flow"))
    assert any("an answer of" in each for each in watch.wrong)
    watch.wrong.clear()

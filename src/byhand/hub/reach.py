"""Talking to a hub through huggingface_hub, and its errors, messages and warnings as one line of ours."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from byhand.errors import InputError
from byhand.hub.cache import find

TRIES = 4  # of one question to a hub that is not well
WAIT = 0.5  # seconds after the first; doubled after each

Answer = TypeVar("Answer")


def offline() -> bool:
    """Whether the environment forbids asking the hub: HF_HUB_OFFLINE, or TRANSFORMERS_OFFLINE."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in ("1", "ON", "YES", "TRUE")


@contextmanager
def reaching(name: str, revision: str) -> Iterator[str]:
    """Make huggingface_hub ready and quiet, and give the address of the hub. Raises InputError for all its errors."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when it is imported: only what a download needs
    try:
        from huggingface_hub import constants
        from huggingface_hub.utils import logging as messages
    except ImportError:
        raise InputError(
            "the library huggingface-hub is missing; install it with: pip install huggingface-hub"
        ) from None
    if offline() or constants.HF_HUB_OFFLINE:
        raise InputError(f"HF_HUB_OFFLINE is set, so {name} cannot be downloaded; unset it, or name a local folder")
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise InputError(f"HF_ENDPOINT is {endpoint!r}; it must begin with https:// or http://")
    usual = messages.get_verbosity()
    messages.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield endpoint
    except http_error() as error:
        raise InputError(told(error, endpoint, name, revision)) from None
    except OSError as error:
        raise InputError(
            f"cannot use {error.filename or 'the disk'} to get {name}: {error.strerror or error}"
        ) from None
    finally:
        messages.set_verbosity(usual)


def patiently(question: Callable[[], Answer]) -> Answer:
    """The answer of a hub, asked again while it answers that it is not well or too busy."""
    for waited in range(TRIES - 1):
        try:
            return question()
        except http_error() as error:
            if not (status(error) and passing(error)):
                raise
        time.sleep(WAIT * 2**waited)
    return question()


def http_error() -> type[Exception]:
    """The base of the errors of the HTTP library below huggingface_hub, which depends on its release."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


def status(error: Any) -> int:
    """The status of the answer that an error is about; 0 when there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", 0)


def passing(error: Any) -> bool:
    """Whether trying again may help: no answer, a hub that is busy, or one that is not well."""
    return status(error) in (0, 408, 429) or status(error) >= 500


def reason(error: Any) -> str:
    """Why there was no answer, or which one."""
    if status(error):
        return f"it answers {status(error)}"
    return " ".join(str(error).split()) or type(error).__name__


def told(error: Any, endpoint: str, name: str, revision: str) -> str:
    """One line for what went wrong, and what to do."""
    code = error.response.headers.get("X-Error-Code", "") if status(error) else ""
    match status(error), code:
        case 0, _:
            return f"cannot reach {endpoint} ({reason(error)}); check the network and HF_ENDPOINT{here(name, revision)}"
        case _, "GatedRepo":
            return f"{name} is gated: accept its terms at {endpoint}/{name}, then set HF_TOKEN to a token of yours"
        case _, "RevisionNotFound":
            return f"{name} has no revision {revision!r}; {endpoint}/{name} lists its branches and tags"
        case 401, _:
            return f"{unknown(endpoint, name)}, or it is private; {token_advice(endpoint)}"
        case 403, _:
            return f"the hub forbids reading {name}; ask its owner, or set HF_TOKEN to a token that may read it"
        case 404, "EntryNotFound":
            return f"{name} lists a file that {endpoint} does not have at {revision}; try again, or another --revision"
        case 404, _:
            return f"{unknown(endpoint, name)}; check the spelling, org/name"
        case 429, _:
            return f"{endpoint} asks for patience (429); try again in some minutes, or set HF_TOKEN for a larger share"
        case number, _ if number >= 500:
            return f"{endpoint} is not well (it answers {number}); try again later{here(name, revision)}"
    return f"{endpoint} answers {status(error)} for {name}; check the name and HF_ENDPOINT"


def unknown(endpoint: str, name: str) -> str:
    return f"there is no model {name} at {endpoint}"


def token_advice(endpoint: str) -> str:
    from huggingface_hub import get_token

    if get_token():
        return f"check the spelling, and the token in HF_TOKEN (a new one: {endpoint}/settings/tokens)"
    return "check the spelling, or set HF_TOKEN to a token that may read it"


def here(name: str, revision: str) -> str:
    """That there is a copy on this machine, if there is one."""
    try:
        folder = find(name, revision)
    except InputError:
        return ""
    return f"; the copy in {folder} can be used meanwhile" if folder else ""

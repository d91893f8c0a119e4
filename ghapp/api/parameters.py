"""Reading what stands in a URL, so that a wrong value is answered by a sentence that names it."""

import base64
import re
from collections.abc import Sequence

from aiohttp import web

from ghapp.core import sentences
from ghapp.core.values import State
from ghapp.service.problems import Problem

_NUMBER = re.compile(r"[0-9]{1,18}")


def only(request: web.Request, names: Sequence[str]) -> None:
    """A parameter that is not known would silently change nothing. Raises Problem ``invalid``."""
    for name in request.query:
        if name not in names:
            raise _wrong(name, f"There is no parameter {name}.{sentences.nearest(name, names)}")


def number(request: web.Request) -> int:
    """The deploy's number in the path. Raises Problem ``not_found``: whatever is no number is no deploy either."""
    text = request.match_info["number"]
    if not _NUMBER.fullmatch(text):
        raise Problem("not_found", f"{request.match_info['app']} has no deploy {text}; deploys have numbers.")
    return int(text)


def count(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _wrong(name, f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def state(request: web.Request) -> State | None:
    text = request.query.get("state")
    if text is not None and text not in set(State):
        raise _wrong("state", f"There is no state {text}.{sentences.nearest(text, list(State))}")
    return State(text) if text is not None else None


def text(request: web.Request, name: str) -> str | None:
    """Text that a database can look for."""
    value = request.query.get(name)
    if value is not None and not value.isprintable():
        raise _wrong(name, f"{name} must be printable text.")
    return value


def cursor(request: web.Request) -> int | None:
    """The id that a cursor made by `as_cursor` stands for."""
    given = request.query.get("cursor")
    if given is None:
        return None
    try:
        plain = base64.b64decode(given.encode() + b"=" * (-len(given) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        plain = ""
    if not (plain.startswith("below:") and _NUMBER.fullmatch(plain.removeprefix("below:"))):
        raise _wrong("cursor", "cursor must be the `next` of the page before.")
    return int(plain.removeprefix("below:"))


def as_cursor(below: int | None) -> str | None:
    return None if below is None else base64.urlsafe_b64encode(f"below:{below}".encode()).decode().rstrip("=")


def _wrong(name: str, message: str) -> Problem:
    return Problem("invalid", message, field=name)

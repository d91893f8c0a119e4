"""Reading what stands in a path or a cursor, so that a wrong value is answered by a sentence that names it."""

import base64
import re

from aiohttp import web

from ghapp.service.problems import Problem

#: Above every id and every size; a database holds 64 bits.
MOST = 10**18 - 1

_NUMBER = re.compile(r"[0-9]{1,18}")


def number(request: web.Request) -> int:
    """The deploy's number in the path. Raises Problem ``not_found``: whatever is no number is no deploy either."""
    text = request.match_info["number"]
    if not _NUMBER.fullmatch(text):
        raise Problem("not_found", f"{request.match_info['app']} has no deploy {text}; deploys have numbers.")
    return int(text)


def deploy_id(request: web.Request) -> int:
    """The id in the path of a runner's call. Raises Problem ``lease_over``: nobody has a lease of no deploy."""
    text = request.match_info["id"]
    if not _NUMBER.fullmatch(text):
        raise Problem("lease_over", "There is no deploy with that id.")
    return int(text)


def below(cursor: str | None) -> int | None:
    """The id that a cursor made by `as_cursor` stands for. Raises Problem ``invalid``."""
    if cursor is None:
        return None
    try:
        plain = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        plain = ""
    if not (plain.startswith("below:") and _NUMBER.fullmatch(plain.removeprefix("below:"))):
        raise Problem("invalid", "cursor must be the `next` of the page before.", field="cursor")
    return int(plain.removeprefix("below:"))


def as_cursor(below: int | None) -> str | None:
    return None if below is None else base64.urlsafe_b64encode(f"below:{below}".encode()).decode().rstrip("=")

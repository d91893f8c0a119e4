"""``lock`` and ``unlock``: an environment, an app, or everything."""

import argparse
from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from ghapp.cli import show, times
from ghapp.cli.client import decoded, path
from ghapp.cli.errors import EXIT_OK, EXIT_USAGE, CommandError
from ghapp.cli.shapes import HeldLock
from ghapp.cli.targets import to_lock
from ghapp.cli.terminal import Kit


def lock(arguments: argparse.Namespace, kit: Kit) -> int:
    """Set one, or change one's own."""
    where = path(*to_lock(arguments))
    given = {"reason": arguments.reason, "for": arguments.lasting, "until": _until(arguments.until)}
    body = kit.client.send("PUT", where, given)
    kit.terminal.result(body, lambda: _held(decoded(body, HeldLock)))
    return EXIT_OK


def _held(lock: HeldLock) -> Iterator[Text]:
    yield show.lock(lock)
    for one in lock.running:
        yield Text.assemble((one.name, "bold"), f" by {one.user} runs and goes on; to end it: kedge cancel {one.name}")


def unlock(arguments: argparse.Namespace, kit: Kit) -> int:
    """Release one."""
    parts = to_lock(arguments)
    kit.client.send("DELETE", path(*parts))
    what = {1: "Everything", 2: f"{parts[0]}", 3: f"{parts[-1]} of {parts[0]}"}[len(parts)]
    kit.terminal.result(b"null", lambda: [Text(f"{what} is unlocked.")])
    return EXIT_OK


def _until(text: str | None) -> str | None:
    try:
        return times.until(text, datetime.now()) if text else None
    except ValueError as error:
        said = f"--until {text}: that is no time; try 18:00 or 2026-11-23T14:00."
        raise CommandError(said, code=EXIT_USAGE) from error

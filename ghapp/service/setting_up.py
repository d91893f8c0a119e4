"""Set-up: the one-time code that opens it, and how far it is."""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from ghapp.core.remote import RemoteError
from ghapp.service.context import Context
from ghapp.store import inbox, places
from ghapp.store.base import Tx

log = structlog.get_logger(__name__)

CODE_LIVES_MS = 60 * 60_000
#: 60 bits, of letters and digits that are not taken for one another.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _IN_GROUP = 3, 4
#: Seconds between asking GitHub for the ping and asking again.
_PING_WAITS_S = (1, 5, 15, 30, 60, 120, 300)


class Code:
    """Random, good once and for one hour; ``tell`` says it where only the operator reads."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._code: str | None = None
        self._ends_at = 0

    def issue(self, now: int) -> bool:
        """Tell a new one, unless there is one that is still good; was it done?"""
        if self._good(now):
            return False
        groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_IN_GROUP)) for _ in range(_GROUPS))
        self._code, self._ends_at = "-".join(groups), now + CODE_LIVES_MS
        self._tell(self._code)
        return True

    def take(self, given: str, now: int) -> bool:
        """Is it this one? Then it is used up. Compared in constant time; case and what stands between do not count."""
        if not self._good(now) or not hmac.compare_digest(_plain(given), _plain(self._code or "")):
            return False
        self._code = None
        return True

    def _good(self, now: int) -> bool:
        return self._code is not None and now < self._ends_at


def _plain(code: str) -> bytes:
    return "".join(character for character in code.upper() if character.isalnum()).encode()


@dataclass(frozen=True, slots=True)
class Needed:
    """The repository that an app wants: ``name`` as configured, and whether the App is installed on it."""

    app: str
    name: str
    installed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Times in ms, None for what has not been yet. ``repositories`` is None where GitHub could not be asked, and
    ``problem`` says why. ``refused`` are sentences about deliveries that do not count."""

    ping_at: int | None
    installation_at: int | None
    repositories: tuple[str, ...] | None
    problem: str | None
    refused: tuple[str, ...]
    needed: tuple[Needed, ...]
    runners: tuple[str, ...]


async def progress(ctx: Context, since: int) -> Progress:
    """What has happened since the App was made. Asks GitHub which repositories it may use."""
    heard = await ctx.stores.main.read(lambda tx: inbox.about_setup(tx, since))
    seen = await ctx.stores.main.read(_runners)
    names, problem = await _installed(ctx)
    counted = [one for one in heard if one.state != "ignored"]
    return Progress(
        ping_at=_first(counted, "ping"),
        installation_at=_first(counted, "installation"),
        repositories=names,
        problem=problem,
        refused=tuple(dict.fromkeys(one.problem for one in heard if one.state == "ignored" and one.problem)),
        needed=_needed(ctx, names or ()),
        runners=tuple(name for name, seen_at in seen if seen_at >= since),
    )


async def _runners(tx: Tx) -> list[tuple[str, int]]:
    return [(runner.name, runner.seen_at) for runner in await places.runners(tx)]


def _first(heard: Sequence[inbox.Heard], event: str) -> int | None:
    return next((one.received_at for one in heard if one.event.startswith(event)), None)


async def _installed(ctx: Context) -> tuple[tuple[str, ...] | None, str | None]:
    try:
        found = await ctx.providers["github"].installed()
    except RemoteError as error:
        return None, error.message
    return tuple(sorted(one.full_name for one in found)), None


def _needed(ctx: Context, installed: Sequence[str]) -> tuple[Needed, ...]:
    there = {name.casefold() for name in installed}
    there |= {name.rpartition("/")[2] for name in there}
    wanted = ((app.name, app.repository or app.name) for app in ctx.apps.configs.values() if app.via == "github")
    return tuple(Needed(app, name, name.casefold() in there) for app, name in wanted)


async def await_ping(ctx: Context, ask: Callable[[], Awaitable[None]], since: int) -> None:
    """Until a ping has come in: ask GitHub to send it again, more and more seldom."""
    for wait_s in _PING_WAITS_S:
        heard = await ctx.stores.main.read(lambda tx: inbox.about_setup(tx, since))
        if _first(heard, "ping") is not None:
            return
        try:
            await ask()
        except RemoteError as error:
            log.warning("GitHub could not be asked for a ping", why=error.message)
        await asyncio.sleep(wait_s)

"""What the command line reads of the API's answers. Times are RFC 3339."""

import msgspec


class Blocker(msgspec.Struct, frozen=True):
    kind: str
    message: str
    url: str | None = None


class Lock(msgspec.Struct, frozen=True):
    """``environment`` is None for a lock on the app, ``app`` too for one on everything."""

    who: str
    reason: str
    since: str
    until: str | None = None
    app: str | None = None
    environment: str | None = None


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    app: str
    number: int
    environment: str
    sha: str
    ref: str
    state: str
    user: str
    url: str
    task: str = "deploy"
    door: str = ""
    blockers: tuple[Blocker, ...] = ()
    position: int | None = None
    forced_by: str | None = None
    forced: tuple[str, ...] = ()
    runner: str | None = None
    asked_at: str | None = None
    claimed_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    lost_since: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.app}#{self.number}"

    @property
    def ended(self) -> bool:
        return self.state not in {"queued", "claimed", "running"}


class HeldLock(Lock, frozen=True):
    """A lock that was set; ``running`` goes on."""

    running: tuple[Deploy, ...] = ()


class RolledBack(msgspec.Struct, frozen=True):
    message: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """``running`` is what is claimed or running; ``queue`` is the front of the line, in order, and
    ``waiting`` how many are in it. ``rolled_back``: automatic ones wait."""

    name: str
    aliases: tuple[str, ...] = ()
    live: Deploy | None = None
    running: Deploy | None = None
    queue: tuple[Deploy, ...] = ()
    waiting: int = 0
    locks: tuple[Lock, ...] = ()
    rolled_back: RolledBack | None = None


class App(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    environments: tuple[Environment, ...] = ()
    problem: str | None = None


class Apps(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[App, ...]
    problem: str | None = None


class Estimate(msgspec.Struct, frozen=True):
    starts_at: str
    ends_at: str


class InLine(Deploy, frozen=True, kw_only=True):
    """``estimate`` is None where nobody can know."""

    estimate: Estimate | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One environment after the other: what is claimed or runs, then what waits in order. ``next``: there is more."""

    items: tuple[InLine, ...]
    next: str | None = None

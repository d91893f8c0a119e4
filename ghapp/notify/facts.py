"""What is told of a deploy elsewhere: plain facts, of which each channel makes its own text."""

from dataclasses import dataclass, field

from ghapp.core.values import Blocker, Commit, State

#: Commits that are listed; more are counted.
COMMITS = 10

SIGNS = {
    State.QUEUED: "⏳",
    State.CLAIMED: "⏳",
    State.RUNNING: "🚀",
    State.SUCCEEDED: "✅",
    State.FAILED: "❌",
    State.ERRORED: "❌",
    State.CANCELLED: "🚫",
    State.REJECTED: "🚫",
}


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a deploy brings: the newest of ``count`` commits since what is live, or a sentence where that is no list."""

    since: str = ""
    count: int = 0
    commits: tuple[Commit, ...] = ()
    url: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One deploy as it stands. ``request`` tells it from every other one, of other databases too; ``name`` is
    ``app#number``. ``ways`` are commands that lead on, ``actions`` what can be done with one press
    (`core.answers.Action`). ``position`` is its place in line. Times are ms: ``usual_ms`` is how long it runs usually,
    ``started_at`` is None also where nobody knows whether it still runs.
    """

    request: str
    name: str
    environment: str
    sha: str
    ref: str
    task: str
    user: str
    state: State
    sentence: str
    blockers: tuple[Blocker, ...] = ()
    ways: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    position: int | None = None
    started_at: int | None = None
    usual_ms: int | None = None
    page: str
    environment_url: str | None = None
    shipped: Shipped = field(default_factory=Shipped)

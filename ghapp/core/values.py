"""The nouns of Kedge as plain frozen values. Times are milliseconds since the epoch, UTC."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where a deploy stands. A deploy ends in exactly one of the last five and never leaves it."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERRORED = "errored"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def terminal(self) -> bool:
        return self not in LIVE


LIVE = frozenset({State.QUEUED, State.CLAIMED, State.RUNNING})


class BlockerKind(StrEnum):
    """Why a deploy does not run yet, or never will."""

    TURN = "turn"
    LOCK = "lock"
    CHECKS = "checks"
    REGISTERING = "registering"
    RUNNER = "runner"
    CONFIG = "config"
    PERMISSION = "permission"
    REF = "ref"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"
    PROVIDER = "provider"
    LOST = "lost"
    TOKEN_PERMISSION = "token_permission"  # noqa: S105  a kind, no secret


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason, as it is shown at every door. ``message`` is a whole sentence from ``core.sentences``."""

    kind: BlockerKind
    message: str
    url: str | None = None
    since: int | None = None
    who: str | None = None
    until: int | None = None


class EndedBy(StrEnum):
    """What brought a command to its end; ``error`` where it could not be run to an end."""

    EXIT = "exit"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SILENCE = "silence"
    ERROR = "error"


class Door(StrEnum):
    """The way a request came in."""

    API = "api"
    DEPLOYMENT = "github"
    COMMENT = "comment"
    PAGE = "page"
    COMMAND_LINE = "command_line"
    AUTOMATIC = "automatic"
    CHAT = "chat"


#: As the command line names itself in User-Agent.
COMMAND_LINE_AGENT = "kedge"


@dataclass(frozen=True, slots=True)
class Chat:
    """Where in a chat somebody asked, as their bot tells it; shown to people, and never deciding."""

    adapter: str | None = None
    room: str | None = None
    user: str | None = None
    user_name: str | None = None
    message_id: str | None = None
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """Holds one environment, an app (``environment`` is None) or everything (both are None)."""

    who: str
    reason: str
    since: int
    until: int | None = None
    app: str | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Somebody rolled an environment back: until a person deploys or resumes them, automatic deploys wait there.
    ``name`` and ``sha`` are of the deploy that was live when it was asked for."""

    environment: str
    name: str
    sha: str
    who: str
    since: int


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """What a provider shall show of a deployment. ``state`` is one of GitHub's deployment states.

    ``names_blocker``: the description tells why it waits (the first such goes out at once).

    https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
    """

    state: str
    description: str
    log_url: str | None = None
    environment_url: str | None = None
    names_blocker: bool = False


#: GitHub cuts nothing: a longer description is refused with 422.
DESCRIPTION_LIMIT = 140

#: Kedge's state -> the state the provider shows.
STATUS_OF = {
    State.QUEUED: "queued",
    State.CLAIMED: "pending",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "success",
    State.FAILED: "failure",
    State.ERRORED: "error",
    State.CANCELLED: "error",
    State.REJECTED: "failure",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a provider. ``id`` is the provider's and survives a rename; ``full_name`` does not.
    ``pushed_at`` is ms, 0 where it is not known."""

    id: int
    full_name: str
    clone_url: str
    default_branch: str | None = None
    private: bool = False
    pushed_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit. ``message`` is its first line, ``committed_at`` ms, 0 where that is not known."""

    sha: str
    message: str
    author: str
    committed_at: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """What a provider shall show at a commit: ``state`` is ``error`` or ``success``.

    https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
    """

    sha: str
    state: str
    context: str
    description: str
    target_url: str

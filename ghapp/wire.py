"""What app and runner say to each other: shapes and a version, no behaviour.

Every request and answer carries the wire version in the header `WIRE_HEADER`. The runner's token authorizes
``claim``; everything else is authorized by the lease. Times are RFC 3339 UTC, durations seconds.
"""

from typing import Annotated, Literal

import msgspec

WIRE_VERSION = 1
WIRE_HEADER = "Kedge-Wire-Version"

#: Protocol rules 6, 7, 12, 16; seconds.
LEASE_S = 60
CONFIRM_S = 5
BEAT_S = 10
START_GOOD_FOR_S = 30
WRITE_WITHIN_S = 20

HELLO_PATH = "/api/0/runner/hello"
CLAIM_PATH = "/api/0/runner/claim"
DEPLOY_PATH = "/api/0/runner/deploys/{id}/{call}"

#: Most bytes in one ``log`` call, before compression.
LOG_CHUNK = 1 << 20


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What the app says to a runner that takes nothing: who it is, what time it is there, and what the runner's token
    lets it take (None: whatever it wishes)."""

    version: str
    now: str
    labels: list[str] | None = None
    apps: list[str] | None = None
    environments: list[str] | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    claim_id: str
    runner: str
    labels: list[str] = []
    apps: list[str] | None = None
    """App names and ``owner/repo`` it accepts; None: every app of the operator's config, none of a repository's."""
    boot_id: str = ""
    wait_s: float = 0
    version: str = ""


class WireRepository(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    full_name: str
    clone_url: str
    provider: str
    api_url: str


class WireToken(msgspec.Struct, frozen=True, kw_only=True):
    value: str
    expires_at: str
    username: str = "x-access-token"
    """Who git says to be with it; the default is what apps meant that did not say."""

    def __repr__(self) -> str:
        return f"WireToken(expires_at={self.expires_at!r})"


class WireCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check as ``core.checks.Check`` knows it; ``serial`` orders what has the same time."""

    key: str
    name: str = ""
    state: Literal["success", "pending", "failure"]
    at: str
    serial: int = 0
    url: str | None = None
    detail: str = ""


class WireBlocker(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    message: str
    url: str | None = None
    since: str | None = None
    who: str | None = None
    until: str | None = None


class WireStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A status that the runner shall write, and how long it may take for it."""

    state: str
    description: str
    log_url: str | None = None
    environment_url: str | None = None
    write_within_s: float = WRITE_WITHIN_S


class Who(msgspec.Struct, frozen=True, kw_only=True):
    who: str
    at: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a runner needs for one deploy."""

    id: int
    app: str
    number: int
    environment: str
    task: str
    sha: str
    ref: str
    user: str
    door: str
    forced_by: str | None
    forced: list[str]
    """What was forced: ``checks``, ``lock``, ``all``."""
    repository: WireRepository
    deployment_id: int | None
    command: str
    """The command with its variables replaced; empty where ``heroku`` is to build the sha."""
    heroku: str | None = None
    """The app on Heroku that is deployed, where no command does it."""
    variables: dict[str, str]
    """What stands raw in the command's environment: ``KEDGE_APP``, ``KEDGE_REF`` …"""
    env: dict[str, str]
    secrets: list[str]
    token: bool = False
    """The command gets the repository's token."""
    checks: list[str] | None
    """Names that must be green; None: every one that exists; empty: none."""
    checks_command: str | None = None
    """What tells of the checks, its variables replaced; None: the provider does, if it knows of any."""
    own_checks: list[str]
    """Key prefixes of the checks that Kedge itself writes; they have no say."""
    checks_newest: list[WireCheck]
    check_counter: int
    timeout: int
    silence: int | None
    grace: int
    log_limit: int
    previous_sha: str | None
    log_url: str
    defined_in: Literal["operator", "repository"]
    lease: str
    lease_s: float = LEASE_S
    confirm_s: float = CONFIRM_S
    beat_s: float = BEAT_S
    repo_token: WireToken | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id}, app={self.app!r}, number={self.number}, environment={self.environment!r})"


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    phase: str = ""
    """``gating``, ``preparing``, ``starting``, ``running`` or ``finishing``."""
    log_end: int = 0
    status_written: str | None = None
    """The state of the status that it was granted and has written."""
    wait_s: float | None = None
    """Seconds to hold the answer back while there is nothing to say; default and at most `BEAT_S`."""


class BeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    cancel_requested: Who | None = None
    repo_token: WireToken | None = None
    lease_s: float = LEASE_S


_BLOCKERS = [{"kind": "checks", "message": "Waiting for check build."}]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``hold`` and of ``reject``."""

    check_counter: int
    blockers: Annotated[list[WireBlocker], msgspec.Meta(examples=[_BLOCKERS])]
    checks: list[WireCheck] = []


class HoldAnswer(msgspec.Struct, frozen=True, kw_only=True):
    state: str
    ready: bool


class Start(msgspec.Struct, frozen=True, kw_only=True):
    check_counter: int
    checks_age_s: float = 0
    boot_id: str = ""


class StartAnswer(msgspec.Struct, frozen=True, kw_only=True):
    answer: Literal["yes", "no"]
    good_for_s: float | None = None
    cancel_requested: Who | None = None
    status: WireStatus | None = None
    state: str | None = None
    blockers: list[WireBlocker] = []


class LogAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``end``: the contiguous end of what is durably stored. ``log`` takes ``?offset=&codec=`` and raw bytes;
    the offset counts bytes before compression, the codec is ``zstd`` or ``identity``."""

    end: int


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    ended_by: Literal["exit", "cancel", "timeout", "silence", "error"]
    started: bool = True
    ended_at: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    log_end: int = 0
    status_written: str | None = None


class FinishAnswer(msgspec.Struct, frozen=True, kw_only=True):
    state: str
    status: WireStatus | None = None
    too_late: str | None = None


class WireError(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of ``{"error": …}``; ``code`` is ``lease_over``, ``claim_over``, ``conflict``, ``too_late``,
    ``declared_dead`` or one of the API's own."""

    code: str
    message: str
    hint: str | None = None
    deploy: str | None = None
    state: str | None = None
    who: str | None = None
    when: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    error: WireError

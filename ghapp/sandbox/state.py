"""What the sandbox remembers: plain records and the tables that hold them. No I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

AccountType = Literal["User", "Bot", "Organization"]
Json = dict[str, Any]

# What a repository role may do, weakest first (https://docs.github.com/en/organizations/
# managing-user-access-to-your-organizations-repositories/managing-repository-roles).
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
# Levels of a GitHub App permission, weakest first.
LEVELS = ("none", "read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Account:
    id: int
    login: str
    type: AccountType
    created_at: int


@dataclass(frozen=True, slots=True)
class Repository:
    id: int
    owner: Account
    name: str
    private: bool
    default_branch: str
    created_at: int
    pushed_at: int
    parent_id: int | None = None  # of a fork

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App; one without `webhook_url` stands for somebody else's, such as a CI service."""

    id: int
    slug: str
    owner: Account
    bot: Account
    client_id: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    public_key: str
    hook_id: int
    webhook_url: str | None
    webhook_secret: str = field(repr=False)
    created_at: int = 0
    client_secret: str = field(default="", repr=False)
    callback_urls: tuple[str, ...] = ()
    name: str = ""
    description: str = ""
    external_url: str = ""
    setup_url: str | None = None
    public: bool = False


@dataclass(frozen=True, slots=True)
class ManifestCode:
    """Good for the credentials of an App that a manifest made, once and until ``ends_at``."""

    app_id: int
    private_key: str = field(repr=False)
    ends_at: int


@dataclass(frozen=True, slots=True)
class Installation:
    id: int
    app_id: int
    account: Account
    repository_ids: frozenset[int]
    permissions: Mapping[str, str]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token, or a person's when `installation_id` is None. A person who signed in through an App
    gave it one that is good for no more than the App (`app_id`)."""

    value: str = field(repr=False)
    account: Account
    installation_id: int | None = None
    repository_ids: frozenset[int] = frozenset()
    permissions: Mapping[str, str] = field(default_factory=dict)
    expires_at: int | None = None
    app_id: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """What an App is sent back with when a person lets it know who they are. `challenge` is empty without PKCE."""

    value: str = field(repr=False)
    app_id: int
    account: Account
    redirect_uri: str
    challenge: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class CommitStatus:
    id: int
    repository_id: int
    sha: str
    context: str
    state: str
    description: str | None
    target_url: str | None
    creator: Account
    created_at: int


@dataclass(frozen=True, slots=True)
class CheckSuite:
    id: int
    repository_id: int
    sha: str
    app_id: int
    head_branch: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class CheckRun:
    id: int
    suite_id: int
    repository_id: int
    sha: str
    name: str
    app_id: int
    status: str
    conclusion: str | None
    started_at: int
    completed_at: int | None
    external_id: str
    details_url: str | None
    output: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything reported about one commit at one moment, oldest first."""

    statuses: tuple[CommitStatus, ...] = ()
    suites: tuple[CheckSuite, ...] = ()
    runs: tuple[CheckRun, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    id: int
    deployment_id: int
    state: str
    description: str
    environment: str
    log_url: str
    environment_url: str
    creator: Account
    app_id: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Deployment:
    id: int
    repository_id: int
    sha: str
    ref: str
    task: str
    payload: Json | str
    environment: str
    original_environment: str
    description: str | None
    transient_environment: bool
    production_environment: bool
    creator: Account
    app_id: int | None
    created_at: int
    updated_at: int
    statuses: tuple[DeploymentStatus, ...] = ()

    @property
    def state(self) -> str | None:
        """State of the newest status, None before the first."""
        return self.statuses[-1].state if self.statuses else None


class Ids:
    """Numbers that differ by kind, so that a mix-up shows, and as large as GitHub's: several of
    its id spaces have passed 2**31."""

    def __init__(self) -> None:
        self.account = count(9_001_001)
        self.repository = count(700_000_001)
        self.app = count(120_001)
        self.hook = count(480_000_001)
        self.installation = count(50_000_001)
        self.status = count(30_000_000_001)
        self.suite = count(40_000_000_001)
        self.run = count(60_000_000_001)
        self.deployment = count(3_000_000_001)
        self.deployment_status = count(8_000_000_001)
        self.delivery = count(170_000_000_001)


@dataclass(slots=True)
class State:
    ids: Ids = field(default_factory=Ids)
    accounts: dict[str, Account] = field(default_factory=dict)  # by lower-case login
    repositories: dict[int, Repository] = field(default_factory=dict)
    collaborators: dict[tuple[int, str], str] = field(default_factory=dict)  # (repository, login) → role
    owners: dict[str, set[str]] = field(default_factory=dict)  # organization → logins
    teams: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)  # (org, slug) → login → role
    apps: dict[int, App] = field(default_factory=dict)
    manifest_codes: dict[str, ManifestCode] = field(default_factory=dict)
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    checks: dict[tuple[int, str], list[Checks]] = field(default_factory=dict)  # history of (repository, sha)
    deployments: dict[int, Deployment] = field(default_factory=dict)

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def repository(self, full_name: str) -> Repository | None:
        wanted = full_name.lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == wanted), None)

    def own_role(self, repository: Repository, account: Account) -> str | None:
        """The role that the account was given in the repository; None where it has what everybody has."""
        owner = repository.owner.login.lower()
        login = account.login.lower()
        if login == owner or login in self.owners.get(owner, ()):
            return "admin"
        return self.collaborators.get((repository.id, login))

    def role(self, repository: Repository, account: Account) -> str:
        """What the account may do with the repository, one of ROLES."""
        anyone = "none" if repository.private else "read"
        return self.own_role(repository, account) or anyone

    def installation_of(self, app: App, repository: Repository) -> Installation | None:
        of_app = (i for i in self.installations.values() if i.app_id == app.id)
        return next((i for i in of_app if repository.id in i.repository_ids), None)

    def checks_of(self, repository: Repository, sha: str, *, stale: int = 0) -> Checks:
        """What is known of the commit, or was before its last `stale` changes."""
        history = self.checks.get((repository.id, sha), [])
        seen = len(history) - stale
        return history[seen - 1] if seen > 0 else Checks()

    def remember_checks(self, repository: Repository, sha: str, checks: Checks) -> None:
        self.checks.setdefault((repository.id, sha), []).append(checks)

    def deployments_of(self, repository: Repository) -> list[Deployment]:
        """Oldest first."""
        return [d for d in self.deployments.values() if d.repository_id == repository.id]


def allows(granted: str | None, wanted: str, scale: tuple[str, ...] = LEVELS) -> bool:
    """Whether a level (or role) is at least another, on its scale."""
    return scale.index(granted or "none") >= scale.index(wanted)


def latest_statuses(checks: Checks) -> list[CommitStatus]:
    """The newest status of each context, in the order the contexts appeared."""
    return list({status.context: status for status in checks.statuses}.values())


def latest_runs(checks: Checks) -> list[CheckRun]:
    """The newest run of each name within its suite (`filter=latest`,
    https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference)."""
    return list({(run.suite_id, run.name): run for run in checks.runs}.values())


def combined_state(statuses: list[CommitStatus]) -> str:
    """https://docs.github.com/en/rest/commits/statuses#get-the-combined-status-for-a-specific-reference"""
    states = {status.state for status in statuses}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


# Worst first; a suite is as bad as its worst run.
_CONCLUSIONS = (
    "startup_failure",
    "failure",
    "timed_out",
    "cancelled",
    "action_required",
    "stale",
    "success",
    "neutral",
    "skipped",
)


def suite_state(runs: list[CheckRun]) -> tuple[str, str | None]:
    """Status and conclusion of a check suite with these latest runs."""
    if runs and all(run.status == "completed" for run in runs):
        conclusions = {run.conclusion for run in runs}
        return "completed", next(c for c in _CONCLUSIONS if c in conclusions)
    return ("in_progress" if any(run.status != "queued" for run in runs) else "queued"), None

"""What Kedge asks of a VCS host. Everything that knows a host by name lives in a file of its own beside this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ghapp.core.checks import Check
from ghapp.core.values import DeploymentStatus, Repository


@dataclass(frozen=True, slots=True)
class RepoToken:
    """A token for one repository. ``missing`` are permissions wished for that were not granted."""

    value: str = field(repr=False)
    expires_at: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """A deployment status as the provider shows it."""

    state: str
    description: str
    created_at: int
    log_url: str | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit. ``message`` is its first line, ``committed_at`` ms."""

    sha: str
    message: str
    author: str
    committed_at: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How ``head`` stands to ``base``: the commits that head has and base has not, oldest first, as far as the
    provider lists them (``ahead_by`` counts all). ``status``: ``ahead``, ``behind``, ``identical``, ``diverged``."""

    status: str
    ahead_by: int
    behind_by: int
    commits: tuple[Commit, ...]
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeployment:
    """A deployment that Kedge registers. ``request`` is how it is recognized again, whatever answer was lost."""

    request: str
    sha: str
    ref: str
    task: str
    environment: str
    user: str
    production: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """A deployment that the provider keeps. ``created_at`` is its time, ms."""

    deployment_id: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Person:
    """A person's account. The ``id`` stays theirs; the ``login`` may be changed, and then be taken by somebody else."""

    login: str
    id: int


class RepositoryClient(Protocol):
    """One repository of a provider, seen with credentials for it. Used by the app and by the runner alike.

    Every method raises `RemoteError` in one of its kinds and nothing else.
    """

    async def checks(self, sha: str) -> Sequence[Check]:
        """Newest state of every status, check run and check suite with runs on the sha; all pages."""
        ...

    async def create_status(self, deployment_id: int, status: DeploymentStatus) -> None:
        """Add a deployment status; never lets the provider make others inactive."""
        ...

    async def newest_status(self, deployment_id: int) -> ShownStatus | None:
        """The status the provider shows now, or None where there is none yet."""
        ...

    async def permission(self, user: str) -> str:
        """``admin``, ``maintain``, ``write``, ``triage``, ``read`` or ``none``."""
        ...

    async def access(self, person: Person) -> str:
        """As `permission`, but ``none`` for whom reads only because everybody does, and where the login is not that
        person's any more."""
        ...

    async def in_team(self, team: str, user: str) -> bool:
        """Is the user an active member? ``team`` is ``org/slug`` or the slug in the owner's organization."""
        ...

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        """Is the commit contained in one of these branches? They may be patterns (``release/*``)."""
        ...

    async def commit(self, ref: str) -> Commit:
        """The commit that a branch, tag or (abbreviated) sha stands for now."""
        ...

    async def default_branch(self) -> str: ...

    async def compare(self, base: str, head: str) -> Comparison: ...

    async def create_deployment(self, new: NewDeployment) -> Registered:
        """Register a deployment; neither merges anything nor asks for checks: the gate has spoken."""
        ...

    async def find_deployment(self, new: NewDeployment) -> Registered | None:
        """The deployment that carries this request, if an earlier call did create it."""
        ...


class AppClient(Protocol):
    """The app's own standing with a provider: which repositories it may use, and tokens for them."""

    async def login(self) -> str:
        """The name under which Kedge itself acts, such as ``kedge[bot]``."""
        ...

    @property
    def own_checks(self) -> tuple[str, ...]:
        """Key prefixes of the checks that Kedge itself writes."""
        ...

    @property
    def api_url(self) -> str:
        """Base URL that a runner uses, given with each job."""
        ...

    async def owner(self) -> str | None:
        """The account that Kedge's own standing belongs to, whose events count; None where that is no account."""
        ...

    async def installed(self) -> list[Repository]:
        """Every repository that Kedge may use now."""
        ...

    async def find_repository(self, name: str) -> list[Repository]:
        """Installed repositories of that name: ``owner/name`` gives one or none, ``name`` every match."""
        ...

    async def repo_token(self, repository: Repository) -> RepoToken:
        """A token narrowed to the repository and to what a runner needs, cached until shortly before its end."""
        ...

    def repository(self, repository: Repository) -> RepositoryClient:
        """A client whose credentials are the app's own for that repository."""
        ...

    async def close(self) -> None: ...


class SignIn(Protocol):
    """How people show a provider's app who they are: OAuth's web flow with PKCE (RFC 6749, RFC 7636, method S256).

    ``callback`` is the absolute URL at which they come back, the same in both calls.
    """

    @property
    def title(self) -> str:
        """The provider's name as people write it."""
        ...

    def page(self, *, callback: str, state: str, challenge: str) -> str:
        """The absolute URL of the provider's page where they are asked."""
        ...

    async def person(self, *, callback: str, code: str, verifier: str) -> Person:
        """Who came back with this code. Whatever else it is good for is not kept. Raises `RemoteError`."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A provider's client that knows how often it may still ask."""

    @property
    def calls_left(self) -> int | None:
        """The least of what is left to any of its credentials until that fills again; None where nothing is known."""
        ...


def spares(client: object, reserved: int) -> bool:
    """Are so few calls left, or fewer, that they are for what cannot wait?"""
    left = client.calls_left if isinstance(client, Metered) else None
    return left is not None and left < reserved

"""What Kedge asks of a VCS host: a class for each of them, named in the config as ``via``.

A host that cannot do something answers None where it is asked for that ability, and Kedge does without it, as each
method here says. So nothing outside a provider's own files ever asks which host it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from ghapp.core.checks import Check
from ghapp.core.values import Commit, DeploymentStatus, Repository
from ghapp.vcs.base import Comparison, NewDeployment, Person, Registered, RepoToken, ShownStatus
from ghapp.vcs.conversation import Conversation
from ghapp.vcs.events import Event, PushEvent
from ghapp.vcs.files import RepositoryFiles
from ghapp.vcs.record import DeliveryLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a provider is opened with, by the app and by a runner alike.

    ``folder`` is the provider's own and kept between starts; ``environ`` is the process's environment. A runner also
    gives ``api_url`` and ``token``, as the app sent them with the job; both are None in the app. The session is closed
    by its maker.
    """

    session: aiohttp.ClientSession = field(repr=False)
    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    api_url: str | None = None
    token: Callable[[], Awaitable[str]] | None = field(default=None, repr=False)


class Code(Protocol):
    """The commits of one repository. Every method raises `RemoteError` in one of its kinds and nothing else."""

    async def commit(self, ref: str) -> Commit:
        """The commit that a branch, tag or (abbreviated) sha stands for now."""
        ...

    async def default_branch(self) -> str: ...

    async def compare(self, base: str, head: str) -> Comparison: ...

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        """Is the commit contained in one of these branches? They may be patterns (``release/*``)."""
        ...


class Checks(Protocol):
    """What a host knows of the checks of commits. Every method raises `RemoteError`."""

    async def checks(self, sha: str) -> Sequence[Check]:
        """Newest state of everything that judges the sha; all pages."""
        ...


class Deployments(Protocol):
    """Deployments as a host keeps and shows them. Every method raises `RemoteError`."""

    async def create_deployment(self, new: NewDeployment) -> Registered:
        """Register a deployment; neither merges anything nor asks for checks: the gate has spoken."""
        ...

    async def find_deployment(self, new: NewDeployment) -> Registered | None:
        """The deployment that carries this request, if an earlier call did create it."""
        ...

    async def create_status(self, deployment_id: int, status: DeploymentStatus) -> None:
        """Add a deployment status; never lets the host make others inactive."""
        ...

    async def newest_status(self, deployment_id: int) -> ShownStatus | None:
        """The status the host shows now, or None where there is none yet."""
        ...


class People(Protocol):
    """Who may do what in a repository. Every method raises `RemoteError`."""

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


class Branches(Protocol):
    """Where branches are, for a host that tells nothing by itself. Every method raises `RemoteError`."""

    async def heads(self) -> Mapping[str, str]:
        """Branch -> sha, of every branch, now."""
        ...

    async def moved(self, branch: str, before: str | None, after: str | None) -> PushEvent:
        """What happened to a branch that was at ``before`` when it was last looked at, and is at ``after`` now."""
        ...


class Tree(Protocol):
    """The files of commits, for a host whose repositories git cannot clone. Raises `RemoteError`."""

    async def export(self, sha: str, folder: Path) -> None:
        """Write the files of the commit into the empty folder, modes and symbolic links as they are there. Cancelled,
        it may go on in a thread of its own: nobody uses that folder then."""
        ...


class Unsigned(Exception):
    """A delivery that is not proved to be the host's. ``message`` and ``hint`` are sentences for its operator."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery that is the host's: ``guid`` is the same each time it is sent again."""

    guid: str
    event: str


class Webhooks(Protocol):
    """How a host tells by itself: POSTs to ``/webhooks/PROVIDER``. ``events``: names of those that Kedge reads."""

    events: frozenset[str]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Verify before anything is parsed. Raises `Unsigned`, or ValueError for what is no delivery."""
        ...

    def parse(self, event: str, body: bytes) -> Event | None:
        """What a stored delivery says; None: nothing that is work. Raises ValueError for a body it cannot use. Pure."""
        ...


class Provider(ABC):
    """A VCS host as the app or a runner sees it.

    ``title``: its name as people write it. ``own_checks``: key prefixes of the checks that Kedge itself writes there.
    ``api_url``: what a runner is told to use, or empty where it needs nothing. ``webhooks``: None where the host does
    not tell by itself; what happens there is then found in `record`, or by `branches`. ``record``: None where the host
    keeps none of what it sent; what is missed is then missed.
    """

    title: str
    own_checks: tuple[str, ...] = ()
    api_url: str = ""
    webhooks: Webhooks | None = None
    record: DeliveryLog | None = None

    def __init__(self, opening: Opening) -> None:
        """How the app and runners open it."""
        self.api_url = opening.api_url or self.api_url

    @classmethod
    def wrong_with(cls, repository: str | None) -> str | None:
        """What is wrong with ``repository`` as a config names it, or with naming none; a sentence, or None. Asked
        without opening anything."""
        return None

    @property
    def calls_left(self) -> int | None:
        """The least that is left to any credentials until that fills again; None where nothing is known."""
        return None

    def spares(self, reserved: int) -> bool:
        """Are so few calls left, or fewer, that they are for what cannot wait?"""
        left = self.calls_left
        return left is not None and left < reserved

    @abstractmethod
    async def find_repository(self, name: str) -> list[Repository]:
        """The repositories that ``repository`` (or, without it, the app's name) can mean; one, or Kedge asks for a
        better name. A `Repository.id` stays the same whatever it is called. Raises `RemoteError`."""

    @abstractmethod
    def code(self, repository: Repository) -> Code: ...

    def checks(self, repository: Repository) -> Checks | None:
        """None: a commit has those checks alone that the app's ``checks_command`` tells of."""
        return None

    def deployments(self, repository: Repository) -> Deployments | None:
        """None: nothing is registered and no status is written; Kedge's page is the record."""
        return None

    def people(self, repository: Repository) -> People | None:
        """None: who is named in ``allow.users`` may, and where nobody is, whoever has a token with the scope."""
        return None

    def branches(self, repository: Repository) -> Branches | None:
        """None: pushes are told by events."""
        return None

    def tree(self, repository: Repository) -> Tree | None:
        """None: git clones `Repository.clone_url`, and a runner keeps a checkout for each environment."""
        return None

    def conversation(self, repository: Repository) -> Conversation | None:
        """None: no commands in comments, and no comments on pull requests."""
        return None

    def files(self, repository: Repository) -> RepositoryFiles | None:
        """None: repositories define no apps themselves."""
        return None

    async def repo_token(self, repository: Repository) -> RepoToken | None:
        """A token narrowed to the repository and to what a runner needs, cached until shortly before its end. None: the
        runner brings credentials of its own. Raises `RemoteError`."""
        return None

    async def login(self) -> str | None:
        """The name under which Kedge itself acts there; None where it does not. Raises `RemoteError`."""
        return None

    async def owner(self) -> str | None:
        """The account whose events count; None where that is no account. Raises `RemoteError`."""
        return None

    async def installed(self) -> list[Repository]:
        """Every repository that Kedge may use, for those that define apps themselves. Raises `RemoteError`."""
        return []

    async def close(self) -> None:  # noqa: B027 (nothing to end, unless a provider says so)
        """End what is under way."""

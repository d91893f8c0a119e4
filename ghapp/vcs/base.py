"""What VCS hosts tell and are told, as values. Everything that knows a host by name lives in a file of its own beside
this."""

from dataclasses import dataclass, field
from typing import Protocol

from ghapp.core.values import Commit


@dataclass(frozen=True, slots=True)
class RepoToken:
    """A token for one repository. ``username`` is who git says to be with it. ``missing`` are permissions wished for
    that were not granted."""

    value: str = field(repr=False)
    expires_at: int
    missing: tuple[str, ...] = ()
    username: str = "git"


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """A deployment status as the provider shows it."""

    state: str
    description: str
    created_at: int
    log_url: str | None = None


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

"""What hosts tell, as values: parsed by pure functions of each provider from a stored delivery."""

from dataclasses import dataclass, field

from ghapp.core.checks import Check
from ghapp.core.values import Repository


@dataclass(frozen=True, slots=True)
class DeploymentEvent:
    """Somebody created a deployment. ``payload`` is what they sent along, as an object, ``problem`` why it is none;
    ``request`` what Kedge itself sent along, if it says that it was Kedge."""

    repository: Repository
    installation_id: int | None
    deployment_id: int
    sha: str
    ref: str
    task: str
    environment: str
    creator: str
    creator_is_person: bool
    created_at: int
    payload: dict[str, object] = field(default_factory=dict)
    description: str = ""
    problem: str | None = None
    request: str | None = None


@dataclass(frozen=True, slots=True)
class InactiveEvent:
    """Somebody made a deployment inactive."""

    repository: Repository
    deployment_id: int
    who: str


@dataclass(frozen=True, slots=True)
class CheckEvent:
    """Something about the checks of a sha changed; ``check`` is None where the event does not say what."""

    repository: Repository
    sha: str
    check: Check | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushEvent:
    """A branch is elsewhere than before. ``before`` is None where it was ``created``, ``after`` where it was
    ``deleted``; ``forced``: what it held before is no longer all on it. ``message`` is the whole one of its new head.
    ``paths`` are the files that the new commits touched, as far as the provider lists the commits: where it was
    created or forced others may differ too."""

    repository: Repository
    installation_id: int | None
    branch: str
    before: str | None
    after: str | None
    forced: bool
    message: str
    pusher: str
    paths: frozenset[str] = frozenset()

    @property
    def created(self) -> bool:
        return self.before is None

    @property
    def deleted(self) -> bool:
        return self.after is None


@dataclass(frozen=True, slots=True)
class InstallationEvent:
    """Repositories that the app may (or may no longer) use."""

    installation_id: int
    account: str
    added: tuple[tuple[int, str], ...] = ()
    removed: tuple[int, ...] = ()
    permissions: dict[str, str] = field(default_factory=dict)
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentEvent:
    """Somebody wrote a comment. ``person``: it was no bot, and no program that writes as a person. ``trusted``: the
    provider says that they belong to the repository. ``written_at`` is the provider's time, ms."""

    repository: Repository
    installation_id: int | None
    number: int
    pull_request: bool
    comment_id: int
    text: str
    who: str
    person: bool
    trusted: bool
    written_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEvent:
    """The head of a pull request is this sha since ``at`` (ms)."""

    repository: Repository
    installation_id: int | None
    number: int
    sha: str
    at: int


Event = DeploymentEvent | InactiveEvent | CheckEvent | PushEvent | InstallationEvent | CommentEvent | HeadEvent

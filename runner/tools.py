"""What every deploy of this runner shares, and what belongs to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import aiohttp

from ghapp import wire
from ghapp.core.remote import Unavailable
from ghapp.vcs import registry
from ghapp.vcs.base import RepositoryClient
from runner.backoff import Pace
from runner.client import AppClient
from runner.environment import REPO_TOKEN
from runner.journal import Entry, Journal
from runner.lease import Lease
from runner.masking import Masks
from runner.outgoing import OutgoingLog
from runner.secrets import Secrets, wanted
from runner.workspace import Workspaces


@dataclass(frozen=True, slots=True)
class Tools:
    """``environ`` is the runner's own environment; ``apps`` and ``shared`` are KEDGE_RUNNER_APPS and
    KEDGE_RUNNER_ENV."""

    name: str
    labels: tuple[str, ...]
    apps: tuple[str, ...] | None
    shared: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    session: aiohttp.ClientSession
    client: AppClient
    journal: Journal
    workspaces: Workspaces
    secrets: Secrets = field(default_factory=Secrets)
    pace: Pace = field(default_factory=Pace)
    version: str = ""


@dataclass(frozen=True)
class Held:
    """One deploy in this runner's hands: its lease, its folder, its repository, its lines in the log."""

    tools: Tools
    lease: Lease
    entry: Entry

    @property
    def job(self) -> wire.Job:
        return self.lease.job

    @property
    def mark(self) -> str:
        """What the command and all below it carry as KEDGE_DEPLOY_ID: no other lease has the same."""
        return self.entry.path.name

    @cached_property
    def provider(self) -> RepositoryClient:
        """The repository, with the newest token that the app has sent. Raises ValueError for an unknown provider."""
        repository = self.job.repository
        return registry.repository_client(
            repository.provider,
            session=self.tools.session,
            api_url=repository.api_url,
            full_name=repository.full_name,
            token=self._token,
        )

    async def _token(self) -> str:
        if self.lease.token is None:
            raise Unavailable(f"The app has sent no token for {self.job.repository.full_name}.")
        return self.lease.token.value

    @cached_property
    def log(self) -> OutgoingLog:
        """The log on its way out. It masks what the command was given: ask for it once that is written down."""
        names = (*wanted(self.job), REPO_TOKEN)
        env = self.entry.read_env()
        return OutgoingLog(self.entry, Masks(env[name] for name in names if name in env), self.job.log_limit)

    def note(self, text: str) -> None:
        """Add lines of Kedge's own to the log, before the command has it. A full disk loses them."""
        try:
            self._spool(text)
        except OSError as error:
            self.lease.log.error("a line of the log is lost", line=text, reason=str(error))

    def note_last(self, text: str) -> None:
        """Add lines of Kedge's own to a log that the command has left. A full disk does not lose them."""
        try:
            self._spool(text)
        except OSError:
            self.log.append(_own(self.log.masks.text(text)))

    def _spool(self, text: str) -> None:
        with self.entry.output.open("ab") as file:
            file.write(_own(text))


def _own(text: str) -> bytes:
    return "".join(f"[kedge] {line}\n" for line in text.splitlines()).encode()

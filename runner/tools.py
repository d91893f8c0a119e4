"""What every deploy of this runner shares, and what belongs to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import aiohttp

from ghapp import wire
from ghapp.core import commands
from ghapp.core.remote import Unavailable
from ghapp.core.values import Repository
from ghapp.vcs import registry
from ghapp.vcs.checks_command import ChecksCommand
from ghapp.vcs.provider import Checks, Deployments, Opening, Provider
from runner.backoff import Pace
from runner.client import AppClient
from runner.environment import REPO_TOKEN
from runner.journal import Entry, Journal
from runner.lease import Lease
from runner.outgoing import OutgoingLog
from runner.processes import Ahead
from runner.secrets import Secrets, wanted
from runner.workspace import Workspaces


@dataclass(frozen=True, slots=True)
class Tools:
    """``environ`` is the runner's own environment; ``providers`` the folder in which each provider may keep one;
    ``apps`` and ``shared`` are KEDGE_RUNNER_APPS and KEDGE_RUNNER_ENV."""

    name: str
    labels: tuple[str, ...]
    apps: tuple[str, ...] | None
    shared: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    session: aiohttp.ClientSession
    client: AppClient
    journal: Journal
    workspaces: Workspaces
    providers: Path
    secrets: Secrets = field(default_factory=Secrets)
    pace: Pace = field(default_factory=Pace)
    ahead: Ahead = field(default_factory=Ahead)
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
    def provider(self) -> Provider:
        """With the newest token that the app has sent. Raises ValueError for an unknown provider."""
        name = self.job.repository.provider
        opening = Opening(
            session=self.tools.session,
            folder=self.tools.providers / name,
            environ=self.tools.environ,
            api_url=self.job.repository.api_url,
            token=self._token,
        )
        return registry.provider(name)(opening)

    async def aclose(self) -> None:
        """End what the provider has under way, where there was need of one."""
        provider: Provider | None = self.__dict__.get("provider")
        if provider is None:
            return
        try:
            await provider.close()
        except Exception:
            self.lease.log.exception("the provider could not be closed")

    @property
    def repository(self) -> Repository:
        known = self.job.repository
        return Repository(known.id, known.full_name, known.clone_url)

    @property
    def checks(self) -> Checks | None:
        """What knows of the checks of the sha; None: nobody does."""
        job = self.job
        if job.checks_command:
            about = commands.Commit(app=job.app, env=job.environment, sha=job.sha, ref=job.ref)
            return ChecksCommand(job.checks_command, commands.environment(about))
        return self.provider.checks(self.repository)

    @property
    def deployments(self) -> Deployments | None:
        return self.provider.deployments(self.repository)

    async def _token(self) -> str:
        if self.lease.token is None:
            raise Unavailable(f"The app has sent no token for {self.job.repository.full_name}.")
        return self.lease.token.value

    @cached_property
    def log(self) -> OutgoingLog:
        """The log on its way out. It masks what the command was given: ask for it once that is written down. What the
        command was not given but its user can read, the lease and the tokens of job and runner, it masks, too."""
        names = (*wanted(self.job), REPO_TOKEN)
        env = self.entry.read_env()
        masks = self.lease.masks
        masks.add([self.tools.client.token, *(env[name] for name in names if name in env)])
        return OutgoingLog(self.entry, masks, self.job.log_limit)

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

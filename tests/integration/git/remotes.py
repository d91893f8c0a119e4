"""One repository behind each kind of remote: a path, http that asks for a password, a real sshd that wants a key."""

import getpass
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ghapp.core.values import Repository
from ghapp.vcs.git import GitBranches, GitCode, PlainGit
from ghapp.vcs.provider import Opening
from tests.integration.fabric import hosts
from tests.integration.workspace import repositories
from tests.integration.workspace.repositories import TOKEN, GitServer, Repo

KINDS = ("path", "http", "ssh")


@dataclass(slots=True)
class Remote:
    """``environ`` is what lets git in; ``server`` the one of http."""

    folder: Path
    repo: Repo
    address: str
    environ: dict[str, str]
    session: aiohttp.ClientSession
    server: GitServer | None = None

    def opened(self, **environ: str) -> PlainGit:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        given = {"PATH": os.environ["PATH"], "HOME": str(home), **self.environ, **environ}
        return PlainGit(Opening(session=self.session, folder=self.folder / "mirrors", environ=given))

    async def repository(self) -> Repository:
        [found] = await self.opened().find_repository(self.address)
        return found

    async def code(self, **environ: str) -> GitCode:
        return self.opened(**environ).code(await self.repository())

    async def branches(self) -> GitBranches:
        return self.opened().branches(await self.repository())

    @property
    def mirror(self) -> Path:
        [mirror] = (self.folder / "mirrors").glob("*.git")
        return mirror


@asynccontextmanager
async def remote(kind: str, folder: Path) -> AsyncIterator[Remote]:
    repo = Repo.create(folder / "repos" / "team" / "app")
    repo.git("config", "uploadpack.allowFilter", "true")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = Remote(folder, repo, str(repo.path), {}, session)
        if kind == "http":
            made.server = await stack.enter_async_context(repositories.serving(folder / "repos"))
            made.address = made.server.url(repo)
            made.environ["GIT_ASKPASS"] = str(_askpass(folder, TOKEN))
        if kind == "ssh":
            sshd = await stack.enter_async_context(hosts.serving(folder / "sshd"))
            made.address = f"ssh://{getpass.getuser()}@127.0.0.1:{sshd.port}{repo.path}"
            options = f"-F /dev/null -i {sshd.key} -o UserKnownHostsFile={sshd.known_hosts} -o BatchMode=yes"
            made.environ["GIT_SSH_COMMAND"] = f"ssh {options}"
        yield made


def _askpass(folder: Path, password: str) -> Path:
    """A program as GIT_ASKPASS names it: it is asked for a name and for a password."""
    program = folder / "askpass"
    program.write_text(f'#!{sys.executable}\nimport sys\nprint("ana" if "Username" in sys.argv[1] else {password!r})\n')
    program.chmod(0o700)
    return program

"""The whole thing with real processes: sandbox GitHub here, app and runner as processes of their own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from ghapp.sandbox.children import Child, free_port
from ghapp.sandbox.server import Sandbox
from tests.e2e import processes
from tests.e2e.hosts import FIRST, REPOSITORY, Host, OnGit, OnGitHub
from tests.e2e.people import ADMIN, WITHIN_S, People, until

RUNNER = "runner-token-for-the-tests-00000"
STATUSES = r"/repos/acme/hello/deployments/\d+/statuses"

CONFIG = """
hello:
  {source}
  deploy: "sh ./deploy.sh {{env}} {{sha}}"
  grace: 1s
  env: {{HERE: {folder}}}
  environments:
    staging: {{checks: []}}
    production: {{checks: [ci]}}
"""

# A command that the test lets go on; it leaves a line for each time it is executed.
HELD = """
: "${HERE:?}"
echo "$KEDGE_NUMBER" >> "$HERE/executed"
echo $$ > "$HERE/pid"
echo "begun $KEDGE_NUMBER"
while [ ! -e "$HERE/go" ]; do sleep 0.05; done
echo "done $KEDGE_NUMBER"
"""


@dataclass(kw_only=True)
class World(People):
    """Drives GitHub, app and runner, and asks what people would see."""

    folder: Path
    host: Host
    settings: dict[str, str]
    runner_settings: dict[str, str]
    app: Child | None = None
    runner: Child | None = None
    extra: list[Child] = field(default_factory=list)
    may_fail: bool = False  # a traceback in a log is then no defect
    code: Path | None = None  # the checkout of Kedge that app and runner are of; None: this one

    # Processes

    async def start(self) -> None:
        """App and one runner."""
        await self.start_app()
        await self.start_runner()

    async def start_app(self, **settings: str) -> None:
        self.app = Child("app", "ghapp", ["serve"], {**self.settings, **settings}, self.folder / "app.log", self.code)
        await self.app.start()
        await until(self.answers, lambda: f"the app answers\n{self.says()}")

    async def answers(self) -> bool:
        assert self.app and self.app.ended is None, self.says()
        with suppress(aiohttp.ClientError):
            async with self.session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        return False

    async def start_runner(self, name: str = "r1", workdir: str = "work", **settings: str) -> Child:
        wanted = {**self.runner_settings, "KEDGE_RUNNER_NAME": name, "KEDGE_WORKDIR": str(self.folder / workdir)}
        runner = Child(name, "runner", [], {**wanted, **settings}, self.folder / f"{name}.log", self.code)
        await runner.start()
        self.extra.append(runner)
        self.runner = runner
        return runner

    async def ends(self, module: str, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run a command to its end: exit code and what it said."""
        child = Child(module, module, list(arguments), settings, self.folder / f"{module}-{len(self.extra)}.log")
        self.extra.append(child)
        await child.start()
        async with asyncio.timeout(WITHIN_S):
            code = await child.wait()
        return code, child.log.read_text(errors="replace")

    async def kill(self, child: Child | None) -> None:
        """SIGKILL, and wait until it is gone."""
        assert child and child.pid
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()

    async def clean_up(self) -> None:
        """End every process, commands and their supervisors too."""
        children = [child for child in (self.app, *self.extra) if child and child.ended is None]
        for child in children:
            if child.ended is None:
                await child.stop(patience_s=0.2 if child is not self.app else 5)
        for pid in {*processes.naming(self.folder), *processes.marked(f"HERE={self.folder}")} - {os.getpid()}:
            processes.kill(pid)

    def said_nothing_odd(self) -> None:
        """No process has logged a traceback: what happens to deploys is told in sentences."""
        for log in self.folder.glob("*.log"):
            before, odd, after = log.read_text(errors="replace").partition("Traceback")
            assert self.may_fail or not odd, f"{log.name}:\n{before[-1000:]}{odd}{after[:3000]}"

    # Wherever the repository is

    def config(self, text: str) -> None:
        """Write another application config; ``{folder}`` in it is this world's, ``{source}`` names the repository."""
        (self.folder / "apps.yml").write_text(text.format(folder=self.folder, source=self.host.source))

    def script(self, text: str, branch: str = "main") -> str:
        """Make this the deploy script of a new commit; its sha."""
        return self.host.commit(branch, {"deploy.sh": text})

    async def ask(self, environment: str = "staging") -> int:
        """Ask for a deploy of main as people do there."""
        return await self.host.ask(self, environment)

    async def ends_shown(self, asked: int, *final: str) -> list[str]:
        """Wait until one of these is shown of it; all that was shown, in order."""

        async def there() -> list[str] | None:
            states = await self.host.states(self, asked)
            return states if states[-1:] and states[-1] in final else None

        states = await until(there, lambda: f"it shows {final}\n{self.says()}")
        assert isinstance(states, list)
        return states

    # GitHub

    @property
    def github(self) -> Sandbox:
        assert isinstance(self.host, OnGitHub), "this world has no GitHub"
        return self.host.github

    def deploy(self, environment: str = "staging", **asked: Any) -> int:
        return self.github.create_deployment(REPOSITORY, environment=environment, **asked).id

    def shown(self, deployment_id: int) -> list[str]:
        return [status.state for status in self.github.statuses(deployment_id)]

    def posts(self, deployment_id: int) -> list[Any]:
        """The status writes that reached GitHub for a deployment, refused and broken ones too."""
        path = f"/repos/{REPOSITORY}/deployments/{deployment_id}/statuses"
        return [one for one in self.github.requests if (one.method, one.path) == ("POST", path)]

    async def shows(self, deployment_id: int, *final: str, within_s: float = WITHIN_S) -> list[str]:
        """Wait until GitHub shows one of these as the newest status; all states in order."""
        await until(
            lambda: self.shown(deployment_id)[-1:] and self.shown(deployment_id)[-1] in final,
            lambda: f"GitHub shows {final}, not {self.shown(deployment_id)}\n{self.says()}",
            within_s,
        )
        return self.shown(deployment_id)

    # The command

    @property
    def executed(self) -> list[str]:
        """The numbers of the deploys whose HELD command was executed, in order."""
        with suppress(FileNotFoundError):
            return (self.folder / "executed").read_text().split()
        return []

    async def command_pid(self, number: int = 1) -> int:
        """The pid of the HELD command, once it runs."""
        await until(lambda: self.executed[-1:] == [str(number)], lambda: f"command {number} runs\n{self.says()}")
        await until(lambda: f"begun {number}" in self.spooled(), "the command has written")
        return int((self.folder / "pid").read_text())

    def spooled(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*/**/output"))

    def go(self) -> None:
        (self.folder / "go").touch()

    def says(self) -> str:
        """The last words of every process, for a failed test."""
        children = [child for child in (self.app, *self.extra) if child]
        return "\n".join(f"--- {child.name}\n{child.last_lines(12)}" for child in children)


@asynccontextmanager
async def world_in(folder: Path, database_url: str, *, via: str = "github", **settings: str) -> AsyncIterator[World]:
    """A repository at this provider; app and runner are started by the test."""
    url = f"http://127.0.0.1:{free_port()}"
    async with HOSTS[via](folder, url) as (host, of_the_host), aiohttp.ClientSession() as session:
        app_settings = {
            "PORT": url.rpartition(":")[2],
            "KEDGE_URL": url,
            "KEDGE_DATA": str(folder / "data"),
            "DATABASE_URL": database_url,
            "KEDGE_APPS": str(folder / "apps.yml"),
            "KEDGE_ADMIN_TOKEN": ADMIN,
            "KEDGE_RUNNER_TOKEN": RUNNER,
            **of_the_host,
            **settings,
        }
        runner_settings = {"KEDGE_URL": url, "KEDGE_RUNNER_TOKEN": RUNNER}
        world = World(
            folder=folder,
            host=host,
            session=session,
            database_url=database_url,
            url=url,
            settings=app_settings,
            runner_settings=runner_settings,
        )
        world.config(CONFIG)
        try:
            yield world
        finally:
            await world.clean_up()


@asynccontextmanager
async def _on_github(folder: Path, url: str) -> AsyncIterator[tuple[Host, dict[str, str]]]:
    """Sandbox GitHub with a repository and an installed App.

    Its API is below ``/api/v3`` alone, as at an Enterprise server; github.com's shape is used by
    ``tests/integration/test_sandbox*``.
    """
    async with Sandbox(folder / "github", enterprise=True) as github:
        github.add_repository(REPOSITORY, private=True)
        # Before the App is installed: nothing is told of it, however soon the app begins to listen.
        github.commit(REPOSITORY, "main", FIRST)
        github.set_permission(REPOSITORY, "ana", "write")
        callback = f"{url}/auth/github/callback"
        keys = github.add_app(owner="acme", webhook_url=f"{url}/webhooks/github", callback_urls=[callback])
        github.install(keys.id, [REPOSITORY])
        yield (
            OnGitHub(github),
            {
                "GITHUB_APP_ID": str(keys.id),
                "GITHUB_PRIVATE_KEY": keys.private_key,
                "GITHUB_WEBHOOK_SECRET": keys.webhook_secret,
                "GITHUB_API_URL": github.api_url,
                "GITHUB_CLIENT_ID": keys.client_id,
                "GITHUB_CLIENT_SECRET": keys.client_secret,
            },
        )


@asynccontextmanager
async def _on_git(folder: Path, url: str) -> AsyncIterator[tuple[Host, dict[str, str]]]:
    host = OnGit(folder / "repositories")
    host.commit("main", FIRST)
    yield host, {}


HOSTS: dict[str, Callable[[Path, str], AbstractAsyncContextManager[tuple[Host, dict[str, str]]]]] = {
    "github": _on_github,
    "git": _on_git,
}

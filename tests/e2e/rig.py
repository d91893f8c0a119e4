"""The whole thing with real processes: sandbox GitHub here, app and runner as processes of their own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from ghapp.sandbox.children import Child, free_port
from ghapp.sandbox.server import Sandbox

REPOSITORY = "acme/hello"
ADMIN = "admin-token-for-the-tests-000000"
RUNNER = "runner-token-for-the-tests-00000"
WITHIN_S = 30.0
FINAL = {"succeeded", "failed", "errored", "cancelled", "rejected"}

CONFIG = """
hello:
  repository: acme/hello
  deploy: "sh ./deploy.sh {env} {sha}"
  grace: 1s
  environments:
    staging: {}
    production: {checks: [ci]}
"""


async def until(true: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
    """Wait for a condition; what it gave. ``true`` may be a coroutine function."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                value = true()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"did not happen within {within_s:.0f} s: {what}") from None


@dataclass
class World:
    """Drives GitHub, app and runner, and asks what people would see."""

    folder: Path
    github: Sandbox
    session: aiohttp.ClientSession
    database_url: str
    url: str
    settings: dict[str, str]
    runner_settings: dict[str, str]
    app: Child | None = None
    runner: Child | None = None
    extra: list[Child] = field(default_factory=list)

    # Processes

    async def start_app(self, **settings: str) -> None:
        self.app = Child("app", "ghapp", ["serve"], {**self.settings, **settings}, self.folder / "app.log")
        await self.app.start()
        await until(self._answers, f"the app answers; it says:\n{self.app.last_lines()}")

    async def _answers(self) -> bool:
        assert self.app and self.app.ended is None, self.app and self.app.last_lines()
        with suppress(aiohttp.ClientError):
            async with self.session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        return False

    async def start_runner(self, name: str = "r1", workdir: str = "work", **settings: str) -> Child:
        wanted = {**self.runner_settings, "KEDGE_RUNNER_NAME": name, "KEDGE_WORKDIR": str(self.folder / workdir)}
        runner = Child(name, "runner", [], {**wanted, **settings}, self.folder / f"{name}.log")
        await runner.start()
        self.extra.append(runner)
        self.runner = runner
        return runner

    async def kill(self, child: Child | None) -> None:
        """SIGKILL, and wait until it is gone."""
        assert child and child.pid
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()

    # GitHub

    def config(self, text: str) -> None:
        (self.folder / "apps.yml").write_text(text)

    def script(self, text: str, branch: str = "main") -> str:
        """Make this the deploy script of a new commit; its sha."""
        return self.github.commit(REPOSITORY, branch, {"deploy.sh": text})

    def deploy(self, environment: str = "staging", **asked: Any) -> int:
        return self.github.create_deployment(REPOSITORY, environment=environment, **asked).id

    def shown(self, deployment_id: int) -> list[str]:
        return [status.state for status in self.github.statuses(deployment_id)]

    # People

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path, headers={"Authorization": f"Bearer {ADMIN}"}) as response:
            assert response.status == 200, (path, response.status, await response.text())
            return await response.json()

    async def deploys(self) -> list[dict[str, Any]]:
        """Every deploy, oldest first."""
        listed = await self.get("/api/0/hello/deploys?limit=200")
        return sorted(listed["items"], key=lambda one: int(one["number"]))

    async def number(self, number: int) -> dict[str, Any]:
        found = await self.get(f"/api/0/hello/deploys/{number}")
        assert isinstance(found, dict)
        return found

    async def cancel(self, number: int) -> tuple[int, Any]:
        url = f"{self.url}/api/0/hello/deploys/{number}/cancel"
        async with self.session.post(url, headers={"Authorization": f"Bearer {ADMIN}"}) as response:
            return response.status, await response.json()

    async def log(self, number: int) -> str:
        url = f"{self.url}/api/0/hello/deploys/{number}/log"
        async with self.session.get(url, headers={"Authorization": f"Bearer {ADMIN}"}) as response:
            return await response.text()

    async def in_state(self, number: int, *states: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Wait until the deploy exists and is in one of the states."""
        last: dict[str, Any] = {}

        async def there() -> dict[str, Any] | None:
            with suppress(aiohttp.ClientError):
                found = [one for one in await self.deploys() if one["number"] == number]
                last.update(found[0] if found else {})
                return found[0] if found and found[0]["state"] in states else None
            return None

        try:
            found = await until(there, f"hello#{number} is {' or '.join(states)}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}\n{self.says()}") from None
        assert isinstance(found, dict)
        return found

    async def ended(self, number: int, within_s: float = WITHIN_S) -> dict[str, Any]:
        return await self.in_state(number, *FINAL, within_s=within_s)

    async def shows(self, deployment_id: int, *final: str, within_s: float = WITHIN_S) -> list[str]:
        """Wait until GitHub shows one of these as the newest status; all states in order."""
        await until(
            lambda: self.shown(deployment_id)[-1:] and self.shown(deployment_id)[-1] in final,
            f"GitHub shows {final}, not {self.shown(deployment_id)}\n{self.says()}",
            within_s,
        )
        return self.shown(deployment_id)

    def says(self) -> str:
        """The last words of every process, for a failed test."""
        children = [child for child in (self.app, *self.extra) if child]
        return "\n".join(f"--- {child.name}\n{child.last_lines(12)}" for child in children)


@asynccontextmanager
async def world_in(folder: Path, database_url: str, **settings: str) -> AsyncIterator[World]:
    """Sandbox GitHub with a repository and an installed App; app and runner are started by the test."""
    url = f"http://127.0.0.1:{free_port()}"
    async with Sandbox(folder / "github") as github, aiohttp.ClientSession() as session:
        github.add_repository(REPOSITORY, private=True)
        github.set_permission(REPOSITORY, "ana", "write")
        keys = github.add_app(owner="acme", webhook_url=f"{url}/webhooks/github")
        github.install(keys.id, [REPOSITORY])
        (folder / "apps.yml").write_text(CONFIG)
        app_settings = {
            "PORT": url.rpartition(":")[2],
            "KEDGE_URL": url,
            "KEDGE_DATA": str(folder / "data"),
            "DATABASE_URL": database_url,
            "KEDGE_APPS": str(folder / "apps.yml"),
            "KEDGE_ADMIN_TOKEN": ADMIN,
            "KEDGE_RUNNER_TOKEN": RUNNER,
            "GITHUB_APP_ID": str(keys.id),
            "GITHUB_PRIVATE_KEY": keys.private_key,
            "GITHUB_WEBHOOK_SECRET": keys.webhook_secret,
            "GITHUB_API_URL": github.api_url,
            **settings,
        }
        runner_settings = {"KEDGE_URL": url, "KEDGE_RUNNER_TOKEN": RUNNER}
        world = World(folder, github, session, database_url, url, app_settings, runner_settings)
        world.script('echo "deploying $2 to $1"\n')
        try:
            yield world
        finally:
            for child in [*world.extra, world.app]:
                if child:
                    await child.stop(patience_s=5)

"""``kedge demo``: a repository, the app and a runner on loopback, and a first deploy through all of them."""

import asyncio
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from ghapp.sandbox.children import Child, free_port
from ghapp.sandbox.demo_git import on_git
from ghapp.sandbox.demo_github import on_github
from ghapp.sandbox.follow import Follower

APP = "hello"
ENVIRONMENT = "production"
READY_WITHIN_S = 60.0
DEPLOY_WITHIN_S = 120.0


def say(text: str) -> None:
    print(text, flush=True)


class Host(Protocol):
    """Where the demo's repository is, and how its deploys are asked for there."""

    def settings(self, target: Path, url: str) -> tuple[str, dict[str, str]]:
        """The application config, and what the app has to be told besides."""
        ...

    def about(self) -> list[str]:
        """Lines that say where it is."""
        ...

    def sha(self) -> str: ...

    async def ask(self, house: "House") -> None:
        """Ask for the first deploy, and say so."""
        ...

    async def shown(self, house: "House") -> str | None:
        """What is shown of the first deploy, said; the address of its log if that is a success."""
        ...

    def to_try(self, house: "House") -> str: ...


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs, and where."""

    folder: Path
    host: Host
    app: Child
    runner: Child
    url: str
    admin_token: str
    session: aiohttp.ClientSession

    def say(self, text: str) -> None:
        say(text)

    @property
    def target(self) -> Path:
        return self.folder / "target"


def demo(*, folder: Path | None, once: bool, via: str) -> int:
    """Run the demo with this provider; the exit code. A folder that was not asked for is removed at the end, unless
    ``once``."""
    chosen = folder or Path(tempfile.mkdtemp(prefix="kedge-demo-"))
    try:
        return asyncio.run(_demo(chosen.resolve(), once=once, via=via))
    except KeyboardInterrupt:
        return 130
    finally:
        if folder is None and not once:
            shutil.rmtree(chosen, ignore_errors=True)


async def _demo(folder: Path, *, once: bool, via: str) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    say(f"Everything is written to {folder}")
    async with _house(folder, via) as house:
        if not await _ready(house, stop):
            return 1
        follower = Follower(house.session, house.url, APP, say)
        following = asyncio.create_task(follower.run())
        try:
            succeeded = await _first_deploy(house, follower, stop)
            if not once and not stop.is_set():
                say(house.host.to_try(house))
                await stop.wait()
                say("\nEnding.")
            return 0 if succeeded or not once else 1
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await following


@asynccontextmanager
async def _house(folder: Path, via: str) -> AsyncIterator[House]:
    for name in ("app", "runner", "target"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    tokens = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    async with HOSTS[via](folder) as host, aiohttp.ClientSession() as session:
        settings = _app_settings(folder, host, url, tokens)
        app = Child("app", "ghapp", ["serve"], settings, folder / "app" / "log")
        runner = Child("runner", "runner", [], _runner_settings(folder, url, tokens[1]), folder / "runner" / "log")
        house = House(folder, host, app, runner, url, tokens[0], session)
        try:
            await app.start()
            await runner.start()
            yield house
        finally:
            await _cancel_running(house)
            await runner.stop(patience_s=10)
            await app.stop(patience_s=10)


def _app_settings(folder: Path, host: Host, url: str, tokens: tuple[str, str]) -> dict[str, str]:
    text, of_the_host = host.settings(folder / "target", url)
    apps = folder / "apps.yml"
    apps.write_text(text)
    return {
        "PORT": url.rpartition(":")[2],
        "KEDGE_URL": url,
        "KEDGE_DATA": str(folder / "app"),
        "KEDGE_APPS": str(apps),
        "KEDGE_ADMIN_TOKEN": tokens[0],
        "KEDGE_RUNNER_TOKEN": tokens[1],
        "KEDGE_ANONYMOUS_READ": "1",
        **of_the_host,
    }


def _runner_settings(folder: Path, url: str, token: str) -> dict[str, str]:
    return {
        "KEDGE_URL": url,
        "KEDGE_RUNNER_TOKEN": token,
        "KEDGE_RUNNER_NAME": "demo-runner",
        "KEDGE_WORKDIR": str(folder / "runner" / "work"),
    }


async def _ready(house: House, stop: asyncio.Event) -> bool:
    """Wait until the app answers; say why where it does not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while not stop.is_set():
                for child in (house.app, house.runner):
                    if child.ended is not None:
                        say(f"The {child.name} ended with exit code {child.ended}:\n{child.last_lines()}")
                        return False
                with suppress(aiohttp.ClientError):
                    async with house.session.get(f"{house.url}/readyz") as response:
                        if response.status == 200:
                            return True
                await asyncio.sleep(0.05)
    if not stop.is_set():
        say(f"The app did not answer within {READY_WITHIN_S:.0f} s:\n{house.app.last_lines()}")
    return False


async def _first_deploy(house: House, follower: Follower, stop: asyncio.Event) -> bool:
    """Did it truly succeed?"""
    for line in house.host.about():
        say(line)
    say(f"Kedge           {house.url}/{APP}")
    say(f"target folder   {house.target}")
    await house.host.ask(house)
    ended, stopped = (asyncio.create_task(event.wait()) for event in (follower.ended, stop))
    await asyncio.wait({ended, stopped}, timeout=DEPLOY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, stopped):
        task.cancel()
    if stop.is_set():
        return False
    if not follower.ended.is_set():
        say(f"It has not ended after {DEPLOY_WITHIN_S:.0f} s; the runner says:\n{house.runner.last_lines()}")
        return False
    return await _truly_succeeded(house)


async def _truly_succeeded(house: House) -> bool:
    """Ask the host, the page and the target, not Kedge alone."""
    log_url, sha = await house.host.shown(house), house.host.sha()
    say(f"its log         {log_url}")
    live = house.target / ENVIRONMENT / "current" / "REVISION"
    deployed = live.read_text().strip() if live.is_file() else "nothing"
    say(f"live            {live.parent} is {deployed[:7]}")
    if not log_url or deployed != sha:
        say("It did not succeed.")
        return False
    async with house.session.get(log_url) as response:
        page = await response.text()
    if response.status != 200 or f"serves {sha}" not in page:
        say(f"The page {log_url} does not show the log.")
        return False
    return True


async def _cancel_running(house: House) -> None:
    """Commands outlive their runner by design; those of the demo are not to outlive the demo."""
    headers = {"Authorization": f"Bearer {house.admin_token}"}
    with suppress(aiohttp.ClientError, OSError):
        async with house.session.get(f"{house.url}/api/0/{APP}/deploys?limit=50") as response:
            listed = await response.json()
        for deploy in listed["items"]:
            if deploy["state"] in {"queued", "claimed", "running"}:
                path = f"{house.url}/api/0/{APP}/deploys/{deploy['number']}/cancel"
                async with house.session.post(path, headers=headers):
                    pass


HOSTS: dict[str, Callable[[Path], AbstractAsyncContextManager[Host]]] = {"github": on_github, "git": on_git}

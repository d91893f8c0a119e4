"""``kedge demo``: a sandbox GitHub, the app and a runner on loopback, and a first deploy through all of them."""

import asyncio
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ghapp.sandbox.children import Child, free_port
from ghapp.sandbox.follow import Follower
from ghapp.sandbox.server import Sandbox

REPOSITORY = "acme/hello"
APP = "hello"
ENVIRONMENT = "production"
READY_WITHIN_S = 60.0
DEPLOY_WITHIN_S = 120.0
APPS = """\
# The application config of the demo. Change it: the app reads it again.
hello:
  repository: acme/hello
  deploy: "./deploy.sh {{env}} {{sha}}"
  checks: [ci]
  env: {{DEPLOY_TARGET: {target}}}
  environments:
    production: {{}}
    staging: {{}}
"""

TRY = """
Three things to try, each by copy and paste into another terminal:

1. Deploy again, as Hubot would, through GitHub's REST API:
   curl -H 'Authorization: Bearer {token}' {github}/repos/acme/hello/deployments \\
     -d '{{"ref": "main", "environment": "staging", "auto_merge": false, "required_contexts": []}}'

2. A red check: a new commit whose check fails is rejected.
   curl {github}/_sandbox/repos/acme/hello/commits -d path=site/red.html -d content=red
   curl {github}/_sandbox/repos/acme/hello/statuses -d context=ci -d state=failure
   curl {github}/_sandbox/repos/acme/hello/deployments -d environment=production

3. A pending check: the deploy waits, says for what, and starts as soon as the check turns green.
   curl {github}/_sandbox/repos/acme/hello/commits -d path=site/new.html -d content=new
   curl {github}/_sandbox/repos/acme/hello/statuses -d context=ci -d state=pending
   curl {github}/_sandbox/repos/acme/hello/deployments -d environment=production
   curl {github}/_sandbox/repos/acme/hello/statuses -d context=ci -d state=success

Ctrl-C ends everything and removes the folder.
"""


def say(text: str) -> None:
    print(text, flush=True)


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs, and where."""

    folder: Path
    github: Sandbox
    app: Child
    runner: Child
    url: str
    admin_token: str
    session: aiohttp.ClientSession

    @property
    def target(self) -> Path:
        return self.folder / "target"


def demo(*, folder: Path | None, once: bool) -> int:
    """Run the demo; the exit code. A folder that was not asked for is removed at the end, unless ``once``."""
    chosen = folder or Path(tempfile.mkdtemp(prefix="kedge-demo-"))
    try:
        return asyncio.run(_demo(chosen.resolve(), once=once))
    except KeyboardInterrupt:
        return 130
    finally:
        if folder is None and not once:
            shutil.rmtree(chosen, ignore_errors=True)


async def _demo(folder: Path, *, once: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    say(f"Everything is written to {folder}")
    async with _house(folder) as house:
        if not await _ready(house, stop):
            return 1
        follower = Follower(house.session, house.url, APP, say)
        following = asyncio.create_task(follower.run())
        try:
            succeeded = await _first_deploy(house, follower, stop)
            if not once and not stop.is_set():
                say(TRY.format(token=house.github.personal_token("ana"), github=house.github.url))
                await stop.wait()
                say("\nEnding.")
            return 0 if succeeded or not once else 1
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await following


@asynccontextmanager
async def _house(folder: Path) -> AsyncIterator[House]:
    for name in ("github", "app", "runner", "target"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    tokens = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    async with Sandbox(folder / "github") as github, aiohttp.ClientSession() as session:
        settings = _app_settings(folder, github, url, tokens)
        app = Child("app", "ghapp", ["serve"], settings, folder / "app" / "log")
        runner = Child("runner", "runner", [], _runner_settings(folder, url, tokens[1]), folder / "runner" / "log")
        house = House(folder, github, app, runner, url, tokens[0], session)
        try:
            await app.start()
            await runner.start()
            yield house
        finally:
            await _cancel_running(house)
            await runner.stop(patience_s=10)
            await app.stop(patience_s=10)


def _app_settings(folder: Path, github: Sandbox, url: str, tokens: tuple[str, str]) -> dict[str, str]:
    github.add_repository(REPOSITORY, private=True)
    github.set_permission(REPOSITORY, "ana", "write")
    github.set_status(REPOSITORY, "main", "ci", "success")
    callback = f"{url}/auth/github/callback"
    keys = github.add_app(owner="acme", webhook_url=f"{url}/webhooks/github", callback_urls=[callback])
    github.install(keys.id, [REPOSITORY])
    apps = folder / "apps.yml"
    apps.write_text(APPS.format(target=folder / "target"))
    return {
        "PORT": url.rpartition(":")[2],
        "KEDGE_URL": url,
        "KEDGE_DATA": str(folder / "app"),
        "KEDGE_APPS": str(apps),
        "KEDGE_ADMIN_TOKEN": tokens[0],
        "KEDGE_RUNNER_TOKEN": tokens[1],
        "KEDGE_ANONYMOUS_READ": "1",
        "GITHUB_APP_ID": str(keys.id),
        "GITHUB_PRIVATE_KEY": keys.private_key,
        "GITHUB_WEBHOOK_SECRET": keys.webhook_secret,
        "GITHUB_API_URL": github.api_url,
        "GITHUB_CLIENT_ID": keys.client_id,
        "GITHUB_CLIENT_SECRET": keys.client_secret,
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
    """Create a deployment through GitHub's REST API, as Hubot would; did it truly succeed?"""
    sha = house.github.sha(REPOSITORY)
    say(f"sandbox GitHub  {house.github.url}")
    say(f"Kedge           {house.url}/{APP}")
    say(f"target folder   {house.target}")
    deployment_id = await _create_deployment(house)
    say(f"GitHub          deployment {deployment_id} of {REPOSITORY} {sha[:7]} to {ENVIRONMENT} created")
    telling = asyncio.create_task(_tell_delivery(house))
    ended, stopped = (asyncio.create_task(event.wait()) for event in (follower.ended, stop))
    await asyncio.wait({ended, stopped}, timeout=DEPLOY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    for task in (telling, ended, stopped):
        task.cancel()
    if stop.is_set():
        return False
    if not follower.ended.is_set():
        say(f"It has not ended after {DEPLOY_WITHIN_S:.0f} s; the runner says:\n{house.runner.last_lines()}")
        return False
    return await _truly_succeeded(house, deployment_id, sha)


async def _create_deployment(house: House) -> int:
    asked = {
        "ref": "main",
        "environment": ENVIRONMENT,
        "task": "deploy",
        "auto_merge": False,
        "required_contexts": [],
        "payload": {"name": APP, "robotName": "hubot", "notify": {"room": "ops", "user": "ana"}},
    }
    headers = {"Authorization": f"Bearer {house.github.personal_token('ana')}"}
    url = f"{house.github.url}/repos/{REPOSITORY}/deployments"
    async with house.session.post(url, json=asked, headers=headers, raise_for_status=True) as response:
        return int((await response.json())["id"])


async def _tell_delivery(house: House) -> None:
    """Say when GitHub's delivery has been stored."""
    while True:
        for delivery in house.github.hooks.log:
            if delivery.event == "deployment" and delivery.status_code:
                stored = "stored" if delivery.status_code == 202 else f"answered {delivery.status_code}"
                say(f"GitHub          delivery {delivery.guid} {stored}")
                return
        await asyncio.sleep(0.01)


async def _truly_succeeded(house: House, deployment_id: int, sha: str) -> bool:
    """Ask GitHub, the page and the target, not Kedge alone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not _final(house, deployment_id):
                await asyncio.sleep(0.05)
    statuses = house.github.statuses(deployment_id)
    say(f"GitHub shows    {' → '.join(status.state for status in statuses)}")
    log_url = statuses[-1].log_url if statuses else ""
    say(f"its log         {log_url}")
    live = house.target / ENVIRONMENT / "current" / "REVISION"
    deployed = live.read_text().strip() if live.is_file() else "nothing"
    say(f"live            {live.parent} is {deployed[:7]}")
    if not statuses or statuses[-1].state != "success" or not log_url or deployed != sha:
        say("It did not succeed.")
        return False
    async with house.session.get(log_url) as response:
        page = await response.text()
    if response.status != 200 or f"serves {sha}" not in page:
        say(f"The page {log_url} does not show the log.")
        return False
    return True


def _final(house: House, deployment_id: int) -> bool:
    states = [status.state for status in house.github.statuses(deployment_id)]
    return states[-1:] in (["success"], ["failure"], ["error"])


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

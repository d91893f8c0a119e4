"""Everything a runner needs around it, as small as can be: an app, a GitHub, a repository, a work folder."""

import asyncio
import hashlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ghapp import wire
from ghapp.vcs.session import open_session
from runner import processes, secrets
from runner.backoff import Pace
from runner.client import AppClient
from runner.journal import Journal
from runner.secrets import Bindings, Secrets
from runner.slots import run
from runner.tools import Tools
from runner.workspace import Workspaces
from tests.integration import fake_app, fake_github
from tests.integration.fake_app import RUNNER_TOKEN, Deploy, FakeApp
from tests.integration.fake_github import REPO_TOKEN, FakeGitHub

PATIENCE_S = 0.5
QUICK = Pace(
    first_s=0.02,
    most_s=0.1,
    beat_most_s=0.1,
    poll_s=0.01,
    small_chunks_s=0.02,
    beat_apart_s=0.02,
    sweep_again_s=0.1,
    claim_wait_s=0.2,
)


async def until(condition: Callable[[], object], what: str = "", within_s: float = 30) -> None:
    """Wait for something to become true."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"did not happen: {what or condition}"
        await asyncio.sleep(0.01)


@dataclass
class World:
    app: FakeApp
    github: FakeGitHub
    repo: Path
    folder: Path
    sha: str
    apps: tuple[str, ...] | None = None
    shared: tuple[str, ...] = ()
    bindings: Bindings = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ) | {"KEDGE_RUNNER_TOKEN": RUNNER_TOKEN})
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def workdir(self) -> Path:
        return self.folder / "work"

    @property
    def journal(self) -> list[str]:
        """What the runner still owes somebody."""
        folder = self.workdir / "journal"
        names = [path.name for path in folder.iterdir()] if folder.exists() else []
        return [name for name in names if not name.startswith(".")]

    def job(self, command: str, **other: Any) -> wire.Job:
        number = next(self.ids)
        values: dict[str, Any] = {
            "id": number,
            "app": "sentry",
            "number": number,
            "environment": f"env{number}",
            "task": "deploy",
            "sha": self.sha,
            "ref": "main",
            "user": "alice",
            "door": "github",
            "forced_by": None,
            "forced": [],
            "repository": wire.WireRepository(
                id=1,
                full_name="getsentry/sentry",
                clone_url=f"file://{self.repo}",
                provider="github",
                api_url=self.github.url,
            ),
            "deployment_id": 4711,
            "command": command,
            "variables": {"KEDGE_APP": "sentry", "KEDGE_REF": "main"},
            "env": {"REGION": "eu-1"},
            "secrets": [],
            "checks": None,
            "own_checks": [],
            "checks_newest": [],
            "check_counter": 3,
            "timeout": 60,
            "silence": None,
            "grace": 1,
            "log_limit": 1 << 30,
            "previous_sha": None,
            "log_url": "https://kedge.example.com/sentry/deploys/7",
            "defined_in": "operator",
            "lease": "",
            "beat_s": 0.2,
            "repo_token": wire.WireToken(value=REPO_TOKEN, expires_at="2026-11-23T18:00:00Z"),
        }
        return wire.Job(**values | other)

    def wait_for(self, name: str) -> str:
        """Shell that waits for a file in the folder."""
        return f"while [ ! -e {self.folder}/{name} ]; do sleep 0.02; done"

    def times(self, name: str) -> int:
        """How often a command has run `tally` of that name."""
        path = self.folder / name
        return len(path.read_text()) if path.exists() else 0

    def tally(self, name: str = "runs") -> str:
        """Shell that counts how often it runs."""
        return f"printf x >> {self.folder}/{name}"

    def ask(self, command: str, **other: Any) -> Deploy:
        """A deploy that waits for a runner."""
        return self.app.add(self.job(command, **other))

    @asynccontextmanager
    async def running(self, slots: int = 1) -> AsyncIterator["asyncio.Task[None]"]:
        """A runner in this process; it is cancelled at the end, as by a second SIGTERM."""
        async with open_session() as session:
            tools = Tools(
                name="box",
                labels=(),
                apps=self.apps,
                shared=self.shared,
                environ=self.environ,
                session=session,
                client=AppClient(session, self.app.url, RUNNER_TOKEN, PATIENCE_S),
                journal=Journal(self.workdir),
                workspaces=Workspaces(self.workdir, environ=self.environ),
                providers=self.workdir / "providers",
                secrets=Secrets(self.bindings, self.environ),
                pace=QUICK,
            )
            task = asyncio.ensure_future(run(tools, slots, self.stopping))
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def ended(self, deploy: Deploy) -> None:
        """Until it has ended and the runner owes nothing."""
        await until(lambda: deploy.terminal or deploy.state == "queued-later", f"the end of {deploy.state}")
        await until(lambda: not self.journal, "an empty journal")

    async def see_through(self, command: str, **other: Any) -> Deploy:
        """Ask for a deploy and have a runner bring it to its end."""
        deploy = self.ask(command, **other)
        async with self.running():
            await self.ended(deploy)
        return deploy

    async def process(self, **environ: str) -> asyncio.subprocess.Process:
        """A runner as a process of its own."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runner",
            env=self.environ
            | {"KEDGE_URL": self.app.url, "KEDGE_WORKDIR": str(self.workdir), "KEDGE_RUNNER_NAME": "box"}
            | environ,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process


def bind(world: World, text: str) -> Path:
    """Have the runner's KEDGE_SECRETS say this."""
    path = world.folder / "secrets.yml"
    path.write_text(text)
    path.chmod(0o600)
    world.bindings = secrets.load(path)
    return path


async def killed(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()


def make_repository(path: Path) -> str:
    """A repository with one commit; its sha."""
    path.mkdir()
    (path / "deploy.sh").write_text("echo deploying\n")
    who = {f"GIT_{role}_{what}": "ada@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", **who}
    for step in ("init -q -b main", "add .", "commit -q -m first"):
        subprocess.run(["git", *step.split()], cwd=path, env=clean, check=True)
    shown = subprocess.run(["git", "rev-parse", "HEAD"], cwd=path, env=clean, check=True, capture_output=True)
    return shown.stdout.decode().strip()


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A world whose app accepts no breach of the protocol."""
    repo = folder / "repo"
    sha = make_repository(repo)
    async with fake_app.serving() as app, fake_github.serving() as github:
        made = World(app, github, repo, folder, sha)
        try:
            yield made
        finally:
            for process in made.processes:
                if process.returncode is None:
                    await killed(process)
            for deploy in app.deploys.values():
                await processes.sweep(f"{deploy.job.id}-{hashlib.sha256(deploy.lease.encode()).hexdigest()[:12]}")
    assert app.breaches == [], app.breaches

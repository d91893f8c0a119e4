"""Where the repository of the end-to-end tests is: a sandbox GitHub, or nowhere but in a folder."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ghapp.core.values import STATUS_OF, State
from ghapp.sandbox.server import Sandbox
from tests.e2e.people import AS_ADMIN

if TYPE_CHECKING:
    from tests.e2e.rig import World

REPOSITORY = "acme/hello"
FIRST = {"deploy.sh": 'echo "deploying $2 to $1"\n'}


class Host(Protocol):
    """``source``: how an app's config names the repository, as lines of a mapping."""

    source: str

    def sha(self, branch: str = "main") -> str: ...

    def commit(self, branch: str, files: dict[str, str]) -> str: ...

    def check(self, name: str, state: str, url: str | None = None, branch: str = "main") -> None:
        """Something has judged the head of the branch."""
        ...

    async def ask(self, world: "World", environment: str) -> int:
        """Ask for a deploy of main; what `states` and `said` know it by."""
        ...

    async def states(self, world: "World", asked: int) -> list[str]:
        """What is shown of it one after the other, in GitHub's words."""
        ...

    async def said(self, world: "World", asked: int) -> list[tuple[str, str]]:
        """Descriptions, each with the address of the log."""
        ...


class OnGitHub:
    source = f"repository: {REPOSITORY}"

    def __init__(self, github: Sandbox) -> None:
        self.github = github

    def sha(self, branch: str = "main") -> str:
        return self.github.sha(REPOSITORY, branch)

    def commit(self, branch: str, files: dict[str, str]) -> str:
        return self.github.commit(REPOSITORY, branch, files)

    def check(self, name: str, state: str, url: str | None = None, branch: str = "main") -> None:
        if url:
            self.github.set_status(REPOSITORY, branch, name, state, target_url=url)
        else:
            self.github.set_check_run(REPOSITORY, branch, name, state)

    async def ask(self, world: "World", environment: str) -> int:
        return self.github.create_deployment(REPOSITORY, environment=environment).id

    async def states(self, world: "World", asked: int) -> list[str]:
        return [status.state for status in self.github.statuses(asked)]

    async def said(self, world: "World", asked: int) -> list[tuple[str, str]]:
        return [(one.description or "", one.log_url or "") for one in self.github.statuses(asked)]


class OnGit:
    """A bare repository, and a clone in which people commit. Checks are files that a command reads, one a commit."""

    def __init__(self, folder: Path) -> None:
        self._bare, self._work, self._checks = folder / "hello.git", folder / "hello", folder / "checks"
        self._checks.mkdir(parents=True)
        command = f"cat {self._checks}/{{sha}} 2>/dev/null || true"
        self.source = f'via: git\n  repository: {self._bare}\n  checks_command: "{command}"'
        self._git("init", "-q", "--bare", "-b", "main", str(self._bare))
        self._git("clone", "-q", str(self._bare), str(self._work))
        for name, value in (("user.name", "Ana"), ("user.email", "ana@example.com")):
            self._here("config", name, value)
        self._here("checkout", "-q", "-b", "main")
        self._here("commit", "-q", "--allow-empty", "-m", "First commit")

    def sha(self, branch: str = "main") -> str:
        return self._git("-C", str(self._bare), "rev-parse", branch)

    def commit(self, branch: str, files: dict[str, str]) -> str:
        self._here("checkout", "-q", branch)
        for path, text in files.items():
            (self._work / path).write_text(text)
        self._here("add", "-A")
        self._here("commit", "-q", "--allow-empty", "-m", "Change something")
        self._here("push", "-q", "origin", branch)
        return self.sha(branch)

    def check(self, name: str, state: str, url: str | None = None, branch: str = "main") -> None:
        path = self._checks / self.sha(branch)
        known = path.read_text().splitlines() if path.exists() else []
        others = [line for line in known if line.split()[0] != name]
        path.write_text("\n".join([*others, f"{name} {state} {url or ''}".strip()]) + "\n")

    async def ask(self, world: "World", environment: str) -> int:
        url = f"{world.url}/api/0/hello/deploy?env={environment}&wait=true"
        async with world.session.post(url, headers=AS_ADMIN) as response:
            assert response.status == 201, await response.text()
            return int((await response.json())["number"])

    async def states(self, world: "World", asked: int) -> list[str]:
        kinds = {"asked": "queued", "claimed": STATUS_OF[State.CLAIMED], "started": STATUS_OF[State.RUNNING]}
        kinds |= {state.value: STATUS_OF[state] for state in State if state.terminal}
        return [kinds[one["kind"]] for one in (await self._deploy(world, asked))["events"] if one["kind"] in kinds]

    async def said(self, world: "World", asked: int) -> list[tuple[str, str]]:
        deploy = await self._deploy(world, asked)
        return [(deploy["reason"] or "", deploy["url"])]

    async def _deploy(self, world: "World", number: int) -> dict[str, Any]:
        found = await world.get(f"/api/0/hello/deploys/{number}")
        assert isinstance(found, dict)
        return found

    def _here(self, *args: str) -> None:
        self._git("-C", str(self._work), *args)

    def _git(self, *args: str) -> str:
        return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()

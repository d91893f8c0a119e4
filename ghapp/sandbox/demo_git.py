"""The demo on a repository that is only there: no host, no events. Deploys are asked for through Kedge's API."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ghapp.sandbox.box import SAMPLE
from ghapp.sandbox.code import read_folder

if TYPE_CHECKING:
    from ghapp.sandbox.demo import House

APPS = """\
# The application config of the demo. Change it: the app reads it again.
hello:
  via: git
  repository: {repository}
  deploy: "./deploy.sh {{env}} {{sha}}"
  checks_command: "cat {checks}"
  env: {{DEPLOY_TARGET: {target}}}
  environments:
    production: {{}}
    staging: {{auto: {{branch: main, after: push}}}}
"""

TRY = """
Three things to try, each by copy and paste into another terminal:

1. Push: the branch is looked at every 15 s, and staging deploys it by itself.
   git -C {work} commit --allow-empty -qm "Change nothing" && git -C {work} push -q

2. A red check: what the checks_command says holds production back.
   echo 'ci failure' > {checks}
   curl -H 'Authorization: Bearer {token}' -X POST '{url}/api/0/hello/deploy?env=production'

3. A pending check: the deploy waits, says for what, and starts when the check is green.
   echo 'ci pending' > {checks}
   curl -H 'Authorization: Bearer {token}' -X POST '{url}/api/0/hello/deploy?env=production'
   echo 'ci success' > {checks}

Ctrl-C ends everything and removes the folder.
"""


class OnGit:
    """See `ghapp.sandbox.demo.Host`. The repository is bare; ``work`` is somebody's clone of it."""

    def __init__(self, folder: Path) -> None:
        self._repository = folder / "hello.git"
        self._work = folder / "hello"
        self._checks = folder / "checks"

    def make(self) -> None:
        self._checks.write_text("ci success\n")
        self._git("init", "-q", "--bare", "-b", "main", str(self._repository))
        self._git("clone", "-q", str(self._repository), str(self._work))
        for name, value in (("user.name", "Ana"), ("user.email", "ana@example.com")):
            self._git("-C", str(self._work), "config", name, value)
        for path, content in read_folder(SAMPLE).items():
            file = self._work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content or b"")
            file.chmod(0o755 if file.suffix == ".sh" else 0o644)
        for command in (["add", "-A"], ["commit", "-qm", "First commit"], ["push", "-q", "origin", "HEAD:main"]):
            self._git("-C", str(self._work), *command)

    def settings(self, target: Path, url: str) -> tuple[str, dict[str, str]]:
        return APPS.format(repository=self._repository, checks=self._checks, target=target), {}

    def about(self) -> list[str]:
        return [f"git repository  {self._repository}"]

    def sha(self) -> str:
        return self._git("-C", str(self._repository), "rev-parse", "main")

    async def ask(self, house: "House") -> None:
        headers = {"Authorization": f"Bearer {house.admin_token}"}
        url = f"{house.url}/api/0/hello/deploy?env=production"
        async with house.session.post(url, headers=headers, raise_for_status=True) as response:
            made = await response.json()
        house.say(f"Kedge           {made['app']}#{made['number']} of {made['sha'][:7]} to production is asked for")

    async def shown(self, house: "House") -> str | None:
        async with house.session.get(f"{house.url}/api/0/hello/deploys/1", raise_for_status=True) as response:
            deploy = await response.json()
        house.say(f"Kedge shows     {deploy['state']}")
        return str(deploy["url"]) if deploy["state"] == "succeeded" else None

    def to_try(self, house: "House") -> str:
        return TRY.format(work=self._work, checks=self._checks, token=house.admin_token, url=house.url)

    def _git(self, *args: str) -> str:
        return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


@asynccontextmanager
async def on_git(folder: Path) -> AsyncIterator[OnGit]:
    host = OnGit(folder)
    host.make()
    yield host

"""The demo on a sandbox GitHub: deploys are asked for as Hubot does, through GitHub's REST API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ghapp.sandbox.server import Sandbox

if TYPE_CHECKING:
    from ghapp.sandbox.demo import House

REPOSITORY = "acme/hello"
SHOWN_WITHIN_S = 30
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


class OnGitHub:
    """See `ghapp.sandbox.demo.Host`."""

    def __init__(self, github: Sandbox) -> None:
        self._github = github
        self._deployment_id = 0

    def settings(self, target: Path, url: str) -> tuple[str, dict[str, str]]:
        github = self._github
        github.add_repository(REPOSITORY, private=True)
        github.set_permission(REPOSITORY, "ana", "write")
        github.set_status(REPOSITORY, "main", "ci", "success")
        callback = f"{url}/auth/github/callback"
        keys = github.add_app(owner="acme", webhook_url=f"{url}/webhooks/github", callback_urls=[callback])
        github.install(keys.id, [REPOSITORY])
        return APPS.format(target=target), {
            "GITHUB_APP_ID": str(keys.id),
            "GITHUB_PRIVATE_KEY": keys.private_key,
            "GITHUB_WEBHOOK_SECRET": keys.webhook_secret,
            "GITHUB_API_URL": github.api_url,
            "GITHUB_CLIENT_ID": keys.client_id,
            "GITHUB_CLIENT_SECRET": keys.client_secret,
        }

    def about(self) -> list[str]:
        return [f"sandbox GitHub  {self._github.url}"]

    def sha(self) -> str:
        return self._github.sha(REPOSITORY)

    async def ask(self, house: "House") -> None:
        """Tells when GitHub's delivery is stored, too."""
        asked = {
            "ref": "main",
            "environment": "production",
            "task": "deploy",
            "auto_merge": False,
            "required_contexts": [],
            "payload": {"name": "hello", "robotName": "hubot", "notify": {"room": "ops", "user": "ana"}},
        }
        headers = {"Authorization": f"Bearer {self._github.personal_token('ana')}"}
        url = f"{self._github.url}/repos/{REPOSITORY}/deployments"
        async with house.session.post(url, json=asked, headers=headers, raise_for_status=True) as response:
            self._deployment_id = int((await response.json())["id"])
        what = f"deployment {self._deployment_id} of {REPOSITORY} {self.sha()[:7]} to production"
        house.say(f"GitHub          {what} created")
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_WITHIN_S):
                await self._tell_delivery(house)

    async def _tell_delivery(self, house: "House") -> None:
        while True:
            for delivery in self._github.hooks.log:
                if delivery.event == "deployment" and delivery.status_code:
                    stored = "stored" if delivery.status_code == 202 else f"answered {delivery.status_code}"
                    house.say(f"GitHub          delivery {delivery.guid} {stored}")
                    return
            await asyncio.sleep(0.01)

    async def shown(self, house: "House") -> str | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_WITHIN_S):
                while not self._final():
                    await asyncio.sleep(0.05)
        statuses = self._github.statuses(self._deployment_id)
        house.say(f"GitHub shows    {' → '.join(status.state for status in statuses)}")
        return statuses[-1].log_url if statuses and statuses[-1].state == "success" else None

    def _final(self) -> bool:
        states = [status.state for status in self._github.statuses(self._deployment_id)]
        return states[-1:] in (["success"], ["failure"], ["error"])

    def to_try(self, house: "House") -> str:
        return TRY.format(token=self._github.personal_token("ana"), github=self._github.url)


@asynccontextmanager
async def on_github(folder: Path) -> AsyncIterator[OnGitHub]:
    (folder / "github").mkdir(parents=True, exist_ok=True)
    async with Sandbox(folder / "github") as github:
        yield OnGitHub(github)

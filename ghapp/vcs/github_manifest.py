"""The App's manifest, and what GitHub gives for it: how the GitHub App is made by one click.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import json
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import aiohttp
import gidgethub
import msgspec

from ghapp.core.remote import RemoteError, Unavailable
from ghapp.core.settings import is_loopback, split_url
from ghapp.vcs.github_shapes import Id
from ghapp.vcs.github_transport import GitHubTransport

#: https://docs.github.com/en/apps/creating-github-apps/registering-a-github-app/registering-a-github-app
LONGEST_NAME = 34
#: Where deliveries go that nobody receives. GitHub keeps a list of them only while the hook is active and has an
#: address; this name never leads anywhere: https://www.rfc-editor.org/rfc/rfc2606#section-2
NOWHERE = "https://kedge.invalid/webhooks/github"

#: What each permission of the manifest is for, as the README and the page say it.
PURPOSES: dict[str, str] = {
    "checks": "hear of check runs and ask for their results: what a deploy waits for",
    "contents": "clone what is deployed, compare commits, read .github/kedge.yml, hear of pushes",
    "deployments": "hear of deployments, register Kedge's own, show their states",
    "issues": "hear of comments; say on an issue that commands belong on a pull request",
    "members": "tell who is in a team that an environment allows",
    "metadata": "see repositories and who may push to them; GitHub gives it to every App",
    "pull_requests": "answer commands in pull requests, by comment and reaction",
    "statuses": "ask for commit statuses; say on a commit that its .github/kedge.yml is broken",
}


class _Account(msgspec.Struct, kw_only=True):
    login: str | None = None
    slug: str | None = None


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """The new App: https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest"""

    id: Id
    slug: str
    html_url: str
    pem: str
    owner: _Account
    client_id: str
    client_secret: str
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return f"Converted(id={self.id!r}, slug={self.slug!r})"


def template() -> dict[str, Any]:
    """What does not depend on who sets it up: permissions and events."""
    read: dict[str, Any] = json.loads((files("ghapp") / "manifests" / "github-app.json").read_text())
    return read


def manifest(*, name: str, url: str, called: bool) -> dict[str, Any]:
    """The manifest for a Kedge at ``url``. ``called``: GitHub can call it; else Kedge asks for what it missed."""
    hook = NOWHERE if not called and on_this_machine(url) else f"{url}/webhooks/github"
    return {
        **template(),
        "name": name[:LONGEST_NAME].rstrip("-"),
        "url": url,
        "hook_attributes": {"url": hook, "active": True},
        "redirect_url": f"{url}/setup/created",
        "callback_urls": [f"{url}/auth/github/callback"],
        "setup_url": f"{url}/setup",
    }


def on_this_machine(url: str) -> bool:
    """Does the address lead nowhere but to the machine that asks for it?"""
    parts = split_url(url)
    return bool(parts and is_loopback(parts.hostname or ""))


def registration_url(web_url: str, organization: str | None, state: str) -> str:
    """Where the manifest's form is sent by the browser of the person who will own the App, or of an owner of the
    organization."""
    place = f"organizations/{quote(organization, safe='')}/settings" if organization else "settings"
    return f"{web_url}/{place}/apps/new?state={quote(state, safe='')}"


async def convert(session: aiohttp.ClientSession, api_url: str, code: str) -> Converted:
    """Trade GitHub's code, which is good once and for one hour, for the App's credentials. Raises RemoteError."""
    api = GitHubTransport(session, api_url)
    try:
        answer = await api.post("/app-manifests/{code}/conversions", {"code": code}, data={})
        return msgspec.convert(answer, Converted)
    except RemoteError as error:
        error.message = error.message.replace(code, "CODE")
        error.args = (error.message,)
        raise
    except (msgspec.ValidationError, gidgethub.GitHubException, ValueError, LookupError, RecursionError):
        problem = "GitHub's answer about the new App cannot be understood."
    raise Unavailable(problem)


def permission_table() -> str:
    """The permissions as the README shows them; ends with a newline."""
    levels = template()["default_permissions"]
    rows = [f"| `{name}` | {levels[name]} | {PURPOSES[name]} |" for name in sorted(levels)]
    return "\n".join(["| permission | level | what for |", "| --- | --- | --- |", *rows]) + "\n"

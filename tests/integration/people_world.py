"""The app before a sandbox GitHub with people in it, and a browser in which they sign in."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from ghapp.core.values import Repository
from ghapp.sandbox.accounts import AppKeys
from ghapp.sandbox.server import Sandbox
from ghapp.service import reload
from ghapp.service.permissions import Permissions
from ghapp.store.stores import open_stores
from ghapp.vcs.base import RepoToken
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_sign_in import GitHubSignIn
from tests.integration.kedge_world import NOON, World, world

URL = "http://kedge.example"
CALLBACK = f"{URL}/auth/github/callback"
CONFIG = """
shop:
  repository: acme/shop
  deploy: "./deploy {env} {sha}"
  environments: {staging: {}, production: {allow: {users: [ana, carol]}}}
blog: {repository: acme/blog, deploy: ./deploy}
site: {repository: acme/site, deploy: ./deploy}
"""


@dataclass
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def location(self) -> str:
        return self.headers["Location"]


@dataclass
class People:
    """acme/shop: ``ana`` may push, ``bob`` read, ``carol`` administer. acme/blog is only for ``dora``; acme/site is
    public, ``bob`` is a collaborator there."""

    kedge: World
    gh: Sandbox
    app: AppKeys
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, **more: object) -> Answer:
        """As the browser does, which follows nothing by itself here."""
        async with self.kedge.client.request(method, path, allow_redirects=False, **more) as answer:  # type: ignore[arg-type]
            return Answer(answer.status, await answer.text(), answer.headers)

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def post(self, path: str, **fields: str) -> Answer:
        """A form of the page that is shown at the front door."""
        return await self.call("POST", path, data={"csrf": await self.csrf(), **fields})

    async def csrf(self) -> str:
        shown = await self.get("/")
        found = re.search(r'name="csrf" value="([^"]+)"', shown.text)
        assert found, shown.text
        return found[1]

    async def at_github(self, after: str = "/", **decision: str) -> str:
        """Go there and decide; the path and query at which GitHub sends the browser back."""
        gone = await self.call("GET", "/auth/github", params={"next": after})
        assert gone.status == 303
        where = urlsplit(gone.location)
        assert gone.location.startswith(f"{self.gh.url}/login/oauth/authorize?")
        url, data = f"{self.gh.url}/login/oauth/authorize", {**dict(parse_qsl(where.query)), **decision}
        async with self.http.post(url, data=data, allow_redirects=False) as answer:
            back = urlsplit(answer.headers["Location"])
        assert back._replace(query="").geturl() == CALLBACK
        return f"{back.path}?{back.query}"

    async def enter(self, login: str, after: str = "/") -> Answer:
        answer = await self.get(await self.at_github(after, login=login))
        assert answer.status == 303, answer.text
        return answer

    def keep_only(self, **cookies: str) -> None:
        """The browser's cookies are these and no others."""
        jar = self.kedge.client.session.cookie_jar
        jar.clear()
        jar.update_cookies(cookies)

    def later(self) -> None:
        """What was asked about people is forgotten."""
        self.kedge.ctx.permissions = Permissions()


class _App(GitHubApp):
    """Claims take a repository that this GitHub does not have."""

    async def repo_token(self, repository: Repository) -> RepoToken:
        return RepoToken("token", NOON + 3_600_000)


@asynccontextmanager
async def people(folder: Path, **changes: object) -> AsyncIterator[People]:
    stores = await open_stores(f"sqlite:///{folder / 'kedge.sqlite'}")
    async with Sandbox(folder / "github") as gh, aiohttp.ClientSession() as http, world(stores, **changes) as kedge:
        for name in ("shop", "blog", "site"):
            gh.add_repository(f"acme/{name}", private=name != "site")
        for login, role in (("ana", "write"), ("bob", "read"), ("carol", "admin"), ("dora", "none"), ("admin", "read")):
            gh.set_permission("acme/shop", login, role)
        gh.set_permission("acme/blog", "dora", "read")
        gh.set_permission("acme/site", "bob", "read")
        app = gh.add_app(callback_urls=[CALLBACK])
        gh.install(app.id, ["acme/shop", "acme/blog", "acme/site"])
        github = _App(http, app_id=app.id, private_key=app.private_key, api_url=gh.api_url)
        kedge.ctx.providers = {"github": github}
        kedge.ctx.sign_ins = {
            "github": GitHubSignIn(
                http,
                client_id=app.client_id,
                client_secret=app.client_secret,
                web_url=gh.url,
                api_url=gh.api_url,
            )
        }
        await reload.put_in_force(kedge.ctx, CONFIG)
        yield People(kedge, gh, app, http)
    await stores.close()

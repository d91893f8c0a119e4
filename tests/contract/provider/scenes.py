"""The providers that the suite is run on, each with repository ``acme/shop`` or its like, that can be committed to."""

import importlib.util
import io
import os
import re
import sys
import tarfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp

from ghapp.core.values import Repository
from ghapp.sandbox.server import Sandbox
from ghapp.vcs.git import PlainGit
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_runner import GitHub
from ghapp.vcs.provider import Opening, Provider
from tests.integration.workspace.repositories import Repo

DOCUMENT = Path(__file__).parents[3] / "docs" / "providers.md"


class Scene(ABC):
    """A provider with a repository called ``name``, which has one commit on main, ``first``."""

    def __init__(self, provider: Provider, name: str) -> None:
        self.provider = provider
        self.name = name
        self.first = ""

    async def repository(self) -> Repository:
        [found] = await self.provider.find_repository(self.name)
        return found

    @abstractmethod
    def commit(self, branch: str, text: str, base: str | None = None) -> str:
        """A commit whose only new file ``text`` is; its sha. ``base``: the branch is new and begins there."""


class GitHubScene(Scene):
    def __init__(self, provider: Provider, box: Sandbox) -> None:
        super().__init__(provider, "acme/shop")
        self._box = box
        self.first = box.sha(self.name)

    def commit(self, branch: str, text: str, base: str | None = None) -> str:
        if base:
            self._box.set_ref(self.name, f"refs/heads/{branch}", base)
        return self._box.commit(self.name, branch, {text: text}, message=text)


@asynccontextmanager
async def github_of_the_app(folder: Path) -> AsyncIterator[Scene]:
    async with Sandbox(folder) as box, aiohttp.ClientSession() as session:
        box.add_repository("acme/shop", private=True)
        keys = box.add_app()
        box.install(keys.id, ["acme/shop"])
        app = GitHubApp(session, app_id=keys.id, private_key=keys.private_key, api_url=box.api_url)
        yield GitHubScene(app, box)
        await app.close()


@asynccontextmanager
async def github_of_a_runner(folder: Path) -> AsyncIterator[Scene]:
    async with github_of_the_app(folder) as scene, aiohttp.ClientSession() as session:
        assert isinstance(scene, GitHubScene)
        app, repository = scene.provider, await scene.repository()

        async def token() -> str:
            minted = await app.repo_token(repository)
            assert minted
            return minted.value

        opening = Opening(session=session, folder=folder, environ={}, api_url=app.api_url, token=token)
        yield GitHubScene(GitHub(opening), scene._box)


class GitScene(Scene):
    def __init__(self, provider: Provider, repo: Repo) -> None:
        super().__init__(provider, str(repo.path))
        self._repo = repo
        self.first = repo.commit({"first": "first"}, "first")

    def commit(self, branch: str, text: str, base: str | None = None) -> str:
        self._repo.git("checkout", "-q", *(("-b", branch, base) if base else (branch,)))
        sha = self._repo.commit({text: text}, text)
        self._repo.git("checkout", "-q", "main")
        return sha


@asynccontextmanager
async def plain_git(folder: Path) -> AsyncIterator[Scene]:
    async with aiohttp.ClientSession() as session:
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        provider = PlainGit(Opening(session=session, folder=folder / "mirrors", environ=environ))
        yield GitScene(provider, Repo.create(folder / "team" / "shop"))


class TarballScene(Scene):
    """What `docs/providers.md` shows, taken from there."""

    def __init__(self, provider: Provider, root: Path) -> None:
        super().__init__(provider, "shop")
        self._app = root / "shop"
        self._made = 0
        self.first = self.commit("main", "first")

    def commit(self, branch: str, text: str, base: str | None = None) -> str:
        import hashlib

        folder = self._app / branch
        folder.mkdir(parents=True, exist_ok=True)
        if base:
            for older in sorted((self._app / "main").iterdir()):
                (folder / older.name).write_bytes(older.read_bytes())
                if hashlib.sha1(older.read_bytes()).hexdigest() == base:
                    break
        self._made += 1
        path = folder / f"{self._made:04}.tar.gz"
        with tarfile.open(path, "w:gz") as tarball:
            about = tarfile.TarInfo(text)
            about.size, about.mode = len(text), 0o755
            tarball.addfile(about, io.BytesIO(text.encode()))
        return hashlib.sha1(path.read_bytes()).hexdigest()


def from_the_document(folder: Path) -> Path:
    """The module of the document as a file; its path."""
    [source] = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    path = folder / "tarballs.py"
    path.write_text(source)
    return path


@asynccontextmanager
async def tarballs(folder: Path) -> AsyncIterator[Scene]:
    spec = importlib.util.spec_from_file_location("tarballs_of_the_document", from_the_document(folder))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    async with aiohttp.ClientSession() as session:
        environ = {"TARBALLS": str(folder / "builds")}
        provider = module.Tarballs(Opening(session=session, folder=folder, environ=environ))
        yield TarballScene(provider, folder / "builds")


#: By name: how it is opened, and the abilities that it has beside the code.
SCENES: dict[str, tuple[Callable[[Path], AbstractAsyncContextManager[Scene]], frozenset[str]]] = {
    "github, the app": (
        github_of_the_app,
        frozenset({"checks", "deployments", "people", "conversation", "files", "webhooks", "record", "repo_token"}),
    ),
    "github, a runner": (github_of_a_runner, frozenset({"checks", "deployments", "people"})),
    "git": (plain_git, frozenset({"branches"})),
    "tarballs": (tarballs, frozenset({"branches", "tree"})),
}

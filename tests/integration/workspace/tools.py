"""What the tests of workspaces share."""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.workspace import Source, Workspaces
from tests.integration.workspace.repositories import Repo

NOT_FOR_GIT = "not-for-git"


@dataclass(slots=True)
class Desk:
    """A repository and the workspaces made from it; ``said`` are the progress lines."""

    repo: Repo
    workspaces: Workspaces
    folder: Path
    token: Callable[[], str | None] = lambda: None
    url: str | None = None
    said: list[str] = field(default_factory=list)

    async def prepare(self, sha: str, *, app: str = "shop", environment: str = "production", ref: str = "main") -> Path:
        source = Source("git.example/1", self.url or self.repo.url, sha, ref)
        return await self.workspaces.prepare(
            source, app=app, environment=environment, token=self.token, progress=self.said.append
        )

    async def prepare_a_second_later(self, sha: str) -> Path:
        """Whatever is kept was then written in an earlier second than the last use, as between real deploys."""
        await asyncio.sleep(1 - time.time() % 1)
        return await self.prepare(sha)

    @property
    def mirror(self) -> Path:
        (mirror,) = (self.folder / "mirrors").glob("*.git")
        return mirror


def desk(tmp_path: Path) -> Desk:
    """A desk in a test's folder, with a repository that holds nothing yet, and a runner whose environment has
    things that are not for git."""
    folder = tmp_path / "work"
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KEDGE_RUNNER_TOKEN": NOT_FOR_GIT,
        "GIT_DIR": f"/{NOT_FOR_GIT}",
        "GIT_TRACE": str(tmp_path / NOT_FOR_GIT),
    }
    return Desk(Repo.create(tmp_path / "repos" / "shop"), Workspaces(folder, environ=environ), folder)


Snapshot = dict[str, tuple[int, bytes]]


def snapshot(root: Path) -> Snapshot:
    """All that is in a folder: path → kind and mode, and the contents, which for folders are their attributes.
    git's index holds stat data, so only its presence counts."""
    found: Snapshot = {".": (root.lstat().st_mode, _contents(root, root))}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            found[os.fsdecode(path.relative_to(root))] = (path.lstat().st_mode, _contents(path, root))
    return found


def _contents(path: Path, root: Path) -> bytes:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return os.fsencode(path.readlink())
    if stat.S_ISREG(mode) and path != root / ".git" / "index":
        return path.read_bytes()
    if stat.S_ISDIR(mode):
        return " ".join(sorted(os.listxattr(path))).encode()
    return b""


def files_with(text: str, folder: Path) -> list[Path]:
    """Files below a folder that contain the text, in their name or contents."""
    return [
        path
        for path in folder.rglob("*")
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


def inodes(root: Path) -> set[int]:
    """The inodes of all files in a folder."""
    return {path.lstat().st_ino for path in root.rglob("*") if not path.is_dir()}

"""What a host exports takes the place of a checkout, and only as a whole."""

import asyncio
import threading
from pathlib import Path

import pytest

from runner import tree
from runner.exported import export
from runner.housekeeping import tidy
from runner.workspace import WorkspaceError

OLD, NEW = "a" * 40, "b" * 40


class Builds:
    """Writes in a thread, which for ``OLD`` goes on only when it is `let`."""

    def __init__(self) -> None:
        self.begun, self.let, self.ended = threading.Event(), threading.Event(), threading.Event()

    async def export(self, sha: str, folder: Path) -> None:
        await asyncio.to_thread(self._write, sha, folder)

    def _write(self, sha: str, folder: Path) -> None:
        (folder / f"first of {sha[0]}").write_text(sha)
        if sha == OLD:
            self.begun.set()
            self.let.wait(60)
        try:
            deep = folder / f"deep {sha[0]}"
            deep.mkdir(parents=True)
            (deep / f"last of {sha[0]}").write_text(sha)
        finally:
            self.ended.set()


async def exported(builds: Builds, sha: str, workdir: Path) -> Path:
    return await export(builds, sha, workdir, app="shop", environment="production", progress=lambda line: None)


async def cancelled(builds: Builds, workdir: Path) -> None:
    """The export of ``OLD``, in the middle."""
    export = asyncio.create_task(exported(builds, OLD, workdir))
    await asyncio.to_thread(builds.begun.wait)
    export.cancel()
    await asyncio.wait({export})
    assert export.cancelled()


def go_on(builds: Builds) -> None:
    builds.ended.clear()
    builds.let.set()
    builds.ended.wait()


def files(folder: Path) -> set[str]:
    return {one.name for one in folder.rglob("*") if one.is_file()}


async def test_each_export_is_the_whole_of_it_and_nothing_else(tmp_path: Path) -> None:
    builds = Builds()
    folder = await exported(builds, NEW, tmp_path)
    (folder / "left by a command").touch()
    assert await exported(builds, NEW, tmp_path) == folder == tmp_path / "checkouts/shop/production"
    assert files(folder) == {"first of b", "last of b"}


async def test_a_cancelled_export_that_goes_on_meets_no_other(tmp_path: Path) -> None:
    builds = Builds()
    await cancelled(builds, tmp_path)
    folder = await exported(builds, NEW, tmp_path)
    await asyncio.to_thread(go_on, builds)
    assert files(folder) == {"first of b", "last of b"}
    assert "last of a" in files(tmp_path / "state"), "it did go on"
    await exported(builds, NEW, tmp_path)
    assert files(tmp_path / "state") == {"lock"}


async def test_what_a_cancelled_export_left_goes_when_the_folder_is_tidied(tmp_path: Path) -> None:
    builds = Builds()
    await cancelled(builds, tmp_path)
    await asyncio.to_thread(go_on, builds)
    assert {"first of a", "last of a"} <= files(tmp_path)
    await tidy(tmp_path, ())
    assert files(tmp_path) == {"lock"}


async def test_what_cannot_be_deleted_yet_stops_no_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that writes relative to an open folder fills it again while it is emptied."""
    builds = Builds()
    await cancelled(builds, tmp_path)
    remove = tree.remove

    def refilled(path: Path, *, trash: Path, stop: threading.Event) -> None:
        if path.parent.name == "incoming":
            raise OSError(39, "Directory not empty", str(path))
        remove(path, trash=trash, stop=stop)

    monkeypatch.setattr(tree, "remove", refilled)
    assert files(await exported(builds, NEW, tmp_path)) == {"first of b", "last of b"}
    builds.let.set()


async def test_a_checkout_that_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(WorkspaceError, match="work folder of the runner cannot be used"):
        await exported(Builds(), NEW, tmp_path)

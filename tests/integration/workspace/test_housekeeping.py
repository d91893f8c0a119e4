"""Tidying a real work folder: what was not used for long goes, what a command runs in stays, all comes back."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import housekeeping, tree
from runner.housekeeping import UNUSED_S, running_in, survey, tidy
from runner.journal import Command, Journal
from runner.workspace import _Job
from tests.integration.workspace.tools import Desk


def unused(folder: Path) -> None:
    """Nothing was used for a month."""
    long_ago = time.time() - UNUSED_S - 1
    for one in survey(folder):
        os.utime(one.lock, (long_ago, long_ago))


async def test_what_was_not_used_for_long_goes_and_is_made_anew(shop: Desk) -> None:
    sha = shop.repo.commit({"a": "1"})
    tree = await shop.prepare(sha)
    assert {one.path for one in survey(shop.folder)} == {tree, shop.mirror}
    assert all(one.size > 0 for one in survey(shop.folder))
    assert await tidy(shop.folder, ()) == []
    unused(shop.folder)
    assert {one.path for one in await tidy(shop.folder, ())} == {tree, shop.folder / "mirrors" / "git.example%2F1.git"}
    assert not tree.exists() and survey(shop.folder) == []
    assert (await shop.prepare(sha) / "a").read_text() == "1"
    assert await tidy(shop.folder, ()) == []


async def test_what_a_command_runs_in_stays(shop: Desk) -> None:
    sha = shop.repo.commit({"a": "1"})
    path, other = await shop.prepare(sha), await shop.prepare(sha, environment="staging")
    journal = Journal(shop.folder)
    command = Command(deploy_id="1-x", argv=("true",), cwd=str(path), env={}, timeout_s=1, silence_s=None, grace_s=1)
    journal.create("1", "lease", b"{}").write_command(command)
    unused(shop.folder)
    deleted = {one.path for one in await tidy(shop.folder, running_in(journal))}
    assert other in deleted and path not in deleted and path.exists()


async def test_what_resists_keeps_nothing_else(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = shop.repo.commit({"a": "1"})
    stubborn, other = await shop.prepare(sha), await shop.prepare(sha, environment="staging")
    mirror = shop.mirror
    unused(shop.folder)

    def remove(path: Path, *, trash: Path, stop: threading.Event) -> None:
        if path == stubborn:
            raise PermissionError(1, "Operation not permitted", str(path))
        tree.remove(path, trash=trash, stop=stop)

    monkeypatch.setattr(housekeeping, "remove", remove)
    assert {one.path for one in await tidy(shop.folder, ())} == {other, mirror}


async def test_a_file_that_goes_meanwhile_is_passed_over(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await shop.prepare(shop.repo.commit({"a": "1", "b": "2"}))
    entries = housekeeping._entries

    def slow(root: Path, stop: threading.Event | None = None) -> Iterator["os.DirEntry[str]"]:
        for entry in entries(root, stop):
            if entry.name == "a":
                Path(entry.path).unlink()
            yield entry

    monkeypatch.setattr(housekeeping, "_entries", slow)
    assert path in {one.path for one in survey(shop.folder)}


async def test_a_mirror_stays_while_its_next_deploy_is_prepared(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its fetch and its use nobody holds its lock."""
    sha = shop.repo.commit({"a": "1"})
    await shop.prepare(sha)
    unused(shop.folder)
    chosen = next(one for one in survey(shop.folder) if one.path == shop.mirror)
    there, deleted = _Job._there, []

    async def then_tidied(self: _Job) -> bool:
        found = await there(self)
        deleted.append(await housekeeping._delete(chosen))
        return found

    monkeypatch.setattr(_Job, "_there", then_tidied)
    await shop.prepare(sha)
    assert deleted == [False]


async def test_what_a_broken_off_deletion_left_goes(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.prepare(shop.repo.commit({"a": "1"}))
    unused(shop.folder)
    found = survey(shop.folder)

    def remove(path: Path, *, trash: Path, stop: threading.Event) -> None:
        path.rename(trash / "0")  # and no further

    with monkeypatch.context() as broken_off:
        broken_off.setattr(housekeeping, "remove", remove)
        assert len(await tidy(shop.folder, ())) == len(found) == 2
    in_trash = ("mirrors/*.trash/**/*", "state/*/*/trash/**/*")
    assert all(any(one.is_file() for one in shop.folder.glob(place)) for place in in_trash)
    await tidy(shop.folder, ())
    assert not [one for place in in_trash for one in shop.folder.glob(place) if one.is_file()]

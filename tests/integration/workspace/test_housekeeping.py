"""Tidying a real work folder: what was not used for long goes, what a command runs in stays, all comes back."""

import os
import time
from pathlib import Path

from runner.housekeeping import UNUSED_S, running_in, survey, tidy
from runner.journal import Command, Journal
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
    tree, other = await shop.prepare(sha), await shop.prepare(sha, environment="staging")
    journal = Journal(shop.folder)
    command = Command(deploy_id="1-x", argv=("true",), cwd=str(tree), env={}, timeout_s=1, silence_s=None, grace_s=1)
    journal.create("1", "lease", b"{}").write_command(command)
    unused(shop.folder)
    deleted = {one.path for one in await tidy(shop.folder, running_in(journal))}
    assert other in deleted and tree not in deleted and tree.exists()

"""Nothing that a deploy command did to its checkout survives into the next deploy.

Each mess is made in a prepared checkout; after the next ``prepare`` the checkout must be the same, in every file,
mode and byte of ``.git`` too, as one that is made for the first time.
"""

import os
import stat

import pytest

from tests.integration.workspace.messes import (
    MESSES,
    Mess,
    attributes,
    config,
    deleted,
    folder_for_file,
    index_flags,
    links_to_elsewhere,
    modes,
    untracked,
)
from tests.integration.workspace.repositories import git
from tests.integration.workspace.tools import Desk, snapshot


def _commits(shop: Desk) -> tuple[str, str]:
    first = shop.repo.commit({"app.py": "good\n", "lib/a.py": "a\n", ".gitignore": "*.tmp\nbuild/\n"})
    shop.repo.git("tag", "-a", "v1", "-m", "one")
    return first, shop.repo.commit({"app.py": "next\n", "lib/b.py": "b\n"})


@pytest.mark.parametrize("kept", ["just now", "a second ago"])
@pytest.mark.parametrize("mess", MESSES)
async def test_nothing_survives(shop: Desk, mess: Mess, kept: str) -> None:
    _, second = _commits(shop)
    fresh = snapshot(await shop.prepare(second, environment="fresh"))
    tree = await shop.prepare(second)
    if kept == "a second ago":
        await shop.prepare_a_second_later(second)
    mess(tree)
    outside = snapshot(shop.folder.parent / "outside") if mess is links_to_elsewhere else None

    assert await shop.prepare(second) == tree

    assert snapshot(tree) == fresh
    assert not (shop.folder.parent / "pwned").exists()
    assert git(tree, "status", "--porcelain", "--ignored") == ""
    assert not (shop.folder.parent / "pwned").exists()
    assert all(path.lstat().st_nlink == 1 for path in tree.rglob("*") if stat.S_ISREG(path.lstat().st_mode))
    if outside:
        assert snapshot(shop.folder.parent / "outside") == outside


# Another commit may want a name that something is in the way of, or no longer want a folder; and it is fetched.
@pytest.mark.parametrize("mess", [untracked, deleted, folder_for_file, index_flags, attributes, config, modes])
async def test_nothing_survives_into_another_commit(shop: Desk, mess: Mess) -> None:
    _, second = _commits(shop)
    fresh = snapshot(await shop.prepare(second, environment="fresh"))
    tree = await shop.prepare(second)
    mess(tree)
    third = shop.repo.commit({"new": "n", "app.py": None, "app.py/in": "x", "lib/a.py": None, "lib/b.py": None})

    await shop.prepare(third)

    files = {path.name: path.read_text() for path in tree.rglob("*") if path.is_file() and ".git/" not in str(path)}
    assert files == {".gitignore": "*.tmp\nbuild/\n", "new": "n", "in": "x"}
    await shop.prepare(second)
    packs = ".git/objects/pack"
    assert {name: what for name, what in snapshot(tree).items() if packs not in name} == {
        name: what for name, what in fresh.items() if packs not in name
    }
    assert not (shop.folder.parent / "pwned").exists()


async def test_messes_do_not_make_the_checkout_anew(shop: Desk) -> None:
    first, second = _commits(shop)
    tree = await shop.prepare(first)
    untracked(tree)
    inode = (tree / ".gitignore").stat().st_ino

    await shop.prepare(second)

    assert (tree / ".gitignore").stat().st_ino == inode
    assert not any("made anew" in line for line in shop.said)


async def test_names_that_are_no_text(shop: Desk) -> None:
    name = os.fsdecode(b"\xff\xfe")
    sha = shop.repo.commit({f"{name}/{name}/a": "1", f"{name}/b": "1"})
    fresh = snapshot(await shop.prepare(sha, environment="fresh"))
    tree = await shop.prepare(sha)
    await shop.prepare_a_second_later(sha)
    (tree / name / name / "new").write_text("x")
    os.mkfifo(tree / name / name / "fifo")

    await shop.prepare(sha)

    assert snapshot(tree) == fresh
    assert not any("made anew" in line for line in shop.said)


async def test_a_file_that_git_would_pass_over_in_a_folder_that_goes(shop: Desk) -> None:
    first = shop.repo.commit({"a": "1", "gone/deep/file": "x"})
    second = shop.repo.commit({"gone/deep/file": None})
    tree = await shop.prepare(first)
    os.mkfifo(tree / "gone/deep/fifo")
    (tree / "gone/empty").mkdir()

    await shop.prepare(second)

    assert sorted(path.name for path in tree.iterdir()) == [".git", "a"]

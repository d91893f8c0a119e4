"""What is doubtful about a mirror or a checkout is deleted and made anew once; then it is an error in words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.workspace import WorkspaceError, Workspaces
from tests.integration.workspace.repositories import git
from tests.integration.workspace.tools import Desk, desk, snapshot

Damage = Callable[[Desk], object]


def _pack(shop: Desk, suffix: str) -> Path:
    path = max((shop.mirror / "objects/pack").glob(f"*{suffix}"), key=lambda path: path.stat().st_size)
    path.chmod(0o600)
    return path


def _trusted(shop: Desk) -> Path:
    return shop.folder / "state/shop/production/git"


def truncated_pack(shop: Desk) -> None:
    path = _pack(shop, ".pack")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped_bytes_in_pack(shop: Desk) -> None:
    path = _pack(shop, ".pack")
    data = bytearray(path.read_bytes())
    data[200:-60] = bytes(byte ^ 0xFF for byte in data[200:-60])
    path.write_bytes(data)


def damaged_pack_index(shop: Desk) -> None:
    _pack(shop, ".idx").write_bytes(b"garbage")


def lost_pack(shop: Desk) -> None:
    _pack(shop, ".pack").unlink()


def lost_objects(shop: Desk) -> None:
    shutil.rmtree(shop.mirror / "objects")


def damaged_refs(shop: Desk) -> None:
    (shop.mirror / "packed-refs").write_text("garbage\n")
    for ref in (shop.mirror / "refs/kedge").iterdir():
        ref.write_text("")


def no_repository(shop: Desk) -> None:
    mirror = shop.mirror
    shutil.rmtree(mirror)
    mirror.write_text("a file")


def mirror_locks(shop: Desk) -> None:
    for name in ("packed-refs.lock", "config.lock", "HEAD.lock", "shallow.lock", "refs/kedge/x.lock"):
        (shop.mirror / name).touch()
    sha = (shop.mirror / "refs/kedge").iterdir().__next__().name
    (shop.mirror / f"refs/kedge/{sha}.lock").touch()
    (shop.mirror / "refs/tags/v2.lock").touch()
    (shop.mirror / "objects/pack/tmp_pack_abc").write_text("half")


def garbage_index(shop: Desk) -> None:
    (_trusted(shop) / "index").write_bytes(b"garbage")


def truncated_index(shop: Desk) -> None:
    index = _trusted(shop) / "index"
    index.write_bytes(index.read_bytes()[:-30])


def flipped_bit_in_index(shop: Desk) -> None:
    index = _trusted(shop) / "index"
    data = bytearray(index.read_bytes())
    data[60] ^= 1
    index.write_bytes(data)


def flagged_index(shop: Desk) -> None:
    tree = shop.folder / "checkouts/shop/production"
    (tree / "a").write_text("hidden")
    git(tree, f"--git-dir={_trusted(shop)}", "--work-tree=.", "update-index", "--assume-unchanged", "a")


def skipping_index(shop: Desk) -> None:
    tree = shop.folder / "checkouts/shop/production"
    (tree / "a").unlink()
    git(tree, f"--git-dir={_trusted(shop)}", "--work-tree=.", "update-index", "--skip-worktree", "a")


def index_is_a_folder(shop: Desk) -> None:
    (_trusted(shop) / "index").unlink()
    (_trusted(shop) / "index/x").mkdir(parents=True)


def stale_locks(shop: Desk) -> None:
    for folder in (_trusted(shop), shop.folder / "checkouts/shop/production/.git"):
        (folder / "index.lock").touch()
        (folder / "HEAD.lock").touch()


def foreign_trusted_settings(shop: Desk) -> None:
    with (_trusted(shop) / "config").open("a") as config:
        config.write('[core]\n\tworktree = /nowhere\n[filter "x"]\n\tsmudge = false\n')
    (_trusted(shop) / "info").mkdir()
    (_trusted(shop) / "info/exclude").write_text("*\n")


def half_deleted(shop: Desk) -> None:
    left = shop.folder / "state/shop/production/trash/1/left"
    left.mkdir(parents=True)
    (left / "file").write_text("x")


def forgotten(shop: Desk) -> None:
    shutil.rmtree(shop.folder / "state")


def damaged_record(shop: Desk) -> None:
    record = shop.folder / "state/shop/production/record"
    record.write_bytes(record.read_bytes()[:-7])


OF_THE_MIRROR: list[Damage] = [
    truncated_pack,
    flipped_bytes_in_pack,
    damaged_pack_index,
    lost_pack,
    lost_objects,
    damaged_refs,
    no_repository,
    mirror_locks,
]
OF_THE_CHECKOUT: list[Damage] = [
    garbage_index,
    truncated_index,
    flipped_bit_in_index,
    flagged_index,
    skipping_index,
    index_is_a_folder,
    stale_locks,
    foreign_trusted_settings,
    half_deleted,
    forgotten,
    damaged_record,
]
CASES = [
    *((damage, which) for damage in OF_THE_MIRROR for which in ("same", "new")),
    *((damage, "older") for damage in OF_THE_CHECKOUT),
]


def _commits(shop: Desk) -> list[str]:
    text = "".join(f"{number * number}\n" for number in range(500))
    shas = [shop.repo.commit({"a": f"{number}{text}", "b": "b", f"f{number}": "x"}) for number in range(2)]
    shop.repo.git("tag", "v1")
    return shas


@pytest.mark.parametrize(("damage", "which"), CASES)
async def test_damage_is_repaired(shop: Desk, damage: Damage, which: str, tmp_path: Path) -> None:
    first, second = _commits(shop)
    tree = await shop.prepare(second)
    damage(shop)
    sha = {"same": second, "older": first, "new": ""}[which] or shop.repo.commit({"a": "new"})
    if which == "new":
        shop.repo.git("tag", "v2")

    assert await shop.prepare(sha) == tree

    assert git(tree, "rev-parse", "HEAD") == sha
    assert git(tree, "fsck", "--full") == ""
    fresh = desk_for_the_same(shop, tmp_path)
    assert _without_packs(tree) == _without_packs(await fresh.prepare(sha))


def desk_for_the_same(shop: Desk, tmp_path: Path) -> Desk:
    """Workspaces elsewhere, for the same repository."""
    (tmp_path / "other").mkdir()
    other = desk(tmp_path / "other")
    other.repo = shop.repo
    return other


def _without_packs(tree: Path) -> dict[str, object]:
    """A snapshot in which it does not matter how the objects came to be packed, nor which tags came along."""
    return {
        name: what
        for name, what in snapshot(tree).items()
        if not name.startswith((".git/objects/pack/", ".git/packed-refs"))
    }


async def test_what_cannot_be_repaired_is_an_error(shop: Desk) -> None:
    _, second = _commits(shop)
    await shop.prepare(second)
    flipped_bytes_in_pack(shop)
    shop.repo.path.rename(shop.repo.path.with_name("gone"))

    with pytest.raises(WorkspaceError) as caught:
        await shop.prepare(second)

    assert "no repository at" in caught.value.message
    shop.repo.path.with_name("gone").rename(shop.repo.path)
    assert git(await shop.prepare(second), "rev-parse", "HEAD") == second


async def test_a_broken_remote_is_tried_twice_at_most(shop: Desk) -> None:
    _, second = _commits(shop)
    shop.repo.git("gc", "-q")
    (pack,) = (shop.repo.path / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-100])

    with pytest.raises(WorkspaceError) as caught:
        await shop.prepare(second)

    assert "\n" in caught.value.message, "git's own last lines are part of it"
    assert sum("made anew" in line for line in shop.said) <= 1


async def test_other_environments_keep_their_checkouts_when_a_mirror_is_made_anew(shop: Desk) -> None:
    _, second = _commits(shop)
    staging = await shop.prepare(second, environment="staging")
    await shop.prepare(second)
    before = snapshot(staging)
    lost_objects(shop)

    await shop.prepare(second)

    assert snapshot(staging) == before
    assert git(staging, "fsck", "--full") == ""


async def test_without_git_nothing_is_deleted(shop: Desk, tmp_path: Path) -> None:
    _, second = _commits(shop)
    tree = await shop.prepare(second)
    before = snapshot(tree)
    shop.workspaces = Workspaces(shop.folder, environ={"PATH": str(tmp_path)})

    with pytest.raises(WorkspaceError, match="Install git"):
        await shop.prepare(second)

    assert snapshot(tree) == before
    assert shop.mirror.exists()


async def test_a_work_folder_that_cannot_be_used(shop: Desk) -> None:
    _, second = _commits(shop)
    shop.folder.write_text("a file")

    with pytest.raises(WorkspaceError, match="work folder"):
        await shop.prepare(second)

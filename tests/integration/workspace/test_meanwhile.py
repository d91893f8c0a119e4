"""A daemon of an earlier deploy writes to the checkout while it is made ready; what the runner remembers is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.workspace import WorkspaceError, Workspaces
from tests.integration.workspace.messes import altered_pack
from tests.integration.workspace.tools import Desk, snapshot

ALTER = """for pack in "$TREE"/.git/objects/pack/*.pack; do
  printf x | dd of="$pack" bs=1 seek=$(($(stat -c %s "$pack") - 21)) conv=notrunc status=none
done
"""
# The clock of a file system may be a tick behind.
NEXT_SECOND = "sleep 0.$(printf %09d $((1000000000 - 1$(date +%N) + 1000000000))); sleep 0.05\n"


def _beside(shop: Desk, command: str, before: str = "", after: str = "") -> None:
    """Shell lines that run whenever the runner has git do this; TREE is the checkout, STATE the folder beside."""
    folder = shop.folder.parent / "bin"
    folder.mkdir(exist_ok=True)
    script = f"""#!/bin/sh
TREE={shop.folder}/checkouts/shop/production
STATE={shop.folder}/state/shop/production
case " $* " in
*" {command} "*) {before}
  {shutil.which("git")} "$@" || exit
  {after} ;;
*) exec {shutil.which("git")} "$@" ;;
esac
"""
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    shop.workspaces = Workspaces(shop.folder, environ={"PATH": f"{folder}:{os.environ['PATH']}"})


def _alone(shop: Desk) -> None:
    shop.workspaces = Workspaces(shop.folder, environ={"PATH": os.environ["PATH"]})


def _record(shop: Desk) -> Path:
    return shop.folder / "state/shop/production/record"


def _lost(record: Path) -> None:
    record.unlink()


def _empty(record: Path) -> None:
    record.write_bytes(b"")


def _half(record: Path) -> None:
    record.write_bytes(record.read_bytes()[: record.stat().st_size // 2])


def _something_else(record: Path) -> None:
    record.write_bytes(b"\x93\x01\x02\x03")


@pytest.mark.parametrize("damage", [_lost, _empty, _half, _something_else])
async def test_an_altered_pack_goes_also_where_the_record_is_lost(shop: Desk, damage: object) -> None:
    sha = shop.repo.commit({"a": "1", "lib/b": "2"})
    fresh = snapshot(await shop.prepare(sha, environment="fresh"))
    await shop.prepare(sha)
    tree = await shop.prepare_a_second_later(sha)
    altered_pack(tree)
    assert callable(damage)
    damage(_record(shop))

    await shop.prepare(sha)

    assert snapshot(tree) == fresh


async def test_a_lost_index_is_no_doubt(shop: Desk) -> None:
    one, two = shop.repo.commit({"a": "1", "gone": "1"}), shop.repo.commit({"gone": None})
    await shop.prepare(one)
    tree = await shop.prepare_a_second_later(one)
    (shop.folder / "state/shop/production/git/index").unlink()

    await shop.prepare(two)

    assert sorted(path.name for path in tree.iterdir()) == [".git", "a"]
    assert not any("made anew" in line for line in shop.said)


async def test_what_is_written_over_in_the_second_of_the_checkout_does_not_stay(shop: Desk) -> None:
    """git takes it for what it has written: the size is the same, and so is the second."""
    sha = shop.repo.commit({"a": "good\n"})
    over = 'printf "evil\\n" > "$TREE/a"\n' + NEXT_SECOND + 'touch "$STATE/git/index"\n'
    _beside(shop, "checkout", NEXT_SECOND, over)
    tree = await shop.prepare(sha)
    _alone(shop)

    await shop.prepare(sha)

    assert (tree / "a").read_text() == "good\n"


async def test_a_pack_that_is_altered_after_it_was_looked_at_does_not_stay(shop: Desk) -> None:
    one, two = shop.repo.commit({"a": "1"}), shop.repo.commit({"a": "2"})
    await shop.prepare(two)
    fresh = snapshot(await shop.prepare(one, environment="fresh"))
    await shop.prepare(one)
    _beside(shop, "for-each-ref", ALTER)
    tree = await shop.prepare_a_second_later(one)
    assert snapshot(tree) != fresh
    _alone(shop)

    await shop.prepare(one)

    assert snapshot(tree) == fresh


@pytest.fixture
def mounted(shop: Desk) -> Iterator[Path]:
    """A folder beside the work folder, mounted in the checkout."""
    outside, place = shop.folder.parent / "outside", shop.folder / "checkouts/shop/production/lib x"
    outside.mkdir()
    (outside / "precious").write_text("x")
    place.mkdir(parents=True)
    if subprocess.run(["mount", "--bind", outside, place], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield outside
    subprocess.run(["umount", place], check=True)


async def test_what_is_mounted_in_it_stays(shop: Desk, mounted: Path) -> None:
    sha = shop.repo.commit({"a": "1"})

    with pytest.raises(WorkspaceError, match=r"lib x is a mount point. Unmount it"):
        await shop.prepare(sha)

    assert (mounted / "precious").exists()

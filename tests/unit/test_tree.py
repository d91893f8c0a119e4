"""Which folders of a checkout are read again, and which are known to hold what they held."""

import stat
import threading
from pathlib import Path

import pytest

from runner.tree import Layout, Seen, new_trash, stat_of, sweep

ALLOWED: Layout = {b"": {}, b"lib": {b"a": None}, b"lib/deep": {b"b": None}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "lib/deep").mkdir(parents=True)
    (root / "lib/a").write_text("a")
    (root / "lib/deep/b").write_text("b")
    return root


def _later_trash(root: Path) -> Path:
    """Made when the clock of the file system has gone on since the newest change."""
    newest = max(path.lstat().st_ctime_ns for path in (root, *root.rglob("*")))
    while True:
        trash = new_trash(root.parent / "trash", stop=threading.Event())
        if trash.lstat().st_ctime_ns > newest:
            return trash


def _swept(root: Path, seen: dict[bytes, Seen], allowed: Layout = ALLOWED) -> dict[bytes, Seen]:
    return sweep(root, allowed, seen, trash=_later_trash(root), stop=threading.Event())


def _leave_something(root: Path) -> dict[bytes, Seen]:
    """A file that nobody allows, in a folder that is claimed to hold no such thing."""
    seen = _swept(root, {})
    (root / "lib/deep/left").write_text("x")
    return seen | {b"lib/deep": Seen(stat_of((root / "lib/deep").lstat()), ())}


def test_a_folder_is_seen_with_the_folders_in_it(root: Path) -> None:
    seen = _swept(root, {})
    assert {folder: one.folders for folder, one in seen.items()} == {
        b"": (b"lib",),
        b"lib": (b"lib/deep",),
        b"lib/deep": (),
    }
    assert _swept(root, seen) == seen


def test_an_unchanged_folder_is_not_read_again(root: Path) -> None:
    seen = _leave_something(root)
    assert _swept(root, seen) == seen
    assert (root / "lib/deep/left").exists()


def test_a_changed_folder_is_read_again(root: Path) -> None:
    seen = _leave_something(root)
    (root / "lib/deep/more").touch()
    _swept(root, seen)
    assert [path.name for path in (root / "lib/deep").iterdir()] == ["b"]


def test_so_is_one_whose_mode_was_changed_and_changed_back(root: Path) -> None:
    seen = _leave_something(root)
    (root / "lib/deep").chmod(0o700)
    (root / "lib/deep").chmod(0o755)
    _swept(root, seen)
    assert not (root / "lib/deep/left").exists()


def test_so_is_one_with_a_file_that_git_may_miss(root: Path) -> None:
    seen = _leave_something(root)
    recorded = stat_of((root / "lib/deep/b").lstat())
    _swept(root, seen, {**ALLOWED, b"lib/deep": {b"b": recorded}})
    assert [path.name for path in (root / "lib/deep").iterdir()] == ["b"]


def test_so_is_one_with_a_folder_that_may_no_longer_be_there(root: Path) -> None:
    seen = _swept(root, {})
    _swept(root, seen, {b"": {}, b"lib": {b"a": None}})
    assert [path.name for path in (root / "lib").iterdir()] == ["a"]


def test_what_a_folder_was_replaced_by_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "outside/precious").write_text("x")
    (root / "lib").rename(tmp_path / "lib")
    (root / "lib").symlink_to(tmp_path / "outside")
    as_if_just_read = {b"": Seen(stat_of(root.lstat()), (b"lib",))}
    with pytest.raises(NotADirectoryError):
        _swept(root, as_if_just_read)
    assert stat.S_IMODE((tmp_path / "outside").lstat().st_mode) == 0o700
    assert (tmp_path / "outside/precious").exists()


def test_what_changed_in_the_moment_of_the_sweep_is_not_remembered(root: Path) -> None:
    trash = _later_trash(root)
    (root / "lib/deep").rename(root / "lib/moved")
    (root / "lib/moved").rename(root / "lib/deep")
    seen = sweep(root, ALLOWED, {}, trash=trash, stop=threading.Event())
    assert b"" in seen
    assert b"lib" not in seen

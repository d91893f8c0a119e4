"""git's index file, read from ones that git wrote."""

import os
import subprocess
from pathlib import Path

import pytest

from runner.git_index import BadIndex, read_index
from runner.tree import Stat, stat_of


def git(folder: Path, *args: str) -> None:
    clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", *args], cwd=folder, env=clean, check=True, capture_output=True)


@pytest.fixture(params=["sha1", "sha256"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A repository whose index lists files with names of every length modulo eight."""
    git(tmp_path, "init", "-q", f"--object-format={request.param}")
    for length in range(1, 20):
        (tmp_path / ("x" * length)).write_text("y" * length)
    (tmp_path / "link").symlink_to("x")
    git(tmp_path, "add", "-A")
    return tmp_path


def _read(folder: Path, data: bytes | None = None) -> dict[bytes, Stat | None]:
    sha256 = "sha256" in (folder / ".git/config").read_text()
    return read_index((folder / ".git/index").read_bytes() if data is None else data, sha256=sha256).files


def test_lists_files_with_their_stat(folder: Path) -> None:
    expected = {os.fsencode(path.name): stat_of(path.lstat()) for path in folder.iterdir() if path.name != ".git"}
    assert len(expected) == 20
    assert _read(folder) == expected


def test_of_settled_files_it_does_not_read_the_stat(folder: Path) -> None:
    sha256 = "sha256" in (folder / ".git/config").read_text()
    data = (folder / ".git/index").read_bytes()
    changed = {name: stat[0] // 10**9 for name, stat in _read(folder).items() if stat}
    for settled_s in (min(changed.values()), max(changed.values()), max(changed.values()) + 1):
        found = read_index(data, sha256=sha256, settled_s=settled_s).files
        assert found == {name: None if changed[name] < settled_s else stat for name, stat in _read(folder).items()}


def test_any_flipped_bit_is_noticed(folder: Path) -> None:
    good = (folder / ".git/index").read_bytes()
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        with pytest.raises(BadIndex):
            _read(folder, bytes(bad))


def test_any_cut_is_noticed(folder: Path) -> None:
    good = (folder / ".git/index").read_bytes()
    for end in range(0, len(good), 11):
        with pytest.raises(BadIndex):
            _read(folder, good[:end])


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_flags_that_make_git_look_away_are_noticed(folder: Path, flag: str) -> None:
    git(folder, "update-index", flag, "x")
    with pytest.raises(BadIndex):
        _read(folder)


def test_submodules_are_apart(folder: Path) -> None:
    digits = 64 if "sha256" in (folder / ".git/config").read_text() else 40
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * digits},sub/module")
    index = read_index((folder / ".git/index").read_bytes(), sha256=digits == 64)
    assert index.submodules == (b"sub/module",)
    assert len(index.files) == 20

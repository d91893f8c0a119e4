"""The spool: what a command writes is kept, or counted, and never blocks it."""

import errno
import os
import re
from pathlib import Path

import pytest

from runner.spool import Spool


def all_of(spool: Spool) -> None:
    while not spool.eof:
        spool.pump()


def feed(spool: Spool, data: bytes) -> None:
    """Write to the pipe in pieces that it holds for sure."""
    for start in range(0, len(data), 4096):
        os.write(spool.writer, data[start : start + 4096])
        spool.pump()


def test_output_arrives_whole_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "output")
    data = os.urandom(300_000)
    feed(spool, data)
    spool.started()
    all_of(spool)
    spool.close()
    assert (tmp_path / "output").read_bytes() == data
    assert (spool.end, spool.dropped) == (len(data), 0)
    assert (tmp_path / "output").stat().st_mode & 0o077 == 0


def fail_to_splice(monkeypatch: pytest.MonkeyPatch, into: str, error: OSError) -> None:
    real = os.splice

    def splice(src: int, dst: int, count: int, **options: int) -> int:
        if into == ("a file" if "offset_dst" in options else "a pipe"):
            raise error
        return real(src, dst, count, **options)

    monkeypatch.setattr(os, "splice", splice)


@pytest.mark.parametrize("into", ["a file", "a pipe"])
def test_where_splice_is_missing_output_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str) -> None:
    fail_to_splice(monkeypatch, into, OSError(errno.EINVAL, "not here"))
    test_output_arrives_whole_and_in_order(tmp_path)


def test_nothing_to_read_is_not_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "output")
    assert spool.pump() == 0
    assert not spool.eof
    spool.started()
    assert spool.pump() == 0
    assert spool.eof


def test_a_full_disk_swallows_and_counts() -> None:
    spool = Spool(Path("/dev/full"))
    feed(spool, b"x" * 100_000)
    spool.started()
    all_of(spool)
    spool.close()
    assert (spool.end, spool.dropped) == (0, 100_000)


class Disk:
    """Room for so many bytes more, in files that are written through it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._pwrite, self._splice = os.pwrite, os.splice
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "splice", self.splice)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "full")
        written = self._pwrite(fd, data[: self.room], offset)
        self.room -= written
        return written

    def splice(self, src: int, dst: int, count: int, *, offset_dst: int | None = None, flags: int = 0) -> int:
        if offset_dst is None:
            return self._splice(src, dst, count, flags=flags)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "full")
        return self.pwrite(dst, os.read(src, min(count, self.room)), offset_dst)


def without_marks(output: bytes) -> tuple[bytes, int]:
    marks = re.findall(rb"\n\[kedge: (\d+) bytes of output were lost here: no room\]\n", output)
    return re.sub(rb"\n\[kedge: \d+ bytes of output were lost here: no room\]\n", b"", output), sum(map(int, marks))


def test_when_room_returns_a_mark_tells_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "output")
    disk = Disk(monkeypatch, room=1000)
    feed(spool, b"a" * 3000)
    feed(spool, b"b" * 3000)
    disk.room = 10**6
    feed(spool, b"c" * 3000)
    spool.started()
    all_of(spool)
    spool.close()
    output = (tmp_path / "output").read_bytes()
    kept, marked = without_marks(output)
    assert kept.startswith(b"a" * 1000)
    assert kept.endswith(b"c" * 3000)
    assert len(kept) + spool.dropped == 9000
    assert marked == spool.dropped > 0
    assert spool.end == len(output)


@pytest.mark.parametrize("room", [1, 30, 52, 53, 54, 80, 4000])
def test_what_is_in_the_file_never_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Somebody may have read it: a mark that found too little room is not taken back."""
    spool = Spool(tmp_path / "output")
    disk = Disk(monkeypatch, room=0)
    seen, kept = b"", 0
    for letter in b"abcd":
        feed(spool, bytes([letter]) * 3000)
        output = (tmp_path / "output").read_bytes()
        assert output.startswith(seen)
        assert spool.end == len(output)
        seen, disk.room = output, room
    kept = sum(seen.count(letter * 10) * 10 for letter in (b"a", b"b", b"c", b"d"))
    assert 0 <= 12_000 - spool.dropped - kept < 4 * 10 + 10


def test_a_gap_at_the_end_is_marked_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "output")
    disk = Disk(monkeypatch, room=0)
    feed(spool, b"a" * 100)
    disk.room = 1000
    spool.close()
    assert (tmp_path / "output").read_bytes() == b"\n[kedge: 100 bytes of output were lost here: no room]\n"
    assert spool.dropped == 100


@pytest.mark.parametrize("into", ["a file", "a pipe"])
def test_an_error_that_is_not_about_room_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str
) -> None:
    spool = Spool(tmp_path / "output")
    os.write(spool.writer, b"x")
    fail_to_splice(monkeypatch, into, OSError(errno.EBADF, "a defect"))
    with pytest.raises(OSError, match="a defect"):
        spool.pump()


def test_drain_takes_what_is_there_and_no_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "output")
    os.write(spool.writer, b"x" * 4000)
    spool.drain()
    assert (spool.end, spool.eof) == (4000, False)

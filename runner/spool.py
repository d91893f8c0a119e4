"""A command's output: out of its pipe, into a file, whatever the disk says. Standard library only.

The command never gets the file itself: `tee /dev/stderr` opens it again with O_TRUNC and wipes the log.
"""

import contextlib
import errno
import fcntl
import os
import termios
from pathlib import Path

PIPE_BYTES = 1 << 20
"""Largest pipe an ordinary user may ask for: pipe(7), /proc/sys/fs/pipe-max-size."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
CANNOT_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS})


class Spool:
    """Moves output. `end` is the file's size, `dropped` counts the bytes that found no room, `eof` is the pipe's.

    The file only ever grows and what is in it never changes: somebody may be reading it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.pipe, self.writer = _pipe()
        os.set_blocking(self.pipe, False)
        self._taken, self._taking = _pipe()
        self.end = os.fstat(self._file).st_size  # the runner has written how it prepared
        self.dropped = 0
        self.eof = False
        self._gap = 0
        self._splice = True

    def started(self) -> None:
        """The command has its end of the pipe: close ours, or the pipe never ends."""
        os.close(self.writer)

    def pump(self) -> int:
        """Move what is there, up to a pipeful; returns how many bytes (0: there was nothing, or the end)."""
        try:
            moved = self._move()
        except BlockingIOError:
            return 0
        self.eof = moved == 0
        return moved

    def drain(self) -> None:
        """Move what the pipe holds at this moment, and no more: a daemon may write for ever."""
        waiting = int.from_bytes(fcntl.ioctl(self.pipe, termios.FIONREAD, bytes(4)), "little")
        while waiting > 0 and (moved := self.pump()):
            waiting -= moved

    def close(self) -> None:
        """Write nothing more; what was lost last is told if there is room."""
        if self._gap:
            self._append(b"")
        for fd in (self._file, self._taken, self._taking):
            os.close(fd)

    def discard(self) -> None:
        """Swallow what daemons still write, until the last has closed the pipe: they must neither block nor die."""
        os.set_blocking(self.pipe, True)
        while os.read(self.pipe, PIPE_BYTES):
            pass

    def _move(self) -> int:
        """Take what is there out of the command's pipe first, which is quick: splice(2) into a file keeps the pipe
        locked while it copies, and the command waits for the lock."""
        if self._splice:
            try:
                moved = os.splice(self.pipe, self._taking, PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
            except OSError as error:
                if error.errno not in CANNOT_SPLICE:
                    raise
                self._splice = False
            else:
                self._store(moved)
                return moved
        data = os.read(self.pipe, PIPE_BYTES)
        self._append(data)
        return len(data)

    def _store(self, taken: int) -> None:
        """Move into the file what was taken."""
        while taken and not self._gap:
            try:
                moved = os.splice(self._taken, self._file, taken, offset_dst=self.end)
            except OSError as error:
                if error.errno not in FULL | CANNOT_SPLICE:
                    raise
                self._splice = error.errno in FULL
                break
            self.end += moved
            taken -= moved
        if taken:
            self._append(os.read(self._taken, taken))

    def _append(self, data: bytes) -> None:
        """Write the mark of what was lost, then data; what of it finds no room is lost too."""
        mark = b"\n[kedge: %d bytes of output were lost here: no room]\n" % self._gap if self._gap else b""
        written = self._write(mark + data)
        if written >= len(mark):
            self._gap = 0
        lost = min(len(data), len(mark) + len(data) - written)
        self.dropped += lost
        self._gap += lost

    def _write(self, data: bytes) -> int:
        written = 0
        while written < len(data):
            try:
                written += os.pwrite(self._file, data[written:], self.end + written)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                break
        self.end += written
        return written


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with contextlib.suppress(PermissionError):  # the user's share of pipe pages is used up: a small one does
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer

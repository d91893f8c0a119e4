"""The log of one deploy as it leaves this machine: what was spooled, masked, and cut to its limit.

Offsets in here are those of the log that the app keeps. They are the spool's own up to where `log_limit` cuts.
"""

import contextlib
import ctypes
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner import durable
from runner.journal import Entry
from runner.masking import ADD_MASK, LONGEST_LINE, SHORTEST, Masks
from runner.spool import FULL

STEP = 1 << 20
"""Bytes looked at, and given back, at a time."""

STEPS_AT_ONCE = 32
"""A command may write faster than its log is delivered; what is left out is looked at all the same."""

KEPT_BEHIND = 1 << 20
"""Bytes kept although they were delivered: what stands before a piece decides what of it is masked."""

GIVEN_BACK = b"[kedge: the app had this part of the log before, and lost it; here it was given back] "

MASKS, CLOSED_AT = "masks", "closed_at"
"""Files of the journal's entry: what the command asked to be masked, a line of JSON each; the closed spool's size."""

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2  # fallocate(2)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log: the spool from ``start`` to ``stop``, or ``text`` of Kedge's own."""

    start: int = 0
    stop: int = 0
    text: bytes = b""

    @property
    def length(self) -> int:
        return len(self.text) or self.stop - self.start


def layout(limit: int, size: int, *, closed: bool) -> tuple[Stretch, ...]:
    """What of a spool of that size is the log, in order: all of it, or its first and its last half of ``limit`` bytes.

    Until it is closed nobody knows what the last bytes are, so that only the first half goes out.
    """
    head = limit // 2
    if size <= limit:
        return (Stretch(0, size if closed else min(size, head)),)
    mark = b"\n[kedge: log_limit (%d bytes) is reached; what follows comes at the end, as far as it is kept]\n" % limit
    if not closed:
        return (Stretch(0, head), Stretch(text=mark))
    tail = size - (limit - head)
    left_out = b"[kedge: %d bytes are left out here]\n" % (tail - head)
    return (Stretch(0, head), Stretch(text=mark), Stretch(text=left_out), Stretch(tail, size))


class OutgoingLog:
    """One log on its way out. Closed by an earlier run of the runner, it is closed at the same byte again.

    ``given_back``: bytes at the beginning that are not on the disk any more. ``too_short`` counts values that the
    command asked to be masked and that are not.
    """

    def __init__(self, entry: Entry, masks: Masks, limit: int) -> None:
        self.too_short = 0
        self._entry = entry
        self.masks = masks
        self._limit = limit
        self._closed_at = _closed_at(entry)
        self._looked = self.given_back = _first_byte(entry.output)
        self._line_begins = True
        self._left_out = 0
        self._unsaved: list[str] = []
        self._unsaved_from = 0
        self._last = b""
        masks.add(_remembered(entry))

    @property
    def end(self) -> int:
        """Bytes of log that there are; the last of them may have to wait for what comes after them."""
        return sum(stretch.length for stretch in self._layout())

    @property
    def spooled(self) -> int:
        """Bytes that were written, whether or not they will be part of the log."""
        return self._size()

    @property
    def closed(self) -> bool:
        return self._closed_at is not None

    def close(self) -> int:
        """What is in the spool now is all: returns the log's end, the same however often it is asked."""
        if self._closed_at is None:
            self._closed_at = self._size()
            with _room_or_not():  # a full disk must not keep the deploy from ending
                durable.replace(self._entry.path / CLOSED_AT, str(self._closed_at).encode())
        return self.end

    def append(self, text: bytes) -> None:
        """Have the log end with what the spool has no room for; once closed it stays as it is."""
        if not self.closed:
            self._last += text

    def read(self, offset: int, most: int) -> bytes:
        """The log from ``offset`` on, as far as it can go out now; every mask asked for before it is in force."""
        begin = 0
        for stretch in self._layout():
            if offset < begin + stretch.length:
                skip = offset - begin
                if stretch.text:
                    return stretch.text[skip : skip + most]
                start = stretch.start + skip
                return self._spooled(start, min(stretch.stop, start + most))
            begin += stretch.length
        return b""

    def tend(self, delivered: int) -> None:
        """Look for masks in what is going to be left out, and give back what nobody needs any more: what the app has
        (up to ``delivered``) and what lies between head and tail."""
        self._save()
        size, head = self._size(), self._limit // 2
        tail = size - (self._limit - head)
        if size > self._limit:
            for _ in range(STEPS_AT_ONCE):
                if self._looked >= tail or self._look(min(tail, self._looked + STEP)):
                    break
            after_head = -(-(head + KEPT_BEHIND) // STEP) * STEP
            self._left_out = self._give_back(max(self._left_out, after_head), min(tail, self._known) - KEPT_BEHIND)
        self.given_back = self._give_back(self.given_back, min(delivered, head, self._known) - KEPT_BEHIND)

    @property
    def _known(self) -> int:
        """Up to where a next run of the runner would not have to look for masks."""
        return self._unsaved_from if self._unsaved else self._looked

    def _layout(self) -> tuple[Stretch, ...]:
        stretches = layout(self._limit, self._size(), closed=self.closed)
        return (*stretches, Stretch(text=self._last)) if self.closed and self._last else stretches

    def _size(self) -> int:
        if self._closed_at is not None:
            return self._closed_at
        with contextlib.suppress(FileNotFoundError):
            return self._entry.output.stat().st_size
        return 0

    def _spooled(self, start: int, stop: int) -> bytes:
        """The spool from ``start`` on, masked, up to ``stop`` or to what has to wait."""
        if start < self.given_back:
            length = min(stop, self.given_back) - start
            return (GIVEN_BACK * (length // len(GIVEN_BACK) + 1))[:length]
        for _ in range(STEPS_AT_ONCE):
            if self._looked >= stop or self._look(min(stop, self._looked + STEP)):
                break
        stop = min(stop, self._looked)
        before = max(0, start - self.masks.reach)
        data = self._raw(before, stop + self.masks.reach)
        if not self.closed and len(data) < stop + self.masks.reach - before:
            stop = min(stop, before + len(data) - self.masks.held_back(data))
        return self.masks.masked(data, start - before, stop - before) if stop > start else b""

    def _look(self, stop: int) -> bool:
        """Put masks in force that the spool asks for before ``stop``; True where a line has to be waited for."""
        data = self._raw(self._looked, stop + LONGEST_LINE)
        enough = self.closed or len(data) == stop + LONGEST_LINE - self._looked
        found, waiting = asked(data, line_begins=self._line_begins, enough=enough)
        ahead = stop - self._looked
        self._add([value for at, said in found if at < ahead for value in self._values(said)])
        if waiting is not None and waiting < ahead:
            self._looked += waiting
            self._line_begins = True
            return True
        self._line_begins = data.endswith(b"\n", 0, ahead)
        self._looked = stop
        return False

    def _values(self, said: bytes) -> tuple[str, ...]:
        """As it is written, and as it is meant: GitHub's own commands write line ends and percent signs
        percent-encoded."""
        written = value = said.decode(errors="surrogateescape").strip()
        for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            value = value.replace(code, character)
        if len(value.encode(errors="surrogateescape")) < SHORTEST:
            self.too_short += 1
        return written, value

    def _add(self, values: list[str]) -> None:
        """All that a step asks for at once: each time takes as long as all that were asked for before."""
        if not values:
            return
        self.masks.add(values)
        if not self._unsaved:
            self._unsaved_from = self._looked
        self._unsaved += dict.fromkeys(values)
        self._save()

    def _save(self) -> None:
        """Durably, before anything is sent that comes after them; where there is no room, later: until then the spool
        keeps the lines that ask for them."""
        if self._unsaved:
            with _room_or_not():
                _remember(self._entry, self._unsaved)
                self._unsaved = []

    def _raw(self, start: int, stop: int) -> bytes:
        stop = min(stop, self._size())
        if stop <= start:
            return b""
        fd = os.open(self._entry.output, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, stop - start, start)
        finally:
            os.close(fd)

    def _give_back(self, start: int, stop: int) -> int:
        """Free the disk between these bytes, in whole steps; from where on it is still there."""
        stop -= stop % STEP
        if stop <= start:
            return start
        return stop if _punch(self._entry.output, start, stop) else start


def _closed_at(entry: Entry) -> int | None:
    raw = durable.read(entry.path / CLOSED_AT)
    return int(raw) if raw else None


def reopen(entry: Entry) -> None:
    """It goes on after all: what was closed by an end that nobody was told is not the whole log."""
    (entry.path / CLOSED_AT).unlink(missing_ok=True)


@contextlib.contextmanager
def _room_or_not() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise


def _remember(entry: Entry, values: Iterable[str]) -> None:
    """A line that was not finished spoils no other."""
    fd = os.open(entry.path / MASKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write("".join(f"\n{json.dumps(value)}\n" for value in values))
        file.flush()
        os.fsync(fd)


def _remembered(entry: Entry) -> list[str]:
    values = []
    for line in (durable.read(entry.path / MASKS) or b"").splitlines():
        with contextlib.suppress(ValueError):
            values.append(json.loads(line))
    return values


def asked(data: bytes, *, line_begins: bool, enough: bool) -> tuple[list[tuple[int, bytes]], int | None]:
    """Where lines ask for a mask, and for which; and where one begins that is not whole yet, or may become one.

    ``enough``: there is nothing more to wait for.
    """
    found: list[tuple[int, bytes]] = []
    at = 0 if line_begins and data.startswith(ADD_MASK) else _next(data, 0)
    while at is not None:
        newline = data.find(b"\n", at, at + LONGEST_LINE)
        if newline < 0 and not enough and len(data) - at < LONGEST_LINE:
            return found, at
        stop = newline if newline >= 0 else at + LONGEST_LINE
        found.append((at, data[at + len(ADD_MASK) : stop]))
        at = _next(data, at)
    last = data.rfind(b"\n") + 1
    rest = data[last:]
    begun = rest and ADD_MASK.startswith(rest) and (last or line_begins) and not enough
    return found, last if begun else None


def _next(data: bytes, after: int) -> int | None:
    at = data.find(b"\n" + ADD_MASK, after)
    return None if at < 0 else at + 1


def _first_byte(spool: Path) -> int:
    """Where an earlier run of the runner stopped giving back: lseek(2), SEEK_DATA."""
    try:
        fd = os.open(spool, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:  # empty, or the file system knows no holes
        return 0
    finally:
        os.close(fd)


def _punch(spool: Path, start: int, stop: int) -> bool:
    """Free these bytes on the disk; the file keeps its size. False where the file system cannot: fallocate(2)."""
    fd = os.open(spool, os.O_WRONLY | os.O_CLOEXEC)
    try:
        mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        return not _fallocate(fd, mode, ctypes.c_int64(start), ctypes.c_int64(stop - start))
    finally:
        os.close(fd)


_fallocate = ctypes.CDLL(None, use_errno=True).fallocate64

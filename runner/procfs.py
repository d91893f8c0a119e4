"""Processes as /proc shows them (proc(5)), and signals that cannot hit a stranger. Standard library only."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

Table = dict[int, "Process"]

DEAD = ("Z", "X", "x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process; `start_ticks` (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    comm: str
    state: str
    ppid: int
    session: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        """Zombies are not."""
        return self.state not in DEAD


def read(pid: int) -> Process | None:
    """The process with that pid; None where there is none. Fields as in proc_pid_stat(5)."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    before, _, after = raw.rpartition(b")")  # the name may contain anything, parentheses too
    rest = after.split()
    return Process(
        pid=pid,
        comm=before.partition(b"(")[2].decode(errors="replace"),
        state=rest[0].decode(),
        ppid=int(rest[1]),
        session=int(rest[3]),
        start_ticks=int(rest[19]),
    )


def table() -> Table:
    """Every process that can be seen."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  names only, and fast
    return {process.pid: process for process in map(read, pids) if process is not None}


def children(pid: int) -> list[int]:
    """The pids directly below a process (of one thread), zombies too; much faster than the whole table.

    Empty where the kernel has no such list: proc_tid_children(5), CONFIG_PROC_CHILDREN.
    """
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except OSError:
        return []


def ancestors(pid: int) -> list[int]:
    """The process, its parent, and so on."""
    line: list[int] = []
    while pid and (process := read(pid)) is not None:
        line.append(pid)
        pid = process.ppid
    return line


def descendants(roots: set[int], processes: Table) -> list[Process]:
    """All that descend from the roots, without these, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    seen = set(roots)
    todo = list(roots)
    while todo:
        new = [child for child in children.get(todo.pop(0), []) if child.pid not in seen]
        seen.update(child.pid for child in new)
        todo += [child.pid for child in new]
        found += new
    return found


def send(pid: int, start_ticks: int, signum: int) -> bool:
    """Signal exactly that process; False where it is gone. Raises PermissionError where it is another user's.

    The descriptor pins the process before its start time is compared: pidfd_open(2), pidfd_send_signal(2).
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        process = read(pid)
        if process is None or process.start_ticks != start_ticks:
            return False
        signal.pidfd_send_signal(fd, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def kill_marked(pid: int, mark: bytes) -> bool:
    """Kill a process if its environment contains the mark; whether it did. Faster than read and send."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if mark not in environ(pid):
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def environ(pid: int) -> frozenset[bytes]:
    """The `NAME=value` pairs it was started with; empty where it is gone or may not be read."""
    try:
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return frozenset()

"""The runner's side of the supervisors: start, follow, cancel, and clean up after one that died."""

import asyncio
import contextlib
import enum
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner import journal, procfs
from runner.journal import Entry, Left, Result, Started
from runner.supervise import WAKE

SUPERVISOR = Path(__file__).with_name("supervise.py")

SWEEP_S = 10.0
"""How long to go on killing what a dead supervisor left."""

QUIET_SCANS = 3
"""Empty scans in a row that mean "nothing is left": a process that forks and exits can slip through one."""


BURST = 200
"""Looks at what lost its parent before one at all processes."""


class LaunchFailed(Exception):
    """No supervisor runs for this entry."""


class Action(enum.Enum):
    """What a restarted runner does with an entry."""

    FORGET = "nothing is owed: remove the entry"
    FINISH_REBOOTED = "the machine was restarted: finish(error)"
    REPORT_RESULT = "ship the rest of the log, then finish with the recorded result"
    FINISH_NOT_STARTED = "nothing ran and nothing will: finish(error, started: false)"
    TRY_NEVER = "claim_never_started(), then look again"
    FOLLOW = "a supervisor is at work: follow it"
    SWEEP_THEN_ERROR = "the supervisor is gone: sweep, and when nothing is left finish(error)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the journal and the kernel know of an entry. Without `starting`, `same_boot` says nothing."""

    same_boot: bool
    has_starting: bool
    started: Literal["none", "never", "started"]
    has_result: bool
    supervisor_alive: bool
    has_finished: bool


def decide_after_crash(facts: Facts) -> Action:
    """What to do with an entry found after a restart (protocol rules 13 and 14)."""
    if facts.has_finished or not facts.has_starting:
        return Action.FORGET
    if not facts.same_boot:
        return Action.FINISH_REBOOTED
    if facts.has_result:
        return Action.REPORT_RESULT
    if facts.started == "never":
        return Action.FINISH_NOT_STARTED
    if facts.started == "none":
        return Action.TRY_NEVER
    return Action.FOLLOW if facts.supervisor_alive else Action.SWEEP_THEN_ERROR


def gather(entry: Entry) -> Facts:
    """Look at an entry. The lock comes first: a supervisor found gone has written all it ever will."""
    supervisor_alive = alive(entry)
    starting = entry.read_starting()
    started = entry.read_started()
    return Facts(
        same_boot=starting is not None and starting.boot_id == journal.boot_id(),
        has_starting=starting is not None,
        started="none" if started is None else "never" if started.never else "started",
        has_result=entry.read_result() is not None,
        supervisor_alive=supervisor_alive,
        has_finished=entry.finished,
    )


async def launch(entry: Entry, ahead: "Ahead | None" = None) -> None:
    """Hand an entry that has `command` and `starting` to a supervisor: the one `ahead`, else a new one.

    On return it is alive and detached. It ends at once, with a result, where the start is no longer allowed. Raises
    LaunchFailed.
    """
    with contextlib.ExitStack() as files:
        try:
            lock, errors = _files(entry, files)
            if ahead is not None and (supervisor := await ahead.take()) and _hand_over(entry, supervisor, lock, errors):
                return
            if _hand_over(entry, await asyncio.to_thread(_start_supervisor, errors), lock, errors):
                return
        except (OSError, subprocess.CalledProcessError) as error:
            raise LaunchFailed(f"The supervisor did not start: {error}. Its last words are in {entry.path}.") from error
    raise LaunchFailed(f"The supervisor died before it began. Its last words are in {entry.path}.")


class Ahead:
    """A supervisor that is started before there is anything for it, so that no command waits for it."""

    def __init__(self) -> None:
        self._starting: asyncio.Future[socket.socket | None] | None = None

    def get(self) -> None:
        """Start one, unless there is one."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(_started_ahead())

    async def take(self) -> socket.socket | None:
        """The one there is, which may be dead, and nobody else's from now on; None where there is none."""
        taken, self._starting = self._starting, None
        return await taken if taken is not None else None

    async def dismiss(self) -> None:
        """It ends; so does every one whose runner does."""
        if (supervisor := await self.take()) is not None:
            supervisor.close()


async def _started_ahead() -> socket.socket | None:
    try:
        return await asyncio.to_thread(_start_supervisor, subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None  # whoever needs one starts another, and then it is told why that does not work


def _start_supervisor(errors: int) -> socket.socket:
    """A supervisor that waits for its entry at the other end, until this one is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, contextlib.ExitStack() as failing:
        failing.enter_context(ours)
        subprocess.run(
            [sys.executable, "-I", "-S", str(SUPERVISOR)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={},
            cwd="/",
            start_new_session=True,
            check=True,
        )
        failing.pop_all()
    return ours


def _hand_over(entry: Entry, supervisor: socket.socket, lock: int, errors: int) -> bool:
    """Whether it lives. With the lock, which belongs to the open file, whoever has it or will receive it (flock(2))."""
    with supervisor:
        try:
            socket.send_fds(supervisor, [os.fsencode(entry.path)], [lock, errors])
        except (BrokenPipeError, ConnectionResetError):
            return False
    return True


def _files(entry: Entry, files: contextlib.ExitStack) -> tuple[int, int]:
    """The entry's lock, taken, and its file for what a supervisor says in despair. Raises LaunchFailed."""
    lock = os.open(entry.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    files.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LaunchFailed(f"{entry.path} has a supervisor already: follow that one.") from None
    errors = files.enter_context((entry.path / "supervisor.log").open("ab"))
    return lock, errors.fileno()


def alive(entry: Entry) -> bool:
    """Whether a supervisor lives. The kernel frees the lock with the process, even if nobody waits for that."""
    try:
        lock = os.open(entry.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


async def wait(entry: Entry, poll_s: float = 0.05) -> Result | None:
    """The result, as soon as there is one; None where the supervisor is gone without."""
    while True:
        supervised = alive(entry)  # before the result is read: see gather
        result = entry.read_result()
        if result is not None or not supervised:
            return result
        await asyncio.sleep(poll_s)


def cancel(entry: Entry) -> None:
    """Have the command ended, now or before it starts. Its result tells whether it was in time."""
    entry.request_cancel()
    started = entry.read_started()
    if started is not None and started.pid and started.boot_id == journal.boot_id():
        try:
            procfs.send(started.pid, started.start_ticks, WAKE)
        except PermissionError:
            return  # it looks by itself, a little later


async def sweep(deploy_id: str, started: Started | None = None) -> tuple[Left, ...]:
    """Kill what a dead supervisor left of a deploy; returns what would not die (then it may still work).

    That is: what carries the deploy's id in its environment, is in the session of the supervisor that wrote
    `started` (another user's environment cannot be read), or descends from such a process.
    """
    deadline = time.monotonic() + SWEEP_S
    mark = f"KEDGE_DEPLOY_ID={deploy_id}".encode()
    known: dict[int, int] = {}
    quiet = 0
    while quiet < QUIET_SCANS:
        fleeting = _kill_orphans(mark)
        found = _belonging(mark, started, known)
        if found and time.monotonic() >= deadline:
            return tuple(Left(pid=process.pid, comm=process.comm) for process in found)
        known = {process.pid: process.start_ticks for process in found}
        reached = sum(map(_kill, found))
        quiet = 0 if found or fleeting else quiet + 1
        await asyncio.sleep(0.001 if reached else 0.05)
    return ()


def _kill_orphans(mark: bytes) -> int:
    """Kill what forks and exits faster than all of /proc can be read: its orphans are adopted above us, or by us."""
    adopters = procfs.ancestors(os.getpid())
    seen = set(adopters)
    if mark in procfs.environ(os.getpid()):  # see _belonging
        seen.update(procfs.children(os.getpid()))
    killed = 0
    for _ in range(BURST):
        new = {pid for adopter in adopters for pid in procfs.children(adopter)} - seen
        seen |= new
        killed += sum(procfs.kill_marked(pid, mark) for pid in new)
    return killed


def _belonging(mark: bytes, started: Started | None, known: dict[int, int]) -> list[procfs.Process]:
    """The living processes of a deploy; `known` (pid: start) were found before, perhaps below one that is dead now.

    Not this runner with what it started, should it have been restarted by that very deploy.
    """
    table = procfs.table()
    session = _session(started, table)
    found = {
        process.pid
        for process in table.values()
        if process.session == session
        or known.get(process.pid) == process.start_ticks
        or mark in procfs.environ(process.pid)
    }
    found |= {process.pid for process in procfs.descendants(found, table)}
    if os.getpid() in found:
        found -= {os.getpid()} | {process.pid for process in procfs.descendants({os.getpid()}, table)}
    return [table[pid] for pid in found if table[pid].alive]


def _session(started: Started | None, table: procfs.Table) -> int | None:
    """The session a dead supervisor led; None where that is unknown, or the number has a new owner."""
    if started is None or not started.pid or started.boot_id != journal.boot_id():
        return None
    leader = table.get(started.pid)
    return started.pid if leader is None or leader.start_ticks == started.start_ticks else None


def _kill(process: procfs.Process) -> bool:
    try:
        return procfs.send(process.pid, process.start_ticks, signal.SIGKILL)
    except PermissionError:
        return False

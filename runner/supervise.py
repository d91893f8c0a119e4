"""The supervisor: a small process, detached from the runner, that owns one running command.

Run by path, `python -I -S supervise.py JOBDIR`, with JOBDIR/lock, already locked, as its standard input.
It alone holds the deadlines, signals the command and records how it ended. Standard library only.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run by path: nothing but the standard library can be imported yet
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from runner import journal, procfs
from runner.journal import Command, Entry, Left, Result, Started
from runner.spool import Spool

WAKE = signal.SIGUSR1
"""Tells a supervisor to look for a cancel at once; `started` exists only when it is listening."""

TICK_S = 0.1
"""How often cancel and deadlines are looked at when nobody wakes it."""

LINGER_S = 2.0
"""A daemon may keep the pipe of a command that has exited: the deploy ends this much later all the same."""

KILL_WAIT_S = 10.0
"""How long to go on killing: another user's process, or one stuck in the kernel, may never die."""

PR_SET_DUMPABLE = 4  # prctl(2), linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a running command is ended from outside."""

    ended_by: str
    reason: str


def why_stop(command: Command, *, ran_s: float, silent_s: float, cancelled: bool, terminated: bool) -> Stop | None:
    """The first reason to end a command that still runs."""
    if cancelled:
        return Stop("cancel", "It was cancelled while it ran.")
    if ran_s >= command.timeout_s:
        return Stop("timeout", f"It ran longer than its timeout of {command.timeout_s:g} s.")
    if command.silence_s is not None and silent_s >= command.silence_s:
        return Stop("silence", f"It wrote nothing for {command.silence_s:g} s.")
    if terminated:
        return Stop("error", "Somebody ended its supervisor with SIGTERM.")
    return None


def why_not_start(entry: Entry) -> Stop | None:
    """What forbids to execute it at all (protocol rules 9 and 12)."""
    starting = entry.read_starting()
    if starting is None:
        return Stop("error", "not started: nobody asked for the start")
    if starting.boot_id != journal.boot_id():
        return Stop("error", "not started: the machine was restarted meanwhile")
    late_s = (journal.boottime_ns() - starting.deadline_ns) / 1e9
    if late_s >= 0:
        return Stop("error", f"not started: too late, the permission had ended {late_s:.1f} s before")
    if entry.cancel_requested:
        return Stop("cancel", "not started: it was cancelled before")
    return None


class Watch:
    """One running command, from its start to its end."""

    def __init__(self, entry: Entry, command: Command, child: int, output: Spool, wakeup: int) -> None:
        self._entry, self._command, self._child = entry, command, child
        self._output, self._wakeup = output, wakeup
        self._begun_at = self._heard_at = time.monotonic()
        self._ended_at = self._kill_at = 0.0
        self._status: int | None = None
        self._stop: Stop | None = None
        self._terminated = False
        self._alone = False
        self._tick_s = TICK_S

    def run(self) -> Result:
        """Returns when the command has ended and what it wrote is in the file."""
        now = self._begun_at
        while not self._over(now):
            self._sleep()
            now = time.monotonic()
            if not self._output.eof and self._output.pump(now):
                self._heard_at = now
            self._reap(now)
            if self._status is None and self._stop is None:
                self._judge(now)
            elif self._stop is not None and not self._alone and now >= self._kill_at:
                self._tick_s = 0.001 if self._signal(signal.SIGKILL) else TICK_S
        self._output.drain(now)
        self._output.close()
        return self._result()

    def _over(self, now: float) -> bool:
        if self._stop is not None:
            return self._alone or now >= self._kill_at + KILL_WAIT_S
        return self._status is not None and (self._output.eof or now >= self._ended_at + LINGER_S)

    def _sleep(self) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if not self._output.eof:
            poll.register(self._output.pipe, select.POLLIN)
        if any(fd == self._wakeup for fd, _ in poll.poll(self._tick_s * 1000)):
            self._terminated |= signal.SIGTERM in os.read(self._wakeup, 4096)

    def _reap(self, now: float) -> None:
        """Whatever lost its parent below the supervisor is the supervisor's child: no child left, nothing left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                return
            if pid == 0:
                return
            if pid == self._child:
                self._status, self._ended_at = status, now

    def _judge(self, now: float) -> None:
        self._stop = why_stop(
            self._command,
            ran_s=now - self._begun_at,
            silent_s=now - self._heard_at,
            cancelled=self._entry.cancel_requested,
            terminated=self._terminated,
        )
        if self._stop is not None:
            self._kill_at = now + self._command.grace_s
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped one would not hear the first

    def _signal(self, signum: int) -> int:
        """Signal every descendant; returns how many it reached."""
        reached = 0
        for process in living():
            try:
                reached += procfs.send(process.pid, process.start_ticks, signum)
            except PermissionError:
                continue  # another user's: named in the result
        return reached

    def _result(self) -> Result:
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        left = () if self._alone else tuple(Left(pid=p.pid, comm=p.comm) for p in living())
        return Result(
            ended_by=self._stop.ended_by if self._stop else "exit",
            started=True,
            ended_at=now_ms(),
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            log_end=self._output.end,
            dropped_bytes=self._output.dropped,
            daemons=() if self._stop else left,
            unkillable=left if self._stop else (),
            reason=self._stop.reason if self._stop else "",
        )


def living() -> list[procfs.Process]:
    """What runs below this process."""
    return [process for process in procfs.descendants({os.getpid()}, procfs.table()) if process.alive]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def spawn(command: Command, output: int) -> subprocess.Popen[bytes]:
    """Execute it, with the default of every signal (subprocess restores SIGPIPE).

    In a process group of its own, for `kill 0` in a script; in the supervisor's session, for a later sweep.
    """
    return subprocess.Popen(
        command.argv,
        cwd=command.cwd,
        env=command.env | {"KEDGE_DEPLOY_ID": command.deploy_id},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
    )


@dataclass(frozen=True, slots=True)
class Running:
    """What has been executed; the Popen is kept only so that nobody collects the child but the watch."""

    command: Command
    output: Spool
    child: subprocess.Popen[bytes]


def begin(entry: Entry) -> Running | Stop | None:
    """Execute the entry's command, once; None where the runner had given it up: then what it says holds."""
    stop = why_not_start(entry)
    if stop is None and not entry.claim_started(myself()):
        return None
    stop = stop or why_not_start(entry)  # the disk may have taken its time
    if stop is not None:
        return stop
    command = entry.read_command()
    output = Spool(entry.output)
    child = spawn(command, output.writer)
    output.started()
    return Running(command, output, child)


def supervise(entry: Entry, wakeup: int) -> None:
    """Execute the entry's command, record how it ended, then serve the daemons it left."""
    record = entry.reserve_result()
    try:
        begun = begin(entry)
    except (OSError, ValueError) as error:
        begun = Stop("error", f"The command could not be started: {error}")
    if begun is None:
        return
    if isinstance(begun, Stop):
        journal.write_result(record, not_started(begun))
        return
    watch = Watch(entry, begun.command, begun.child.pid, begun.output, wakeup)
    journal.write_result(record, watch.run())
    os.close(record)
    retire()
    begun.output.discard()


def not_started(stop: Stop) -> Result:
    return Result(ended_by=stop.ended_by, started=False, ended_at=now_ms(), reason=stop.reason)


def myself() -> Started:
    process = procfs.read(os.getpid())
    assert process is not None, "/proc is not there"  # noqa: S101
    return Started(pid=process.pid, boot_id=journal.boot_id(), start_ticks=process.start_ticks)


def detach() -> None:
    """Leave the launcher, keep its lock; the launcher's child ends here, so nobody has to wait for the supervisor."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.dup(0)  # holds the lock from now on; closed in the command
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)


def harden() -> None:
    """Adopt every orphan below, and let nobody of this user read or trace this process: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def listen() -> int:
    """Take back the default of every inherited signal, and have those that matter end a poll()."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for signum in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # these two are Python's own
        if signal.getsignal(signum) == signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM, WAKE):
        signal.signal(signum, lambda *_: None)
    return reader


def retire() -> None:
    """The result is written: only daemons are left, which nobody waits for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(WAKE, signal.SIG_IGN)


def main() -> None:
    entry = Entry(Path(sys.argv[1]))
    if not os.path.samestat(os.fstat(0), entry.lock.stat()):
        sys.exit("The supervisor is started by the runner, which hands it the lock of the entry.")
    detach()
    harden()
    try:
        supervise(entry, listen())
    except FileExistsError:
        sys.exit("Not started: a supervisor was here before.")


if __name__ == "__main__":
    main()

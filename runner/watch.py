"""One running command, from its start to its end: output, deadlines, signals. Standard library only."""

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass

from runner import procfs
from runner.journal import Command, Entry, Left, Result
from runner.spool import Spool

TICK_S = 0.1
"""How often cancel and deadlines are looked at when nobody wakes it."""

LINGER_S = 2.0
"""A daemon may keep the pipe of a command that has exited: the deploy ends this much later all the same."""

KILL_WAIT_S = 10.0
"""How long to go on killing: another user's process, or one stuck in the kernel, may never die."""

BURST = 500
"""Looks at the children before one at the whole tree."""


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
            if not self._output.eof and self._output.pump():
                self._heard_at = now
            self._reap(now)
            if self._status is None and self._stop is None:
                self._judge(now)
            elif self._stop is not None and now >= self._kill_at:
                self._kill(now)
        self._output.drain()
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

    def _kill(self, now: float) -> None:
        """Kill layer by layer: what a killed child leaves comes to us. Then what is below those that do not die.

        Looking at all of /proc takes longer than a process that forks and exits lives; looking at the children
        does not. Until it is reaped here, a child's pid is nobody else's.
        """
        for _ in range(BURST):
            for pid in procfs.children(os.getpid()):
                with contextlib.suppress(PermissionError):  # another user's: named in the result
                    os.kill(pid, signal.SIGKILL)
            self._reap(now)
            if self._alone:
                return
        self._tick_s = 0.001 if self._signal(signal.SIGKILL) else TICK_S

    def _signal(self, signum: int) -> int:
        """Signal every descendant; returns how many it reached."""
        reached = 0
        for process in living():
            with contextlib.suppress(PermissionError):
                reached += procfs.send(process.pid, process.start_ticks, signum)
        return reached

    def _result(self) -> Result:
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        left = () if self._alone else tuple(Left(pid=p.pid, comm=p.comm) for p in living())
        if self._stop and not self._alone and not left:
            left = (Left(pid=0, comm="unknown"),)  # it hides between two looks, but it is there
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

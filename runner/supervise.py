"""The supervisor: a small process, detached from the runner, that owns one running command.

Run by path, `python -I -S supervise.py`, with a socket as its standard input, where the runner sends what is to be
supervised as soon as there is something: the entry's folder, its `lock`, already locked, and its file for errors.
It alone holds the deadlines, signals the command and records how it ended. Standard library only.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run by path: nothing but the standard library can be imported yet
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from runner import journal, procfs
from runner.journal import Command, Entry, Result, Started
from runner.spool import Spool
from runner.watch import Stop, Watch, now_ms

WAKE = signal.SIGUSR1
"""Tells a supervisor to look for a cancel at once; `started` exists only when it is listening."""

PR_SET_DUMPABLE = 4  # prctl(2), linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36

PATH_MAX = 4096  # linux/limits.h


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
    """Leave the launcher; its child ends here, so nobody has to wait for the supervisor."""
    if os.fork():
        os._exit(0)
    os.setsid()


def receive() -> Entry | None:
    """What the runner hands over; its lock stays open from now on, closed in the command. None: there is no runner."""
    with socket.socket(fileno=os.dup(0)) as runner:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        path, files, _, _ = socket.recv_fds(runner, PATH_MAX, 2, socket.MSG_CMSG_CLOEXEC)
    if not path:
        return None
    lock, errors = files
    os.dup2(errors, 2)
    os.close(errors)
    entry = Entry(Path(os.fsdecode(path)))
    if not os.path.samestat(os.fstat(lock), entry.lock.stat()):
        sys.exit("The supervisor is given the lock of another entry.")
    return entry


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
    detach()
    harden()
    entry = receive()
    if entry is None:
        return
    try:
        supervise(entry, listen())
    except FileExistsError:
        sys.exit("Not started: a supervisor was here before.")


if __name__ == "__main__":
    main()

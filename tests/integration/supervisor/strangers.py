"""Signals that find every `sleep` to be another user's process. Standard library only: a supervisor imports it."""

import os
import re
import signal
from pathlib import Path

from runner import procfs

_kill, _pidfd_send_signal = os.kill, signal.pidfd_send_signal


def kill(pid: int, signum: int) -> None:
    _refuse(pid)
    _kill(pid, signum)


def pidfd_send_signal(pidfd: int, signum: int) -> None:
    found = re.search(r"^Pid:\s+(\d+)$", Path(f"/proc/self/fdinfo/{pidfd}").read_text(), re.MULTILINE)
    if found:
        _refuse(int(found[1]))
    _pidfd_send_signal(pidfd, signum)


def _refuse(pid: int) -> None:
    process = procfs.read(pid)
    if process is not None and process.comm == "sleep":
        raise PermissionError(1, "Operation not permitted")

"""Looks at real processes: what a deploy's command started, and who supervises it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Does it run? A zombie does not (proc(5))."""
    state = _stat(pid)
    return bool(state) and state[0] not in "ZX"


def parent(pid: int) -> int:
    """Its parent, 0 where there is none."""
    state = _stat(pid)
    return int(state[1]) if state else 0


def _stat(pid: int) -> list[str]:
    """The fields after the name in /proc/PID/stat; empty where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def arguments(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return ""


def everyone() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def marked(mark: str) -> list[int]:
    """The living processes that carry this ``NAME=value`` in their environment: those of a command."""
    found = []
    for pid in everyone():
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and alive(pid):
                found.append(pid)
    return found


def naming(folder: Path) -> list[int]:
    """The living processes that name this folder in their arguments or work in it: supervisors, git, commands."""
    return [pid for pid in everyone() if alive(pid) and (str(folder) in arguments(pid) or _below(pid, folder))]


def _below(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    return False


def supervisor_of(pid: int) -> int:
    """The supervisor above a command. Raises AssertionError where there is none."""
    above = parent(pid)
    while above > 1 and "supervise.py" not in arguments(above):
        above = parent(above)
    assert above > 1, f"no supervisor above {pid} ({arguments(pid)})"
    return above


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

"""Inside a runner or a supervisor: stop at one exact place, and meet a full disk or a clock that jumps.

The process stops itself (SIGSTOP) there; whoever watches may then kill it, or change the world and let it go on. Run
in the place of `python -m runner` or of `supervise.py`; standard library only, as a supervisor has nothing else.
"""

import errno
import functools
import importlib
import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Function = Callable[..., Any]


def install(folder: Path, who: str, place: str) -> None:
    """Stop at ``place``, `before module:name` or `after module:name`, the first time that it is reached.

    `FOLDER/reached` then names the process and its pid. While `FOLDER/full` exists nothing can be written;
    `FOLDER/clock` and `FOLDER/suspend` contain the seconds by which the wall clock and CLOCK_BOOTTIME are ahead.
    """
    if place:
        when, _, where = place.partition(" ")
        _wrap(where, lambda function: _stopping(function, folder / "reached", when, who))
    _disk(folder / "full")
    _clocks(folder / "clock", folder / "suspend")


def script(folder: Path, who: str, place: str) -> str:
    """The program that runs a runner or a supervisor so."""
    module = "runner.__main__" if who == "runner" else "runner.supervise"
    supervised = f"from runner import processes\nprocesses.SUPERVISOR = Path({str(folder / 'run_supervisor.py')!r})\n"
    return (
        f"import sys\nsys.path.append({str(ROOT)!r})\nfrom pathlib import Path\n"
        f"import {module} as process\nfrom tests import kill_points\n"
        f"kill_points.install(Path({str(folder)!r}), {who!r}, {place!r})\n"
        f"{supervised if who == 'runner' else ''}sys.exit(process.main())\n"
    )


def _wrap(where: str, around: Callable[[Function], Function]) -> None:
    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, function = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    setattr(owner, function, around(getattr(owner, function)))


def _stopping(function: Function, reached: Path, when: str, who: str) -> Function:
    @functools.wraps(function)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            _stop(reached, who)
        answer = function(*args, **kwargs)
        if when == "after":
            _stop(reached, who)
        return answer

    return stopping


def _stop(reached: Path, who: str) -> None:
    try:
        fd = os.open(reached, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(fd, f"{who} {os.getpid()}\n".encode())
    os.close(fd)
    os.kill(os.getpid(), signal.SIGSTOP)


def _disk(full: Path) -> None:
    """Nothing new can be created and no file grows; what was reserved can be filled."""

    def refuse(path: object) -> None:
        if full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def guard(owner: Any, name: str, grows: Callable[..., bool]) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if grows(*args, **kwargs):
                refuse(args[0])
            return function(*args, **kwargs)

        setattr(owner, name, guarded)

    guard(os, "open", lambda path, flags, *_, **__: bool(flags & os.O_CREAT) and not Path(path).exists())
    guard(os, "mkdir", lambda *_, **__: True)
    guard(io, "open", lambda _, mode="r", *__, **___: mode[0] != "r")
    guard(os, "pwrite", lambda fd, data, offset: offset + len(data) > os.fstat(fd).st_size)
    guard(os, "splice", lambda *_, **options: "offset_dst" in options)  # into a file, not a pipe
    guard(os, "posix_fallocate", lambda *_: True)


def _clocks(clock: Path, suspend: Path) -> None:
    def ahead_s(path: Path) -> int:
        try:
            return int(path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    wall, wall_ns, reads = time.time, time.time_ns, time.clock_gettime_ns
    time.time = lambda: wall() + ahead_s(clock)
    time.time_ns = lambda: wall_ns() + ahead_s(clock) * 10**9
    time.clock_gettime_ns = lambda which: (
        reads(which) + (ahead_s(suspend) * 10**9 if which == time.CLOCK_BOOTTIME else 0)
    )

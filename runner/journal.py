"""The runner's journal: one folder per lease, so that a restart knows what has begun (protocol rules 11 to 14).

Read by the runner and by the supervisor, which runs without site-packages: standard library only.
"""

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from runner import durable

NEVER = b"never"
"""What `started` contains when the runner took it: nothing ran and nothing will."""

RESULT_BYTES = 32768
"""Size of the exit record. It is reserved before the command starts: a disk that is full later cannot lose it."""

NAMES_KEPT = 50
"""Left processes named in a result, and (by `REASON_KEPT` characters) its reason: so that it fits `RESULT_BYTES`."""
REASON_KEPT = 500

GONE = ".gone-"


class WorkdirBusy(Exception):
    """Another runner works in this folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the supervisor executes: `argv` in `cwd` with exactly `env`; durations in seconds."""

    deploy_id: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = field(repr=False)
    timeout_s: float
    silence_s: float | None
    grace_s: float


def shell_argv(command: str) -> tuple[str, ...]:
    """The argv that runs a line of shell."""
    return ("/bin/sh", "-c", command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """`start` was sent: in which boot, and until when (CLOCK_BOOTTIME, nanoseconds) its yes may be used."""

    boot_id: str
    deadline_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Who took `started`: the runner (`never`), or a supervisor; `pid` is 0 where it died before it could say."""

    never: bool = False
    pid: int = 0
    boot_id: str = ""
    start_ticks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process that still lives."""

    pid: int
    comm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How it ended. `ended_by`: exit, timeout, silence, cancel or error; `ended_at` in ms; the others in bytes.

    `daemons` were left alive on purpose after a normal end, `unkillable` could not be signalled or did not die;
    at most `NAMES_KEPT` of each are named. `log_end` is the final size of the output.
    """

    ended_by: str
    started: bool
    ended_at: int
    exit_code: int | None = None
    signal: int | None = None
    log_end: int = 0
    dropped_bytes: int = 0
    daemons: tuple[Left, ...] = ()
    unkillable: tuple[Left, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """The folder of one lease. Its name does not tell the lease."""

    path: Path

    @property
    def output(self) -> Path:
        """Where the command's output is spooled."""
        return self.path / "output"

    @property
    def lock(self) -> Path:
        """Locked (flock) while the supervisor lives."""
        return self.path / "lock"

    def read_job(self) -> bytes | None:
        """The job as it was given to `Journal.create`; None where even that was not finished."""
        return durable.read(self.path / "job")

    def write_command(self, command: Command) -> None:
        durable.replace(self.path / "command", _json(command))

    def read_command(self) -> Command:
        values = _fields(Command, json.loads((self.path / "command").read_bytes()))
        return Command(**values | {"argv": tuple(values["argv"])})

    def read_env(self) -> dict[str, str]:
        """The command's environment; nothing where no command was written down."""
        return self.read_command().env if (self.path / "command").exists() else {}

    def write_starting(self, boot_id: str, deadline_ns: int) -> None:
        """Note, before `start` is sent, that it will be; `deadline_ns` is when its yes is too old."""
        durable.replace(self.path / "starting", _json(Starting(boot_id=boot_id, deadline_ns=deadline_ns)))

    def read_starting(self) -> Starting | None:
        raw = durable.read(self.path / "starting")
        return None if raw is None else Starting(**_fields(Starting, json.loads(raw)))

    def claim_started(self, started: Started) -> bool:
        """Create `started` for a supervisor; False where it was taken before: then nothing may be executed."""
        return durable.create(self.path / "started", _json(started))

    def claim_never_started(self) -> bool:
        """Take `started` so that no supervisor can; False where it was taken before (protocol rule 13)."""
        return durable.create(self.path / "started", NEVER)

    def read_started(self) -> Started | None:
        """Who took `started`; one that was never finished writing counts as a supervisor's."""
        raw = durable.read(self.path / "started")
        if raw is None or raw == NEVER:
            return None if raw is None else Started(never=True)
        try:
            return Started(**_fields(Started, json.loads(raw)))
        except ValueError:
            return Started()

    def reserve_result(self) -> int:
        """Make room for the exit record on the disk; returns the descriptor to write it to.

        Raises FileExistsError where an earlier supervisor did so, OSError where there is no room.
        """
        fd = os.open(self.path / "result", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(fd, 0, RESULT_BYTES)
        os.fsync(fd)
        durable.fsync_folder(self.path)
        return fd

    def read_result(self) -> Result | None:
        """The exit record; None while it is reserved only, or half written."""
        raw = (durable.read(self.path / "result") or b"").strip(b"\0 \n")
        if not raw.endswith(b"}"):
            return None
        try:
            values = _fields(Result, json.loads(raw))
        except ValueError:
            return None
        named = {key: tuple(Left(**left) for left in values[key]) for key in ("daemons", "unkillable")}
        return Result(**values | named)

    def write_finished(self) -> None:
        """Note that the app accepted `finish` (or that the lease is over): nothing is owed any more."""
        durable.replace(self.path / "finished", b"")

    @property
    def finished(self) -> bool:
        return (self.path / "finished").exists()

    def reserve_cancel(self) -> None:
        """Make the file that `request_cancel` will show: a rename works on a disk that is full."""
        self._uncancelled.touch(mode=0o600)

    def request_cancel(self) -> None:
        """Leave the request where the supervisor looks."""
        try:
            self._uncancelled.rename(self.path / "cancel")
        except FileNotFoundError:  # asked before, or an entry of a version that reserved nothing
            durable.create(self.path / "cancel", b"")
        else:
            durable.fsync_folder(self.path)

    @property
    def cancel_requested(self) -> bool:
        return (self.path / "cancel").exists()

    @property
    def _uncancelled(self) -> Path:
        return self.path / ".cancel.new"


class Journal:
    """The entries of one work folder."""

    def __init__(self, workdir: Path) -> None:
        self._root = workdir / "journal"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for gone in self._root.glob(f"{GONE}*"):
            _delete(gone)

    def create(self, deploy_id: str, lease: str, job: bytes) -> Entry:
        """A new entry that contains the job. Raises FileExistsError for a known lease, ValueError for a strange id."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", deploy_id):
            raise ValueError("A deploy's id consists of letters, digits, '_' and '-'; the app sent another one.")
        import hashlib  # noqa: PLC0415  OpenSSL would cost each supervisor 4 MB

        entry = Entry(self._root / f"{deploy_id}-{hashlib.sha256(lease.encode()).hexdigest()[:12]}")
        entry.path.mkdir(mode=0o700)
        entry.reserve_cancel()
        durable.replace(entry.path / "job", job)
        durable.fsync_folder(self._root)
        return entry

    def entries(self) -> list[Entry]:
        """What a restarted runner finds."""
        return [Entry(path) for path in sorted(self._root.iterdir()) if not path.name.startswith(GONE)]

    def remove(self, entry: Entry) -> None:
        """Forget an entry, all at once: a crash in the middle must not leave some of its files."""
        gone = self._root / f"{GONE}{entry.path.name}"
        entry.path.rename(gone)
        durable.fsync_folder(self._root)
        _delete(gone)


def _delete(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def write_result(fd: int, result: Result) -> None:
    """Fill the reserved exit record with one write of its whole size, durably."""
    kept = asdict(result) | {
        "daemons": [asdict(left) for left in result.daemons[:NAMES_KEPT]],
        "unkillable": [asdict(left) for left in result.unkillable[:NAMES_KEPT]],
        "reason": result.reason[:REASON_KEPT],
    }
    os.pwrite(fd, json.dumps(kept).encode().ljust(RESULT_BYTES), 0)
    os.fsync(fd)


@contextlib.contextmanager
def lock_workdir(workdir: Path) -> Iterator[None]:
    """Hold the work folder; raises WorkdirBusy, naming the holder, while another runner does."""
    workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (workdir / "runner.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise WorkdirBusy(
                f"{workdir} is in use by another runner (process {file.read().strip() or 'unknown'}). "
                "Stop that one, or give this one a folder of its own in KEDGE_WORKDIR."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def boot_id() -> str:
    """Which boot of this machine this is: https://docs.kernel.org/admin-guide/sysctl/kernel.html#random."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boottime_ns() -> int:
    """Nanoseconds since boot, time suspended included: clock_gettime(2), CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _json(value: Any) -> bytes:
    return json.dumps(asdict(value)).encode()


def _fields(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """What this version knows of values another version wrote: a supervisor outlives the runner's upgrade."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}

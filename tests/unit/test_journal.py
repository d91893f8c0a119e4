"""The journal: what a restarted runner can rely on."""

import errno
import multiprocessing
import multiprocessing.synchronize
import os
import time
from pathlib import Path

import pytest

from runner import journal
from runner.journal import Command, Journal, Left, Result, Started, Starting, WorkdirBusy

LEASE = "lease-a-secret-that-nobody-may-read-off-a-folder"


def private(path: Path) -> bool:
    return path.stat().st_mode & 0o077 == 0


def test_an_entry_keeps_the_job_for_its_owner_only_and_hides_the_lease(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("d-17", LEASE, b'{"lease": "..."}')
    assert entry.read_job() == b'{"lease": "..."}'
    assert private(entry.path)
    assert private(entry.path / "job")
    assert entry.path.name.startswith("d-17-")
    assert not any(LEASE[i : i + 6] in str(entry.path.relative_to(tmp_path)) for i in range(len(LEASE) - 5))


def test_two_leases_of_one_deploy_have_folders_of_their_own_and_one_lease_has_one(tmp_path: Path) -> None:
    entries = Journal(tmp_path)
    first, second = entries.create("7", "lease-1", b"1"), entries.create("7", "lease-2", b"2")
    assert Journal(tmp_path).entries() == sorted((first, second), key=lambda entry: entry.path)
    with pytest.raises(FileExistsError):
        entries.create("7", "lease-1", b"again")
    assert first.read_job() == b"1"


@pytest.mark.parametrize("deploy_id", ["", "../7", "a/b", ".gone-1", "7\n", "x" * 101])
def test_a_strange_deploy_id_makes_no_folder(tmp_path: Path, deploy_id: str) -> None:
    entries = Journal(tmp_path)
    with pytest.raises(ValueError, match="A deploy's id"):
        entries.create(deploy_id, LEASE, b"")
    assert entries.entries() == []


def test_what_is_written_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    Journal(tmp_path).create("7", LEASE, b"")
    command = Command(
        deploy_id="7",
        argv=journal.shell_argv("echo ü"),
        cwd="/tmp",
        env={"A": "geheim"},
        timeout_s=1800,
        silence_s=None,
        grace_s=30.5,
    )
    (entry,) = Journal(tmp_path).entries()
    entry.write_command(command)
    entry.write_starting("boot-1", 123)
    (again,) = Journal(tmp_path).entries()
    assert again.read_command() == command
    assert again.read_starting() == Starting(boot_id="boot-1", deadline_ns=123)
    assert private(entry.path / "command")
    assert "geheim" not in repr(command)


def test_an_empty_entry_says_so(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    assert (entry.read_starting(), entry.read_started(), entry.read_result()) == (None, None, None)
    assert not entry.finished
    assert not entry.cancel_requested


def test_starting_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    (entry.path / ".starting.new").write_bytes(b"half of it, and then the pow")
    entry.write_starting("boot-1", 1)
    entry.write_starting("boot-1", 2)
    starting = entry.read_starting()
    assert starting is not None
    assert starting.deadline_ns == 2


def test_what_the_supervisor_took_the_runner_cannot_take(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    mine = Started(pid=12, boot_id="b", start_ticks=99)
    assert entry.claim_started(mine)
    assert not entry.claim_never_started()
    assert entry.read_started() == mine


def test_what_the_runner_took_the_supervisor_cannot_take(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    assert entry.claim_never_started()
    assert not entry.claim_started(Started(pid=12, boot_id="b", start_ticks=99))
    assert not entry.claim_never_started()
    assert entry.read_started() == Started(never=True)


@pytest.mark.parametrize("torn", [b"", b'{"never": false, "pid": 12', b"nev"])
def test_a_torn_started_counts_as_started(tmp_path: Path, torn: bytes) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    (entry.path / "started").write_bytes(torn)
    assert entry.read_started() == Started()
    assert not entry.claim_never_started()


RESULT = Result(
    ended_by="timeout",
    started=True,
    ended_at=1_790_000_000_123,
    signal=15,
    log_end=5_000_000_000,
    dropped_bytes=7,
    daemons=(Left(pid=5, comm="sshd"),),
    unkillable=(Left(pid=6, comm="sudo"),),
    reason="It ran longer than its timeout of 3 s.",
)


def test_the_exit_record_is_reserved_first_and_never_grows(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    record = entry.reserve_result()
    reserved = (entry.path / "result").stat()
    assert reserved.st_size == journal.RESULT_BYTES
    assert reserved.st_blocks * 512 >= journal.RESULT_BYTES, "the room is promised, not taken"
    assert entry.read_result() is None
    journal.write_result(record, RESULT)
    assert entry.read_result() == RESULT
    assert (entry.path / "result").stat().st_size == journal.RESULT_BYTES


def test_the_exit_record_is_reserved_once(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    entry.reserve_result()
    with pytest.raises(FileExistsError):
        entry.reserve_result()


def test_the_largest_exit_record_fits(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    many = tuple(Left(pid=4_000_000 + n, comm="\x01" * 15) for n in range(1000))
    largest = Result(
        ended_by="timeout", started=True, ended_at=2**63, daemons=many, unkillable=many, reason="\U0001f4a5" * 9999
    )
    journal.write_result(entry.reserve_result(), largest)
    result = entry.read_result()
    assert result is not None
    assert result.unkillable == many[: journal.NAMES_KEPT]
    assert (entry.path / "result").stat().st_size == journal.RESULT_BYTES


@pytest.mark.parametrize("cut", [1, 20, 100, 4096])
def test_a_half_written_exit_record_is_none(tmp_path: Path, cut: int) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    many = tuple(Left(pid=n, comm="daemon") for n in range(journal.NAMES_KEPT * 2))
    record = entry.reserve_result()
    journal.write_result(record, Result(ended_by="exit", started=True, ended_at=1, daemons=many, unkillable=many))
    whole = (entry.path / "result").read_bytes()
    end = whole.rindex(b"}")
    os.pwrite(record, bytes(len(whole) - min(cut, end)), min(cut, end))
    assert entry.read_result() is None


def test_a_record_of_a_newer_version_is_understood(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    record = entry.reserve_result()
    journal.write_result(record, RESULT)
    newer = (entry.path / "result").read_bytes().strip().replace(b"{", b'{"cpu_s": 3, ', 1)
    os.pwrite(record, newer.ljust(journal.RESULT_BYTES), 0)
    assert entry.read_result() == RESULT


def test_finished_and_cancel_are_kept(tmp_path: Path) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    entry.write_finished()
    entry.request_cancel()
    entry.request_cancel()
    assert entry.finished
    assert entry.cancel_requested


def test_a_cancel_needs_nothing_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Journal(tmp_path).create("7", LEASE, b"")
    given = os.open

    def full(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return given(path, flags, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        entry.request_cancel()
    assert entry.cancel_requested


def test_a_cancel_reaches_an_entry_in_which_nothing_was_reserved_for_it(tmp_path: Path) -> None:
    """That of a runner that was upgraded while a command ran."""
    entry = Journal(tmp_path).create("7", LEASE, b"")
    for path in entry.path.glob(".*"):
        path.unlink()
    entry.request_cancel()
    assert entry.cancel_requested


def test_remove_forgets_everything_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Journal(tmp_path)
    entry = entries.create("7", LEASE, b"job")
    other = entries.create("8", LEASE, b"")
    entry.write_starting("boot-1", 1)

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", power_cut)
        entries.remove(entry)
    assert entries.entries() == [other]
    assert Journal(tmp_path).entries() == [other]
    assert [path.name for path in (tmp_path / "journal").iterdir()] == [other.path.name]


def _hold(workdir: Path, ready: multiprocessing.synchronize.Event) -> None:
    with journal.lock_workdir(workdir):
        ready.set()
        time.sleep(600)


def test_a_work_folder_has_one_runner_and_is_free_when_that_dies(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    ready = processes.Event()
    holder = processes.Process(target=_hold, args=(tmp_path, ready), daemon=True)
    holder.start()
    assert ready.wait(30)
    with pytest.raises(WorkdirBusy) as busy, journal.lock_workdir(tmp_path):
        pass
    assert str(tmp_path) in str(busy.value)
    assert f"process {holder.pid})" in str(busy.value)
    holder.kill()
    holder.join()
    with (
        journal.lock_workdir(tmp_path),
        pytest.raises(WorkdirBusy, match=f"process {os.getpid()}"),
        journal.lock_workdir(tmp_path),
    ):
        pass


def test_the_clocks() -> None:
    assert journal.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert time.monotonic_ns() <= journal.boottime_ns()

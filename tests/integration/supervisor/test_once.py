"""A command is executed at most once, and nothing of it is left behind unseen."""

import ctypes
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from runner import journal, processes, procfs
from runner.journal import Entry, Result, shell_argv
from runner.processes import Action, LaunchFailed, decide_after_crash, gather
from runner.supervise import PR_SET_CHILD_SUBREAPER
from tests.integration.supervisor.bench import (
    HARD_TO_KILL,
    Bench,
    deploy_id_of,
    ended,
    living,
    said,
    supervisor_of,
    until,
)


async def refused(bench: Bench, entry: Entry) -> Result:
    await processes.launch(entry)
    result = await ended(entry)
    await until(lambda: not processes.alive(entry), "the supervisor goes")
    assert not (bench.folder / "ran").exists()
    assert (result.ended_by, result.started, result.log_end) == ("error", False, 0)
    return result


async def test_a_yes_that_is_too_old_starts_nothing(bench: Bench) -> None:
    result = await refused(bench, bench.prepare("touch ran", good_for_s=-2))
    assert re.fullmatch(r"not started: too late, the permission had ended \d+\.\d s before", result.reason)


async def test_a_yes_of_before_a_reboot_starts_nothing(bench: Bench) -> None:
    entry = bench.prepare("touch ran")
    entry.write_starting("another-boot", journal.boottime_ns() + 10**12)
    assert "restarted" in (await refused(bench, entry)).reason


async def test_without_starting_nothing_starts(bench: Bench) -> None:
    entry = bench.prepare("touch ran")
    (entry.path / "starting").unlink()
    assert "nobody asked" in (await refused(bench, entry)).reason


@pytest.mark.parametrize("started", [journal.NEVER, b"", b'{"pid": 1, "boot_id": "b", "start_ticks": 2}'])
async def test_what_was_started_is_never_executed_again(bench: Bench, started: bytes) -> None:
    entry = bench.prepare("touch ran")
    (entry.path / "started").write_bytes(started)
    await processes.launch(entry)
    assert await processes.wait(entry) is None
    assert not (bench.folder / "ran").exists()
    assert (entry.path / "started").read_bytes() == started


async def test_a_second_supervisor_changes_nothing(bench: Bench) -> None:
    entry = await bench.start("echo one >> ran")
    result = await ended(entry)
    await until(lambda: not processes.alive(entry), "the first goes")
    await processes.launch(entry)
    await until(lambda: not processes.alive(entry), "the second goes")
    assert entry.read_result() == result
    assert (bench.folder / "ran").read_text() == "one\n"
    assert "before" in (entry.path / "supervisor.log").read_text()


async def test_a_living_supervisor_gets_no_second(bench: Bench) -> None:
    entry = await bench.start_ready("touch ready; exec sleep 600")
    with pytest.raises(LaunchFailed, match="has a supervisor already"):
        await processes.launch(entry)
    assert processes.alive(entry)


async def test_the_exit_record_is_reserved_before_the_command_runs(bench: Bench) -> None:
    entry = bench.prepare(["true"])
    record = shell_argv(f"stat -c %s {entry.path}/result; wc -c < {entry.path}/started")
    entry.write_command(replace(entry.read_command(), argv=record))
    await processes.launch(entry)
    await ended(entry)
    size, started = map(int, said(entry).split())
    assert size == journal.RESULT_BYTES
    assert started > 0


async def test_without_room_for_the_exit_record_nothing_starts(bench: Bench, patched: Callable[[str], None]) -> None:
    patched("""
def full(*_):
    raise OSError(28, "No space left on device")
import os
os.posix_fallocate = full
""")
    entry = await bench.start("touch ran")
    assert await processes.wait(entry) is None
    assert not (bench.folder / "ran").exists()
    assert decide_after_crash(gather(entry)) is Action.TRY_NEVER


async def test_a_supervisor_that_cannot_even_begin_is_reported(bench: Bench, patched: Callable[[str], None]) -> None:
    patched("raise RuntimeError('no such luck')")
    entry = bench.prepare("touch ran")
    with pytest.raises(LaunchFailed, match="did not start"):
        await processes.launch(entry)
    assert not processes.alive(entry)
    assert "no such luck" in (entry.path / "supervisor.log").read_text()


# The runner's restart


async def test_what_a_restarted_runner_finds(bench: Bench) -> None:
    entry = bench.prepare("touch ready; until [ -e go ]; do sleep 0.02; done")
    assert decide_after_crash(gather(entry)) is Action.TRY_NEVER
    await processes.launch(entry)
    assert processes.alive(entry)
    await until((bench.folder / "ready").exists, "ready")
    assert not entry.claim_never_started()
    assert decide_after_crash(gather(entry)) is Action.FOLLOW
    (bench.folder / "go").touch()
    assert (await ended(entry)).exit_code == 0
    assert decide_after_crash(gather(entry)) is Action.REPORT_RESULT
    entry.write_finished()
    assert decide_after_crash(gather(entry)) is Action.FORGET


async def test_what_the_runner_gave_up_is_never_started(bench: Bench) -> None:
    entry = bench.prepare("touch ran")
    assert entry.claim_never_started()
    assert decide_after_crash(gather(entry)) is Action.FINISH_NOT_STARTED
    await processes.launch(entry)
    assert await processes.wait(entry) is None
    assert decide_after_crash(gather(entry)) is Action.FINISH_NOT_STARTED
    assert not (bench.folder / "ran").exists()


@pytest.mark.parametrize("kind", HARD_TO_KILL)
async def test_after_the_supervisors_death_a_sweep_leaves_nothing(bench: Bench, kind: str) -> None:
    entry = await bench.start_ready(HARD_TO_KILL[kind])
    started = entry.read_started()
    assert started is not None
    os.kill(started.pid, signal.SIGKILL)
    await until(lambda: not processes.alive(entry), "the lock is free")
    assert await processes.wait(entry) is None
    assert decide_after_crash(gather(entry)) is Action.SWEEP_THEN_ERROR
    assert await processes.sweep(deploy_id_of(entry), started) == ()
    assert living(deploy_id_of(entry)) == []
    assert [p for p in procfs.table().values() if p.session == started.pid and p.alive] == []


def reap(*pids: int) -> None:
    for pid in pids:
        os.waitpid(pid, 0)


async def test_a_runner_that_adopts_orphans_is_not_deceived(bench: Bench) -> None:
    """As the first process of a container does: the dead supervisor stays a zombie, what it left are our children."""
    adopt = ctypes.CDLL(None).prctl
    adopt(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        entry = await bench.start_ready("sleep 600 & touch ready; wait")
        orphans = living(deploy_id_of(entry))
        supervisor = supervisor_of(entry)
        os.kill(supervisor, signal.SIGKILL)
        await until(lambda: not processes.alive(entry), "the lock is free")
        zombie = procfs.read(supervisor)
        assert zombie is not None
        assert (zombie.ppid, zombie.alive) == (os.getpid(), False)
        assert await processes.sweep(deploy_id_of(entry), entry.read_started()) == ()
        assert living(deploy_id_of(entry)) == []
        reap(supervisor, *(orphan.pid for orphan in orphans))
    finally:
        adopt(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


async def test_a_sweep_spares_other_deploys(bench: Bench) -> None:
    one = await bench.start_ready("touch ready; exec sleep 600")
    (bench.folder / "ready").unlink()
    other = await bench.start_ready("touch ready; exec sleep 600")
    os.kill(supervisor_of(one), signal.SIGKILL)
    assert await processes.sweep(deploy_id_of(one), one.read_started()) == ()
    assert processes.alive(other)
    assert living(deploy_id_of(other)) != []


async def test_a_sweep_spares_a_later_session_of_the_same_number(bench: Bench) -> None:
    entry = await bench.start_ready("touch ready; exec env -i sleep 600")
    started = entry.read_started()
    assert started is not None
    stranger = journal.Started(pid=started.pid, boot_id=started.boot_id, start_ticks=started.start_ticks - 1)
    assert await processes.sweep("nobody", stranger) == ()
    assert processes.alive(entry)
    processes.cancel(entry)
    assert (await ended(entry)).ended_by == "cancel"

"""A supervisor that was started before there is anything for it."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import processes, procfs
from runner.processes import Ahead, LaunchFailed
from tests.integration.supervisor.bench import Bench, deploy_id_of, ended, living, supervisor_of, until


@pytest.fixture
def waiting(patched: Callable[[str], None]) -> Callable[[], list[int]]:
    """The pids of this test's supervisors."""
    patched("")
    script = os.fsencode(processes.SUPERVISOR)

    def pids() -> list[int]:
        found = [process.pid for process in procfs.table().values() if process.alive]
        return [pid for pid in found if script in _arguments(pid)]

    return pids


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def _one_ahead(pids: Callable[[], list[int]]) -> tuple[Ahead, int]:
    """It waits, and its pid."""
    ahead = Ahead()
    ahead.get()
    assert ahead._starting
    await asyncio.wait({ahead._starting})
    (pid,) = pids()
    return ahead, pid


async def test_it_is_the_one_that_supervises(bench: Bench, waiting: Callable[[], list[int]]) -> None:
    ahead, pid = await _one_ahead(waiting)
    entry = bench.prepare("touch ready; sleep 600")
    await processes.launch(entry, ahead)
    await until((bench.folder / "ready").exists, "ready")
    assert (supervisor_of(entry), processes.alive(entry), waiting()) == (pid, True, [pid])
    processes.cancel(entry)
    assert (await ended(entry)).ended_by == "cancel"
    await until(lambda: not waiting(), "it goes")


async def test_it_serves_one_entry(bench: Bench, waiting: Callable[[], list[int]]) -> None:
    ahead, pid = await _one_ahead(waiting)
    one, other = bench.prepare("exit 3"), bench.prepare("exit 4")
    await processes.launch(one, ahead)
    await processes.launch(other, ahead)
    assert [(await ended(entry)).exit_code for entry in (one, other)] == [3, 4]
    assert supervisor_of(one) == pid != supervisor_of(other)


async def test_a_dead_one_is_replaced(bench: Bench, waiting: Callable[[], list[int]]) -> None:
    ahead, pid = await _one_ahead(waiting)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not waiting(), "it is dead")
    entry = bench.prepare("touch ran")
    await processes.launch(entry, ahead)
    assert (await ended(entry)).exit_code == 0
    assert supervisor_of(entry) != pid


async def test_one_that_dies_with_its_entry_unread_ran_nothing(bench: Bench, waiting: Callable[[], list[int]]) -> None:
    ahead, pid = await _one_ahead(waiting)
    os.kill(pid, signal.SIGSTOP)
    entry = bench.prepare("touch ran")
    await processes.launch(entry, ahead)
    assert processes.alive(entry), "the lock is on its way to it"
    os.kill(pid, signal.SIGKILL)
    assert await processes.wait(entry) is None
    assert (entry.read_started(), living(deploy_id_of(entry))) == (None, [])
    assert not (bench.folder / "ran").exists()


async def test_without_a_runner_it_ends(waiting: Callable[[], list[int]]) -> None:
    ahead, _ = await _one_ahead(waiting)
    await ahead.dismiss()
    await until(lambda: not waiting(), "it goes")


async def test_one_that_could_not_be_started_ahead_is_reported_when_it_is_needed(
    bench: Bench, patched: Callable[[str], None]
) -> None:
    patched("raise RuntimeError('no such luck')")
    ahead = Ahead()
    ahead.get()
    entry = bench.prepare("touch ran")
    with pytest.raises(LaunchFailed, match="did not start"):
        await processes.launch(entry, ahead)
    assert "no such luck" in (entry.path / "supervisor.log").read_text()


async def test_what_it_says_in_despair_is_kept_with_the_entry(bench: Bench, patched: Callable[[str], None]) -> None:
    patched("def fail(*_):\n    raise RuntimeError('no such luck')\nrunner.supervise.supervise = fail\n")
    ahead = Ahead()
    ahead.get()
    entry = bench.prepare("touch ran")
    await processes.launch(entry, ahead)
    assert await processes.wait(entry) is None
    assert "no such luck" in (entry.path / "supervisor.log").read_text()

"""Cancel, daemons, and what cannot be killed, with real processes and real signals."""

import os
import signal
from collections.abc import Callable

import pytest

from runner import processes, procfs
from runner.journal import Entry
from tests.integration.supervisor import strangers
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


@pytest.mark.parametrize("kind", HARD_TO_KILL)
async def test_after_a_cancel_nothing_is_left(bench: Bench, kind: str) -> None:
    entry = await bench.start_ready(HARD_TO_KILL[kind], grace_s=0.3)
    supervisor = supervisor_of(entry)
    assert len(living(deploy_id_of(entry))) >= (200 if kind == "two hundred" else 1)
    processes.cancel(entry)
    result = await ended(entry)
    assert (result.ended_by, result.unkillable) == ("cancel", ())
    assert living(deploy_id_of(entry)) == []
    assert [p for p in procfs.table().values() if p.session == supervisor != p.pid and p.alive] == []


async def test_a_cancelled_command_may_clean_up(bench: Bench) -> None:
    entry = await bench.start_ready("trap 'echo bye; exit 7' TERM; touch ready; while :; do sleep 0.05; done")
    processes.cancel(entry)
    result = await ended(entry)
    assert (result.ended_by, result.exit_code, result.started) == ("cancel", 7, True)
    assert said(entry).endswith("bye\n")


async def test_a_stopped_command_hears_the_cancel(bench: Bench) -> None:
    entry = await bench.start_ready("trap 'echo bye; exit 7' TERM; touch ready; kill -STOP $$; sleep 0.05; echo no")
    processes.cancel(entry)
    result = await ended(entry)
    assert (result.ended_by, result.exit_code, said(entry)) == ("cancel", 7, "bye\n")


async def test_a_cancel_is_noticed_when_its_signal_is_lost(bench: Bench) -> None:
    entry = await bench.start_ready("touch ready; exec sleep 600")
    entry.request_cancel()
    assert (await ended(entry)).ended_by == "cancel"


async def test_a_cancel_wakes_the_supervisor(bench: Bench, patched: Callable[[str], None]) -> None:
    patched("runner.watch.TICK_S = 3600.0")
    entry = await bench.start_ready("touch ready; exec sleep 600")
    await until(lambda: asleep(entry), "the supervisor sleeps")
    processes.cancel(entry)
    assert (await ended(entry)).ended_by == "cancel"


def asleep(entry: Entry) -> bool:
    process = procfs.read(supervisor_of(entry))
    return process is not None and process.state == "S"


async def test_a_cancel_before_the_start_prevents_it(bench: Bench) -> None:
    entry = bench.prepare("touch ran")
    processes.cancel(entry)
    await processes.launch(entry)
    result = await ended(entry)
    assert (result.ended_by, result.started) == ("cancel", False)
    assert not (bench.folder / "ran").exists()


async def test_a_cancel_after_the_command_ended_is_too_late(bench: Bench) -> None:
    """A daemon keeps the pipe open: the command has ended, the deploy not quite."""
    entry = await bench.start("echo $$ > pid; sleep 600 & exit 0")
    pid = bench.folder / "pid"
    await until(lambda: pid.exists() and pid.read_text() and not procfs.read(int(pid.read_text())), "it has exited")
    processes.cancel(entry)
    result = await ended(entry)
    assert (result.ended_by, result.exit_code) == ("exit", 0)
    assert [left.comm for left in result.daemons] == ["sleep"]
    processes.cancel(entry)
    assert await ended(entry) == result


# Daemons


async def test_a_daemon_left_on_purpose_lives_on_and_is_named(bench: Bench) -> None:
    entry = await bench.start(
        "setsid sleep 600 >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do sleep 0.01; done"
    )
    result = await ended(entry)
    (daemon,) = living(deploy_id_of(entry))
    assert (result.ended_by, result.exit_code) == ("exit", 0)
    assert [(left.pid, left.comm) for left in result.daemons] == [(daemon.pid, "sleep")]
    await until(lambda: not processes.alive(entry), "nothing holds the pipe: the supervisor goes")
    assert living(deploy_id_of(entry)) == [daemon]


async def test_a_daemon_may_go_on_writing(bench: Bench) -> None:
    daemon = "until [ -e go ]; do sleep 0.02; done; head -c 5000000 /dev/zero && touch survived"
    entry = await bench.start(f"echo out; ({daemon}) & exit 0")
    result = await ended(entry)
    assert (result.exit_code, result.log_end, said(entry)) == (0, 4, "out\n")
    bench.journal.remove(entry)
    bench.begun.remove(entry)
    (bench.folder / "go").touch()
    await until((bench.folder / "survived").exists, "it neither blocked nor died of SIGPIPE")


async def test_after_a_timeout_daemons_are_killed_too(bench: Bench) -> None:
    entry = await bench.start("setsid sleep 600 >/dev/null 2>&1 & sleep 600", timeout_s=0.5)
    result = await ended(entry)
    assert (result.ended_by, result.daemons) == ("timeout", ())
    assert living(deploy_id_of(entry)) == []


# What cannot be killed

STRANGERS = """
import os, signal
from tests.integration.supervisor import strangers
os.kill, signal.pidfd_send_signal = strangers.kill, strangers.pidfd_send_signal
runner.watch.KILL_WAIT_S = 0.3
"""


async def test_another_users_process_is_named_after_a_bounded_wait(
    bench: Bench, patched: Callable[[str], None]
) -> None:
    patched(STRANGERS)
    entry = await bench.start_ready("sleep 600 & touch ready; wait", grace_s=0.1)
    processes.cancel(entry)
    result = await ended(entry)
    (stranger,) = living(deploy_id_of(entry))
    assert (result.ended_by, result.signal) == ("cancel", signal.SIGTERM)
    assert [(left.pid, left.comm) for left in result.unkillable] == [(stranger.pid, "sleep")]


async def test_a_sweep_names_what_it_cannot_kill(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = await bench.start_ready("sleep 600 & touch ready; wait")
    os.kill(supervisor_of(entry), signal.SIGKILL)
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", strangers.kill)
        patch.setattr(signal, "pidfd_send_signal", strangers.pidfd_send_signal)
        patch.setattr(processes, "SWEEP_S", 0.3)
        left = await processes.sweep(deploy_id_of(entry))
    (stranger,) = living(deploy_id_of(entry))
    assert [(one.pid, one.comm) for one in left] == [(stranger.pid, "sleep")]

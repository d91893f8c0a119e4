"""What a restarted runner does, and whom a signal can hit."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest

from runner import procfs
from runner.journal import Command
from runner.processes import Action, Facts, decide_after_crash
from runner.watch import Stop, why_stop


def facts(*, started: Literal["none", "never", "started"] = "none", result: bool = False, alive: bool = False) -> Facts:
    return Facts(
        has_starting=True,
        same_boot=True,
        started=started,
        has_result=result,
        supervisor_alive=alive,
        has_finished=False,
    )


TABLE = [
    (facts(), Action.TRY_NEVER),
    (facts(alive=True), Action.TRY_NEVER),
    (facts(result=True), Action.REPORT_RESULT),
    (facts(started="never"), Action.FINISH_NOT_STARTED),
    (facts(started="never", alive=True), Action.FINISH_NOT_STARTED),
    (facts(started="started", alive=True), Action.FOLLOW),
    (facts(started="started"), Action.SWEEP_THEN_ERROR),
    (facts(started="started", result=True), Action.REPORT_RESULT),
    (facts(started="started", result=True, alive=True), Action.REPORT_RESULT),
]


@pytest.mark.parametrize(("found", "action"), TABLE)
def test_after_a_crash(found: Facts, action: Action) -> None:
    assert decide_after_crash(found) is action
    assert decide_after_crash(replace(found, same_boot=False)) is Action.FINISH_REBOOTED
    assert decide_after_crash(replace(found, has_finished=True)) is Action.FORGET
    assert decide_after_crash(replace(found, has_finished=True, same_boot=False)) is Action.FORGET


def test_without_starting_nobody_was_asked() -> None:
    assert decide_after_crash(replace(facts(), has_starting=False, same_boot=False)) is Action.FORGET


def test_what_was_starting_leaves_only_by_an_answer_and_is_never_started_again() -> None:
    for (found, _), boot, finished in itertools.product(TABLE, (False, True), (False, True)):
        action = decide_after_crash(replace(found, same_boot=boot, has_finished=finished))
        assert (action is Action.FORGET) == finished


COMMAND = Command(deploy_id="7", argv=("true",), cwd="/", env={}, timeout_s=100, silence_s=10, grace_s=5)


@pytest.mark.parametrize(
    ("ran_s", "silent_s", "cancelled", "terminated", "ended_by"),
    [
        (99.9, 9.9, False, False, None),
        (100.0, 0.0, False, False, "timeout"),
        (50.0, 10.0, False, False, "silence"),
        (50.0, 1.0, True, False, "cancel"),
        (50.0, 1.0, False, True, "error"),
        (100.0, 10.0, True, True, "cancel"),
        (100.0, 10.0, False, True, "timeout"),
    ],
)
def test_why_a_command_is_stopped(
    ran_s: float, silent_s: float, cancelled: bool, terminated: bool, ended_by: str | None
) -> None:
    stop = why_stop(COMMAND, ran_s=ran_s, silent_s=silent_s, cancelled=cancelled, terminated=terminated)
    assert (stop and stop.ended_by) == ended_by


def test_without_a_silence_limit_a_command_may_be_silent() -> None:
    quiet = Command(deploy_id="7", argv=("true",), cwd="/", env={}, timeout_s=100, silence_s=None, grace_s=5)
    assert why_stop(quiet, ran_s=99, silent_s=99, cancelled=False, terminated=False) is None
    assert why_stop(quiet, ran_s=100, silent_s=99, cancelled=False, terminated=False) == Stop(
        "timeout", "It ran longer than its timeout of 100 s."
    )


STRANGE = "a) R 1 (b c"


@pytest.fixture
def strange() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose name looks like the fields that follow it."""
    code = f"open('/proc/self/comm', 'w').write({STRANGE!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_is_read_whatever_its_name(strange: subprocess.Popen[bytes]) -> None:
    process = procfs.read(strange.pid)
    assert process is not None
    assert (process.comm, process.ppid, process.session, process.alive) == (
        STRANGE,
        os.getpid(),
        os.getsid(strange.pid),
        True,
    )
    assert process.pid in [below.pid for below in procfs.descendants({os.getpid()}, procfs.table())]
    strange.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, strange.pid, os.WEXITED | os.WNOWAIT)
    zombie = procfs.read(strange.pid)
    assert zombie is not None
    assert not zombie.alive
    strange.wait()
    assert procfs.read(strange.pid) is None


def test_a_signal_cannot_hit_a_later_owner_of_the_pid(strange: subprocess.Popen[bytes]) -> None:
    process = procfs.read(strange.pid)
    assert process is not None
    assert not procfs.send(process.pid, process.start_ticks + 1, signal.SIGKILL)
    assert strange.poll() is None
    assert procfs.send(process.pid, process.start_ticks, signal.SIGKILL)
    assert strange.wait() == -signal.SIGKILL
    assert not procfs.send(process.pid, process.start_ticks, signal.SIGKILL)

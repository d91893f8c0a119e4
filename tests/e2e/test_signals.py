"""Stopping: the app at once and cleanly, the runner after what it runs; two runners on one folder."""

import os
import signal

from tests.e2e import processes
from tests.e2e.people import Stopwatch, until
from tests.e2e.rig import HELD, World


def _errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if "error" in line.lower() or "Traceback" in line]


async def test_app_stops_cleanly_and_the_next_one_goes_on(small: World) -> None:
    """With a runner that waits for work, one that runs a command, and a follower of its log."""
    await small.start_runner("idle", "work-idle")
    small.script(HELD)
    deployment = small.deploy()
    await small.command_pid(1)
    await small.shows(deployment, "in_progress")
    await small.told()
    headers = {"Authorization": "Bearer admin-token-for-the-tests-000000", "Accept": "text/event-stream"}
    async with small.session.get(f"{small.url}/api/0/hello/deploys/1/log", headers=headers) as follower:
        await until(lambda: follower.status == 200, "the log is followed")
        assert small.app and small.app.pid
        watch = Stopwatch()
        os.kill(small.app.pid, signal.SIGTERM)
        assert await small.app.wait() == 0
        watch.tell("the app stopped")
    assert _errors(small.app.log.read_text()) == []
    await small.start_app()
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    assert (await small.shows(deployment, "success", within_s=90))[-2:] == ["in_progress", "success"]
    assert small.executed == ["1"]


async def test_runner_lets_its_command_end_and_takes_nothing_new(small: World) -> None:
    small.script(HELD)
    first, second = small.deploy(), small.deploy()
    await small.command_pid(1)
    assert small.runner and small.runner.pid
    os.kill(small.runner.pid, signal.SIGTERM)
    log = small.runner.log
    await until(lambda: "stopping" in log.read_text(), "the runner has heard it")
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    assert await small.runner.wait() == 0
    await small.shows(first, "success")
    assert (await small.number(2))["state"] == "queued"
    assert small.executed == ["1"]
    await small.start_runner("r1")
    await small.shows(second, "success")
    assert small.executed == ["1", "2"]


async def test_an_idle_runner_stops_at_once(small: World) -> None:
    assert small.runner and small.runner.pid
    log = small.runner.log
    await until(lambda: "runner ready" in log.read_text(), "the runner is ready")
    os.kill(small.runner.pid, signal.SIGTERM)
    assert await small.runner.wait() == 0
    assert _errors(log.read_text()) == []


async def test_a_second_signal_leaves_the_command_running_for_the_next_start(small: World) -> None:
    small.script(HELD)
    small.deploy()
    command = await small.command_pid(1)
    assert small.runner and small.runner.pid
    log = small.runner.log
    os.kill(small.runner.pid, signal.SIGTERM)
    await until(lambda: "stopping" in log.read_text(), "the runner has heard it")
    os.kill(small.runner.pid, signal.SIGTERM)
    assert await small.runner.wait() == 1
    assert processes.alive(command)
    await small.start_runner("r1")
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    assert small.executed == ["1"]


async def test_a_second_runner_on_one_work_folder_stops_with_a_sentence(small: World) -> None:
    small.script(HELD)
    small.deploy()
    await small.command_pid(1)
    first = small.runner
    second = await small.start_runner("r2")
    assert await second.wait() == 2
    said = second.log.read_text().strip()
    assert str(small.folder / "work") in said and "Traceback" not in said and len(said.splitlines()) == 1
    assert first and first.ended is None
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"

"""A runner that dies and comes back: what was begun is followed to its end, never begun again."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from runner import journal as journals
from runner import processes, procfs
from runner.journal import Command, Entry, Journal
from tests.integration.fake_app import LOST_ANSWER, LOST_REQUEST, Deploy
from tests.integration.runner_world import World, bind, killed, until
from tests.integration.runner_world import world as make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


def left_behind(world: World, deploy: Deploy, state: str) -> Entry:
    """The entry of a runner that has died."""
    deploy.state, deploy.lease = state, "an-old-lease"
    job = msgspec.structs.replace(deploy.job, lease=deploy.lease)
    return Journal(world.workdir).create(str(job.id), job.lease, msgspec.json.encode(job))


def starting(entry: Entry, boot_id: str | None = None) -> None:
    entry.write_starting(boot_id or journals.boot_id(), journals.boottime_ns() + 30 * 10**9)


async def restarted(world: World, deploy: Deploy) -> None:
    async with world.running():
        await world.ended(deploy)


async def test_a_running_command_is_followed_to_its_end(world: World) -> None:
    deploy = world.ask(f"echo first; {world.tally()}; {world.wait_for('go')}; echo last; exit 5")
    async with world.running():
        await until(lambda: "first" in deploy.output)
    (world.folder / "go").touch()
    await restarted(world, deploy)
    assert (deploy.state, deploy.finishes[0].exit_code, world.times("runs")) == ("failed", 5, 1)
    assert deploy.output == "first\nlast\n"


async def test_what_ended_meanwhile_is_reported_with_the_whole_log(world: World) -> None:
    deploy = world.ask(f"echo up; {world.wait_for('go')}; head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    async with world.running():
        await until(lambda: "up" in deploy.output)
    (world.folder / "go").touch()
    (entry,) = Journal(world.workdir).entries()
    await until(entry.read_result)
    await restarted(world, deploy)
    assert deploy.state == "succeeded"
    assert deploy.output == "up\n" + "x" * 3_000_000 + "end\n"


async def test_a_cancel_reaches_a_followed_command(world: World) -> None:
    deploy = world.ask("echo up; sleep 600")
    async with world.running():
        await until(lambda: "up" in deploy.output)
    deploy.request_cancel()
    await restarted(world, deploy)
    assert deploy.state == "cancelled"


async def test_another_boot_is_an_error_whatever_the_files_say(world: World) -> None:
    deploy = world.ask(world.tally())
    entry = left_behind(world, deploy, "running")
    starting(entry, "another-boot")
    entry.output.write_text("half of it\n")
    await restarted(world, deploy)
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)
    assert "restarted" in deploy.finishes[0].reason
    assert deploy.output == "half of it\n"


async def test_another_boot_after_it_was_started(world: World) -> None:
    deploy = world.ask(world.tally())
    entry = left_behind(world, deploy, "running")
    starting(entry, "another-boot")
    entry.claim_started(journals.Started(pid=1, boot_id="another-boot", start_ticks=1))
    await restarted(world, deploy)
    assert (deploy.state, deploy.finishes[0].started) == ("errored", True)


@pytest.mark.parametrize("state", ["claimed", "running"])
async def test_what_was_starting_is_never_started_again(world: World, state: str) -> None:
    deploy = world.ask(world.tally())
    entry = left_behind(world, deploy, state)
    starting(entry)
    await restarted(world, deploy)
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)


async def test_what_was_not_yet_asked_goes_on(world: World) -> None:
    deploy = world.ask(world.tally())
    left_behind(world, deploy, "claimed")
    await restarted(world, deploy)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)


async def test_what_could_not_be_prepared_before_and_now_can_has_its_whole_log(world: World) -> None:
    """The end of the first try was told to nobody, but the log was closed for it."""
    path = bind(world, f"sentry/*: {{DEPLOY_KEY: {{file: {world.folder}/key}}}}")
    deploy = world.ask(f'{world.tally()}; echo "out $DEPLOY_KEY."', secrets=["DEPLOY_KEY"])
    world.app.always["finish"] = LOST_REQUEST
    async with world.running():
        await until(lambda: world.app.calls.count("finish") > 1)
    world.app.always.clear()
    (path.parent / "key").write_text("s3cret-value")
    await restarted(world, deploy)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)
    assert deploy.output == f"out {'*' * 12}.\n"


async def test_what_was_not_yet_asked_and_is_over_is_forgotten(world: World) -> None:
    deploy = world.ask(world.tally())
    left_behind(world, deploy, "claimed")
    deploy.lease = "a-newer-lease"
    async with world.running():
        await until(lambda: not world.journal)
    assert (deploy.state, world.times("runs")) == ("claimed", 0)


async def test_a_dead_supervisor_is_swept_up_after(world: World) -> None:
    deploy = world.ask(f"echo up; echo $$ > {world.folder}/pid; setsid sleep 600; {world.tally()}")
    async with world.running():
        await until(lambda: "up" in deploy.output)
        (entry,) = Journal(world.workdir).entries()
        supervisor = entry.read_started()
        assert supervisor
        os.kill(supervisor.pid, signal.SIGKILL)
        await world.ended(deploy)
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", True, 0)
    assert "supervisor" in deploy.finishes[0].reason
    left = procfs.read(int((world.folder / "pid").read_text()))
    assert left is None or not left.alive


async def test_what_cannot_be_killed_is_named_and_held_as_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[tuple[journals.Left, ...]] = [(journals.Left(pid=77, comm="zfs"),)] * 20

    async def stubborn(*_: object) -> tuple[journals.Left, ...]:
        return left.pop() if left else ()

    deploy = world.ask("true")
    entry = left_behind(world, deploy, "running")
    starting(entry)
    entry.claim_started(journals.Started(pid=0, boot_id=journals.boot_id()))
    with monkeypatch.context() as patch:
        patch.setattr(processes, "sweep", stubborn)
        async with world.running():
            await until(lambda: len(left) < 15)
            beats = len(deploy.beats)
            await until(lambda: len(left) < 2)
            assert len(deploy.beats) <= beats + 1
            assert not deploy.terminal
            await world.ended(deploy)
    assert deploy.state == "errored"
    assert b"zfs (pid 77)" in deploy.log


async def test_what_cannot_be_killed_holds_no_slot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody calls the app for it, so that a declare-dead would never be heard either."""
    left: tuple[journals.Left, ...] = (journals.Left(pid=77, comm="zfs"),)

    async def stubborn(mark: str, _: object) -> tuple[journals.Left, ...]:
        return left if mark == entry.path.name else ()

    deploy = world.ask("true")
    entry = left_behind(world, deploy, "running")
    starting(entry)
    entry.claim_started(journals.Started(pid=0, boot_id=journals.boot_id()))
    monkeypatch.setattr(processes, "sweep", stubborn)
    async with world.running():
        await until(lambda: b"zfs (pid 77)" in deploy.log)
        later = world.ask(world.tally(), environment="other")
        await until(lambda: later.terminal, "a slot for what comes later")
        assert (deploy.state, later.state, world.times("runs")) == ("running", "succeeded", 1)
        deploy.state, deploy.dead = "errored", True
        left = ()
        await until(lambda: not world.journal)
    assert deploy.finishes == []


async def test_a_lost_finish_is_sent_again_after_the_restart(world: World) -> None:
    world.app.always["finish"] = LOST_ANSWER
    deploy = world.ask(world.tally())
    async with world.running():
        await until(lambda: len(deploy.finishes) > 2)
    world.app.always.clear()
    await restarted(world, deploy)
    assert len(set(deploy.finishes)) == 1
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)


async def test_a_finished_entry_owes_nothing(world: World) -> None:
    deploy = world.ask("true")
    entry = left_behind(world, deploy, "succeeded")
    starting(entry)
    entry.write_finished()
    async with world.running():
        await until(lambda: not world.journal)
    assert deploy.finishes == []


async def test_declared_dead_while_the_runner_was_away(world: World) -> None:
    deploy = world.ask(f"echo up; {world.wait_for('go')}; {world.tally()}")
    async with world.running():
        await until(lambda: "up" in deploy.output)
    deploy.state, deploy.dead = "errored", True
    async with world.running():
        await until(lambda: not world.journal)
    (world.folder / "go").touch()
    assert (world.times("runs"), deploy.finishes) == (0, [])


async def test_an_unreadable_entry_stops_nobody(world: World) -> None:
    journal = Journal(world.workdir)
    journal.create("8", "lease", b"{")
    begun = journal.create("9", "lease", b"{")
    starting(begun)
    deploy = world.ask("true")
    async with world.running():
        await until(lambda: deploy.terminal and world.journal == [begun.path.name])
    assert deploy.state == "succeeded"


async def test_a_start_without_answer_when_the_runner_died(world: World) -> None:
    """The app said yes, nobody heard it, and the command was written down: it must not run after all."""
    deploy = world.ask(world.tally())
    entry = left_behind(world, deploy, "running")
    entry.write_command(
        Command(
            deploy_id=entry.path.name,
            argv=journals.shell_argv(world.tally()),
            cwd="/",
            env={},
            timeout_s=9,
            silence_s=None,
            grace_s=1,
        )
    )
    starting(entry)
    await restarted(world, deploy)
    assert (deploy.state, world.times("runs")) == ("errored", 0)


# As a process of its own


async def test_sigkill_in_mid_command(world: World) -> None:
    deploy = world.ask(f"{world.tally()}; echo first; {world.wait_for('go')}; echo last")
    first = await world.process()
    await until(lambda: "first" in deploy.output)
    await killed(first)
    (world.folder / "go").touch()
    second = await world.process()
    await world.ended(deploy)
    second.terminate()
    assert await second.wait() == 0
    assert (deploy.state, deploy.output, world.times("runs")) == ("succeeded", "first\nlast\n", 1)


async def test_sigterm_lets_the_deploy_end_and_takes_nothing_new(world: World) -> None:
    deploy = world.ask(f"echo up; {world.wait_for('go')}")
    runner = await world.process()
    await until(lambda: "up" in deploy.output)
    runner.terminate()
    assert runner.stderr
    await said(runner.stderr, b"stopping")
    later = world.ask(world.tally())
    beats = len(deploy.beats)
    await until(lambda: len(deploy.beats) > beats + 1, "beats")
    (world.folder / "go").touch()
    assert await runner.wait() == 0
    assert (deploy.state, later.state, world.times("runs")) == ("succeeded", "queued", 0)


async def test_a_second_sigterm_leaves_at_once_and_the_command_goes_on(world: World) -> None:
    deploy = world.ask(f"echo up; {world.wait_for('go')}; {world.tally()}")
    runner = await world.process()
    await until(lambda: "up" in deploy.output)
    assert runner.stderr
    runner.terminate()
    await said(runner.stderr, b"stopping")
    runner.terminate()
    assert await runner.wait() == 1
    (world.folder / "go").touch()
    await restarted(world, deploy)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)


async def test_two_runners_on_one_work_folder(world: World) -> None:
    first = await world.process()
    assert first.stderr
    await said(first.stderr, b"runner ready")
    second = await world.process()
    _, errors = await second.communicate()
    assert second.returncode == 2
    assert b"in use by another runner" in errors
    assert b"Traceback" not in errors
    first.terminate()
    assert await first.wait() == 0


async def test_wrong_settings_are_all_named(world: World) -> None:
    runner = await world.process(KEDGE_URL="ftp://x", KEDGE_RUNNER_SLOTS="none", KEDGE_RUNNER_TOKEN="short")
    _, errors = await runner.communicate()
    assert runner.returncode == 2
    assert [name for name in (b"KEDGE_URL", b"KEDGE_RUNNER_SLOTS", b"KEDGE_RUNNER_TOKEN") if name not in errors] == []
    assert b"Traceback" not in errors


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_a_command_of_the_same_user_cannot_read_the_runners_environment(arguments: list[str]) -> None:
    """Not even while it reads its settings. PR_GET_DUMPABLE is 3: prctl(2). (Asked instead of tried, because root may
    read everything.)"""
    asks = f"""
import ctypes, sys
from runner import __main__, config
def load(environ):
    print(ctypes.CDLL(None).prctl(3))
    sys.exit()
config.load = load
__main__.main({arguments})
"""
    done = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True)
    assert done.stdout == b"0\n"


async def test_a_work_folder_that_cannot_be_used(world: World) -> None:
    runner = await world.process(KEDGE_WORKDIR="/proc/nowhere")
    _, errors = await runner.communicate()
    assert runner.returncode == 2
    assert b"KEDGE_WORKDIR" in errors
    assert b"Traceback" not in errors


async def test_an_outage_around_a_restart(world: World) -> None:
    deploy = world.ask(f"echo first; {world.wait_for('go')}; echo last")
    async with world.running():
        await until(lambda: "first" in deploy.output)
        world.app.always = dict.fromkeys(("beat", "log", "finish", "claim"), LOST_REQUEST)
    (world.folder / "go").touch()
    async with world.running():
        await until(lambda: world.app.calls[-30:].count("finish") + world.app.calls[-30:].count("log") > 8)
        world.app.always.clear()
        await world.ended(deploy)
    assert (deploy.state, deploy.output) == ("succeeded", "first\nlast\n")


async def said(stream: asyncio.StreamReader, words: bytes) -> None:
    async with asyncio.timeout(20):
        async for line in stream:
            if words in line:
                return
    raise AssertionError(f"{words!r} was never said")

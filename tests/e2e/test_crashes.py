"""SIGKILL of runner, supervisor and app in mid-command; the app away while a command runs and ends."""

import asyncio
import os

import pytest

from tests.e2e import processes
from tests.e2e.people import until
from tests.e2e.rig import HELD, World

CHATTY = """
: "${HERE:?}"
echo "$KEDGE_NUMBER" >> "$HERE/executed"
echo $$ > "$HERE/pid"
echo "begun $KEDGE_NUMBER"
n=0
while [ ! -e "$HERE/go" ]; do n=$((n+1)); echo "line $n"; sleep 0.02; done
echo "$n" > "$HERE/lines$KEDGE_NUMBER"
echo "done $KEDGE_NUMBER"
exit 5
"""


def _is_whole(world: World, log: str) -> None:
    """Every line once, in order, from the first to the last."""
    count = int((world.folder / "lines1").read_text())
    said = log[log.index("begun 1") :].splitlines()
    assert said == ["begun 1", *(f"line {n}" for n in range(1, count + 1)), "done 1"]


async def test_runner_killed_in_mid_command(world: World) -> None:
    """The command goes on; the restarted runner follows it to its true end, from where the log was."""
    world.script(CHATTY)
    deployment = world.deploy()
    command = await world.command_pid(1)
    await until(_logged(world, "line 5"), "some of the log is there")
    await world.kill(world.runner)
    assert processes.alive(command)
    await world.start_runner("r1")
    await until(_more(world), lambda: f"the log goes on\n{world.says()}")
    world.go()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 5)
    assert (await world.shows(deployment, "failure"))[-2:] == ["in_progress", "failure"]
    _is_whole(world, await world.log(1))
    assert world.executed == ["1"]


async def test_runner_killed_and_back_only_after_the_command_has_ended(small: World) -> None:
    small.script(CHATTY)
    deployment = small.deploy()
    command = await small.command_pid(1)
    await small.kill(small.runner)
    small.go()
    await until(lambda: not processes.alive(command), "the command has ended")
    assert (await small.number(1))["state"] == "running"
    await small.start_runner("r1")
    deploy = await small.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 5)
    await small.shows(deployment, "failure")
    _is_whole(small, await small.log(1))
    assert small.executed == ["1"]


async def test_supervisor_killed_in_mid_command(world: World) -> None:
    """Nobody can say how the command would have ended: errored, and nothing of it is left."""
    world.script(f'( while :; do sleep 0.1; done ) &\nsetsid sh -c "while :; do sleep 0.1; done" &\n{HELD}')
    deployment = world.deploy()
    command = await world.command_pid(1)
    processes.kill(processes.supervisor_of(command))
    deploy = await world.ended(1)
    assert deploy["state"] == "errored" and "supervisor" in deploy["reason"]
    await world.shows(deployment, "error")
    assert processes.marked(f"HERE={world.folder}") == []
    log = await world.log(1)
    assert "begun 1" in log and "done 1" not in log
    assert world.executed == ["1"]
    world.go()
    world.deploy()  # the environment is free again
    assert (await world.ended(2))["state"] == "succeeded"


async def test_runner_and_supervisor_killed(small: World) -> None:
    small.script(HELD)
    deployment = small.deploy()
    command = await small.command_pid(1)
    supervisor = processes.supervisor_of(command)
    await small.kill(small.runner)
    processes.kill(supervisor)
    await small.start_runner("r1")
    assert (await small.ended(1))["state"] == "errored"
    await small.shows(deployment, "error")
    await until(lambda: not processes.marked(f"HERE={small.folder}"), "nothing of the command is left")
    assert small.executed == ["1"]


async def test_app_killed_in_mid_command(world: World) -> None:
    world.script(CHATTY)
    deployment = world.deploy()
    await world.command_pid(1)
    await world.shows(deployment, "in_progress")
    await world.kill(world.app)
    await world.start_app()
    world.go()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 5)
    states = await world.shows(deployment, "failure", within_s=90)
    await world.told()
    assert states[-2:] == ["in_progress", "failure"]
    assert world.shown(deployment) == states
    _is_whole(world, await world.log(1))
    assert world.executed == ["1"]


async def _away(world: World, away_s: float) -> None:
    """Stop the app hard while one deploy runs and one waits; the command ends meanwhile, another is asked for."""
    world.script(CHATTY)
    running, waiting = world.deploy(), world.deploy()
    command = await world.command_pid(1)
    await world.blocked(2, "hello#1")
    await world.kill(world.app)
    world.go()
    await until(lambda: not processes.alive(command), "the command has ended")
    await asyncio.sleep(away_s)  # the scenario itself: nobody answers for so long
    assert world.executed == ["1"]
    await world.start_app()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 5)
    _is_whole(world, await world.log(1))
    assert (await world.shows(running, "failure", within_s=90))[-1] == "failure"
    assert (await world.ended(2))["state"] == "failed"
    await world.shows(waiting, "failure", within_s=90)
    await world.told()
    for deployment in (running, waiting):
        states = world.shown(deployment)
        assert states.count("failure") == 1 and states[-1] == "failure", states
    assert world.executed == ["1", "2"]


async def test_app_away_for_a_moment_while_a_command_ends(world: World) -> None:
    await _away(world, 3)


@pytest.mark.timeout(420)
@pytest.mark.skipif(os.environ.get("KEDGE_TEST_ALL") != "1", reason="takes minutes: set KEDGE_TEST_ALL=1")
async def test_app_away_for_two_minutes_while_a_command_ends(small: World) -> None:
    await _away(small, 120)


async def test_github_away_while_a_command_runs_and_ends(small: World) -> None:
    """Its whole server is gone; what it is owed is delivered, in order, once it is back."""
    small.script(CHATTY)
    deployment = small.deploy()
    await small.command_pid(1)
    await small.shows(deployment, "in_progress")
    await small.github.stop()
    small.go()
    assert (await small.ended(1))["state"] == "failed"
    await small.github.start()
    assert (await small.shows(deployment, "failure", within_s=90))[-2:] == ["in_progress", "failure"]


async def test_a_delivery_missed_while_the_app_was_away_and_sent_again(small: World) -> None:
    """GitHub does not send it again by itself; a person may have it redelivered."""
    small.script(HELD)
    small.go()
    await small.kill(small.app)
    deployment = small.deploy()
    await small.github.settled()
    missed = [one for one in small.github.hooks.log if one.event == "deployment"]
    assert [one.status_code for one in missed] == [502]
    await small.start_app()
    small.github.hooks.redeliver(missed[0])
    assert (await small.ended(1))["state"] == "succeeded"
    await small.shows(deployment, "success")


def _logged(world: World, line: str):  # type: ignore[no-untyped-def]
    async def there() -> bool:
        return line in await world.log(1)

    return there


def _more(world: World):  # type: ignore[no-untyped-def]
    """A condition: the log has grown by some lines since it was first asked."""
    first: list[int] = []

    async def grown() -> bool:
        size = len((await world.log(1)).splitlines())
        first.append(size)
        return size >= first[0] + 20

    return grown

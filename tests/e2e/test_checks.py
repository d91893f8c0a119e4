"""Required checks: who waits says for what, green starts it, red rejects it, silence times out."""

import pytest

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import Stopwatch, until
from tests.e2e.rig import HELD, World

# Seconds in which an answer comes on a slow and busy machine; elsewhere it takes a fraction of one.
SOON_S = 15.0


async def _pending(world: World, context: str = "ci") -> int:
    """A deploy to production that waits for its check, named at every door."""
    world.script(HELD)
    world.github.set_status(REPOSITORY, "main", context, "pending")
    watch = Stopwatch()
    deployment = world.deploy("production")
    said = await world.blocked(1, context, within_s=SOON_S)
    watch.tell("the API names the check")
    await until(lambda: _described(world, deployment, context), f"GitHub names {context}", within_s=SOON_S)
    watch.tell("GitHub names the check")
    assert said in await world.page(f"{world.url}/hello/deploys/1")
    assert said in await world.page(f"{world.url}/")
    watch.tell("the pages name the check")
    return deployment


def _described(world: World, deployment: int, word: str) -> bool:
    statuses = world.github.statuses(deployment)
    return bool(statuses) and statuses[-1].state in ("queued", "pending") and word in statuses[-1].description


async def test_pending_is_named_and_green_starts_it(world: World) -> None:
    deployment = await _pending(world)
    assert world.executed == []
    watch = Stopwatch()
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    await world.in_state(1, "running", "succeeded", within_s=SOON_S)
    watch.tell("green starts it")
    world.go()
    assert (await world.ended(1))["state"] == "succeeded"
    states = await world.shows(deployment, "success")
    assert states[-2:] == ["in_progress", "success"]
    assert set(states[:-2]) <= {"queued", "pending"}


async def test_pending_is_named_and_red_rejects_it(world: World) -> None:
    deployment = await _pending(world)
    watch = Stopwatch()
    world.github.set_status(REPOSITORY, "main", "ci", "failure")
    deploy = await world.ended(1, within_s=SOON_S)
    watch.tell("red rejects it")
    assert deploy["state"] == "rejected" and "ci" in deploy["reason"]
    await world.shows(deployment, "failure")
    assert "ci" in world.github.statuses(deployment)[-1].description
    assert world.executed == []


async def test_a_check_run_turns_green(small: World) -> None:
    """Check runs count as commit statuses do; the one that is asked for is found by its name."""
    small.script(HELD)
    small.go()
    small.github.set_check_run(REPOSITORY, "main", "ci", "in_progress")
    deployment = small.deploy("production")
    await small.blocked(1, "ci")
    small.github.set_check_run(REPOSITORY, "main", "ci", "success")
    assert (await small.ended(1))["state"] == "succeeded"
    assert (await small.shows(deployment, "success"))[-1] == "success"


@pytest.mark.timeout(180)
async def test_a_check_that_never_reports_is_pending_and_then_times_out(quiet: World) -> None:
    """Not before the app has been up for a minute: while it was away nobody could report."""
    quiet.config(
        'hello: {{repository: acme/hello, deploy: "sh ./deploy.sh", checks_timeout: 2s,'
        ' environments: {{production: {{checks: [ci, "build (3.12)"]}}}}}}\n'
    )
    await quiet.start()
    quiet.github.set_status(REPOSITORY, "main", "ci", "success")
    deployment = quiet.deploy("production")
    said = await quiet.blocked(1, "build (3.12)", "not reported")
    assert "check ci" not in said
    deploy = await quiet.ended(1, within_s=120)
    assert deploy["state"] == "rejected" and "build (3.12)" in deploy["reason"]
    await quiet.shows(deployment, "failure")
    assert "build (3.12)" in quiet.github.statuses(deployment)[-1].description


async def test_a_check_that_turns_red_while_it_is_prepared_stops_it(small: World) -> None:
    """Green at the first look, red before the start: the event is newer than what was fetched."""
    sha = small.script(HELD)
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    clone = small.github.faults.block("*", r"/acme/hello\.git/.*")
    deployment = small.deploy("production")
    await until(clone.reached.is_set, lambda: f"the runner prepares\n{small.says()}")
    small.github.set_status(REPOSITORY, sha, "ci", "failure")
    await small.github.settled()
    await small.heard()
    clone.release()
    deploy = await small.ended(1)
    assert deploy["state"] == "rejected" and "ci" in deploy["reason"]
    await small.shows(deployment, "failure")
    assert small.executed == []


async def test_checks_that_cannot_be_read_keep_the_gate_closed(small: World) -> None:
    small.script(HELD)
    small.go()
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    small.github.faults.answer("GET", r"/repos/acme/hello/commits/[0-9a-f]+/check-runs", 502, times=None)
    deployment = small.deploy("production")
    await small.blocked(1, "could not be read")
    assert small.executed == []
    small.github.faults.clear()
    small.github.set_status(REPOSITORY, "main", "other", "success")  # any event for the sha has it looked at again
    assert (await small.ended(1))["state"] == "succeeded"
    await small.shows(deployment, "success")

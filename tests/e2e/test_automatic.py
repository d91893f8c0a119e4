"""Automatic deploys by the real app and runner: one for each push, whatever GitHub tells of it and in what order."""

import random

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import HELD, World

AUTO = """
hello:
  repository: acme/hello
  deploy: "sh ./deploy.sh {{env}} {{sha}}"
  env: {{HERE: {folder}}}
  environments:
    staging: {{checks: [ci], auto: {{branch: main}}}}
"""


async def test_each_push_once(quiet: World) -> None:
    """Fifty events on one commit, doubled and shuffled, before its push and after; then a flaky check."""
    world = quiet
    world.config(AUTO)
    await world.start()
    world.go()
    hooks = world.github.hooks
    hooks.hold()
    hooks.duplicate(2)
    sha = world.script(HELD)
    for number in range(24):
        state = "success" if number == 23 else random.Random(number).choice(["pending", "success", "failure"])
        world.github.set_status(REPOSITORY, "main", "ci" if number % 2 else "lint", state)
    random.seed(4)
    hooks.release(lambda waiting: random.sample(waiting, len(waiting)))
    deploy = await world.ended(1)
    assert (deploy["door"], deploy["sha"], deploy["state"]) == ("automatic", sha, "succeeded")
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    await world.github.settled()

    flaky = world.github.commit(REPOSITORY, "main", {"site/new.html": "new"}, message="Add a page")
    await world.blocked(2, "ci")
    world.github.set_status(REPOSITORY, "main", "ci", "failure")
    assert await world.blocked(2, "failed") == "Check ci failed."
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    assert (await world.ended(2))["sha"] == flaky

    world.github.commit(REPOSITORY, "main", {"README": "words"}, message="Words only\n\n[skip deploy]")
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    await world.github.settled()
    await until(lambda: _passed_over(world), lambda: f"it is told that it was skipped\n{world.says()}")
    assert [one["state"] for one in await world.deploys()] == ["succeeded", "succeeded"]
    assert [one.ref for one in world.github.deployments(REPOSITORY)] == [sha, flaky]
    assert world.executed == ["1", "2"]


async def _passed_over(world: World) -> bool:
    found = await world.get("/api/0/audit?kind=passed_over")
    return any("[skip deploy]" in one["message"] for one in found["items"])

"""Asking through the API: the gate answers first, then GitHub is told, then the line."""

from typing import Any

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import ADMIN
from tests.e2e.rig import World


async def ask(world: World, **given: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {ADMIN}", **given.pop("headers", {})}
    async with world.session.post(f"{world.url}/api/0/hello/deploy", json=given, headers=headers) as response:
        return response.status, await response.json()


async def test_a_deploy_asked_for_becomes_a_deployment_and_runs(world: World) -> None:
    status, deploy = await ask(world, env="staging")
    assert (status, deploy["state"], deploy["user"], deploy["door"]) == (201, "queued", "admin", "api")
    assert deploy["sha"] == world.github.sha(REPOSITORY)
    ended = await world.ended(1)
    assert ended["state"] == "succeeded"
    (deployment,) = world.github.deployments(REPOSITORY)
    assert ended["deployment_id"] == deployment.id
    assert (await world.shows(deployment.id, "success"))[-2:] == ["in_progress", "success"]


async def test_red_checks_refuse_and_create_nothing(world: World) -> None:
    world.github.set_status(REPOSITORY, "main", "ci", "failure", target_url="https://ci.test/1")
    status, body = await ask(world, env="production")
    assert (status, body["error"]["code"]) == (400, "checks_failed")
    assert body["error"]["checks"] == [{"name": "ci", "state": "failure", "url": "https://ci.test/1"}]
    assert await world.deploys() == []
    assert world.github.deployments(REPOSITORY) == []


async def test_a_lost_answer_to_the_registration_makes_no_second_deployment(world: World) -> None:
    world.github.faults.drop("POST", r"/repos/acme/hello/deployments", after=True)
    await ask(world, env="staging")
    assert (await world.ended(1))["state"] == "succeeded"
    assert len(world.github.deployments(REPOSITORY)) == 1


async def test_the_same_idempotency_key_is_the_same_deploy(world: World) -> None:
    first = await ask(world, env="staging", headers={"Idempotency-Key": "k1"})
    again = await ask(world, env="staging", headers={"Idempotency-Key": "k1"})
    assert (first[0], again[0], first[1]["number"]) == (201, 201, again[1]["number"])
    assert len(await world.deploys()) == 1

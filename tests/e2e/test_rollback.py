"""Rolling back with real processes: what was live before is executed again, and GitHub shows it as what is live."""

from typing import Any

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import AS_ADMIN
from tests.e2e.rig import World


async def post(world: World, path: str, status: int = 201, **given: Any) -> Any:
    async with world.session.post(f"{world.url}/api/0/hello/{path}", json=given, headers=AS_ADMIN) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_back_to_what_was_live_before(world: World) -> None:
    """The older commit has a red check by now: it was live, so that it is not asked again."""
    older = world.github.sha(REPOSITORY)
    world.github.set_status(REPOSITORY, older, "ci", "success")
    await post(world, "deploy", env="production")
    assert (await world.ended(1))["state"] == "succeeded"
    newer = world.script('echo "broken $2 in $1"\n')
    world.github.set_status(REPOSITORY, newer, "ci", "success")
    await post(world, "deploy", env="production")
    assert (await world.ended(2))["state"] == "succeeded"
    world.github.set_status(REPOSITORY, older, "ci", "failure")

    asked = await post(world, "rollback", env="production")
    assert (asked["number"], asked["sha"], asked["task"]) == (3, older, "rollback")
    ended = await world.ended(3)
    assert (ended["state"], ended["previous_sha"], ended["forced_by"]) == ("succeeded", newer, None)
    assert f"deploying {older} to production" in await world.log(3)

    deployment = next(one for one in world.github.deployments(REPOSITORY) if one.id == ended["deployment_id"])
    assert (deployment.task, deployment.sha) == ("rollback", older)
    await world.shows(deployment.id, "success")
    await world.shows((await world.number(2))["deployment_id"], "inactive")

    app = await world.get("/api/0/hello")
    production = next(one for one in app["environments"] if one["name"] == "production")
    assert (production["live"]["number"], production["rolled_back"]["name"]) == (3, "hello#2")
    found = await world.get(f"/api/0/hello/commits/{newer[:10]}")
    assert [one["state"] for one in found["environments"]] == ["never", "rolled_back"]
    assert "production rolled back" in found["message"]
    difference = await world.get("/api/0/hello/compare?env=production")
    assert [one["sha"] for one in difference["commits"]] == [newer]

    assert (await post(world, "rollback", 409, env="production"))["error"]["code"] == "conflict"
    assert (await post(world, "resume", 200, env="production"))["rolled_back"] is None

"""From a deployment on GitHub to its final status there, with real processes, git and signals."""

from tests.e2e.rig import World


async def test_success(world: World) -> None:
    sha = world.github.sha("acme/hello")
    deployment = world.deploy()
    deploy = await world.ended(1)
    assert deploy["state"] == "succeeded"
    states = await world.shows(deployment, "success")
    assert states[-2:] == ["in_progress", "success"]
    assert f"deploying {sha} to staging" in await world.log(1)
    for status in world.github.statuses(deployment):
        assert status.log_url == f"{world.url}/hello/deploys/1"


async def test_failing_command(world: World) -> None:
    world.script("echo no; exit 3\n")
    deployment = world.deploy()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 3)
    await world.shows(deployment, "failure")
    assert "exit code 3" in world.github.statuses(deployment)[-1].description

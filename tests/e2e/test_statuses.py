"""What GitHub shows in the end, whatever happens to the requests that write it."""

from tests.e2e.people import until
from tests.e2e.rig import HELD, STATUSES, World


async def _running(world: World, environment: str = "staging") -> int:
    """A deploy whose command runs and waits, and whose GitHub status says so."""
    world.script(HELD)
    deployment = world.deploy(environment)
    await world.command_pid(1)
    await world.shows(deployment, "in_progress")
    await world.told()
    return deployment


def _once_each(world: World, deployment: int) -> None:
    written = [(status.state, status.description) for status in world.github.statuses(deployment)]
    assert len(written) == len(set(written)), written


async def test_a_lost_answer_to_the_last_status(world: World) -> None:
    """It was written, the reply never came: whoever wrote it looks before it writes again."""
    deployment = await _running(world)
    lost = world.github.faults.drop("POST", STATUSES, after=True)
    world.go()
    assert (await world.ended(1))["state"] == "succeeded"
    await world.shows(deployment, "success")
    await world.told()
    assert lost.hits == 1
    _once_each(world, deployment)
    assert world.shown(deployment)[-2:] == ["in_progress", "success"]
    assert any(one.method == "GET" and one.path.endswith("/statuses") for one in world.github.requests)


async def test_a_lost_answer_to_a_status_of_the_app(world: World) -> None:
    """As above; a cancelled deploy that never ran is the app's to report."""
    world.github.set_status("acme/hello", "main", "ci", "pending")
    deployment = world.deploy("production")
    await world.blocked(1, "ci")
    await world.told()
    lost = world.github.faults.drop("POST", STATUSES, after=True)
    assert (await world.cancel(1))[0] == 200
    assert (await world.shows(deployment, "error"))[-1] == "error"
    await world.told()
    assert lost.hits == 1
    _once_each(world, deployment)


async def test_lost_requests_and_bad_gateways(world: World) -> None:
    """Nothing arrives at first: connections break, gateways answer; in the end each state is there once."""
    world.script(HELD)
    world.go()
    broken = world.github.faults.drop("POST", STATUSES, after=False, times=2)
    gateway = world.github.faults.answer("POST", STATUSES, 502, message="Bad Gateway", times=3)
    deployment = world.deploy()
    assert (await world.ended(1))["state"] == "succeeded"
    await world.shows(deployment, "success", within_s=90)
    await world.told()
    assert (broken.hits, gateway.hits) == (2, 3)
    _once_each(world, deployment)


async def test_a_secondary_limit_is_waited_for(small: World) -> None:
    deployment = await _running(small)
    limit = small.github.faults.secondary_limit("POST", STATUSES, 2)
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    await small.shows(deployment, "success")
    assert limit.hits == 1
    refused, written = small.posts(deployment)[-2:]
    assert (refused.status, written.status) == (403, 201)
    assert written.at - refused.at >= 2000
    _once_each(small, deployment)


async def test_a_permanent_refusal_shows_on_the_deploy_and_does_not_block_the_next(world: World) -> None:
    world.script(HELD)
    world.go()
    refused = world.github.create_deployment("acme/hello", environment="staging").id
    path = rf"/repos/acme/hello/deployments/{refused}/statuses"
    world.github.faults.answer("POST", path, 422, message="Validation Failed", times=None)
    good = world.deploy()
    assert (await world.ended(1))["state"] == "succeeded"
    assert (await world.ended(2))["state"] == "succeeded"
    await world.shows(good, "success")
    assert world.shown(refused) == []

    async def told() -> bool:
        return "Validation Failed" in ((await world.number(1))["status_problem"] or "")

    await until(told, lambda: f"the deploy says that its status was refused\n{world.says()}")
    assert "Validation Failed" in await world.page(f"{world.url}/hello/deploys/1")
    assert (await world.number(2))["status_problem"] is None


async def test_older_successes_become_inactive(world: World) -> None:
    """In production too, where GitHub does not do it; other environments keep theirs."""
    world.github.set_status("acme/hello", "main", "ci", "success")
    other = world.deploy("staging")
    await world.shows(other, "success")
    first = world.deploy("production")
    await world.shows(first, "success")
    second = world.deploy("production")
    await world.shows(second, "success")
    await world.shows(first, "inactive")
    await world.told()
    assert [world.shown(one)[-1] for one in (other, first, second)] == ["success", "inactive", "success"]


async def test_an_installation_token_that_expires_in_mid_deploy(small: World) -> None:
    """The runner's token is over when the command ends; the last status arrives all the same."""
    deployment = await _running(small)
    small.github.expire_tokens()
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    await small.shows(deployment, "success", within_s=90)
    await small.told()
    _once_each(small, deployment)

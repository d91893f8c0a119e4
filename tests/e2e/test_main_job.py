"""From a request to its end, with real processes, git and signals: where it is the same, at every provider."""

import pytest

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import AS_ADMIN
from tests.e2e.rig import HELD, HOSTS, World

at_every_provider = pytest.mark.parametrize("via", HOSTS, indirect=True)


@at_every_provider
async def test_success(world: World) -> None:
    sha = world.host.sha()
    asked = await world.ask()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"], deploy["sha"]) == ("succeeded", 0, sha)
    states = await world.ends_shown(asked, "success")
    assert states[-2:] == ["in_progress", "success"]
    assert states[:-2] in ([], ["queued"], ["pending"], ["queued", "pending"])
    assert f"deploying {sha} to staging" in await world.log(1)
    for _, log_url in await world.host.said(world, asked):
        assert log_url == f"{world.url}/hello/deploys/1"
        assert f"deploying {sha} to staging" in await world.page(log_url)


@at_every_provider
async def test_a_failing_command_fails_the_deploy(world: World) -> None:
    world.script("echo no; exit 3\n")
    asked = await world.ask()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 3)
    assert (await world.ends_shown(asked, "failure"))[-2:] == ["in_progress", "failure"]
    assert "exit code 3" in (await world.host.said(world, asked))[-1][0]
    assert "exit code 3" in await world.page(deploy["url"])


@at_every_provider
async def test_a_red_check_holds_it_back_and_is_named_and_linked(small: World) -> None:
    """Whoever asks Kedge itself is told at once."""
    address = "https://ci.example.com/builds/17"
    small.host.check("ci", "failure", address)
    small.script(HELD)  # a new commit without checks: it is the sha that counts
    small.host.check("ci", "failure", address)
    asking = small.session.post(f"{small.url}/api/0/hello/deploy?env=production", headers=AS_ADMIN)
    async with asking as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "checks_failed")
    assert error["checks"] == [{"name": "ci", "state": "failure", "url": address}]
    assert await small.deploys() == [] and small.executed == []


async def test_a_red_check_rejects_it_and_is_named_and_linked(small: World) -> None:
    address = "https://ci.example.com/builds/17"
    small.github.set_status(REPOSITORY, "main", "ci", "failure", target_url=address)
    small.script(HELD)  # a new commit without checks: it is the sha that counts
    small.github.set_status(REPOSITORY, "main", "ci", "failure", target_url=address)
    deployment = small.deploy("production")
    deploy = await small.ended(1)
    assert deploy["state"] == "rejected"
    [blocker] = deploy["blockers"]
    assert (blocker["kind"], blocker["url"]) == ("checks", address)
    assert "ci" in blocker["message"] and blocker["message"] in deploy["reason"]
    assert (await small.shows(deployment, "failure"))[-1] == "failure"
    assert blocker["message"] in small.github.statuses(deployment)[-1].description
    page = await small.page(deploy["url"])
    assert blocker["message"] in page and f'href="{address}"' in page
    assert small.executed == []


@at_every_provider
async def test_a_pending_check_is_waited_for(small: World) -> None:
    small.host.check("ci", "pending", "https://ci.example.com/builds/18")
    asked = await small.ask("production")
    await small.blocked(1, "Waiting for check ci.")
    small.host.check("ci", "success", "https://ci.example.com/builds/18")
    assert (await small.ended(1, within_s=100))["state"] == "succeeded"
    await small.ends_shown(asked, "success")


@at_every_provider
async def test_all_checks_that_exist_are_waited_for_where_none_is_named(quiet: World) -> None:
    quiet.config('hello:\n  {source}\n  deploy: "sh ./deploy.sh"\n')
    await quiet.start()
    quiet.host.check("unit", "success")
    quiet.host.check("lint", "pending")
    asked = await quiet.ask("production")
    assert "lint" in await quiet.blocked(1, "lint")
    quiet.host.check("lint", "skipped")
    assert (await quiet.ended(1, within_s=100))["state"] == "succeeded"
    await quiet.ends_shown(asked, "success")


async def test_all_checks_that_exist_must_be_green_where_none_is_named(quiet: World) -> None:
    quiet.config('hello: {{repository: acme/hello, deploy: "sh ./deploy.sh"}}\n')
    await quiet.start()
    quiet.github.set_check_run(REPOSITORY, "main", "unit", "success")
    quiet.github.set_check_run(REPOSITORY, "main", "lint", "failure")
    quiet.deploy("production")
    deploy = await quiet.ended(1)
    assert deploy["state"] == "rejected" and "lint" in deploy["reason"]
    quiet.github.set_check_run(REPOSITORY, "main", "lint", "skipped")
    second = quiet.deploy("production")
    assert (await quiet.ended(2))["state"] == "succeeded"
    await quiet.shows(second, "success")


@at_every_provider
async def test_a_log_that_the_command_opens_anew_is_kept_whole(small: World) -> None:
    """`/dev/stderr` opened again would empty the file if the command wrote to a file."""
    small.script("echo first; echo a | tee /dev/stderr; echo b > /dev/stderr; echo last\n")
    await small.ask()
    assert (await small.ended(1))["state"] == "succeeded"
    assert (await small.log(1)).split()[-5:] == ["first", "a", "a", "b", "last"]


@at_every_provider
async def test_a_long_log_arrives_whole(world: World) -> None:
    world.script("seq 200000\n")
    await world.ask()
    assert (await world.ended(1))["state"] == "succeeded"
    log = await world.log(1)
    assert log.endswith("\n".join(map(str, range(1, 200_001))) + "\n")

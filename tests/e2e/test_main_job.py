"""From a deployment on GitHub to its final status there, with real processes, git and signals."""

from tests.e2e.rig import HELD, REPOSITORY, World


async def test_success(world: World) -> None:
    sha = world.github.sha(REPOSITORY)
    deployment = world.deploy()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"], deploy["sha"]) == ("succeeded", 0, sha)
    states = await world.shows(deployment, "success")
    assert states[-2:] == ["in_progress", "success"]
    assert states[:-2] in ([], ["queued"], ["pending"], ["queued", "pending"])
    assert f"deploying {sha} to staging" in await world.log(1)
    for status in world.github.statuses(deployment):
        assert status.log_url == f"{world.url}/hello/deploys/1"
        assert f"deploying {sha} to staging" in await world.page(status.log_url)


async def test_a_failing_command_fails_the_deploy(world: World) -> None:
    world.script("echo no; exit 3\n")
    deployment = world.deploy()
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 3)
    assert (await world.shows(deployment, "failure"))[-2:] == ["in_progress", "failure"]
    assert "exit code 3" in world.github.statuses(deployment)[-1].description
    assert "exit code 3" in await world.page(deploy["url"])


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


async def test_a_log_that_the_command_opens_anew_is_kept_whole(small: World) -> None:
    """`/dev/stderr` opened again would empty the file if the command wrote to a file."""
    small.script("echo first; echo a | tee /dev/stderr; echo b > /dev/stderr; echo last\n")
    small.deploy()
    assert (await small.ended(1))["state"] == "succeeded"
    assert (await small.log(1)).split()[-5:] == ["first", "a", "a", "b", "last"]


async def test_a_long_log_arrives_whole(world: World) -> None:
    world.script("seq 200000\n")
    world.deploy()
    assert (await world.ended(1))["state"] == "succeeded"
    log = await world.log(1)
    assert log.endswith("\n".join(map(str, range(1, 200_001))) + "\n")

"""From a request to its end, with real processes, git and signals, at every provider."""

from tests.e2e.people import AS_ADMIN
from tests.e2e.rig import HELD, World


async def test_success(any_world: World) -> None:
    sha = any_world.host.sha()
    asked = await any_world.ask()
    deploy = await any_world.ended(1)
    assert (deploy["state"], deploy["exit_code"], deploy["sha"]) == ("succeeded", 0, sha)
    states = await any_world.ends_shown(asked, "success")
    assert states[-2:] == ["in_progress", "success"]
    assert states[:-2] in ([], ["queued"], ["pending"], ["queued", "pending"])
    assert f"deploying {sha} to staging" in await any_world.log(1)
    for _, log_url in await any_world.host.said(any_world, asked):
        assert log_url == f"{any_world.url}/hello/deploys/1"
        assert f"deploying {sha} to staging" in await any_world.page(log_url)


async def test_a_failing_command_fails_the_deploy(any_world: World) -> None:
    any_world.script("echo no; exit 3\n")
    asked = await any_world.ask()
    deploy = await any_world.ended(1)
    assert (deploy["state"], deploy["exit_code"]) == ("failed", 3)
    assert (await any_world.ends_shown(asked, "failure"))[-2:] == ["in_progress", "failure"]
    assert "exit code 3" in (await any_world.host.said(any_world, asked))[-1][0]
    assert "exit code 3" in await any_world.page(deploy["url"])


async def test_a_red_check_holds_it_back_and_is_named_and_linked(any_small: World) -> None:
    """A deployment on GitHub is rejected with it; whoever asks Kedge itself is told at once."""
    address = "https://ci.example.com/builds/17"
    any_small.host.check("ci", "failure", address)
    any_small.script(HELD)  # a new commit without checks: it is the sha that counts
    any_small.host.check("ci", "failure", address)
    asking = any_small.session.post(f"{any_small.url}/api/0/hello/deploy?env=production", headers=AS_ADMIN)
    async with asking as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "checks_failed")
    assert error["checks"] == [{"name": "ci", "state": "failure", "url": address}]
    assert await any_small.deploys() == [] and any_small.executed == []


async def test_a_red_check_rejects_a_deployment(small: World) -> None:
    address = "https://ci.example.com/builds/17"
    small.host.check("ci", "failure", address)
    asked = await small.ask("production")
    deploy = await small.ended(1)
    assert deploy["state"] == "rejected"
    [blocker] = deploy["blockers"]
    assert (blocker["kind"], blocker["url"]) == ("checks", address)
    assert "ci" in blocker["message"] and blocker["message"] in deploy["reason"]
    assert (await small.ends_shown(asked, "failure"))[-1] == "failure"
    assert blocker["message"] in (await small.host.said(small, asked))[-1][0]
    page = await small.page(deploy["url"])
    assert blocker["message"] in page and f'href="{address}"' in page
    assert small.executed == []


async def test_a_pending_check_is_waited_for(any_small: World) -> None:
    any_small.host.check("ci", "pending", "https://ci.example.com/builds/18")
    asked = await any_small.ask("production")
    await any_small.blocked(1, "Waiting for check ci.")
    any_small.host.check("ci", "success", "https://ci.example.com/builds/18")
    assert (await any_small.ended(1, within_s=100))["state"] == "succeeded"
    await any_small.ends_shown(asked, "success")


async def test_all_checks_that_exist_must_be_green_where_none_is_named(any_quiet: World) -> None:
    any_quiet.config('hello:\n  {source}\n  deploy: "sh ./deploy.sh"\n')
    await any_quiet.start()
    any_quiet.host.check("unit", "success")
    any_quiet.host.check("lint", "pending")
    asked = await any_quiet.ask("production")
    assert "lint" in await any_quiet.blocked(1, "lint")
    any_quiet.host.check("lint", "skipped")
    assert (await any_quiet.ended(1, within_s=100))["state"] == "succeeded"
    await any_quiet.ends_shown(asked, "success")


async def test_a_log_that_the_command_opens_anew_is_kept_whole(any_small: World) -> None:
    """`/dev/stderr` opened again would empty the file if the command wrote to a file."""
    any_small.script("echo first; echo a | tee /dev/stderr; echo b > /dev/stderr; echo last\n")
    await any_small.ask()
    assert (await any_small.ended(1))["state"] == "succeeded"
    assert (await any_small.log(1)).split()[-5:] == ["first", "a", "a", "b", "last"]


async def test_a_long_log_arrives_whole(any_world: World) -> None:
    any_world.script("seq 200000\n")
    await any_world.ask()
    assert (await any_world.ended(1))["state"] == "succeeded"
    log = await any_world.log(1)
    assert log.endswith("\n".join(map(str, range(1, 200_001))) + "\n")

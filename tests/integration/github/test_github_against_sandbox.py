"""The provider against the sandbox: the same calls, answered by something that behaves as GitHub does."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from ghapp.core.checks import Check, latest
from ghapp.core.remote import RateLimited, Refused, Unavailable
from ghapp.core.values import DeploymentStatus, Repository
from ghapp.vcs.events import CheckEvent, DeploymentEvent
from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_events import parse
from tests.integration.github.stand_in import repository_at
from tests.integration.sandbox_rig import REPO, Rig, opened


@dataclass(frozen=True, slots=True)
class World:
    rig: Rig
    app: GitHubApp
    hello: Repository
    client: GitHubRepository
    runners: GitHubRepository

    def told(self) -> list[Check]:
        """The checks that the webhooks told of."""
        events = [parse(one.event, one.raw) for one in self.rig.receiver.received]
        return [event.check for event in events if isinstance(event, CheckEvent) and event.check]


@pytest.fixture
async def world(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[World]:
    async with opened(tmp_path) as rig:
        app = GitHubApp(session, app_id=rig.app.id, private_key=rig.app.private_key, api_url=rig.gh.api_url)
        (hello,) = await app.find_repository(REPO)

        async def token() -> str:
            return (await app.repo_token(hello)).value

        yield World(rig, app, hello, app.code(hello), repository_at(session, app.api_url, REPO, token))
        await app.close()


async def test_events_and_fetch_agree(world: World) -> None:
    """What the webhooks told of each check, newest by the rule of `latest`, is exactly what a fetch then shows."""
    gh = world.rig.gh
    gh.set_status(REPO, "main", "ci", "pending")
    gh.set_status(REPO, "main", "ci", "error", target_url="https://ci.example/1")
    gh.set_status(REPO, "main", "docs", "success", description="fine")
    gh.set_check_run(REPO, "main", "build", "in_progress")
    gh.set_check_run(REPO, "main", "build", "skipped")
    gh.set_check_run(REPO, "main", "build", "queued", app="other-ci")
    gh.add_check_suite(REPO, "main", app="third-ci")
    await gh.settled()
    for client in (world.client, world.runners):
        fetched = await client.checks(gh.sha(REPO))
        runs_and_statuses = [check for check in fetched if not check.key.startswith("suite/")]
        assert latest(runs_and_statuses) == latest(world.told())
        (suite,) = (check for check in fetched if check.key.startswith("suite/"))
        assert suite.name == "other-ci"


async def test_more_checks_than_fit_a_page(world: World) -> None:
    names = {f"ci/{number}" for number in range(101)}
    for name in names:
        world.rig.gh.set_status(REPO, "main", name, "success")
    assert {check.name for check in await world.runners.checks(world.rig.gh.sha(REPO))} == names


async def test_checks_of_an_unknown_commit(world: World) -> None:
    with pytest.raises(Refused, match="No commit found"):
        await world.runners.checks("0" * 40)


async def test_statuses(world: World) -> None:
    deployment = world.rig.gh.create_deployment(REPO)
    assert await world.runners.newest_status(deployment.id) is None
    await world.runners.create_status(deployment.id, DeploymentStatus("in_progress", "x" * 200, "https://k/1"))
    await world.client.create_status(deployment.id, DeploymentStatus("success", "done", "https://k/1", "https://e"))
    newest = await world.runners.newest_status(deployment.id)
    assert newest is not None
    assert (newest.state, newest.description, newest.log_url) == ("success", "done", "https://k/1")
    assert [len(status.description) for status in world.rig.gh.statuses(deployment.id)] == [140, 4]


async def test_a_success_makes_no_older_deployment_inactive(world: World) -> None:
    older, newer = (world.rig.gh.create_deployment(REPO, environment="staging") for _ in range(2))
    for deployment in (older, newer):
        await world.client.create_status(deployment.id, DeploymentStatus("success", ""))
    assert [status.state for status in world.rig.gh.statuses(older.id)] == ["success"]


async def test_who_may_what(world: World) -> None:
    world.rig.gh.add_team("acme", "ops", ["ana"])
    asked = {user: await world.client.permission(user) for user in ("ana", "bob", "nobody", "deploy[bot]", "..")}
    assert asked == {"ana": "write", "bob": "read", "nobody": "none", "deploy[bot]": "none", "..": "none"}
    assert await world.client.in_team("ops", "ana")
    assert await world.client.in_team("acme/ops", "ana")
    assert not await world.client.in_team("ops", "bob")
    assert not await world.client.in_team("none", "ana")


async def test_reachable(world: World) -> None:
    gh = world.rig.gh
    first = gh.sha(REPO)
    released = gh.commit(REPO, "release/1.0", {"a.txt": "1"})
    ahead = gh.commit(REPO, "main", {"a.txt": "2"})
    for client in (world.client, world.runners):
        assert await client.reachable(first, ["main"])
        assert await client.reachable(ahead, ["none", "main"])
        assert not await client.reachable(released, ["main", "none", "hot*"])
        assert await client.reachable(released, ["release/*"])
        assert await client.reachable(released, ["release/1.0"])
        assert not await client.reachable(ahead, ["release/*"])


async def test_find_by_name(world: World) -> None:
    assert await world.app.find_repository("hello") == [world.hello]
    assert await world.app.find_repository("none") == []
    assert await world.app.find_repository("acme/none") == []


async def test_the_narrow_token_is_narrow(world: World) -> None:
    token = await world.app.repo_token(world.hello)
    assert token.missing == ()
    given = world.rig.gh.world.state.tokens[token.value]
    assert given.repository_ids == {world.hello.id}
    permissions = {name: level for name, level in given.permissions.items() if name != "metadata"}
    assert permissions == {"contents": "read", "statuses": "read", "checks": "read", "deployments": "write"}


async def test_tokens_that_end_early_are_renewed(world: World) -> None:
    assert await world.client.permission("ana") == "write"
    world.rig.gh.expire_tokens()
    assert await world.client.permission("ana") == "write"


async def test_limits_and_lost_answers(world: World) -> None:
    faults, deployment = world.rig.gh.faults, world.rig.gh.create_deployment(REPO)
    faults.secondary_limit("POST", ".*/statuses", 7)
    with pytest.raises(RateLimited) as limited:
        await world.runners.create_status(deployment.id, DeploymentStatus("success", ""))
    assert limited.value.retry_after_s == 7
    faults.drop("POST", ".*/statuses", after=True)
    with pytest.raises(Unavailable):
        await world.runners.create_status(deployment.id, DeploymentStatus("success", ""))
    newest = await world.runners.newest_status(deployment.id)
    assert newest is not None
    assert newest.state == "success"


async def test_a_deployment_is_heard(world: World) -> None:
    made = world.rig.gh.create_deployment(REPO, by="ana", environment="staging", payload=json.dumps({"name": "hello"}))
    await world.rig.gh.settled()
    (delivery,) = world.rig.receiver.of("deployment")
    event = parse("deployment", delivery.raw)
    assert isinstance(event, DeploymentEvent)
    assert event.repository == world.hello
    assert (event.deployment_id, event.sha, event.environment) == (made.id, made.sha, "staging")
    assert (event.creator, event.creator_is_person, event.payload) == ("ana", True, {"name": "hello"})
    assert event.installation_id == world.rig.installation_id

"""A host that knows commits and nothing else: no checks, no deployments, no people."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ghapp import providers
from ghapp.apps import parse
from ghapp.core.values import Repository
from ghapp.service import reload
from ghapp.store.stores import Stores
from ghapp.vcs.provider import Provider
from tests.integration.commit_graph import Commits, sha
from tests.integration.kedge_world import BEARER, World, world

CONFIG = """
shop:
  deploy: "./deploy {env} {sha}"
  environments:
    staging: {}
    production: {allow: {users: [ana]}}
    checked: {checks_command: "%s"}
"""


class Bare(Commits):
    title = "The bare host"

    def checks(self, repository: Repository) -> Any:
        return None

    def deployments(self, repository: Repository) -> Any:
        return None

    def people(self, repository: Repository) -> Any:
        return None


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        bare = Bare()
        bare.grow("abc")
        made.ctx.providers = {"github": bare}
        await reload.put_in_force(made.ctx, CONFIG % "echo ci success")
        yield made


async def post(kedge: World, path: str, status: int, token: str = "", **query: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else BEARER
    async with kedge.client.post(f"/api/0{path}", headers=headers, params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def token_of(kedge: World, name: str) -> str:
    async with kedge.client.post(
        "/api/0/tokens", headers=BEARER, json={"name": "t", "owner": name, "scopes": ["read", "deploy"]}
    ) as answer:
        assert answer.status == 201, await answer.text()
        made = await answer.json()
        return str(made["token"])


async def test_nothing_is_registered_and_nothing_is_owed(kedge: World) -> None:
    made = await post(kedge, "/shop/deploy", 201, env="staging")
    assert (made["state"], [one["kind"] for one in made["blockers"]], made["sha"]) == ("queued", ["runner"], sha("c"))
    claimed = await kedge.claim()
    await kedge.start(claimed)
    ended = await kedge.finish(claimed)
    assert (ended.state.value, ended.deployment_id, ended.status_writer) == ("succeeded", None, None)
    owed = await kedge.ctx.stores.main.read(lambda tx: tx.all("SELECT channel FROM notices"))
    assert owed == []
    again = await post(kedge, "/shop/deploys/1/retry", 201)
    assert again["number"] == 2


async def test_who_may_is_who_is_named_or_has_a_token(kedge: World) -> None:
    ana, bob = await token_of(kedge, "ana"), await token_of(kedge, "bob")
    await post(kedge, "/shop/deploy", 201, bob, env="staging")
    refused = await post(kedge, "/shop/deploy", 403, bob, env="production")
    assert "ana" in refused["error"]["message"]
    await post(kedge, "/shop/deploy", 201, ana, env="production")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("echo ci success https://ci.test/1; echo; echo docs skipped", 201, None),
        ("echo ci pending", 201, "Waiting for check ci."),
        ("echo ci failure https://ci.test/2", 400, "ci"),
        ("echo ci of course", 502, "checks_command printed 'ci of course'"),
        ("exit 3", 502, "checks_command ended with exit code 3."),
        ("head -c 2000000 /dev/zero", 502, "checks_command printed more than 1048576 bytes."),
        ('test \\"$KEDGE_SHA {env}\\" = \\"{sha} checked\\" && echo ci success', 201, None),
    ],
)
async def test_a_command_tells_of_the_checks(kedge: World, command: str, status: int, said: str | None) -> None:
    await reload.put_in_force(kedge.ctx, CONFIG % command)
    assert kedge.ctx.apps.problem is None
    answer = await post(kedge, "/shop/deploy", status, env="checked")
    if status == 201:
        assert [one["message"] for one in answer["blockers"] if one["kind"] == "checks"] == ([said] if said else [])
    else:
        assert said and said in answer["error"]["message"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("checks: [ci]", "The bare host knows of no checks to be named"),
        ("auto: {branch: main}", "knows of no checks that auto could await"),
        ("allow: {teams: [ops]}", "knows of no teams"),
        ("notify: {pull_request: true}", "knows of no pull requests"),
        ("auto: {branch: main, after: push}", None),
        ('checks: [ci], checks_command: "./checks {sha}", auto: {branch: main}', None),
    ],
)
def test_a_config_asks_for_no_more_than_the_host_can_do(
    keys: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(providers.WITH_SETTINGS, "github", Bare)
    for ability in ("people", "checks", "deployments"):
        monkeypatch.setattr(Bare, ability, getattr(Provider, ability))
    parsed = parse(f"shop: {{deploy: x, {keys}}}")
    assert parsed.problems == ()
    found = [str(one) for one in providers.problems(parsed.apps)]
    assert len(found) == (1 if said else 0), found
    assert said is None or said in found[0]

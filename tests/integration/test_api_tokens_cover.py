"""What tokens are for: scopes, apps and environments, on SQLite and PostgreSQL."""

import json
from collections.abc import AsyncIterator

import pytest

from ghapp.store.stores import Stores
from tests.integration.commit_graph import AWAY, Commits, sha
from tests.integration.event_stream import Stream
from tests.integration.kedge_world import ADMIN_TOKEN, BEARER, NOON, World, world
from tests.integration.token_calls import RUNNER, call, claim, listed, make, pushing


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with pushing(stores) as made:
        yield made


READS = ("/api/0/apps", "/api/0/shop", "/api/0/shop/deploys", "/api/0/shop/deploys/1", "/api/0/shop/deploys/1/log")
WALK = [
    *(("GET", path, "read", 200) for path in (*READS, "/", "/shop", "/shop/deploys/1")),
    ("POST", "/api/0/shop/deploys/1/cancel", "deploy", 200),
    ("POST", "/shop/deploys/1/cancel", "deploy", 303),
    ("POST", "/api/0/shop/deploys/1/declare-dead", "admin", 409),
    ("PUT", "/api/0/shop/locks/production", "lock", 201),
    ("PUT", "/api/0/locks", "admin", 201),
    ("GET", "/api/0/tokens", "admin", 200),
    ("POST", "/api/0/tokens", "admin", 201),
    ("DELETE", "/api/0/tokens/1", "admin", 204),
]
BODIES = {
    "/api/0/tokens": {"name": "x", "owner": "bob", "scopes": ["read"]},
    "/api/0/shop/locks/production": {"reason": "why"},
    "/api/0/locks": {"reason": "why"},
}


@pytest.mark.parametrize("scope", ["read", "deploy", "lock", "admin", "runner"])
async def test_every_scope_opens_what_it_is_for_and_nothing_else(kedge: World, scope: str) -> None:
    for method, path, needed, status in WALK:
        await kedge.ask()
        await make(kedge, "read", name="other")
        given = await make(kedge, scope)
        body = BODIES.get(path) if method != "GET" else None
        target = path.replace("/1", f"/{kedge.now[0] // 1000 - NOON // 1000}") if "deploys" in path else path
        answer = await call(kedge, method, target, given["token"], body)
        may = scope == needed or (scope == "admin" and needed != "runner")
        assert answer.status == (status if may else 403), (scope, method, path, await answer.text())
        if not may and path.startswith("/api/"):
            assert (await answer.json())["error"]["code"] == "forbidden"
        await call(kedge, "DELETE", "/api/0/shop/locks/production")
        await call(kedge, "DELETE", "/api/0/locks")


async def test_a_runner_s_token_claims_and_no_other_does(kedge: World) -> None:
    for scope in ("read", "deploy", "lock", "admin"):
        given = await make(kedge, scope)
        answer = await claim(kedge, given["token"])
        assert answer.status == 403 and "scope runner" in await answer.text()
    assert (await claim(kedge, (await make(kedge, "runner"))["token"])).status == 204
    assert (await claim(kedge, RUNNER)).status == 204
    assert (await claim(kedge, ADMIN_TOKEN)).status == 401


async def test_one_acts_as_the_owner_whatever_a_header_says(kedge: World) -> None:
    await kedge.ask()
    given = await make(kedge, "deploy", "read")
    headers = {"Authorization": f"Bearer {given['token']}", "X-User": "eve", "From": "eve", "X-Forwarded-User": "eve"}
    async with kedge.client.post("/api/0/shop/deploys/1/cancel", headers=headers) as answer:
        assert (await answer.json())["reason"] == "by ana"


async def test_reads_are_open_where_everybody_may_read_and_nothing_else_is(stores: Stores) -> None:
    async with world(stores, anonymous_read=True) as kedge:
        await kedge.ask()
        narrowed = await make(kedge, "deploy", apps=["blog"])
        for token in ("", narrowed["token"]):
            for path in READS:
                assert (await call(kedge, "GET", path, token)).status == 200
        for method in ("GET", "POST"):
            assert (await call(kedge, method, "/api/0/tokens", "")).status == 401
        assert (await call(kedge, "DELETE", "/api/0/tokens/1", "")).status == 401
        assert (await call(kedge, "GET", "/api/0/tokens", narrowed["token"])).status == 403


async def test_where_everybody_may_read_everybody_is_told_all_of_it(stores: Stores) -> None:
    """Nobody in particular, and whoever has a token for something else."""
    async with world(stores, anonymous_read=True) as kedge:
        await kedge.ask()
        await kedge.claim()
        narrowed = await make(kedge, "deploy", apps=["blog"])
        for token in ("", narrowed["token"]):
            measured = await (await call(kedge, "GET", "/metrics", token)).text()
            assert 'kedge_deploys_claimed{app="shop",environment="production"} 1.0' in measured
            (runner,) = (await (await call(kedge, "GET", "/api/0/runners", token)).json())["items"]
            assert [one["number"] for one in runner["deploys"]] == [1]
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with kedge.client.get("/api/0/events?after=0", headers=headers) as answer:
                told = Stream(answer)
                assert [json.loads((await told.next()).data)["kind"] for _ in range(2)] == ["asked", "claimed"]


async def test_a_key_of_one_app_asks_for_nothing_of_another(kedge: World) -> None:
    """A pipeline that uses its run's id for each of its apps, or a smaller token of the same person."""
    for app, number in (("shop", 1), ("blog", 1), ("shop", 1)):
        headers = {**BEARER, "Idempotency-Key": "run-1"}
        path = f"/api/0/{app}/deploy?sha={sha('a')}&env=production&force=checks"
        async with kedge.client.post(path, headers=headers) as answer:
            made = await answer.json()
            assert (answer.status, made.get("app"), made.get("number")) == (201, app, number), made


async def test_a_token_for_one_app_sees_no_other(kedge: World) -> None:
    await kedge.ask()
    await kedge.ask(app="blog")
    given = await make(kedge, "read", "deploy", apps=["blog"])
    apps = await (await call(kedge, "GET", "/api/0/apps", given["token"])).json()
    assert [app["name"] for app in apps["items"]] == ["blog"]
    page = await (await call(kedge, "GET", "/", given["token"])).text()
    assert "/blog" in page and "shop" not in page
    for path in (*READS[1:], "/shop", "/shop/deploys/1", "/api/0/nowhere"):
        answer = await call(kedge, "GET", path, given["token"])
        assert answer.status == 403 and "only for blog" in await answer.text(), path
    for action in ("cancel", "retry", "force"):
        answer = await call(kedge, "POST", f"/api/0/shop/deploys/1/{action}", given["token"])
        assert answer.status == 403 and "only for blog" in await answer.text(), action
    for path in ("/api/0/blog", "/api/0/blog/deploys/1", "/api/0/blog/deploys", "/blog"):
        assert (await call(kedge, "GET", path, given["token"])).status == 200, path
    assert (await call(kedge, "POST", "/api/0/blog/deploys/1/cancel", given["token"])).status == 200


async def test_a_token_for_one_environment_sees_no_other(kedge: World) -> None:
    await kedge.ask(environment="production")
    await kedge.ask(environment="staging")
    given = await make(kedge, "read", "deploy", environments=["staging"])
    shop = await (await call(kedge, "GET", "/api/0/shop", given["token"])).json()
    assert [one["name"] for one in shop["environments"]] == ["staging"]
    history = await (await call(kedge, "GET", "/api/0/shop/deploys", given["token"])).json()
    assert [one["number"] for one in history["items"]] == [2]
    allowed = ("?env=stg", "/2", "/2/log")
    for rest, status in (
        *((one, 200) for one in allowed),
        *((one, 403) for one in ("?env=production", "/1", "/1/log")),
    ):
        assert (await call(kedge, "GET", f"/api/0/shop/deploys{rest}", given["token"])).status == status, rest
    assert (await call(kedge, "GET", "/shop/deploys/1", given["token"])).status == 403
    assert (await call(kedge, "POST", "/api/0/shop/deploys/1/cancel", given["token"])).status == 403
    assert (await call(kedge, "POST", "/api/0/shop/deploys/2/cancel", given["token"])).status == 200


async def test_what_is_live_is_compared_only_where_the_token_sees_it(kedge: World) -> None:
    for letter, environment in (("a", "production"), ("b", "staging")):
        await kedge.finish(await kedge.running(sha=sha(letter), environment=environment))
    given = await make(kedge, "read", environments=["staging"])
    for query, status in (
        *((one, 200) for one in ("env=stg", "from=2", "from=%232&to=main", f"from={sha('a')}", "env=stg&from=main")),
        *((one, 403) for one in ("env=production", "from=1", "from=2&to=%231", "env=production&from=main")),
    ):
        answer = await call(kedge, "GET", f"/api/0/shop/compare?{query}", given["token"])
        assert answer.status == status, (query, await answer.text())
    other = await make(kedge, "read", apps=["blog"])
    for path in ("compare?from=1", f"commits/{sha('a')}", "locks", "locks/production"):
        answer = await call(kedge, "GET", f"/api/0/shop/{path}", other["token"])
        assert answer.status == 403 and "only for blog" in await answer.text(), path


async def test_where_a_commit_is_leaves_out_what_the_token_does_not_cover(kedge: World) -> None:
    for letter, environment in (("a", "production"), ("b", "staging")):
        await kedge.finish(await kedge.running(sha=sha(letter), environment=environment))
    given = await make(kedge, "read", environments=["staging"])
    answer = await call(kedge, "GET", f"/api/0/shop/commits/{sha('a')}", given["token"])
    found = await answer.json()
    assert [(one["environment"], one["state"]) for one in found["environments"]] == [("staging", "live")]
    assert "production" not in await answer.text()
    kedge.ctx.providers["github"].away = AWAY  # type: ignore[attr-defined]
    for abbreviated, status in (("b" * 8, 200), ("a" * 8, 502)):  # only deploys tell what they stand for now
        answer = await call(kedge, "GET", f"/api/0/shop/commits/{abbreviated}", given["token"])
        assert answer.status == status, await answer.text()


async def test_locks_are_listed_as_far_as_the_token_goes(kedge: World) -> None:
    await kedge.ask(environment="staging")
    await kedge.ask(environment="production")
    await kedge.ask(app="blog")
    for path in ("locks", "shop/locks", "shop/locks/production", "shop/locks/staging", "blog/locks"):
        answer = await call(kedge, "PUT", f"/api/0/{path}", body={"reason": f"at {path}"})
        assert answer.status == 201
    given = await make(kedge, "read", environments=["staging"], apps=["shop"])
    for path, status in (
        *((path, 200) for path in ("locks", "shop/locks", "shop/locks/stg")),
        *((path, 403) for path in ("shop/locks/production", "blog/locks")),
    ):
        answer = await call(kedge, "GET", f"/api/0/{path}", given["token"])
        assert answer.status == status, path
        if status == 200:
            reasons = [one["reason"] for one in (await answer.json())["items"]]
            assert reasons == ["at locks", "at shop/locks", "at shop/locks/staging"], path


async def test_everybody_sees_where_a_commit_is_where_everybody_may_read(stores: Stores) -> None:
    async with world(stores, anonymous_read=True) as kedge:
        provider = Commits()
        provider.grow("a")
        kedge.ctx.providers = {"github": provider}
        await kedge.finish(await kedge.running(sha=sha("a")))
        found = await (await call(kedge, "GET", f"/api/0/shop/commits/{sha('a')}", "")).json()
        assert [one["state"] for one in found["environments"]] == ["never", "live"]


@pytest.mark.parametrize("narrowed", [{"apps": ["blog"]}, {"environments": ["staging"]}])
async def test_no_read_tells_a_narrowed_token_of_what_it_does_not_cover(
    kedge: World, narrowed: dict[str, list[str]]
) -> None:
    """Every GET of the route table, whoever adds one."""
    await kedge.running(ref="told-to-nobody")
    await kedge.ask(ref="told-to-nobody")
    await kedge.ask(app="blog")
    given = await make(kedge, "read", **narrowed)
    resources = {route.resource.canonical for route in kedge.client.app.router.routes() if route.resource}
    walked = 0
    for path in sorted(resources - {"/static", "/api/0/events"}):
        if "{id}" in path:
            continue
        target = path.format(app="shop", number=1, env="production", sha="a" * 40, provider="github")
        answer = await call(kedge, "GET", target, given["token"])
        assert answer.status < 500, target
        walked += answer.status == 200
        text = await answer.text()
        assert "told-to-nobody" not in text and "shop#1" not in text, target
    assert walked >= 2


async def test_a_narrowed_admin_makes_no_tokens_and_locks_nothing_wider(kedge: World) -> None:
    for narrowed in ({"apps": ["shop"]}, {"environments": ["staging"]}):
        given = await make(kedge, "admin", **narrowed)
        body = {"name": "wide", "owner": "eve", "scopes": ["admin"]}
        for method in ("GET", "POST"):
            answer = await call(kedge, method, "/api/0/tokens", given["token"], body if method == "POST" else None)
            assert answer.status == 403
        answer = await call(kedge, "PUT", "/api/0/locks", given["token"], {"reason": "why"})
        assert answer.status == 403
    assert len(await listed(kedge)) == 2

"""The reading half of the API through HTTP, on SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from ghapp.core.values import Blocker, BlockerKind, Lock, Repository
from ghapp.service import acting, own_configs
from ghapp.service.channel import Channel
from ghapp.service.context import Apps
from ghapp.service.lines import FRONT
from ghapp.store import inbox, messages, places, reconciled
from ghapp.store import own_configs as stored
from ghapp.store.stores import Stores
from tests.integration.kedge_world import ADMIN_TOKEN, BEARER, NOON, World, world


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def get(kedge: World, path: str, status: int = 200) -> Any:
    async with kedge.client.get(f"/api/0{path}", headers=BEARER) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def post(kedge: World, path: str, status: int = 200) -> Any:
    async with kedge.client.post(f"/api/0{path}", headers=BEARER) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_a_deploy_shows_all_that_is_known_of_it(kedge: World) -> None:
    asked = await kedge.ask(on_behalf_of="bob")
    assert await get(kedge, "/shop/deploys/1") == {
        "id": asked.id,
        "app": "shop",
        "number": 1,
        "environment": "production",
        "sha": asked.sha,
        "ref": "main",
        "task": "deploy",
        "state": "queued",
        "blockers": [
            {
                "kind": "runner",
                "message": "No runner has been seen yet; start one with `python -m runner`.",
                "url": None,
                "since": None,
                "who": None,
                "until": None,
            }
        ],
        "position": 1,
        "url": "http://kedge.example/shop/deploys/1",
        "log_url": "http://kedge.example/api/0/shop/deploys/1/log",
        "asked_at": "2026-11-23T14:00:01.000Z",
        "user": "alice",
        "door": "github",
        "on_behalf_of": "bob",
        "chat": None,
        "repository": "acme/shop",
        "deployment_id": None,
        "forced_by": None,
        "forced": [],
        "runner": None,
        "claimed_at": None,
        "started_at": None,
        "lost_since": None,
        "cancel_requested": None,
        "ended_at": None,
        "ended_by": None,
        "exit_code": None,
        "signal": None,
        "reason": "",
        "previous_sha": None,
        "status_problem": None,
        "events": [
            {
                "at": "2026-11-23T14:00:01.000Z",
                "kind": "asked",
                "who": "alice",
                "message": "alice asked for it as a GitHub deployment.",
            }
        ],
    }


async def test_a_deploy_from_line_to_end(kedge: World) -> None:
    await kedge.ask()
    claimed = await kedge.claim("r9")
    shown = await get(kedge, "/shop/deploys/1")
    assert (shown["state"], shown["runner"], shown["blockers"], shown["position"]) == ("claimed", "r9", [], None)
    await kedge.start(claimed)
    shown = await get(kedge, "/shop/deploys/1")
    assert (shown["state"], shown["started_at"]) == ("running", "2026-11-23T14:00:02.000Z")
    await kedge.finish(claimed, 3)
    shown = await get(kedge, "/shop/deploys/1")
    assert (shown["state"], shown["ended_by"], shown["exit_code"]) == ("failed", "exit", 3)
    assert shown["reason"] == "the command ended with exit code 3"
    assert [event["kind"] for event in shown["events"]] == ["asked", "claimed", "started", "failed"]
    assert shown["events"][-1]["message"] == "Failed: the command ended with exit code 3"


async def test_what_a_runner_reports_is_shown_with_its_link(kedge: World) -> None:
    await kedge.ask()
    deploy = await kedge.claim()
    check = Blocker(BlockerKind.CHECKS, "Waiting for check ci.", "https://ci.example/1", since=NOON)
    await kedge.hold(deploy, check)
    shown = await get(kedge, "/shop/deploys/1")
    assert shown["blockers"] == [
        {
            "kind": "checks",
            "message": "Waiting for check ci.",
            "url": "https://ci.example/1",
            "since": "2026-11-23T14:00:00.000Z",
            "who": None,
            "until": None,
        }
    ]
    assert shown["events"][-1]["message"] == "Back in line. Waiting for check ci."
    kedge.now[0] += 80_000  # the slow net makes it claimable again
    await kedge.reject(await kedge.claim("r2"), check)
    shown = await get(kedge, "/shop/deploys/1")
    assert (shown["state"], shown["reason"]) == ("rejected", "Waiting for check ci.")
    assert [blocker["kind"] for blocker in shown["blockers"]] == ["checks"]


async def test_apps_show_what_is_live_what_runs_what_waits_and_locks(kedge: World) -> None:
    await kedge.finish(await kedge.running())
    await kedge.running()
    await kedge.ask()
    await kedge.ask()
    lock = Lock("carol", "inventory", NOON, app="shop")
    row = next(one for one in await kedge.ctx.stores.main.read(places.apps) if one.name == "shop")
    await kedge.ctx.decide(lambda tx: acting.lock(tx, kedge.ctx, row.id, None, lock))

    answer = await get(kedge, "/apps")
    assert answer["next"] is None and answer["problem"] is None
    shop, blog = answer["items"]
    assert (shop["name"], shop["repository"], shop["via"]) == ("shop", "acme/shop", "github")
    assert shop["url"] == "http://kedge.example/shop"
    staging, production = shop["environments"]
    assert (staging["name"], staging["aliases"], staging["live"]) == ("staging", ["stg"], None)
    assert (staging["running"], staging["queue"]) == (None, [])
    assert (production["live"]["number"], production["running"]["number"]) == (1, 2)
    assert [(one["number"], one["position"]) for one in production["queue"]] == [(3, 1), (4, 2)]
    assert production["queue"][1]["blockers"][0]["kind"] == "lock"
    assert (
        production["locks"]
        == staging["locks"]
        == [
            {
                "app": "shop",
                "environment": None,
                "who": "carol",
                "reason": "inventory",
                "since": "2026-11-23T14:00:00.000Z",
                "until": None,
            }
        ]
    )
    assert [environment["name"] for environment in blog["environments"]] == ["production"]
    assert blog["environments"][0]["locks"] == [] and blog["repository"] is None
    assert await get(kedge, "/shop") == shop


async def test_of_a_long_line_the_front_is_shown_and_how_many_wait(kedge: World) -> None:
    for _ in range(FRONT + 2):
        await kedge.ask()
    production = (await get(kedge, "/shop"))["environments"][1]
    assert [one["position"] for one in production["queue"]] == list(range(1, FRONT + 1))
    assert production["waiting"] == FRONT + 2
    assert (await get(kedge, "/apps"))["items"][0]["environments"][1]["waiting"] == FRONT + 2
    async with kedge.client.get("/", headers=BEARER) as answer:
        assert "and 2 more" in await answer.text()
    listed = await get(kedge, f"/shop/queue?limit={FRONT + 1}")
    rest = await get(kedge, f"/shop/queue?limit={FRONT + 1}&cursor={listed['next']}")
    assert [one["position"] for one in [*listed["items"], *rest["items"]]] == list(range(1, FRONT + 3))
    assert rest["next"] is None


async def test_a_broken_config_is_told_where_apps_are_shown(kedge: World) -> None:
    kedge.ctx.apps = Apps(kedge.ctx.apps.configs, "line 3: shop.deploy: missing")
    answer = await get(kedge, "/apps")
    assert answer["problem"] == answer["items"][0]["problem"] == "line 3: shop.deploy: missing"
    assert (await get(kedge, "/shop"))["problem"] == "line 3: shop.deploy: missing"


async def test_what_a_repository_defines_is_told_apart_with_its_problems(kedge: World) -> None:
    own = Repository(8, "acme/own", "https://github.com/acme/own.git", "main")
    await kedge.ctx.stores.main.write(lambda tx: stored.look_at(tx, "github", own, NOON))
    for sha, text in (("a" * 40, b"web: {deploy: x}"), ("b" * 40, b"web: {deplox: x}")):
        known = await kedge.ctx.stores.main.read(lambda tx: stored.get(tx, "github", own.id))
        assert known
        await own_configs.judge(kedge.ctx, known, sha, text)
    answer = await get(kedge, "/apps")
    assert {one["name"]: one["defined_in"] for one in answer["items"]} == {
        "shop": "operator",
        "blog": "operator",
        "web": "repository",
    }
    (problem,) = answer["repository_problems"]
    assert (problem["repository"], problem["path"], problem["sha"]) == ("acme/own", ".github/kedge.yml", "b" * 40)
    assert "line 1: web.deplox: unknown key" in problem["message"]
    assert (await get(kedge, "/web"))["problem"] == problem["message"]
    assert answer["problem"] is None and (await get(kedge, "/shop"))["problem"] is None
    for path in ("/", "/web"):
        async with kedge.client.get(path, headers=BEARER) as page:
            assert "line 1: web.deplox: unknown key" in await page.text()


async def test_an_app_that_left_the_config_keeps_its_history_and_is_shown_while_it_is_busy(kedge: World) -> None:
    deploy = await kedge.running()
    left = {name: config for name, config in kedge.ctx.apps.configs.items() if name != "shop"}
    kedge.ctx.apps = Apps(left)
    assert [app["name"] for app in (await get(kedge, "/apps"))["items"]] == ["blog", "shop"]
    await kedge.finish(deploy)
    assert [app["name"] for app in (await get(kedge, "/apps"))["items"]] == ["blog"]
    shop = await get(kedge, "/shop")
    assert shop["via"] is None
    assert {one["name"]: one["live"] and one["live"]["number"] for one in shop["environments"]} == {
        "staging": None,
        "production": 1,
    }
    assert (await get(kedge, "/shop/deploys/1"))["state"] == "succeeded"
    assert len((await get(kedge, "/shop/deploys?env=Production"))["items"]) == 1


async def test_history_pages_through_everything_newest_first(kedge: World) -> None:
    for _ in range(5):
        await kedge.ask()
    seen: list[int] = []
    cursor = ""
    while True:
        page = await get(kedge, f"/shop/deploys?limit=2{cursor}")
        seen += [one["number"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [5, 4, 3, 2, 1]
    assert [one["position"] for one in (await get(kedge, "/shop/deploys"))["items"]] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [3, 2, 1]),
        ("env=staging", [2]),
        ("env=STG", [2]),
        ("env=production", [3, 1]),
        ("state=failed", [1]),
        ("state=queued&env=production", [3]),
        ("user=bob", [3]),
        ("user=nobody", []),
        ("limit=1", [3]),
    ],
)
async def test_history_is_filtered(kedge: World, query: str, numbers: list[int]) -> None:
    await kedge.finish(await kedge.running(), 1)
    await kedge.ask(environment="staging")
    await kedge.ask(user="bob")
    page = await get(kedge, f"/shop/deploys?{query}")
    assert [one["number"] for one in page["items"]] == numbers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=-1", "limit"),
        ("state=waiting", "state"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=YmVsb3c6", "cursor"),
        ("cursor=%ff", "cursor"),
        ("user=%00", "user"),
        ("enviroment=staging", "enviroment"),
    ],
)
async def test_a_wrong_parameter_is_named(kedge: World, query: str, field: str) -> None:
    error = (await get(kedge, f"/shop/deploys?{query}", 422))["error"]
    assert field in error["message"]
    assert (error["code"], error["field"]) == ("invalid", field)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/shp", "There is no app shp. Did you mean shop?"),
        ("/zzz", "There is no app zzz. There is: shop and blog."),
        ("/%00", "There is no app"),
        ("/a%2Fb", "There is no app a/b."),
        ("/shp/deploys", "Did you mean shop?"),
        ("/shp/deploys/1", "Did you mean shop?"),
        ("/shp/deploys/1/log", "Did you mean shop?"),
        ("/shop/deploys?env=prodction", "There is no environment prodction. Did you mean production?"),
        ("/shop/deploys/7", "shop has no deploy 7."),
        ("/shop/deploys/seven", "shop has no deploy seven"),
        ("/shop/deploys/99999999999999999999", "shop has no deploy 99999999999999999999"),
        ("/shop/deploys/1/nothing", "There is no such path."),
    ],
)
async def test_what_is_unknown_is_answered_with_what_is_near(kedge: World, path: str, sentence: str) -> None:
    error = (await get(kedge, path, 404))["error"]
    assert error["code"] == "not_found" and sentence in error["message"]


async def test_an_unknown_number_is_answered_with_the_newest(kedge: World) -> None:
    await kedge.ask()
    assert (await get(kedge, "/shop/deploys/9", 404))["error"]["hint"] == "Its newest is shop#1."
    assert (await get(kedge, "/blog/deploys/9", 404))["error"]["hint"] == "blog has not been deployed yet."


async def test_head_is_answered_as_get_without_a_body(kedge: World) -> None:
    await kedge.ask()
    for path in ("/api/0/apps", "/api/0/shop/deploys/1", "/api/0/shop/deploys/1/log", "/shop", "/healthz"):
        async with kedge.client.head(path, headers=BEARER) as answer:
            assert answer.status == 200 and await answer.read() == b""


# Cancel


async def test_cancel_before_it_runs_ends_it(kedge: World) -> None:
    await kedge.ask()
    answer = await post(kedge, "/shop/deploys/1/cancel")
    assert (answer["state"], answer["reason"]) == ("cancelled", "by admin")
    error = (await post(kedge, "/shop/deploys/1/cancel", 409))["error"]
    assert (error["code"], error["state"]) == ("too_late", "cancelled")


async def test_cancel_of_a_running_one_is_asked_of_its_runner(kedge: World) -> None:
    await kedge.running()
    first = await post(kedge, "/shop/deploys/1/cancel", 202)
    assert first["state"] == "running"
    assert first["cancel_requested"] == {"who": "admin", "at": "2026-11-23T14:00:02.000Z"}
    assert await post(kedge, "/shop/deploys/1/cancel", 202) == first


async def test_cancel_of_what_has_ended_is_too_late(kedge: World) -> None:
    await kedge.finish(await kedge.running())
    error = (await post(kedge, "/shop/deploys/1/cancel", 409))["error"]
    assert (error["code"], error["message"]) == ("too_late", "Too late: shop#1 has already succeeded.")
    assert (error["deploy"], error["when"]) == ("shop#1", "2026-11-23T14:00:03.000Z")


async def test_cancel_of_nothing(kedge: World) -> None:
    await post(kedge, "/shop/deploys/1/cancel", 404)


# Sign-in

READS = ("/api/0/apps", "/api/0/shop", "/api/0/shop/deploys", "/api/0/shop/deploys/1", "/api/0/shop/deploys/1/log")


@pytest.mark.parametrize(
    "header",
    [None, "Bearer wrong", "Bearer ", f"Basic {ADMIN_TOKEN}", "Bearer \udcff", "Bearer runner-token-0123456789abcdef"],
)
async def test_without_the_token_nothing_is_told(kedge: World, header: str | None) -> None:
    await kedge.ask()
    headers = {"Authorization": header} if header is not None else {}
    if header and "\udcff" in header:
        await _raw_byte_in_the_token(kedge)
        return
    for path in (*READS, "/api/0/nothing", "/api/0/runner", "/api/0/runner/deploys", "/api/0/runner/deploys/1"):
        async with kedge.client.get(path, headers=headers) as answer:
            assert answer.status == 401, path
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="kedge"'
            assert (await answer.json())["error"]["code"] == "unauthorized"
    async with kedge.client.post("/api/0/shop/deploys/1/cancel", headers=headers) as answer:
        assert answer.status == 401
    assert (await get(kedge, "/shop/deploys/1"))["state"] == "queued"


async def _raw_byte_in_the_token(kedge: World) -> None:
    """A client library would not send it, a forger does."""
    import asyncio

    reader, writer = await asyncio.open_connection(kedge.client.host, kedge.client.port)
    writer.write(b"GET /api/0/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_anonymous_read_opens_reads_and_nothing_else(stores: Stores) -> None:
    async with world(stores, anonymous_read=True) as kedge:
        await kedge.ask()
        for path in READS:
            async with kedge.client.get(path) as answer:
                assert answer.status == 200
        async with kedge.client.get("/api/0/apps", headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status == 401
        async with kedge.client.post("/api/0/shop/deploys/1/cancel") as answer:
            assert answer.status == 401
        assert (await get(kedge, "/shop/deploys/1"))["state"] == "queued"


# Health


async def test_health_is_open_and_names_nothing(kedge: World) -> None:
    await kedge.ask()
    async with kedge.client.get("/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    async with kedge.client.get("/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "database": True,
            "inbox_lag_s": 0.0,
            "outbox_lag_s": 0.0,
            "messages_lag_s": 0.0,
            "reconciler_lag_s": None,
        }


async def test_lag_is_since_the_oldest_that_is_due(kedge: World) -> None:
    await kedge.ctx.stores.main.write(lambda tx: inbox.store(tx, "github", "guid", "ping", b"{}", NOON))
    await kedge.ctx.stores.main.write(lambda tx: reconciled.begin(tx, "github", NOON - 10_000))
    deploy = await kedge.ask(deployment_id=5)  # owes the provider a status
    kedge.ctx.channels = {"room": cast(Channel, None)}
    owed = {"channel": "room", "target": "", "key": "k", "deploy_id": deploy.id, "body": "{}"}
    await kedge.ctx.stores.main.write(lambda tx: messages.put(tx, **owed, now=NOON, next_at=NOON + 2_000))  # type: ignore[arg-type]
    kedge.now[0] = NOON + 4_000
    async with kedge.client.get("/readyz") as answer:
        assert await answer.json() == {
            "database": True,
            "inbox_lag_s": 4.0,
            "outbox_lag_s": 3.0,
            "messages_lag_s": 2.0,
            "reconciler_lag_s": 14.0,
        }
    async with kedge.client.get("/metrics", headers=BEARER) as answer:
        assert "kedge_reconciler_lag_seconds 14.0" in (await answer.text()).splitlines()


async def test_an_unreachable_database_is_not_ready_but_alive(kedge: World) -> None:
    await kedge.ctx.stores.main.close()
    async with kedge.client.get("/readyz") as answer:
        assert answer.status == 503
        assert await answer.json() == {
            "database": False,
            "inbox_lag_s": None,
            "outbox_lag_s": None,
            "messages_lag_s": None,
            "reconciler_lag_s": None,
        }
    async with kedge.client.get("/healthz") as answer:
        assert answer.status == 200
    assert (await get(kedge, "/apps", 503))["error"]["code"] == "unavailable"

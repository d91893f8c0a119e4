"""Locks through the API: set, changed, taken over, released, by people and by time; who may; what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from ghapp.core import timeline
from ghapp.core.actors import ADMIN, Actor
from ghapp.core.remote import RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service import commanding, holding, reload, sweeping
from ghapp.service.problems import Problem
from ghapp.store.stores import Stores
from tests.integration.kedge_world import BEARER, CONFIG, NOON, Provider, World, world

CLOSED = CONFIG.replace("production: {}", "production: {allow: {users: [ana, carol]}}")
ROLES = {"ana": "write", "bob": "write", "carol": "admin", "dora": "read"}


class People(Provider):
    """A provider that knows who may what."""

    problem: RemoteError | None = None

    async def find_repository(self, name: str) -> list[Repository]:
        return [Repository(7, "acme/shop", "https://github.com/acme/shop.git")]

    async def permission(self, user: str) -> str:
        if self.problem:
            raise self.problem
        return ROLES.get(user, "none")


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        cast(dict[str, Any], made.ctx.providers)["github"] = People()
        yield made


async def call(kedge: World, method: str, path: str, status: int, body: object = None, **options: Any) -> Any:
    sent: dict[str, Any] = {"json": body} if body is not None else {}
    async with kedge.client.request(method, f"/api/0{path}", headers=BEARER, **sent, **options) as answer:
        assert answer.status == status, (path, answer.status, (await answer.text())[:300])
        return await answer.json() if answer.status != 204 else None


async def put(kedge: World, path: str, status: int = 201, body: dict[str, object] | None = None) -> Any:
    return await call(kedge, "PUT", path, status, {"reason": "inventory", **(body or {})})


async def listed(kedge: World, path: str = "/locks") -> list[tuple[str | None, str | None]]:
    return [(one["app"], one["environment"]) for one in (await call(kedge, "GET", path, 200))["items"]]


async def recorded(kedge: World) -> list[tuple[str, str | None, dict[str, Any]]]:
    """What the audit knows of locks: kind, who, data."""
    rows = await kedge.ctx.stores.main.read(
        lambda tx: tx.all("SELECT kind, who, data FROM events WHERE kind LIKE '%lock%' ORDER BY id")
    )
    return [(row["kind"], row["who"], json.loads(row["data"])) for row in rows]


def actor(
    name: str, *scopes: str, apps: tuple[str, ...] | None = None, environments: tuple[str, ...] | None = None
) -> Actor:
    return Actor(name, frozenset(scopes or ("read", "deploy", "lock")), apps, environments)


async def lock_as(kedge: World, who: Actor, app: str | None = "shop", environment: str | None = "production") -> bool:
    """True: a new lock; False: one was there."""
    return (await holding.lock(kedge.ctx, who, app, environment, "inventory", None)).new


async def refused(kedge: World, who: Actor, app: str | None, environment: str | None) -> Problem:
    with pytest.raises(Problem) as found:
        await lock_as(kedge, who, app, environment)
    with pytest.raises(Problem) as again:
        await holding.unlock(kedge.ctx, who, app, environment)
    assert again.value.code == found.value.code
    return found.value


# A lock's life


async def test_a_lock_is_set_changed_seen_and_released(kedge: World) -> None:
    deploy = await kedge.ask()
    new = await put(kedge, "/shop/locks/production", body={"reason": "  inventory "})
    assert new == {
        "app": "shop",
        "environment": "production",
        "who": "admin",
        "reason": "inventory",
        "since": "2026-11-23T14:00:01.000Z",
        "until": None,
        "running": [],
    }
    (blocker,) = (await call(kedge, "GET", "/shop/deploys/1", 200))["blockers"]
    assert (blocker["kind"], blocker["who"], blocker["since"]) == ("lock", "admin", new["since"])
    assert blocker["message"] == "production is locked by admin since Nov 23, 14:00 UTC: inventory."
    kedge.now[0] += 5_000
    changed = await put(kedge, "/shop/locks/production", 200, {"reason": "fire", "until": "2026-11-23T16:00:00+01:00"})
    assert (changed["reason"], changed["since"], changed["until"]) == ("fire", new["since"], "2026-11-23T15:00:00.000Z")
    assert (await call(kedge, "GET", "/shop/deploys/1", 200))["blockers"][0]["until"] == changed["until"]
    del changed["running"]
    assert (await call(kedge, "GET", "/locks", 200)) == {"items": [changed], "next": None}
    assert (await kedge.known(deploy)).ready_at is None
    await call(kedge, "DELETE", "/shop/locks/production", 204)
    assert (await kedge.known(deploy)).ready_at == kedge.now[0]
    assert await listed(kedge) == []
    error = (await call(kedge, "DELETE", "/shop/locks/production", 404))["error"]
    assert (error["code"], error["message"]) == ("not_found", "There is no lock on production of shop.")
    assert [(kind, who) for kind, who, _ in await recorded(kedge)] == [
        ("locked", "admin"),
        ("lock_changed", "admin"),
        ("unlocked", "admin"),
    ]


async def test_what_runs_goes_on_and_is_named(kedge: World) -> None:
    await kedge.running()
    await kedge.ask(environment="staging")
    claimed = await kedge.claim()
    answer = await put(kedge, "/shop/locks")
    assert [(one["number"], one["state"]) for one in answer["running"]] == [(1, "running")]
    assert (await kedge.start(claimed)).state == "queued", "what only prepares does not start any more"
    assert (await put(kedge, "/shop/locks/staging"))["running"] == []
    assert [one["number"] for one in (await put(kedge, "/locks"))["running"]] == [1]
    assert (await call(kedge, "GET", "/shop/deploys/1", 200))["state"] == "running"


async def test_an_environment_an_app_and_everything(kedge: World) -> None:
    await put(kedge, "/shop/locks/STG", body={"reason": "one"})
    await put(kedge, "/shop/locks", body={"reason": "two"})
    await put(kedge, "/locks", body={"reason": "three"})
    assert await listed(kedge) == [("shop", "staging"), ("shop", None), (None, None)]
    assert await listed(kedge, "/shop/locks") == [("shop", "staging"), ("shop", None), (None, None)]
    assert await listed(kedge, "/shop/locks/production") == [("shop", None), (None, None)]
    assert await listed(kedge, "/blog/locks") == [(None, None)]
    await kedge.ask(environment="staging")
    blockers = (await call(kedge, "GET", "/shop/deploys/1", 200))["blockers"]
    assert [one["message"].split(" ")[0] for one in blockers] == ["staging", "shop", "Everything"]
    error = (await call(kedge, "DELETE", "/blog/locks/production", 404))["error"]
    assert error["hint"].startswith("Everything is locked by admin since")
    for path in ("/locks", "/shop/locks", "/shop/locks/staging"):
        await call(kedge, "DELETE", path, 204)
        await call(kedge, "DELETE", path, 404)
    assert (await call(kedge, "GET", "/shop/deploys/1", 200))["blockers"][0]["kind"] == "runner"


@pytest.mark.parametrize(
    ("body", "until"),
    [
        ({"for": "30m"}, "2026-11-23T14:30:00.000Z"),
        ({"for": "2h"}, "2026-11-23T16:00:00.000Z"),
        ({"for": "1d"}, "2026-11-24T14:00:00.000Z"),
        ({"until": "2026-11-23T14:00:00.001Z"}, "2026-11-23T14:00:00.001Z"),
        ({"until": "2026-11-23t14:30:00.5z"}, "2026-11-23T14:30:00.500Z"),
        ({"until": "9999-12-31T23:59:59.999Z"}, "9999-12-31T23:59:59.999Z"),
        ({"until": None, "for": None}, None),
    ],
)
async def test_how_long(kedge: World, body: dict[str, object], until: str | None) -> None:
    assert (await put(kedge, "/shop/locks/production", body=body))["until"] == until
    (item,) = (await call(kedge, "GET", "/shop/locks/production", 200))["items"]
    assert item["until"] == until


async def test_by_query_and_by_form(kedge: World) -> None:
    await call(kedge, "PUT", "/shop/locks/production?reason=fire&for=1h", 201)
    await call(kedge, "PUT", "/shop/locks/production", 200, data={"reason": "smoke"})
    assert (await call(kedge, "GET", "/locks", 200))["items"][0]["reason"] == "smoke"


async def test_two_at_once_are_one_after_the_other(kedge: World) -> None:
    async def one() -> int:
        async with kedge.client.put("/api/0/locks", headers=BEARER, json={"reason": "fire"}) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(one() for _ in range(5)))) == [200, 200, 200, 200, 201]
    assert await listed(kedge) == [(None, None)]


# Time


async def test_a_lock_ends_by_itself_and_says_so(kedge: World) -> None:
    deploy = await kedge.ask()
    await put(kedge, "/shop/locks/production", body={"for": "30m"})
    kedge.now[0] += 30 * 60_000 - 1
    await sweeping.expire_locks(kedge.ctx)
    assert await listed(kedge) == [("shop", "production")]
    kedge.now[0] += 1
    assert await listed(kedge) == [], "true at once, whenever somebody sweeps"
    await sweeping.expire_locks(kedge.ctx)
    await sweeping.expire_locks(kedge.ctx)
    assert (await kedge.known(deploy)).ready_at == kedge.now[0]
    kind, who, data = (await recorded(kedge))[-1]
    assert [one[0] for one in await recorded(kedge)] == ["locked", "lock_expired"]
    assert (kind, who, data["owner"]) == ("lock_expired", None, "admin")
    assert timeline.told(kind, who, data) == "The lock of admin on production of shop ended by itself."


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_lock_whose_time_has_passed_is_no_lock(kedge: World, method: str) -> None:
    """Before anybody swept, another one is new, and there is none to release."""
    await lock_as(kedge, actor("carol"))
    await holding.lock(kedge.ctx, actor("carol"), "shop", "production", "fire", kedge.now[0] + 1000)
    kedge.now[0] += 1000
    if method == "PUT":
        answer = await put(kedge, "/shop/locks/production")
        assert (answer["who"], answer["since"]) == ("admin", "2026-11-23T14:00:01.000Z")
    else:
        await call(kedge, "DELETE", "/shop/locks/production", 404)
    kinds = [kind for kind, _, _ in await recorded(kedge)]
    assert kinds[:3] == ["locked", "lock_changed", "lock_expired"]
    assert kinds[3:] == (["locked"] if method == "PUT" else [])


async def test_its_owner_is_told_ten_minutes_before_once(kedge: World) -> None:
    await put(kedge, "/shop/locks/production", body={"for": "1h"})
    kedge.now[0] += 50 * 60_000 - 1
    await sweeping.tell_of_locks(kedge.ctx)
    assert [kind for kind, _, _ in await recorded(kedge)] == ["locked"]
    kedge.now[0] += 1
    await asyncio.gather(*(sweeping.tell_of_locks(kedge.ctx) for _ in range(3)))
    kind, who, data = (await recorded(kedge))[-1]
    assert [one[0] for one in await recorded(kedge)] == ["locked", "lock_expiring"]
    assert (who, data["owner"], data["until"]) == (None, "admin", NOON + 3_600_000)
    assert "production of shop holds only until Nov 23, 15:00 UTC" in timeline.told(kind, who, data)
    await put(kedge, "/shop/locks/production", 200, body={"for": "1h"})
    await sweeping.tell_of_locks(kedge.ctx)
    assert len(await recorded(kedge)) == 3
    kedge.now[0] += 55 * 60_000
    await sweeping.tell_of_locks(kedge.ctx)
    assert [one[0] for one in await recorded(kedge)][3:] == ["lock_expiring"], "the new end is told anew"


async def test_who_locks_for_a_moment_is_not_told(kedge: World) -> None:
    await put(kedge, "/shop/locks/production", body={"for": "10m"})
    await put(kedge, "/shop/locks")
    kedge.now[0] += 60_000
    await sweeping.tell_of_locks(kedge.ctx)
    assert [kind for kind, _, _ in await recorded(kedge)] == ["locked", "locked"]


# Who may


async def test_who_may_deploy_there_may_lock_there(kedge: World) -> None:
    await reload.put_in_force(kedge.ctx, CLOSED)
    assert await lock_as(kedge, actor("ana"))
    assert not await lock_as(kedge, actor("ana"))
    await holding.unlock(kedge.ctx, actor("ana"), "shop", "production")
    problem = await refused(kedge, actor("bob"), "shop", "production")
    assert problem.code == "forbidden" and "ana and carol" in problem.message
    assert await lock_as(kedge, actor("bob"), "shop", "staging"), "push permission is enough there"
    assert (await refused(kedge, actor("dora"), "shop", "staging")).code == "forbidden"


async def test_somebody_elses_lock_takes_an_admin(kedge: World) -> None:
    await lock_as(kedge, actor("ana"))
    problem = await refused(kedge, actor("bob"), "shop", "production")
    assert "production is locked by ana since" in problem.message and problem.facts["who"] == "ana"
    kedge.now[0] += 60_000
    held = await holding.lock(kedge.ctx, actor("carol"), "shop", "production", "fire", None)
    assert (held.new, held.lock.who, held.lock.since, held.lock.reason) == (False, "carol", kedge.now[0], "fire")
    assert (await refused(kedge, actor("ana"), "shop", "production")).code == "forbidden"
    await holding.unlock(kedge.ctx, ADMIN, "shop", "production")
    told = [(kind, who, data["owner"]) for kind, who, data in await recorded(kedge)]
    assert told == [("locked", "ana", "ana"), ("lock_taken_over", "carol", "ana"), ("unlocked", "admin", "carol")]
    assert [timeline.told(*one) for one in await recorded(kedge)] == [
        "ana locked production of shop: inventory",
        "carol took over the lock on production of shop from ana.",
        "admin released the lock of carol on production of shop.",
    ]


async def test_all_of_an_app_takes_an_admin_and_everything_the_scope(kedge: World) -> None:
    assert (await refused(kedge, actor("ana"), "shop", None)).code == "forbidden"
    assert await lock_as(kedge, actor("carol"), "shop", None)
    assert (await refused(kedge, actor("carol"), None, None)).code == "forbidden"
    assert (await refused(kedge, actor("carol", "admin", apps=("shop",)), None, None)).code == "forbidden"
    assert await lock_as(kedge, actor("eve", "admin"), None, None)
    await holding.unlock(kedge.ctx, actor("eve", "admin", apps=("shop",)), "shop", None)


@pytest.mark.parametrize(
    ("who", "app", "environment"),
    [
        (actor("carol", "read", "deploy"), "shop", "production"),
        (actor("carol", "read", "deploy"), "shop", None),
        (actor("carol", "read", "deploy"), None, None),
        (actor("carol", "lock", apps=("blog",)), "shop", "production"),
        (actor("carol", "lock", apps=("blog",)), "shop", None),
        (actor("carol", "lock", environments=("staging",)), "shop", "production"),
        (actor("carol", "lock", environments=("staging",)), "shop", None),
        (actor("carol", "admin", environments=("staging",)), "shop", None),
        (actor("carol", "admin", environments=("staging",)), None, None),
        (actor("", "read"), "shop", "production"),
    ],
)
async def test_a_token_that_is_too_small(kedge: World, who: Actor, app: str | None, environment: str | None) -> None:
    assert (await refused(kedge, who, app, environment)).code == "forbidden"
    assert await recorded(kedge) == []


async def test_a_force_takes_over_only_what_it_may(kedge: World) -> None:
    """Who may take over a lock of one environment is not asked about a lock on everything."""
    await lock_as(kedge, actor("ana"))
    await lock_as(kedge, actor("eve", "admin"), None, None)
    deploy = await kedge.ask()
    with pytest.raises(Problem) as found:
        await commanding.force(kedge.ctx, actor("carol"), "shop", deploy.number, frozenset({"lock"}))
    assert found.value.code == "forbidden" and "Everything is locked by eve" in found.value.message
    assert [kind for kind, _, _ in await recorded(kedge)] == ["locked", "locked"], "none of it was done"
    await holding.unlock(kedge.ctx, ADMIN, None, None)
    await commanding.force(kedge.ctx, actor("carol"), "shop", deploy.number, frozenset({"lock"}))
    kind, who, data = (await recorded(kedge))[-1]
    assert (kind, who, data["owner"], data["reason"]) == ("lock_taken_over", "carol", "ana", "inventory")


async def test_a_provider_that_cannot_be_asked_lets_nobody_in(kedge: World) -> None:
    cast(People, kedge.ctx.providers["github"]).problem = Unavailable("GitHub is down.")
    assert (await refused(kedge, actor("ana"), "shop", "production")).code == "provider"
    assert (await refused(kedge, actor("carol"), "shop", None)).code == "provider"
    await put(kedge, "/shop/locks/production")


async def test_a_lock_on_what_left_the_config_can_be_released_by_an_admin(kedge: World) -> None:
    await lock_as(kedge, actor("carol"))
    await lock_as(kedge, actor("carol"), "shop", None)
    await reload.put_in_force(kedge.ctx, "blog: {via: github, deploy: ./deploy}")
    await call(kedge, "PUT", "/shop/locks/production", 404, {"reason": "fire"})
    assert await listed(kedge) == [("shop", "production"), ("shop", None)]
    with pytest.raises(Problem, match="scope admin"):
        await holding.unlock(kedge.ctx, actor("carol"), "shop", "production")
    await call(kedge, "DELETE", "/shop/locks/production", 204)
    await call(kedge, "DELETE", "/shop/locks", 204)


# Nonsense


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "reason"),
        ({"reason": ""}, 422, "reason"),
        ({"reason": "   "}, 422, "reason"),
        ({"reason": None}, 422, "reason"),
        ({"reason": 5}, 422, "reason"),
        ({"reason": ["fire"]}, 422, "reason"),
        ({"reason": "x" * 501}, 422, "reason"),
        ({"reason": "two\nlines"}, 422, "reason"),
        ({"reason": "nul\0"}, 422, "reason"),
        ({"reason": "\x1b[31mred"}, 422, "reason"),
        ({"reason": "\u202egnp.exe"}, 422, "reason"),
        ({"reason": "fire", "who": "ana"}, 422, "who"),
        ({"reason": "fire", "until": "tomorrow"}, 422, "until"),
        ({"reason": "fire", "until": "2026-11-23T13:59:59Z"}, 422, "until"),
        ({"reason": "fire", "until": "2026-11-23T14:00:00Z"}, 422, "until"),
        ({"reason": "fire", "until": "2027-11-23"}, 422, "until"),
        ({"reason": "fire", "until": "2027-11-23T14:00:00"}, 422, "until"),
        ({"reason": "fire", "until": "9999-12-31T23:59:59-01:00"}, 422, "until"),
        ({"reason": "fire", "until": 1_900_000_000}, 422, "until"),
        ({"reason": "fire", "until": "2" * 100_000}, 422, "until"),
        ({"reason": "fire", "for": "0s"}, 422, "for"),
        ({"reason": "fire", "for": "-1h"}, 422, "for"),
        ({"reason": "fire", "for": "1"}, 422, "for"),
        ({"reason": "fire", "for": "١h"}, 422, "for"),
        ({"reason": "fire", "for": "soon"}, 422, "for"),
        ({"reason": "fire", "for": "99999999999999999d"}, 422, "for"),
        ({"reason": "fire", "for": "999999w"}, 422, "for"),
        ({"reason": "fire", "for": "1h", "until": "2027-11-23T14:00:00Z"}, 422, "for"),
        (["reason"], 400, None),
        ({"reason": "x" * 10_000_000}, 413, None),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, int) else "",
)
async def test_nonsense_is_named_and_changes_nothing(
    kedge: World, body: object, status: int, field: str | None
) -> None:
    for path in ("/shop/locks/production", "/shop/locks", "/locks"):
        error = (await call(kedge, "PUT", path, status, body))["error"]
        assert error.get("field") == field and error["message"]
    assert await listed(kedge) == [] and await recorded(kedge) == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/shp/locks", "Did you mean shop?"),
        ("/shp/locks/production", "Did you mean shop?"),
        ("/shop/locks/prodction", "Did you mean production?"),
        ("/shop/locks/%00", "There is no "),
        ("/%1b/locks", "There is no "),
        ("/%F0%9F%92%A9/locks/%2e%2e%2f", "There is no app"),
        ("/shop/locks/" + "p" * 8000, "There is no "),
    ],
    ids=lambda value: value[:20],
)
async def test_what_is_unknown_is_answered_with_what_is_near(kedge: World, path: str, sentence: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = {"reason": "fire"} if method == "PUT" else None
        error = (await call(kedge, method, path, 404, body))["error"]
        assert error["code"] == "not_found" and sentence in error["message"]
    assert await recorded(kedge) == []


@pytest.mark.parametrize("path", ["/shop/locks/" + "x" * 100_000, "/" + "x" * 100_000 + "/locks", "/shop/locks/%ff"])
async def test_names_that_no_url_holds(kedge: World, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        async with kedge.client.request(method, f"/api/0{path}", headers=BEARER) as answer:
            assert 400 <= answer.status < 500
    assert await listed(kedge) == []


async def test_parameters_that_are_not_taken(kedge: World) -> None:
    await put(kedge, "/shop/locks/production")
    for method in ("GET", "DELETE"):
        error = (await call(kedge, method, "/shop/locks/production?force=1", 422))["error"]
        assert error["field"] == "force"
    assert await listed(kedge) == [("shop", "production")]


async def test_who_sees_a_part_sees_its_locks(kedge: World) -> None:
    for path in ("/shop/locks/production", "/shop/locks/staging", "/blog/locks", "/locks"):
        await put(kedge, path)

    async def seen(reader: Actor, app: str | None = None, environment: str | None = None) -> list[str | None]:
        found = await kedge.ctx.stores.main.read(lambda tx: holding.listed(tx, kedge.ctx, app, environment, reader))
        return [one.environment or one.app for one in found]

    staging = actor("ana", "read", environments=("staging",))
    assert await seen(staging) == ["staging", "blog", None]
    assert await seen(staging, "shop", "staging") == ["staging", None]
    assert await seen(actor("ana", "read", apps=("blog",))) == ["blog", None]
    with pytest.raises(Problem, match="staging"):
        await seen(staging, "shop", "production")

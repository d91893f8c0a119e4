"""The line through the API: in order, with positions and estimates, as it is at the moment."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ghapp.core.values import Blocker, BlockerKind
from ghapp.service import acting, reload
from ghapp.store.deploys import Deploy
from ghapp.store.stores import Stores
from tests.integration.kedge_world import BEARER, CONFIG, World, world


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def queue(kedge: World, query: str = "", status: int = 200, app: str = "shop") -> Any:
    async with kedge.client.get(f"/api/0/{app}/queue{query}", headers=BEARER) as answer:
        assert answer.status == status, (query, answer.status, (await answer.text())[:300])
        return await answer.json()


async def lasting(kedge: World, seconds: int, exit_code: int = 0, **asked: object) -> Deploy:
    """A deploy that ran so long."""
    deploy = await kedge.running(**asked)
    kedge.now[0] += (seconds - 1) * 1000
    return await kedge.finish(deploy, exit_code)


def told(page: Any) -> list[tuple[int, str, int | None]]:
    return [(one["number"], one["state"], one["position"]) for one in page["items"]]


def at(one: Any) -> tuple[str, str] | None:
    return (one["estimate"]["starts_at"][11:19], one["estimate"]["ends_at"][11:19]) if one["estimate"] else None


async def test_an_empty_line(kedge: World) -> None:
    assert await queue(kedge) == {"items": [], "next": None}


async def test_what_runs_and_the_line_in_order(kedge: World) -> None:
    await kedge.running()
    for _ in range(3):
        await kedge.ask()
    await kedge.ask(environment="staging")
    page = await queue(kedge)
    assert told(page) == [
        (5, "queued", 1),
        (1, "running", None),
        (2, "queued", 1),
        (3, "queued", 2),
        (4, "queued", 3),
    ]
    assert told(await queue(kedge, "?env=STG")) == [(5, "queued", 1)]
    assert told(await queue(kedge, "?env=production"))[0] == (1, "running", None)
    assert all(one["blockers"] for one in page["items"] if one["state"] == "queued")
    assert [one["estimate"] for one in page["items"]] == [None] * 5, "without a history nobody can know"
    shown = dict(page["items"][2])
    del shown["estimate"]
    async with kedge.client.get("/api/0/shop/deploys/2", headers=BEARER) as answer:
        whole = await answer.json()
    assert {name: whole[name] for name in shown} == shown, "the same shape as everywhere"


async def test_estimates_come_from_what_succeeded_there(kedge: World) -> None:
    for seconds in (60, 120, 90):
        await lasting(kedge, seconds)
    await lasting(kedge, 5000, exit_code=1)
    await lasting(kedge, 7000, environment="staging")
    await kedge.running()
    await kedge.ask()
    await kedge.ask()
    began = kedge.now[0]
    page = await queue(kedge, "?env=production")
    first, second, third = (one["estimate"] for one in page["items"])
    assert page["items"][0]["started_at"] == first["starts_at"]
    assert (first["ends_at"], second["ends_at"]) == (second["starts_at"], third["starts_at"])
    assert [at(one) for one in page["items"]] == [
        (time(page["items"][0]["started_at"]), plus(page["items"][0]["started_at"], 90)),
        (plus(page["items"][0]["started_at"], 90), plus(page["items"][0]["started_at"], 180)),
        (plus(page["items"][0]["started_at"], 180), plus(page["items"][0]["started_at"], 270)),
    ]
    kedge.now[0] = began + 3_600_000
    late = (await queue(kedge, "?env=production"))["items"]
    assert at(late[0]) == (time(late[0]["started_at"]), late[1]["estimate"]["starts_at"][11:19])
    assert late[0]["estimate"]["ends_at"] > first["ends_at"], "it ends any moment, not in the past"


def time(text: str) -> str:
    return text[11:19]


def plus(text: str, seconds: int) -> str:
    hours, minutes, rest = (int(part) for part in text[11:19].split(":"))
    whole = hours * 3600 + minutes * 60 + rest + seconds
    return f"{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}"


async def test_only_the_newest_count_and_each_task_for_itself(kedge: World) -> None:
    await reload.put_in_force(kedge.ctx, CONFIG.replace("production: {}", "production: {tasks: {migrate: ./migrate}}"))
    for _ in range(11):
        await lasting(kedge, 9000)
    await lasting(kedge, 600, task="migrate")
    for _ in range(20):
        await lasting(kedge, 30)
    await kedge.ask()
    await kedge.ask(task="migrate")
    await kedge.claim()
    first, second = (await queue(kedge))["items"]
    starts = first["estimate"]["starts_at"]
    assert (first["state"], at(first)) == ("claimed", (time(starts), plus(starts, 30)))
    assert at(second) == (plus(starts, 30), plus(starts, 630))


async def test_what_waits_for_checks_has_no_time_nor_have_those_behind(kedge: World) -> None:
    await lasting(kedge, 60)
    await kedge.ask()
    await kedge.ask()
    await kedge.hold(await kedge.claim(), Blocker(BlockerKind.CHECKS, "Waiting for check ci."))
    page = await queue(kedge)
    assert [(one["position"], one["estimate"]) for one in page["items"]] == [(1, None), (2, None)]
    assert [one["blockers"][0]["message"] for one in page["items"]] == [
        "Waiting for check ci.",
        "Behind shop#2: Waiting for check ci. To pass it: cancel 2.",
    ]


async def test_page_by_page(kedge: World) -> None:
    await kedge.running()
    for _ in range(4):
        await kedge.ask()
    found: list[int] = []
    query = "?limit=2"
    for _ in range(3):
        page = await queue(kedge, query)
        found += [one["number"] for one in page["items"]]
        query = f"?limit=2&cursor={page['next']}"
    assert found == [1, 2, 3, 4, 5] and page["next"] is None


async def test_superseded_says_by_what_on_both(kedge: World) -> None:
    older, newer = await kedge.ask(), await kedge.ask()
    ended = await kedge.ctx.decide(lambda tx: acting.supersede(tx, kedge.ctx, older.id, newer))
    assert (ended.state, ended.reason) == ("cancelled", "Superseded by shop#2.")
    assert told(await queue(kedge)) == [(2, "queued", 1)]
    async with kedge.client.get("/api/0/shop/deploys/1", headers=BEARER) as answer:
        shown = await answer.json()
    (blocker,) = shown["blockers"]
    assert (blocker["kind"], blocker["message"]) == ("superseded", "Superseded by shop#2.")
    assert blocker["url"] == "http://kedge.example/shop/deploys/2"
    assert shown["events"][-1]["message"] == "shop#2 took its place."
    async with kedge.client.get("/api/0/shop/deploys/2", headers=BEARER) as answer:
        assert (await answer.json())["events"][-1]["message"] == "It took the place of shop#1."


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?env=prodction", 404, None),
        ("?env=", 422, "env"),
        ("?env=%00", 422, "env"),
        ("?env=" + "x" * 7000, 422, "env"),
        ("?limit=0", 422, "limit"),
        ("?limit=501", 422, "limit"),
        ("?limit=many", 422, "limit"),
        ("?cursor=nonsense", 422, "cursor"),
        ("?cursor=-1", 422, "cursor"),
        ("?enviroment=x", 422, "enviroment"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_nonsense_is_named(kedge: World, query: str, status: int, field: str | None) -> None:
    error = (await queue(kedge, query, status))["error"]
    assert error.get("field") == field and error["message"]


async def test_an_unknown_app_and_a_name_that_no_url_holds(kedge: World) -> None:
    assert "Did you mean shop?" in (await queue(kedge, app="shp", status=404))["error"]["message"]
    async with kedge.client.get(f"/api/0/shop/queue?env={'x' * 100_000}", headers=BEARER) as answer:
        assert 400 <= answer.status < 500

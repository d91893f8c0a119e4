"""Live events, the audit, metrics, runners and the log, on SQLite and PostgreSQL."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import ghapp
from ghapp.service.watching import GAP_MS, settled
from ghapp.store.events import Recorded
from ghapp.store.stores import Stores
from tests.integration.event_stream import Stream
from tests.integration.kedge_world import BEARER, NOON, World, world


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def get(kedge: World, path: str, status: int = 200, **headers: str) -> Any:
    async with kedge.client.get(path, headers={**BEARER, **headers}) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def send(kedge: World, method: str, path: str, status: int, body: Any = None) -> Any:
    async with kedge.client.request(method, path, headers=BEARER, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json() if status != 204 else None


async def kinds(kedge: World, **headers: str) -> tuple[list[str], str]:
    """The kinds of all events after Last-Event-ID that are there, and the last id."""
    async with kedge.client.get("/api/0/events", headers={**BEARER, **headers}) as answer:
        stream = Stream(answer)
        found = []
        while (event := json.loads((await stream.next()).data))["kind"] != "unlocked":
            found.append(event["kind"])
        return found, stream.last_id


async def test_events_come_in_order_and_are_resumed_without_a_gap(kedge: World) -> None:
    await kedge.finish(await kedge.running())
    await send(kedge, "PUT", "/api/0/shop/locks/production", 201, {"reason": "x"})
    await send(kedge, "DELETE", "/api/0/shop/locks/production", 204)
    found, last = await kinds(kedge, **{"Last-Event-ID": "0"})
    assert found == ["asked", "claimed", "started", "succeeded", "locked"]
    await send(kedge, "PUT", "/api/0/shop/locks/production", 201, {"reason": "x"})
    await send(kedge, "DELETE", "/api/0/shop/locks/production", 204)
    assert (await kinds(kedge, **{"Last-Event-ID": last}))[0] == ["locked"]


async def test_what_is_done_is_in_the_audit_with_who_where_and_by_which_door(kedge: World) -> None:
    done = await kedge.finish(await kedge.running())
    waiting = await kedge.ask()
    await send(kedge, "POST", f"/api/0/shop/deploys/{waiting.number}/force", 200, {"force": "checks"})
    await send(kedge, "POST", f"/api/0/shop/deploys/{waiting.number}/cancel", 200)
    await send(kedge, "PUT", "/api/0/shop/locks/production", 201, {"reason": "x"})
    await send(kedge, "DELETE", "/api/0/shop/locks/production", 204)
    token = await send(kedge, "POST", "/api/0/tokens", 201, {"name": "t", "owner": "ana", "scopes": ["read"]})
    await send(kedge, "DELETE", f"/api/0/tokens/{token['id']}", 204)
    found = (await get(kedge, "/api/0/audit"))["items"]
    by_admin = [one for one in found if one["who"] == "admin"]
    assert [one["kind"] for one in reversed(by_admin)] == [
        "forced",
        "cancelled",
        "locked",
        "unlocked",
        "token_created",
        "token_revoked",
    ]
    assert {(one["door"], one["address"]) for one in by_admin} == {("api", "127.0.0.1")}
    assert token["token"] not in json.dumps(found)
    assert [one["kind"] for one in (await get(kedge, "/api/0/audit?app=shop&kind=succeeded"))["items"]] == ["succeeded"]
    assert done.number == (await get(kedge, "/api/0/audit?kind=succeeded"))["items"][0]["deploy"]


async def test_the_audit_has_pages(kedge: World) -> None:
    await kedge.finish(await kedge.running())
    seen: list[int] = []
    path = "/api/0/audit?limit=1"
    while True:
        page = await get(kedge, path)
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/api/0/audit?limit=1&cursor={page['next']}"
    assert seen == [4, 3, 2, 1]


@pytest.mark.parametrize(("peer", "said"), [("127.0.0.1", "203.0.113.7"), ("nonsense", "127.0.0.1")])
async def test_a_proxy_on_this_machine_may_say_who_asks(kedge: World, peer: str, said: str) -> None:
    forwarded = f"198.51.100.1, {said}" if peer == "127.0.0.1" else peer
    headers = {**BEARER, "X-Forwarded-For": forwarded}
    async with kedge.client.put("/api/0/locks", headers=headers, json={"reason": "x"}) as answer:
        assert answer.status == 201
    assert (await get(kedge, "/api/0/audit"))["items"][0]["address"] == said


def recorded(id: int, at: int) -> Recorded:
    return Recorded(
        id=id, at=at, kind="k", who=None, app=None, environment=None, number=None, door=None, address=None, data={}
    )


def test_what_comes_behind_a_missing_id_waits_for_it_for_a_while() -> None:
    events = [recorded(1, NOON), recorded(3, NOON)]
    assert [one.id for one in settled(events, 0, NOON)] == [1]
    assert [one.id for one in settled(events, 0, NOON + GAP_MS)] == [1, 3]
    assert [one.id for one in settled(events, 2, NOON)] == []
    assert [one.id for one in settled(events[1:], 2, NOON)] == [3]


async def test_metrics_survive_a_restart_and_count_what_was(stores: Stores) -> None:
    async with world(stores) as kedge:
        await kedge.finish(await kedge.running(), exit_code=1)
        await kedge.running()
        await kedge.ask()
    async with world(stores) as kedge, kedge.client.get("/metrics", headers=BEARER) as answer:
        text = await answer.text()
    for line in (
        'kedge_deploys_ended_total{app="shop",environment="production",state="failed"} 1.0',
        'kedge_queue_length{app="shop",environment="production"} 1.0',
        'kedge_deploys_running{app="shop",environment="production"} 1.0',
        'kedge_claim_latency_seconds_count{app="shop",environment="production"} 2.0',
        'kedge_duration_seconds_bucket{app="shop",environment="production",le="1"} 1.0',
        'kedge_duration_seconds_sum{app="shop",environment="production"} 1.0',
        "kedge_inbox_lag_seconds 0.0",
    ):
        assert line in text.splitlines(), text
    assert re.search(r'kedge_runner_seen_seconds\{runner="r1"\} ', text)


async def test_metrics_take_a_token(kedge: World) -> None:
    async with kedge.client.get("/metrics", allow_redirects=False) as answer:
        assert answer.status == 401


async def test_runners_say_what_they_run(kedge: World) -> None:
    running = await kedge.running()
    (runner,) = (await get(kedge, "/api/0/runners"))["items"]
    assert (runner["name"], runner["here"], runner["version"]) == ("r1", True, "1")
    assert [one["number"] for one in runner["deploys"]] == [running.number]


async def test_a_request_is_one_line_with_its_pattern(kedge: World) -> None:
    await kedge.running()
    with capture_logs() as lines:
        await get(kedge, "/api/0/shop/deploys/1?")
        await get(kedge, "/api/0/shop/deploys/1/log?offset=99", 416)
        async with kedge.client.get("/healthz"):
            pass
    said = [(one["method"], one["route"], one["status"]) for one in lines if one["event"] == "request"]
    pattern = "/api/0/{app}/deploys/{number}"
    assert said == [("GET", pattern, 200), ("GET", f"{pattern}/log", 416)]


def test_nothing_changes_or_forgets_an_event() -> None:
    """Append only: no statement of the code says else."""
    words = re.compile(
        r"\b(UPDATE\s+events|DELETE\s+FROM\s+events|REPLACE\s+INTO\s+events|DROP\s+TABLE\s+events)\b", re.I
    )
    root = Path(ghapp.__file__).parent
    files = [*root.rglob("*.py"), *root.rglob("*.sql")]
    assert len(files) > 50
    assert [path for path in files if words.search(path.read_text())] == []

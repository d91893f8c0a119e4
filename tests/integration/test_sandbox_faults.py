"""The sandbox breaks on order, keeps a record of what came in, and has a control door on loopback."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .sandbox_rig import REPO, Answer, Rig, opened

R = f"/repos/{REPO}"
STATUSES = r"/repos/.+/deployments/\d+/statuses"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as made:
        yield made


async def post_status(rig: Rig, deployment_id: int) -> Answer:
    path = f"{R}/deployments/{deployment_id}/statuses"
    return await rig.call("POST", path, await rig.token(), json={"state": "success"})


async def test_answers_on_order_do_no_work(rig: Rig) -> None:
    deployment = rig.gh.create_deployment(REPO)
    rig.gh.faults.answer("POST", STATUSES, 502, times=2)
    rig.gh.faults.secondary_limit("POST", STATUSES, 7)
    answers = [await post_status(rig, deployment.id) for _ in range(4)]
    assert [answer.status for answer in answers] == [502, 502, 403, 201]
    assert answers[2].headers["retry-after"] == "7"
    assert "secondary rate limit" in answers[2].body["message"]
    assert len(rig.gh.statuses(deployment.id)) == 1
    came = [one.status for one in rig.gh.requests if one.method == "POST" and one.path.endswith("/statuses")]
    assert came == [502, 502, 403, 201]


@pytest.mark.parametrize(("after", "written"), [(True, 1), (False, 0)])
async def test_a_connection_breaks_before_or_after_the_work(rig: Rig, after: bool, written: int) -> None:
    deployment = rig.gh.create_deployment(REPO)
    rig.gh.faults.drop("POST", STATUSES, after=after)
    with pytest.raises(aiohttp.ClientError):
        await post_status(rig, deployment.id)
    assert len(rig.gh.statuses(deployment.id)) == written
    assert (await post_status(rig, deployment.id)).status == 201
    came = [one for one in rig.gh.requests if one.path.endswith("/statuses")]
    assert [one.status for one in came] == [0, 201]
    assert came[0].body == {"state": "success"}


@pytest.mark.parametrize("after", [True, False])
async def test_a_request_waits_until_it_is_let_go(rig: Rig, after: bool) -> None:
    deployment = rig.gh.create_deployment(REPO)
    fault = rig.gh.faults.block("POST", STATUSES, after=after)
    asking = asyncio.create_task(post_status(rig, deployment.id))
    await asyncio.wait_for(fault.reached.wait(), 10)
    other = await rig.call("GET", f"{R}/deployments/{deployment.id}/statuses", await rig.token())
    assert (len(other.body), asking.done()) == (int(after), False)
    fault.release()
    assert (await asking).status == 201


async def test_stale_reads(rig: Rig) -> None:
    token = await rig.token()
    for state in ("pending", "failure", "success"):
        rig.gh.set_status(REPO, "main", "ci", state)
    rig.gh.set_check_run(REPO, "main", "build", "success")
    rig.gh.faults.stale("GET", r".*/status", 2)
    rig.gh.faults.stale("GET", r".*/check-runs", 1)
    rig.gh.faults.stale("GET", r".*/statuses", 9)
    seen: dict[str, Any] = {}
    for what in ("status", "check-runs", "statuses"):
        seen[what] = [(await rig.call("GET", f"{R}/commits/main/{what}", token)).body for _ in range(2)]
    assert [body["state"] for body in seen["status"]] == ["failure", "success"]
    assert [body["total_count"] for body in seen["check-runs"]] == [0, 1]
    assert [len(body) for body in seen["statuses"]] == [0, 3]


async def test_secrets_do_not_show(rig: Rig) -> None:
    token = await rig.token()
    assert token not in repr(rig.gh.requests) + repr(rig.gh.world.state.tokens.values())


class Door:
    """The control door, as curl uses it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.repo = f"/repos/{REPO}"

    async def __call__(self, method: str, path: str, form: dict[str, str] | None = None, **more: Any) -> Answer:
        address = f"{self.rig.gh.url}/_sandbox{path}"
        more = {"data": form, **more}
        async with self.rig.http.request(method, address, **more) as answer:
            body = await (answer.json() if answer.content_type == "application/json" else answer.text())
            return Answer(answer.status, body, dict(answer.headers))


async def test_control_door(rig: Rig) -> None:
    door, gh = Door(rig), rig.gh
    assert "/check-runs" in (await door("GET", "")).body
    made = await door("POST", "/repos", {"full_name": "acme/more", "private": "true"})
    assert (made.status, gh.world.repository("acme/more").private) == (201, True)
    user = (await door("POST", "/users", {"login": "eve"})).body
    await door("POST", "/repos/acme/more/permissions", {"login": "eve", "role": "write"})
    assert (await rig.call("GET", "/repos/acme/more", user["token"])).body["permissions"]["push"] is True
    commit = (
        await door("POST", f"{door.repo}/commits", {"path": "site/a.txt", "content": "a", "message": "Say a"})
    ).body
    assert commit["sha"] == gh.sha(REPO)
    status = (await door("POST", f"{door.repo}/statuses", {"context": "ci", "state": "success"})).body
    assert status["sha"] == commit["sha"]
    run = await door("POST", f"{door.repo}/check-runs", json={"name": "build", "state": "pending"})
    assert run.body["status"] == "pending"
    deployment = (await door("POST", f"{door.repo}/deployments", {"environment": "staging"})).body
    gh.add_deployment_status(deployment["id"], "in_progress", description="on its way")
    listed = (await door("GET", f"{door.repo}/deployments")).body
    assert [(one["environment"], [s["state"] for s in one["statuses"]]) for one in listed] == [
        ("staging", ["in_progress"])
    ]


async def test_control_door_for_hooks_and_faults(rig: Rig) -> None:
    door = Door(rig)
    await door("POST", "/hooks", {"do": "hold"})
    rig.gh.set_status(REPO, "main", "ci", "success")
    held = (await door("GET", "/hooks")).body["waiting"]
    assert "status" in [one["event"] for one in held]
    assert (await door("POST", "/hooks", {"do": "settle"})).status == 409
    await door("POST", "/hooks", {"do": "release", "order": "7"})
    assert (await door("POST", "/hooks", {"do": "settle"})).body == {"waiting": 0}
    assert len(rig.receiver.received) == 3
    await door("POST", "/faults", {"path": R, "kind": "answer", "status": "500", "times": "5"})
    token = await rig.token()
    assert (await rig.call("GET", R, token)).status == 500
    assert (await door("DELETE", "/faults")).status == 200
    assert (await rig.call("GET", R, token)).status == 200
    asked = (await door("GET", "/requests")).body
    assert [one["status"] for one in asked if one["path"] == R] == [500, 200]
    moved = await door("POST", f"/apps/{rig.app.id}/webhook", {"url": f"{rig.receiver.url}?again"})
    assert moved.status == 201
    await rig.gh.settled()
    assert rig.receiver.received[-1].event == "ping"


async def test_control_door_says_what_is_wrong(rig: Rig) -> None:
    door = Door(rig)
    cases = [
        ("/repos/acme/none/statuses", {"context": "ci", "state": "success"}, 404, "there are: acme/hello"),
        (f"{door.repo}/statuses", {"context": "ci", "state": "green"}, 422, "error, failure, pending, success"),
        (f"{door.repo}/statuses", {"state": "success"}, 422, "context is missing"),
        (f"{door.repo}/check-runs", {"name": "x", "state": "completed"}, 422, "skipped"),
        (f"{door.repo}/permissions", {"login": "ana", "role": "king"}, 422, "maintain"),
        (f"{door.repo}/deployments", {"ref": "nope"}, 404, "nope"),
        ("/repos", {"full_name": "acme/hello"}, 422, "already"),
        ("/repos", {"full_name": "../x"}, 422, "owner/name"),
        ("/faults", {"path": "(", "kind": "drop-after"}, 422, "regular expression"),
        ("/faults", {"path": "/", "kind": "fire"}, 422, "drop-after"),
        ("/hooks", {"do": "dance"}, 422, "duplicate"),
        ("/apps/1/webhook", {"url": "http://x"}, 404, "no app 1"),
        ("/nowhere", {}, 404, "/_sandbox"),
    ]
    for path, form, status, words in cases:
        answer = await door("POST", path, form)
        assert (path, answer.status) == (path, status)
        assert words in answer.body["message"]
    broken = await door("POST", "/users", headers={"Content-Type": "application/json"}, data=b"{")
    assert broken.status == 422


async def test_control_door_is_shut_for_web_pages(rig: Rig) -> None:
    """A page elsewhere could post forms here, or reach here under a name of its own."""
    door, form = Door(rig), {"login": "mallory"}
    foreign = await door("POST", "/users", form, headers={"Origin": "https://evil.example"})
    rebound = await door("POST", "/users", form, headers={"Host": "evil.example"})
    assert (foreign.status, rebound.status) == (403, 403)
    assert rig.gh.world.state.account("mallory") is None

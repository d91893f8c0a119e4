"""Deliveries that come twice, out of order, forged, broken, or late."""

import hashlib
import hmac
import json
from typing import Any

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import HELD, World


async def _deliver(world: World, body: bytes, guid: str, *, event: str = "deployment", **headers: str) -> int:
    about = {"X-GitHub-Delivery": guid, "X-GitHub-Event": event, "Content-Type": "application/json", **headers}
    async with world.session.post(f"{world.url}/webhooks/github", data=body, headers=about) as response:
        return response.status


def _signed(world: World, body: bytes) -> dict[str, str]:
    secret = world.settings["GITHUB_WEBHOOK_SECRET"].encode()
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}


async def _row(world: World, guid: str) -> dict[str, Any]:
    """The delivery, once it was worked on."""
    query = f"SELECT state, problem FROM deliveries WHERE guid = 'github {guid}' AND state <> 'waiting'"
    [row] = await until(lambda: world.rows(query), lambda: f"{guid} was worked on\n{world.says()}")
    assert isinstance(row, dict)
    return row


async def test_each_delivery_three_times(world: World) -> None:
    world.script(HELD)
    world.go()
    world.github.hooks.duplicate(3)
    deployments = [world.deploy() for _ in range(3)]
    for deployment in deployments:
        assert (await world.shows(deployment, "success", "inactive"))[-1]
    await world.github.settled()
    await world.heard()
    assert [deploy["deployment_id"] for deploy in await world.deploys()] == deployments
    assert world.executed == ["1", "2", "3"]
    answers = [one.status_code for one in world.github.hooks.log if one.event == "deployment"]
    assert sorted(filter(None, answers)) == [200] * 6 + [202] * 3


async def test_deliveries_in_reverse_order_keep_the_line(world: World) -> None:
    """The provider's creation time and id decide, not the order of arrival; a status may come before its deploy."""
    world.script(HELD)
    world.go()
    world.github.set_status(REPOSITORY, "main", "ci", "pending")
    await world.github.settled()
    world.github.hooks.hold()
    deployments = [world.deploy("production") for _ in range(4)]
    world.github.hooks.release(lambda held: held[::-1])
    await until(lambda: _in_line(world, 4), lambda: f"four wait\n{world.says()}")
    line = await world.get("/api/0/hello")
    [production] = [one for one in line["environments"] if one["name"] == "production"]
    waiting = production["queue"] + ([production["running"]] if production["running"] else [])
    assert sorted(one["deployment_id"] for one in waiting) == deployments
    queue = [one["deployment_id"] for one in production["queue"]]
    assert queue == sorted(queue)
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    for deployment in deployments:
        await world.shows(deployment, "success", "inactive")
    names = {deploy["deployment_id"]: str(deploy["number"]) for deploy in await world.deploys()}
    assert world.executed == [names[deployment] for deployment in deployments]
    await world.told()
    assert [world.shown(one)[-1] for one in deployments] == ["inactive"] * 3 + ["success"]


async def _in_line(world: World, count: int) -> bool:
    return len([one for one in await world.deploys() if one["state"] in ("queued", "claimed")]) == count


async def test_forged_deliveries_change_nothing(small: World) -> None:
    small.github.hooks.hold()
    small.deploy()
    [true] = small.github.hooks.waiting
    wrong = hmac.new(b"guessed", true.body, hashlib.sha256).hexdigest()
    for headers in ({}, {"X-Hub-Signature-256": f"sha256={wrong}"}, {"X-Hub-Signature-256": "sha256=é"}):
        assert await _deliver(small, true.body, true.guid, **headers) == 401
    other = _signed(small, true.body + b" ")
    assert await _deliver(small, true.body, true.guid, **other) == 401
    assert await small.rows("SELECT id FROM deliveries WHERE event = 'deployment'") == []
    assert await small.deploys() == []
    small.github.hooks.release()  # its guid was not taken for known: the true one is heard
    assert (await small.ended(1))["state"] == "succeeded"


async def test_a_body_that_is_not_json_is_kept_as_failed_with_the_reason(world: World) -> None:
    for number, body in enumerate((b"{not json", b"[]", b'{"deployment": 7}', b"\xff\xfe", b"")):
        guid = f"bad-{number}"
        assert await _deliver(world, body, guid, **_signed(world, body)) == 202
        row = await _row(world, guid)
        assert row["state"] == "failed" and row["problem"], body
    world.deploy()
    assert (await world.ended(1))["state"] == "succeeded"


async def test_a_delivery_that_cannot_be_worked_on_is_tried_again_while_others_go_on(small: World) -> None:
    """Who may deploy cannot be asked for the first; the second, by somebody else, is not held up."""
    permission = small.github.faults.answer("GET", r"/repos/acme/hello/collaborators/ana/permission", 502, times=2)
    small.github.set_permission(REPOSITORY, "bob", "write")
    small.script(HELD)
    small.go()
    late, soon = small.deploy(), small.deploy(by="bob")
    await small.shows(soon, "success", "inactive")
    await small.shows(late, "success", "inactive")
    assert permission.hits == 2


async def test_events_that_are_not_work_are_kept_as_ignored(small: World) -> None:
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
    for event, state in (("ping", "done"), ("issues", "ignored"), ("x" * 60, "ignored")):
        assert await _deliver(small, body, f"of-{event}", event=event, **_signed(small, body)) == 202
        assert (await _row(small, f"of-{event}"))["state"] == state


async def test_deliveries_without_headers_or_too_large_are_refused(small: World) -> None:
    body = b"{}"
    assert await _deliver(small, body, "", **_signed(small, body)) == 400
    large = b" " * (25 * 1024 * 1024 + 1)
    assert await _deliver(small, large, "large", **_signed(small, large)) == 413
    assert await small.rows("SELECT id FROM deliveries WHERE guid = 'github large'") == []

"""The sandbox sends signed webhooks in order, keeps a log of them, and can hold, repeat and lose them."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .sandbox_rig import REPO, Rig, opened


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as made:
        await made.gh.settled()
        made.receiver.received.clear()
        yield made


def report(rig: Rig, count: int) -> list[str]:
    """Cause that many events; their contexts in order."""
    contexts = [f"ci/{number}" for number in range(count)]
    for context in contexts:
        rig.gh.set_status(REPO, "main", context, "success")
    return contexts


def contexts(rig: Rig) -> list[str]:
    return [one.body["context"] for one in rig.receiver.of("status")]


async def test_signature_and_headers(rig: Rig) -> None:
    report(rig, 1)
    await rig.gh.settled()
    [one] = rig.receiver.received
    digest = hmac.new(rig.app.webhook_secret.encode(), one.raw, hashlib.sha256).hexdigest()
    assert one.headers["X-Hub-Signature-256"] == f"sha256={digest}"
    assert one.headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert one.headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert one.headers["X-GitHub-Hook-Installation-Target-ID"] == str(rig.app.id)
    assert one.body["installation"]["id"] == rig.installation_id
    assert rig.app.webhook_secret not in repr(rig.app) + repr(rig.gh.world.state.apps)


async def test_in_order_and_only_what_the_app_hears(rig: Rig) -> None:
    rig.gh.add_repository("acme/elsewhere")
    rig.gh.set_status("acme/elsewhere", "main", "not installed", "success")
    deaf = rig.gh.add_app(slug="deaf", webhook_url=rig.receiver.url, events=["push"])
    rig.gh.install(deaf.id, [REPO])
    sent = report(rig, 20)
    await rig.gh.settled()
    assert contexts(rig) == sent
    assert {one.event for one in rig.receiver.received} == {"status", "ping", "installation"}


async def test_failures_are_logged_not_repeated_and_redelivered_on_request(rig: Rig) -> None:
    rig.receiver.answers = [500]
    report(rig, 2)
    await rig.gh.settled()
    assert contexts(rig) == ["ci/0", "ci/1"]
    failures = await rig.call("GET", "/app/hook/deliveries?status=failure", rig.jwt())
    [failed] = failures.body
    assert (failed["status"], failed["status_code"]) == ("Invalid HTTP Response: 500", 500)
    path = f"/app/hook/deliveries/{failed['id']}"
    whole = (await rig.call("GET", path, rig.jwt())).body
    assert whole["request"]["payload"] == rig.receiver.received[0].body
    assert whole["request"]["headers"]["X-GitHub-Delivery"] == failed["guid"]
    assert whole["response"]["payload"] == "thanks"
    assert (await rig.call("POST", f"{path}/attempts", rig.jwt())).status == 202
    await rig.gh.settled()
    assert rig.receiver.received[-1].guid == failed["guid"] == rig.receiver.received[0].guid
    newest = (await rig.call("GET", "/app/hook/deliveries", rig.jwt())).body[0]
    assert (newest["guid"], newest["redelivery"], newest["status"]) == (failed["guid"], True, "OK")
    other = rig.gh.add_app(slug="other")
    foreign = await rig.call("GET", path, rig.jwt(iss=str(other.id), key=other.private_key))
    assert foreign.status == 404


async def test_the_log_comes_by_cursor_newest_first(rig: Rig) -> None:
    report(rig, 5)
    await rig.gh.settled()
    seen: list[int] = []
    address = "/app/hook/deliveries?per_page=3"
    while address:
        answer = await rig.call("GET", address, rig.jwt())
        seen += [delivery["id"] for delivery in answer.body]
        following = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        address = following[1] if following else ""
    assert seen == [delivery.id for delivery in reversed(rig.gh.hooks.log)]
    assert len(seen) == 7
    assert (await rig.call("GET", "/app/hook/deliveries?cursor=nope", rig.jwt())).status == 422


async def test_nobody_there_and_nobody_answering(rig: Rig) -> None:
    rig.gh.hooks.timeout_s = 0.05
    rig.receiver.gate = asyncio.Event()
    report(rig, 1)
    await rig.gh.settled()
    rig.receiver.gate.set()
    rig.gh.hooks.timeout_s = 10
    rig.gh.set_webhook(rig.app.id, "http://127.0.0.1:1/")
    await rig.gh.settled()
    ends = [(delivery.status, delivery.status_code) for delivery in rig.gh.hooks.log[-2:]]
    assert ends == [("timed out", 504), ("failed to connect to host", 502)]


async def test_held_and_released_in_another_order(rig: Rig) -> None:
    rig.gh.hooks.hold()
    sent = report(rig, 6)
    with pytest.raises(RuntimeError, match="release"):
        await rig.gh.settled()
    assert rig.receiver.received == []
    rig.gh.hooks.release(lambda waiting: waiting[::-1])
    await rig.gh.settled()
    assert contexts(rig) == sent[::-1]


async def test_duplicated_and_lost(rig: Rig) -> None:
    rig.gh.hooks.duplicate(2)
    report(rig, 2)
    await rig.gh.settled()
    assert contexts(rig) == ["ci/0", "ci/0", "ci/1", "ci/1"]
    assert len({one.guid for one in rig.receiver.received}) == 2
    rig.gh.hooks.duplicate(1)
    rig.gh.hooks.drop(1)
    report(rig, 2)
    await rig.gh.settled()
    assert contexts(rig)[4:] == ["ci/1"]
    assert [delivery.status_code for delivery in rig.gh.hooks.log[-2:]] == [502, 202]


async def test_what_was_not_sent_outlives_a_restart(rig: Rig) -> None:
    url = rig.gh.url
    await rig.gh.stop()
    sent = report(rig, 3)
    with pytest.raises(RuntimeError, match="start"):
        await rig.gh.settled()
    await rig.gh.start()
    await rig.gh.settled()
    assert (contexts(rig), rig.gh.url) == (sent, url)

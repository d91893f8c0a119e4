"""Outgoing webhooks, checked with the reference library of Standard Webhooks against a real receiver."""

import base64
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import standardwebhooks

from ghapp.apps import Home, parse
from ghapp.channels import webhooks
from ghapp.channels.webhooks import WebhookClient
from ghapp.core.announcements import KINDS
from ghapp.core.remote import RateLimited, Refused
from ghapp.core.values import Lock
from ghapp.service import acting, locking, messaging, reload
from ghapp.service.locking import Reach
from ghapp.service.webhook_telling import NAME, WebhookTelling
from ghapp.store.stores import Stores
from tests.integration.kedge_world import World, world
from tests.integration.notices.receiver import Got, Receiver, receiver

DOCUMENT = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
NEW, OLD = b"n" * 32, b"o" * 32
CONFIG = """
shop:
  repository: acme/shop
  deploy: ./deploy
  notify:
    webhooks: [{url: "%s/all?key=secret"}, {url: "%s/ends", events: [deploy.succeeded, deploy.failed, "lock.*"]}]
  environments: {staging: {}, production: {notify: {webhooks: []}}}
"""


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def kedge(stores: Stores, there: Receiver) -> AsyncIterator[World]:
    async with world(stores) as made, aiohttp.ClientSession() as session:
        made.ctx.channels = {NAME: WebhookTelling(WebhookClient(session, lambda _url: {}), (NEW, OLD))}
        await reload.put_in_force(made.ctx, CONFIG % (there.url, there.url))
        assert made.ctx.apps.problem is None
        yield made


async def told(kedge: World, after_s: float = 0) -> None:
    kedge.now[0] += int(after_s * 1000)
    while await messaging.say_due(kedge.ctx, NAME):
        pass


def kinds(there: Receiver, path: str) -> list[str]:
    return [one.json["type"] for one in there.got if one.path.startswith(path)]


def verified(got: Got, secret: bytes = NEW) -> Any:
    return standardwebhooks.Webhook("whsec_" + base64.b64encode(secret).decode()).verify(got.body, got.headers)


async def test_every_change_is_told_signed_and_once(kedge: World, there: Receiver) -> None:
    deploy = await kedge.running(environment="staging")
    await told(kedge)
    await kedge.finish(deploy)
    await told(kedge)
    assert kinds(there, "/all") == ["deploy.queued", "deploy.claimed", "deploy.running", "deploy.succeeded"]
    assert kinds(there, "/ends") == ["deploy.succeeded"]
    for got in there.got:
        assert verified(got) == verified(got, OLD) == got.json
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verified(got, b"x" * 32)
    last = there.got[-1].json
    assert last["timestamp"].endswith("Z") and last["data"]["state"] == "succeeded"
    assert (last["data"]["app"], last["data"]["number"], last["data"]["environment"]) == ("shop", 1, "staging")
    assert last["data"]["url"].endswith("/shop/deploys/1")
    numbers = [one.json["data"]["sequence"] for one in there.got if one.path.startswith("/all")]
    assert numbers == sorted(set(numbers))


async def test_locks(kedge: World, there: Receiver) -> None:
    deploy = await kedge.ask(environment="staging")
    scope = (deploy.app_id, deploy.environment_id)
    lock = Lock("ana", "db work", kedge.now[0], None, "shop", "staging")
    await kedge.ctx.decide(lambda tx: locking.lock(tx, kedge.ctx, *scope, lock))
    await kedge.ctx.decide(lambda tx: acting.unlock(tx, kedge.ctx, *scope, "bob"))
    await told(kedge)
    locks = [one.json for one in there.got if one.path == "/ends"]
    assert [one["type"] for one in locks] == ["lock.set", "lock.released"]
    assert locks[0]["data"] | {"sequence": 0} == {
        "app": "shop",
        "environment": "staging",
        "owner": "ana",
        "reason": "db work",
        "since": "2026-11-23T14:00:01.000Z",
        "until": None,
        "who": "ana",
        "before": None,
        "sequence": 0,
    }


@pytest.mark.parametrize("forced", [False, True])
async def test_a_lock_that_is_taken_over_is_whose_it_is_now(kedge: World, there: Receiver, forced: bool) -> None:
    deploy = await kedge.ask(environment="staging")
    scope = (deploy.app_id, deploy.environment_id)
    lock = Lock("ana", "db work", kedge.now[0], None, "shop", "staging")
    await kedge.ctx.decide(lambda tx: locking.lock(tx, kedge.ctx, *scope, lock))
    if forced:
        await kedge.ctx.decide(lambda tx: locking.take_over(tx, kedge.ctx, [lock], "bob", Reach.EVERYTHING))
    else:
        await kedge.ctx.decide(lambda tx: locking.lock(tx, kedge.ctx, *scope, replace(lock, who="bob")))
    await told(kedge)
    taken = next(one.json["data"] for one in there.got if one.json["type"] == "lock.taken_over")
    assert (taken["owner"], taken["who"], taken["before"]) == ("bob", "bob", "ana")


@pytest.mark.parametrize("answer", [500, 404, 302, "lost", (429, 120)])
async def test_what_is_not_taken_is_sent_again_as_the_same(
    kedge: World, there: Receiver, answer: int | str | tuple[int, int]
) -> None:
    there.answers = [answer]
    await kedge.ask(environment="staging")
    await told(kedge)
    assert len(there.got) == 1
    await told(kedge, 100)
    if isinstance(answer, tuple):
        assert len(there.got) == 1, "it wants to be left alone"
    await told(kedge, 400)
    await told(kedge, 400)
    ids = [one.headers["webhook-id"] for one in there.got]
    assert len(ids) >= 2 and len(set(ids)) == 1
    assert len({one.body for one in there.got}) == 1
    before = len(there.got)
    await told(kedge, 4000)
    assert len(there.got) == before, "it was taken"


async def test_who_is_gone_or_takes_nothing_for_days_is_given_up(kedge: World, there: Receiver) -> None:
    there.answers = [410]
    await kedge.ask(environment="staging")
    await told(kedge)
    await told(kedge, 4000)
    assert len(there.got) == 1
    there.answers = [500] * 10_000
    await kedge.ask(environment="staging")
    for _ in range(8):
        await told(kedge, 86_400 / 2)
    count = len(there.got)
    await told(kedge, 86_400)
    assert len(there.got) == count
    rows = await kedge.ctx.stores.main.read(lambda tx: tx.all("SELECT state, problem FROM messages ORDER BY id"))
    assert {row["state"] for row in rows} == {"failed"} and "410" in rows[0]["problem"]


async def test_one_that_hangs_keeps_nobody_waiting(
    kedge: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.2)
    config = CONFIG % ("http://127.0.0.1:1", there.url)
    await reload.put_in_force(kedge.ctx, config)
    deploy = await kedge.running(environment="staging")
    await kedge.finish(deploy)
    await told(kedge)
    assert kinds(there, "/ends") == ["deploy.succeeded"]


async def test_who_wants_to_be_left_alone_is_by_all_that_is_owed_to_that_address(kedge: World, there: Receiver) -> None:
    there.answers = [(503, 3600)]
    await kedge.ask(environment="staging")
    await told(kedge)
    deploy = await kedge.claim()
    await kedge.start(deploy)
    await kedge.finish(deploy)
    await told(kedge, 3000)
    assert (kinds(there, "/all"), kinds(there, "/ends")) == (["deploy.queued"], ["deploy.succeeded"])
    await told(kedge, 601)
    await told(kedge)
    assert sorted(kinds(there, "/all")[1:]) == ["deploy.claimed", "deploy.queued", "deploy.running", "deploy.succeeded"]


@pytest.mark.parametrize("asked", ["9" * 30, "9" * 400])
async def test_who_wants_to_be_left_alone_for_ever_is_for_a_day_and_nobody_else(
    kedge: World, there: Receiver, asked: str
) -> None:
    async with receiver() as moody:
        await reload.put_in_force(kedge.ctx, CONFIG % (moody.url, there.url))
        moody.answers = [(429, asked)]
        deploy = await kedge.running(environment="staging")
        await kedge.finish(deploy)
        await told(kedge)
        assert kinds(there, "/ends") == ["deploy.succeeded"]
        moody.got.clear()
        await told(kedge, 86_401)
        assert "deploy.queued" in kinds(moody, "/all")


async def test_the_address_stands_nowhere_but_in_the_request(
    kedge: World, there: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    there.answers = [410]
    deploy = await kedge.ask(environment="staging")
    await told(kedge)
    async with kedge.client.get(f"/api/0/shop/deploys/{deploy.number}", headers={"Authorization": "Bearer x"}) as got:
        assert "secret" not in await got.text()
    rows = await kedge.ctx.stores.main.read(
        lambda tx: tx.all("SELECT target FROM messages UNION SELECT data FROM events")
    )
    assert rows and "secret" not in json.dumps([list(row.values()) for row in rows], default=str)
    assert "key=secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "224.0.0.1", "0.0.0.0", "2130706433"),
        *("[::1]", "[fd00::1]", "[fec0::1]", "[::ffff:100.64.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:a00:1::]"),
    ],
)
async def test_a_repository_reaches_nothing_inside(there: Receiver, host: str) -> None:
    port = there.url.rpartition(":")[2]
    async with aiohttp.ClientSession() as session:
        client = WebhookClient(session, lambda _url: {})
        with pytest.raises(Refused, match="everybody can reach"):
            await client.post(f"https://{host}:{port}/", b"{}", {}, public=True)
        if host in {"127.0.0.1", "localhost"}:
            await client.post(f"http://{host}:{port}/", b"{}", {}, public=False)
    assert len(there.got) == (1 if host in {"127.0.0.1", "localhost"} else 0)


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ("webhooks: [{url: 'https://x.test/', events: [deploy.done]}]", "is no kind of event; there are deploy.queued"),
        ("webhooks: [{events: [deploy.failed]}]", "names no `url`"),
        ("webhooks: [{url: 'ftp://x.test'}]", "must be an address"),
        ("webhooks: [{url: 'https://x.test/', event: x}]", "event"),
        ("sentry: {organization: acme}", "needs `organization` and `projects`"),
        ("sentry: {organization: 'a b', projects: [web]}", "must be a slug"),
    ],
)
def test_a_config_that_is_wrong(notify: str, said: str) -> None:
    problems = parse(f"shop: {{deploy: x, notify: {{{notify}}}}}").problems
    assert any(said in str(problem) for problem in problems), problems


@pytest.mark.parametrize(
    ("notify", "wrong"),
    [
        ("webhooks: [{url: 'http://x.test/'}]", True),
        ("webhooks: [{url: 'https://x.test/'}]", False),
        ("sentry: {organization: acme, projects: [web]}", True),
    ],
)
def test_what_a_repository_may_say(notify: str, wrong: bool) -> None:
    for text in (
        f"shop: {{deploy: x, notify: {{{notify}}}}}",
        f"shop: {{deploy: x, environments: {{a: {{notify: {{{notify}}}}}}}}}",
    ):
        assert bool(parse(text, Home("github", "acme/shop")).problems) is wrong


def test_the_kinds_are_documented() -> None:
    assert [kind for kind in KINDS if f"`{kind}`" not in DOCUMENT] == []


async def test_what_is_in_them_is_documented(kedge: World, there: Receiver) -> None:
    deploy = await kedge.running(environment="staging")
    await kedge.finish(deploy)
    lock = Lock("ana", "db work", kedge.now[0], None, "shop", "staging")
    await kedge.ctx.decide(lambda tx: locking.lock(tx, kedge.ctx, deploy.app_id, deploy.environment_id, lock))
    await told(kedge)
    sent = {one.json["type"]: one.json["data"].keys() for one in there.got}
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOCUMENT, re.S)]
    assert [one["type"] for one in shown] == ["deploy.succeeded", "lock.set"]
    assert [one["data"].keys() for one in shown] == [sent[one["type"]] for one in shown]


async def test_retry_after_is_read() -> None:
    async with receiver() as there, aiohttp.ClientSession() as session:
        there.answers = [(503, 7)]
        with pytest.raises(RateLimited) as limited:
            await WebhookClient(session, lambda _url: {}).post(there.url, b"{}", {}, public=False)
        assert limited.value.retry_after_s == 7

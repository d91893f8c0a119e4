"""What people press and ask in Slack: the whole app, with real Socket Mode against the stand-in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp.core.chat_people import Link
from ghapp.service import slack_hearing
from ghapp.store import inbox
from ghapp.store.base import StoreError, Tx
from tests.e2e.people import until
from tests.integration.comment_world import REPO
from tests.integration.slack.test_slack_app import Team, team
from tests.slack.socket_mode import Sent

LINKS = (Link("ana", "U0ANA"), Link("bob", email="bob@example.com"), Link("olga", "U0OLGA"))
ANA, BOB, EVE = "U0ANA", "U0BOB", "U0EVE"


@pytest.fixture
async def crew(tmp_path: Path, database_url: str) -> AsyncIterator[Team]:
    async with team(tmp_path, database_url, LINKS) as made:
        made.slack.socket.add_user(ANA)
        made.slack.socket.add_user(BOB, "bob@example.com")
        made.slack.socket.add_user(EVE, "eve@example.com")
        yield made


async def ask(crew: Team, text: str, user: str = ANA) -> list[str]:
    """What the person is answered."""
    return await answered(crew, await crew.slack.socket.command(user, text, crew.room.id))


async def press(crew: Team, action: str, value: str, user: str = ANA) -> list[str]:
    return await answered(crew, await crew.slack.socket.press(user, f"kedge:{action}", value, crew.room.id))


async def answered(crew: Team, sent: Sent) -> list[str]:
    await until(lambda: sent.replies, "there is an answer")
    await crew.kedge.quiet()
    assert len(sent.replies) == 1, sent.replies
    assert sent.replies[0]["response_type"] == "ephemeral"
    return sent.said


async def test_a_deploy_is_asked_for_and_told_of_in_the_room(crew: Team) -> None:
    general = crew.slack.rooms["C00000001"]
    sent = await crew.slack.socket.command(ANA, "deploy to staging", general.id)
    (line,) = await answered(crew, sent)
    assert line.startswith("<") and "/hello/deploys/1|hello#1 to staging: " in line
    deploy = await crew.kedge.deploy()
    assert (deploy.user, deploy.door, deploy.chat and deploy.chat.room) == ("ana", "chat", general.id)
    assert len(crew.slack.said(general)) == len(crew.messages) == 1
    assert "ana asked for it in a chat." in crew.slack.thread(general, crew.slack.said(general)[0])


async def test_every_command(crew: Team) -> None:
    assert "nothing has been deployed yet" in (await ask(crew, "status"))[0]
    assert (await ask(crew, "lock staging for 2h db work"))[0].startswith("staging is locked by ana")
    assert "staging is locked by ana" in (await ask(crew, "deploy to staging"))[0]
    assert "hello#1" in (await ask(crew, "queue staging"))[0]
    assert "staging is locked by ana" in (await ask(crew, "why 1"))[0]
    assert await ask(crew, "force 1 lock") == ["hello#1 passes locks, from the front of the line."]
    assert (await ask(crew, "unlock staging"))[0].startswith(("The lock on staging is released.", "staging"))
    assert await ask(crew, "cancel 1") == ["hello#1 is cancelled."]
    assert await ask(crew, "resume staging") == ["Automatic deploys to staging go on."]
    assert "before" in (await ask(crew, "rollback staging"))[0]
    assert any("`/kedge rollback env`" in line for line in await ask(crew, "help"))
    assert any("hello: staging, production" in line for line in await ask(crew, ""))
    assert "There is no command deplyo." in (await ask(crew, "deplyo to staging"))[0]
    assert "There is no environment" in (await ask(crew, "deploy to nowhere"))[0]


async def test_every_button(crew: Team) -> None:
    """The buttons that a message shows, pressed as it shows them."""
    await crew.lock(await crew.deploy())
    await crew.later()
    message = crew.messages[0]
    actions = [one for block in message.blocks if block["type"] == "actions" for one in block["elements"]]
    values = {one["action_id"]: one["value"] for one in actions}
    assert values == {"kedge:unlock": "hello/staging", "kedge:force": "hello#1", "kedge:cancel": "hello#1"}
    assert (await press(crew, "unlock", values["kedge:unlock"]))[0].startswith("staging is locked by bob")
    assert "bob" in (await press(crew, "force", values["kedge:force"]))[0], "somebody else's lock takes an admin"
    await crew.unlock(await crew.kedge.deploy())
    await ask(crew, "lock staging mine")
    assert await press(crew, "unlock", "hello/staging") == ["The lock on staging is released."]
    await ask(crew, "lock staging mine")
    assert await press(crew, "force", "hello#1") == ["hello#1 passes locks, from the front of the line."]
    await crew.kedge.finish(await crew.run(), exit_code=1)
    assert "hello#2 to staging: " in (await press(crew, "retry", "hello#1"))[0]
    assert "hello#2 to staging: " in (await press(crew, "retry", "hello#1"))[0], "pressed twice it is one"
    assert await crew.kedge.count() == 2
    assert await press(crew, "cancel", "hello#2") == ["hello#2 is cancelled."]
    assert "cancelled" in (await press(crew, "cancel", "hello#2"))[0]
    await press(crew, "unlock", "hello/staging")
    for text in ("first", "second"):
        crew.kedge.push(text, branch="main")
        await ask(crew, "deploy to staging")
        await crew.kedge.finish(await crew.run())
    assert "hello#3 is not what is live in staging: hello#4 is." in (await press(crew, "rollback", "hello#3"))[0]
    assert "hello#5 to staging: " in (await press(crew, "rollback", "hello#4"))[0]
    assert (await crew.kedge.deploy(5)).sha == (await crew.kedge.deploy(3)).sha
    assert await crew.kedge.count() == 5


@pytest.mark.parametrize(
    ("user", "facts"),
    [
        ("U0NOBODY", None),
        (EVE, {}),
        ("U0OLGA", {"is_bot": True}),
        ("U0OLGA", {"deleted": True}),
        ("U0OLGA", {"is_restricted": True}),
        ("U0OLGA", {"is_ultra_restricted": True}),
        ("U0OLGA", {"team_id": "T0ELSEWHERE"}),
        (BOB, {"is_email_confirmed": False, "profile": {"email": "bob@example.com"}}),
        (BOB, {"profile": {"email": "bob@example.com"}}),
        ("U0MALLORY", {"name": "ana", "profile": {"display_name": "ana", "real_name": "ana"}}),
    ],
)
async def test_strangers_may_nothing(crew: Team, user: str, facts: dict[str, object] | None) -> None:
    if facts is not None:
        crew.slack.socket.add_user(user)
        crew.slack.socket.users[user] |= facts
    else:
        crew.slack.socket.users.pop(user, None)
    for said in (await ask(crew, "status", user), await press(crew, "cancel", "hello#1", user)):
        assert "does not know whose login you are" in said[0] and "KEDGE_SLACK_USERS" in said[0]
    assert await crew.kedge.count() == 0


async def test_who_may_is_who_may_on_github(crew: Team) -> None:
    """Bob may only read."""
    assert "may" in (await ask(crew, "deploy to staging", BOB))[0]
    assert await crew.kedge.count() == 0
    await crew.deploy()
    assert "hello#1" in (await ask(crew, "queue staging", BOB))[0]
    assert "may" in (await press(crew, "cancel", "hello#1", BOB))[0]
    assert (await crew.kedge.deploy()).state == "queued"


async def test_repeated_envelopes_act_once(crew: Team) -> None:
    sent = await crew.slack.socket.command(ANA, "deploy to staging", crew.room.id)
    await crew.kedge.quiet()
    await crew.slack.socket.send(sent.kind, {}, again=sent)
    await crew.kedge.quiet()
    assert (await crew.kedge.count(), len(sent.replies)) == (1, 1)


async def test_what_could_not_be_done_for_long_is_not_done_any_more(crew: Team) -> None:
    crew.slack.fault("down", "users.info", times=1000)
    sent = await crew.slack.socket.command(ANA, "deploy to staging", crew.room.id)
    for _ in range(9):
        await crew.later(60)
    assert (await crew.kedge.count(), sent.replies) == (0, [])
    await crew.later(700)
    await until(lambda: sent.replies, "there is an answer")
    assert "Nothing was done." in sent.said[0]
    assert await crew.kedge.count() == 0


async def test_slack_does_not_say_who_asks_and_github_does_not_notice(
    crew: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_hearing, "PATIENCE_S", 60)
    hanging = crew.slack.fault("hang", "users.info")
    sent = await crew.slack.socket.command(ANA, "status", crew.room.id)
    await until(lambda: "users.info" in crew.slack.calls, "Slack is asked")
    crew.kedge.pass_s(5)
    crew.kedge.gh.comment(REPO, 1, "/deploy to staging", by="ana")
    await until(crew.kedge.count, "there is a deploy", within_s=10)
    assert sent.replies == []
    hanging.gate.set()
    assert "1 waits in line." in await answered(crew, sent)


async def test_slack_is_given_little_time_to_say_who_asks(crew: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_hearing, "PATIENCE_S", 0.1)
    crew.slack.fault("hang", "users.info")
    sent = await crew.slack.socket.command(ANA, "status", crew.room.id)
    await until(lambda: "users.info" in crew.slack.calls, "Slack is asked")
    assert "nothing has been deployed yet" in (await ask(crew, "status"))[0]
    await crew.later(2)
    assert "nothing has been deployed yet" in (await answered(crew, sent))[0]


async def test_what_is_not_stored_is_not_acknowledged(crew: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, failures = inbox.store, [StoreError("the disk is full"), StoreError("the disk is full")]

    async def store(tx: Tx, sender: str, *rest: object) -> bool:
        if sender == "slack" and failures:
            raise failures.pop()
        return await stored(tx, sender, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(inbox, "store", store)
    sent = await crew.slack.socket.send(
        "slash_commands", {"text": "deploy to staging", "user_id": ANA, "channel_id": crew.room.id}, waits=False
    )
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sent.acknowledged.wait(), 0.3)
        await crew.slack.socket.send(sent.kind, {}, again=sent, waits=False)
    await asyncio.wait_for(sent.acknowledged.wait(), 10)
    await crew.kedge.quiet()
    assert await crew.kedge.count() == 1


async def test_dead_between_doing_it_and_saying_so(crew: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not done again, and the person hears that it was done."""

    done = asyncio.Event()

    async def says_nothing(*_: object) -> None:
        done.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(slack_hearing._Hearing, "_with_deploy", says_nothing)
    await crew.slack.socket.command(ANA, "lock staging", crew.room.id)
    sent = crew.slack.socket.sent["envelope-1"]
    worker = next(task for task in asyncio.all_tasks() if task.get_name() == "slack inbox")
    await asyncio.wait_for(done.wait(), 10)
    worker.cancel()
    await asyncio.wait({worker}, timeout=10)
    assert worker.done() and not sent.replies
    await crew.later(11)
    assert sent.said == ["It was done. Kedge was restarted before it could say so."]
    rows = await crew.kedge.ctx.stores.main.read(lambda tx: tx.all("SELECT kind FROM events WHERE kind = 'locked'"))
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("slash_commands", {}),
        ("slash_commands", {"user_id": 5, "channel_id": [], "text": {}}),
        ("interactive", {"type": "view_submission"}),
        ("interactive", {"type": "block_actions", "user": {"id": ANA}, "actions": [{"action_id": "other:thing"}]}),
        ("interactive", {"type": "block_actions", "user": {"id": ANA}, "actions": []}),
        ("events_api", {"event": {"type": "message"}}),
        ("slash_commands", {"user_id": ANA, "channel_id": "C1", "text": "x" * 300_000}),
    ],
)
async def test_what_nobody_can_use_is_acknowledged_and_harmless(
    crew: Team, kind: str, payload: dict[str, object]
) -> None:
    sent = await crew.slack.socket.send(kind, payload)
    await crew.kedge.quiet()
    assert (sent.replies, await crew.kedge.count()) == ([], 0)
    rows = await crew.kedge.ctx.stores.main.read(
        lambda tx: tx.all("SELECT state FROM deliveries WHERE guid = :guid", guid=f"slack {sent.id}")
    )
    assert [row["state"] for row in rows] == ["ignored"]
    assert "nothing has been deployed" in (await ask(crew, "status"))[0], "the next one is heard"


@pytest.mark.parametrize("value", ["", "hello", "hello#99", "hello#x", "other#1", "hello/staging/x", "#1"])
async def test_a_button_about_nothing(crew: Team, value: str) -> None:
    for action in ("cancel", "retry", "force", "rollback", "unlock"):
        assert len(await press(crew, action, value)) >= 1
    assert (await press(crew, "explode", "hello#1"))[0]
    assert await crew.kedge.count() == 0


async def test_slack_closes_the_connection_and_kedge_opens_another(crew: Team) -> None:
    assert await ask(crew, "status")
    await crew.slack.socket.disconnect()
    await until(lambda: crew.slack.socket.opened == 2, "there is another connection")
    assert await ask(crew, "status")


async def test_a_connection_that_fails_is_tried_at_another_address(
    crew: Team, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ask(crew, "status")
    crew.slack.socket.refuse_links = 1
    await crew.slack.socket.disconnect()
    await until(lambda: crew.slack.socket.opened == 3 and crew.slack.socket.sockets, "there is another connection", 20)
    assert await ask(crew, "status")
    told = [one for one in caplog.messages if "Failed to connect" in one]
    assert len(told) == 1 and "503" in told[0]
    assert "ticket" not in caplog.text, "whoever has it could listen"

"""The whole app, with GitHub and Slack standing in for themselves: what people in a channel see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ghapp.config_slack import SlackSettings
from ghapp.core.actors import Actor
from ghapp.core.chat_people import Link
from ghapp.core.values import Door, Lock
from ghapp.service import acting, commanding, locking
from ghapp.store import events
from ghapp.store.deploys import Deploy
from tests.integration.comment_world import World, opened
from tests.integration.kedge_world import NOON
from tests.slack.socket_mode import APP_TOKEN
from tests.slack.web_api import TOKEN, Message, Room, Slack, slack

CONFIG = """
hello:
  via: github
  repository: acme/hello
  deploy: "./deploy {env} {sha}"
  checks: []
  notify: {slack: "#deploys"}
  environments: {staging: {}, production: {notify: {slack: [ops, deploys]}}}
"""
ANA = Actor("ana", scopes=frozenset({"admin", "deploy", "read"}))


@dataclass
class Team:
    """``room`` is #deploys, of which Kedge is a member."""

    kedge: World
    slack: Slack
    room: Room

    @property
    def messages(self) -> list[Message]:
        return self.slack.said(self.room)

    async def deploy(self, environment: str = "staging") -> Deploy:
        await self.kedge.say(f"/deploy to {environment}")
        return await self.kedge.deploy(await self.kedge.count())

    async def later(self, seconds: float = 11) -> None:
        self.kedge.pass_s(seconds)
        await self.kedge.quiet()

    async def lock(self, deploy: Deploy, who: str = "bob") -> None:
        lock = Lock(who, "db <!channel>", self.kedge.clock[0], None, deploy.app, deploy.environment)
        ctx, scope = self.kedge.ctx, (deploy.app_id, deploy.environment_id)
        await ctx.decide(lambda tx: locking.lock(tx, ctx, *scope, lock))

    async def unlock(self, deploy: Deploy) -> None:
        ctx, scope = self.kedge.ctx, (deploy.app_id, deploy.environment_id)
        await ctx.decide(lambda tx: acting.unlock(tx, ctx, *scope, "bob"))

    async def retry(self, deploy: Deploy) -> Deploy:
        ctx = self.kedge.ctx
        return await commanding.retry(ctx, ANA, deploy.app, deploy.number, key=None, door=Door.API)

    async def run(self) -> Deploy:
        running = await self.kedge.start()
        await self.later()
        return running

    async def refused(self, deploy: Deploy) -> list[object]:
        recorded = await self.kedge.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
        return [one.data["why"] for one in recorded if one.kind == "message_refused"]


@asynccontextmanager
async def team(folder: Path, database_url: str, users: tuple[Link, ...] = (), **named: str) -> AsyncIterator[Team]:
    clock = [NOON]
    async with slack(lambda: clock[0]) as stand_in:
        for name in ("general", "random"):
            stand_in.add_room(name)
        room = stand_in.add_room("deploys")
        named = {name: value.replace("HOOK", stand_in.hook_url) for name, value in named.items()}
        settings = SlackSettings(
            api_url=stand_in.api_url, users=users, **(named or {"bot_token": TOKEN, "app_token": APP_TOKEN})
        )
        async with opened(folder, database_url, CONFIG, clock, slack=settings) as kedge:
            yield Team(kedge, stand_in, room)
    assert stand_in.violations == []


@pytest.fixture
async def crew(tmp_path: Path, database_url: str) -> AsyncIterator[Team]:
    async with team(tmp_path, database_url) as made:
        yield made


async def test_one_that_waits_runs_fails_is_retried_and_succeeds(crew: Team) -> None:
    await crew.lock(first := await crew.deploy())
    await crew.kedge.say("/cancel 1")
    await crew.later(3700)
    deploy = await crew.deploy()
    await crew.later()
    message = crew.messages[-1]
    assert message.lines[1].endswith("db &lt;!channel&gt;.") and message.lines[1].startswith(
        "• staging is locked by bob"
    )
    assert message.buttons == ["kedge:unlock", "kedge:force", "kedge:cancel"]
    await crew.unlock(first)
    running = await crew.run()
    assert message.lines[1].startswith("Running on r1. Since <!date^")
    await crew.kedge.finish(running, exit_code=2)
    assert message.buttons == ["kedge:retry"]
    await crew.later(20)
    again = await crew.retry(deploy)
    await crew.later()
    await crew.kedge.finish(await crew.run())
    shown = [(text[0], text.split()[1]) for text in message.versions]
    assert list(dict.fromkeys(shown)) == [
        ("⏳", "hello#2"),
        ("🚀", "hello#2"),
        ("❌", "hello#2"),
        ("⏳", "hello#3"),
        ("🚀", "hello#3"),
        ("✅", "hello#3"),
    ]
    assert [one for one in crew.messages if "hello#2" in one.versions[0] or "hello#3" in one.versions[0]] == [message]
    assert message.buttons == ["kedge:rollback"] and again.number == 3
    thread = crew.slack.thread(crew.room, message)
    assert [line for line in thread if "No runner" not in line] == [
        "ana asked for it in a comment.",
        f"{deploy.blockers[0].message.replace('<', '&lt;').replace('>', '&gt;')}",
        "The command started on runner r1.",
        "Failed: the command ended with exit code 2",
        "*hello#3*: ana asked for it through the API.",
        "*hello#3*: The command started on runner r1.",
        "*hello#3*: Succeeded.",
    ]


async def test_slack_is_away_and_github_does_not_notice(crew: Team) -> None:
    """Never started after failed: what is said is what is true by then."""
    down = crew.slack.fault("down", times=10_000)
    crew.kedge.waits_for_channels = False
    deploy = await crew.deploy()
    await crew.kedge.finish(await crew.run(), exit_code=1)
    await crew.later(31)  # so long the runner has the right to write it
    assert (await crew.kedge.deploy()).shown_state == "failure"
    assert crew.messages == []
    down.times = 0
    crew.kedge.waits_for_channels = True
    for _ in range(3):
        await crew.later(300)
    (message,) = crew.messages
    assert [text[0] for text in message.versions] == ["❌"] and deploy.number == 1
    assert crew.slack.thread(crew.room, message)[-1] == "Failed: the command ended with exit code 1"


async def test_slack_hangs_and_github_does_not_notice(crew: Team) -> None:
    hanging = crew.slack.fault("hang", "chat.postMessage")
    crew.kedge.waits_for_channels = False
    await crew.deploy()
    await crew.kedge.finish(await crew.run())
    await crew.later(31)
    assert (await crew.kedge.deploy()).shown_state == "success"
    hanging.gate.set()
    crew.kedge.waits_for_channels = True
    await crew.later()
    (message,) = crew.messages
    assert message.text.startswith("✅")


async def test_a_rate_limit_is_kept(crew: Team) -> None:
    crew.slack.fault("limited", "chat.postMessage", seconds=40)
    crew.kedge.waits_for_channels = False
    await crew.deploy()
    for _ in range(3):
        await crew.later(10)
    assert crew.messages == []
    crew.kedge.waits_for_channels = True
    await crew.later(20)
    assert len(crew.messages) == 1


@pytest.mark.parametrize("skip", range(5))
async def test_lost_answers(crew: Team, skip: int) -> None:
    lost = crew.slack.fault("lost", "chat.postMessage" if skip < 3 else "chat.update", skip=skip % 3)
    await crew.deploy()
    await crew.kedge.finish(await crew.run(), exit_code=1)
    for _ in range(2):
        await crew.later(61)
    (message,) = crew.messages
    assert lost.times == 0 and message.text.startswith("❌")
    steps = crew.slack.thread(crew.room, message)
    assert len(steps) == len(set(steps)) and steps[0].startswith("ana asked") and steps[-1].startswith("Failed")


async def test_a_message_that_somebody_deletes_is_left_alone(crew: Team) -> None:
    deploy = await crew.deploy()
    crew.messages[0].deleted = True
    await crew.kedge.finish(await crew.run())
    await crew.later(61)
    assert crew.messages == []
    assert await crew.refused(deploy) == ["The message was deleted in Slack."]


async def test_a_public_channel_is_joined(crew: Team) -> None:
    crew.room.joined = False
    await crew.deploy()
    assert len(crew.messages) == 1 and crew.room.joined


@pytest.mark.parametrize("private", [True, False])
async def test_a_channel_that_is_not_there_or_not_ours_is_told_on_the_page(crew: Team, private: bool) -> None:
    """The other one hears all the same."""
    if private:
        crew.slack.add_room("ops", private=True, joined=False)
    deploy = await crew.deploy("production")
    (why,) = await crew.refused(deploy)
    assert "no channel ops that Kedge can see; if it is private, invite Kedge" in str(why)
    assert len(crew.messages) == 1


async def test_with_a_webhook_alone(tmp_path: Path, database_url: str) -> None:
    async with team(tmp_path, database_url, webhook_url="HOOK") as crew:
        await crew.deploy()
        await crew.kedge.finish(await crew.run(), exit_code=1)
        await crew.deploy()
        crew.slack.fault("down", "webhook")
        running = await crew.run()
        await crew.later(3)
        await crew.kedge.finish(running)
        await crew.later()
        assert [said["text"].split(": ")[0] for said in crew.slack.hooked] == [
            "🚀 hello#1 to staging",
            "❌ hello#1 to staging",
            "✅ hello#2 to staging",
        ]
        assert set(crew.slack.calls) == {"webhook"}

"""Slack with nothing but an incoming webhook: started, and how it ended; never the one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ghapp.channels.slack_webhook import SlackWebhook
from ghapp.core.remote import RemoteError, Unavailable
from ghapp.service import messaging
from ghapp.service.slack_hook import NAME, SlackHook
from tests.protocol.rig import Rig


@dataclass
class Hook:
    """What was sent. ``refusals`` are raised by the next calls before it is, ``lost`` after."""

    sent: list[str] = field(default_factory=list)
    refusals: list[RemoteError] = field(default_factory=list)
    lost: list[RemoteError] = field(default_factory=list)

    async def send(self, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append(text)
        if self.lost:
            raise self.lost.pop(0)

    @property
    def signs(self) -> str:
        return "".join(text[0] for text in self.sent)


@pytest.fixture
def hook(rig: Rig) -> Hook:
    made = Hook()
    rig.ctx.channels = {NAME: SlackHook(cast(SlackWebhook, made))}
    return made


async def told(rig: Rig, after_s: float = 3) -> None:
    await rig.pass_s(after_s)
    while await messaging.say_due(rig.ctx, NAME):
        pass


async def test_started_and_ended(rig: Rig, hook: Hook) -> None:
    await rig.deployment()
    await told(rig)
    assert hook.sent == []
    job = await rig.claimed()
    await rig.start(job)
    await told(rig)
    await rig.finish(job, exit_code=1)
    await told(rig)
    await told(rig, 100)
    assert [text.partition(": ")[0] for text in hook.sent] == ["🚀 hello#1 to staging", "❌ hello#1 to staging"]


async def test_what_never_ran_is_told_too(rig: Rig, hook: Hook) -> None:
    await rig.cancel(await rig.deployment())
    await told(rig)
    assert hook.signs == "🚫"


async def test_never_started_after_the_end(rig: Rig, hook: Hook) -> None:
    hook.refusals = [Unavailable("down")] * 2
    _, job = await rig.started()
    await told(rig)
    await rig.finish(job)
    for _ in range(4):
        await told(rig)
    assert hook.signs == "✅"


async def test_where_the_answer_was_lost_only_the_end_is_told_again(rig: Rig, hook: Hook) -> None:
    hook.lost = [Unavailable("no answer")]
    deploy, job = await rig.started()
    await told(rig)
    await told(rig)
    assert hook.signs == "🚀"
    await rig.cancel(deploy)
    await told(rig)
    assert hook.signs == "🚀", "it is running still"
    hook.lost = [Unavailable("no answer")]
    await rig.finish(job)
    await told(rig)
    await told(rig)
    assert hook.signs == "🚀✅✅"

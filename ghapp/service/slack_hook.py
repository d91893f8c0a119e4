"""What an incoming webhook of Slack hears, where there is no Slack app: that a deploy started, and how it ended.

What it was told cannot be looked at. Where an answer was lost, the start is not told again and the end is: so an end
may be told twice, and is never missing.
"""

import msgspec

from ghapp.channels.slack_webhook import SlackWebhook
from ghapp.core.values import State
from ghapp.notify import slack as notes
from ghapp.notify.facts import Progress
from ghapp.service import told
from ghapp.service.channel import LockChange, Said
from ghapp.service.context import Context
from ghapp.store import messages
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

NAME = "slack_webhook"


class Kept(msgspec.Struct, frozen=True):
    """``said``: the state that was told last, or is not to be told any more."""

    said: str = ""


class SlackHook:
    """The channel ``slack_webhook``, which has one target. It hears of all deploys."""

    one_service = True
    in_order = False

    def __init__(self, hook: SlackWebhook) -> None:
        self._hook = hook

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        """One that ended before it was asked for was never told of."""
        if deploy.out_of_line or not (deploy.state is State.RUNNING or deploy.state.terminal):
            return
        now, body = ctx.now(), msgspec.json.encode(Kept()).decode()
        await messages.put(
            tx, channel=NAME, target="", key=deploy.request, deploy_id=deploy.id, body=body, now=now, next_at=now
        )

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        """Of locks it is not told."""

    async def say(self, ctx: Context, message: Message) -> Said:
        kept = msgspec.json.decode(message.body, type=Kept)
        one = await told.now(ctx, message.deploy_id or 0)
        if one is None:
            return Said(message.body)
        if _is_news(one.facts, kept, unsure=message.unsure):
            body = notes.progress(one.facts, one.now, buttons=False)
            await self._hook.send(body.text, body.blocks)
        return Said(msgspec.json.encode(Kept(one.facts.state.value)).decode())


def _is_news(facts: Progress, kept: Kept, *, unsure: bool) -> bool:
    started = facts.state is State.RUNNING and not kept.said and not unsure
    return started or (facts.state.terminal and kept.said != facts.state.value)

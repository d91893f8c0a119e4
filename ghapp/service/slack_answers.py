"""Answers to what people do in Slack, each seen by whoever did it: owed where that is done, and retried."""

import msgspec

from ghapp.channels.slack_replies import SlackReplies
from ghapp.notify.slack import Body
from ghapp.service.channel import LockChange, Said
from ghapp.service.context import Context
from ghapp.store import messages
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

NAME = "slack_answers"
#: What was done is said so late if nobody knows any more what was to be said of it.
FORGOTTEN_MS = 10_000


class Owed(msgspec.Struct, frozen=True):
    """What is to be said, and at which address."""

    url: str
    body: Body

    def __repr__(self) -> str:
        return "Owed()"


class SlackAnswers:
    """The channel ``slack_answers``: it hears of nothing by itself."""

    one_service = False
    in_order = False

    def __init__(self, replies: SlackReplies) -> None:
        self._replies = replies

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        """Who asked is answered once."""

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        """Who asked is answered once."""

    async def say(self, ctx: Context, message: Message) -> Said:
        """Said twice where an answer was lost: the person sees that it is the same."""
        owed = msgspec.json.decode(message.body, type=Owed)
        await self._replies.reply(owed.url, owed.body.text, owed.body.blocks)
        return Said(message.body)


async def owe(tx: Tx, ctx: Context, key: str, url: str, body: Body, *, in_ms: int = 0) -> None:
    """Answer what has this key; what was to be said before is replaced."""
    now = ctx.now()
    text = msgspec.json.encode(Owed(url, body)).decode()
    await messages.replace(tx, channel=NAME, target="the asker", key=key, body=text, now=now, next_at=now + in_ms)

"""Outgoing webhooks: each change of a deploy or lock is a message of its own, written when it happens.

They are sent at least once, each with the same id at every try. Where one has to be tried again, a later one may come
before it; ``sequence`` tells which is newer.
"""

import hashlib
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ghapp.channels.webhooks import WebhookClient
from ghapp.core import announcements
from ghapp.core.config import Webhook
from ghapp.core.remote import Refused
from ghapp.core.times import rfc3339
from ghapp.core.values import Lock
from ghapp.notify import webhook as notes
from ghapp.service.channel import LockChange, Said, under
from ghapp.service.context import Context
from ghapp.store import events, messages
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

NAME = "webhooks"
#: A receiver that takes nothing for so long has lost it.
GIVEN_UP_MS = 3 * 86_400_000


class Owed(msgspec.Struct, frozen=True):
    """``public``: who named the address is not the operator."""

    url: str
    payload: str
    public: bool = False

    def __repr__(self) -> str:
        return "Owed()"


class WebhookTelling:
    """The channel ``webhooks``. ``secrets`` sign; the first is the newest."""

    one_service = False
    in_order = False

    def __init__(self, client: WebhookClient, secrets: Sequence[bytes]) -> None:
        self._client = client
        self._secrets = tuple(secrets)

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        """Of each state once for each time that it is claimed."""
        kind = announcements.DEPLOY[deploy.state]
        key = f"{deploy.request} {kind} {deploy.claims}"
        hooks = deploy.config.notify.webhooks
        if hooks and not deploy.out_of_line:
            data = {**_of_deploy(ctx, deploy), "sequence": await events.newest_id(tx)}
            public = deploy.defined_in == "repository"
            await _owe(tx, ctx, hooks, kind, key, data, public=public, deploy_id=deploy.id)

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        kind, sequence = announcements.LOCK[change.kind], await events.newest_id(tx)
        data = {**_of_lock(change.lock), "who": change.who, "before": change.before, "sequence": sequence}
        key = f"lock {sequence}"
        for one in under(ctx, change.lock):
            public = one.defined_in == "repository"
            await _owe(tx, ctx, one.notify.webhooks, kind, key, data, public=public, deploy_id=None)

    async def say(self, ctx: Context, message: Message) -> Said:
        owed = msgspec.json.decode(message.body, type=Owed)
        if ctx.now() - message.created_at > GIVEN_UP_MS:
            raise Refused("The receiver took nothing for three days.")
        body, about = owed.payload.encode(), f"{message.target} {message.key}"
        message_id = f"msg_{hashlib.sha256(about.encode()).hexdigest()[:32]}"
        headers = notes.headers(message_id, int(time.time()), body, self._secrets)
        await self._client.post(owed.url, body, headers, public=owed.public)
        return Said(message.body)


async def _owe(
    tx: Tx,
    ctx: Context,
    hooks: Sequence[Webhook],
    kind: str,
    key: str,
    data: dict[str, object],
    *,
    public: bool,
    deploy_id: int | None,
) -> None:
    now = ctx.now()
    for hook in hooks:
        if announcements.wanted(kind, hook.events):
            body = msgspec.json.encode(Owed(hook.url, notes.payload(kind, now, data), public)).decode()
            await messages.add(
                tx, channel=NAME, target=_target(hook.url), key=key, deploy_id=deploy_id, body=body, now=now
            )


def _target(url: str) -> str:
    """Its host, and what tells it from others there: the address itself may be a secret."""
    return f"{urlsplit(url).hostname} {hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _of_deploy(ctx: Context, deploy: Deploy) -> dict[str, object]:
    """By the names of the HTTP API."""
    times = {"asked_at": deploy.asked_at, "started_at": deploy.started_at, "ended_at": deploy.ended_at}
    return {
        "app": deploy.app,
        "number": deploy.number,
        "environment": deploy.environment,
        "repository": deploy.repository,
        "task": deploy.task,
        "sha": deploy.sha,
        "ref": deploy.ref,
        "previous_sha": deploy.previous_sha,
        "state": deploy.state.value,
        "user": deploy.user,
        "door": deploy.door,
        "forced_by": deploy.forced_by,
        "reason": deploy.reason,
        "exit_code": deploy.exit_code,
        "blockers": [{"kind": one.kind.value, "message": one.message, "url": one.url} for one in deploy.blockers],
        "url": ctx.page(deploy.app, deploy.number),
        **{name: rfc3339(at) for name, at in times.items()},
    }


def _of_lock(lock: Lock) -> dict[str, object]:
    return {
        "app": lock.app,
        "environment": lock.environment,
        "owner": lock.who,
        "reason": lock.reason,
        "since": rfc3339(lock.since),
        "until": rfc3339(lock.until),
    }

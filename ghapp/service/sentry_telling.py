"""Sentry hears of what went live: the release with its commits, and the deploy, marked once."""

from collections.abc import Sequence

from ghapp.channels.sentry import SentryClient
from ghapp.core.releases import ROLLBACK
from ghapp.core.remote import RemoteError
from ghapp.core.values import Commit, State
from ghapp.notify import sentry as notes
from ghapp.service.channel import LockChange, Said
from ghapp.service.context import Context
from ghapp.store import deploys, messages, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

NAME = "sentry"


class SentryTelling:
    """The channel ``sentry``; its targets are organizations."""

    one_service = True
    in_order = False

    def __init__(self, client: SentryClient) -> None:
        self._client = client

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        target = deploy.config.notify.sentry
        if target and deploy.state is State.SUCCEEDED and deploy.task in {"deploy", ROLLBACK}:
            about = {"target": target.organization, "key": deploy.request, "deploy_id": deploy.id}
            await messages.add(tx, channel=NAME, body="{}", now=ctx.now(), **about)  # type: ignore[arg-type]

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        """Of locks it is not told."""

    async def say(self, ctx: Context, message: Message) -> Said:
        """The release is the same however often it is made; the deploy is looked for where an answer was lost."""
        deploy = await ctx.stores.main.read(lambda tx: deploys.get(tx, message.deploy_id or 0))
        target = deploy.config.notify.sentry if deploy else None
        if deploy is None or target is None or deploy.ended_at is None:
            return Said(message.body)
        commits = await _commits(ctx, deploy)
        made = notes.release(target, deploy.sha, deploy.repository, commits, deploy.ended_at)
        await self._client.create_release(target.organization, made)
        known = await self._client.deploys(target.organization, deploy.sha) if message.unsure else []
        name = notes.deploy_name(deploy.app, deploy.number)
        if name not in known:
            page = ctx.page(deploy.app, deploy.number)
            marked = notes.deploy(target, deploy.environment, name, page, deploy.started_at, deploy.ended_at)
            await self._client.create_deploy(target.organization, deploy.sha, marked)
        return Said(message.body)


async def _commits(ctx: Context, deploy: Deploy) -> Sequence[Commit]:
    """Those that it brought, oldest first; none where the provider cannot tell: a limit of its rate is none of
    Sentry's."""
    if not deploy.previous_sha or deploy.previous_sha == deploy.sha:
        return ()
    _, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, deploy.repository_id))
    try:
        found = await ctx.providers[deploy.via].code(repository).compare(deploy.previous_sha, deploy.sha)
    except RemoteError:
        return ()
    return found.commits

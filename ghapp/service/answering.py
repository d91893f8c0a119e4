"""Answers to deployments of which no deploy is made: one status each, however often they are heard of."""

from ghapp.core import sentences
from ghapp.core.values import DeploymentStatus
from ghapp.service.context import Context
from ghapp.store import outbox, places
from ghapp.store.base import Tx
from ghapp.vcs.events import DeploymentEvent


async def unanswered(tx: Tx, provider: str, event: DeploymentEvent) -> int | None:
    """The id of the repository's row, or None where the deployment was answered before."""
    repository_id = await places.keep_repository(tx, provider, event.repository, event.installation_id)
    return None if await outbox.answered(tx, repository_id, event.deployment_id) else repository_id


async def answer(
    tx: Tx, ctx: Context, repository_id: int, event: DeploymentEvent, state: str, text: str, url: str | None = None
) -> None:
    """Owe the status to the provider. ``url``: the page that tells more, else the overview."""
    now = ctx.now()
    await outbox.put(
        tx,
        channel=outbox.STATUS,
        deploy_id=None,
        repository_id=repository_id,
        deployment_id=event.deployment_id,
        wanted=DeploymentStatus(state, sentences.description(text), url or ctx.url),
        final=True,
        now=now,
        next_at=now,
    )

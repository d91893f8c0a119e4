"""The beat: a long poll that keeps a lease alive and is answered at once when the app wants something."""

from dataclasses import dataclass

from ghapp.core import states
from ghapp.core.remote import RemoteError
from ghapp.service import leases
from ghapp.service.context import Context, Signals, lease_hash
from ghapp.store import deploys, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.vcs.base import RepoToken


@dataclass(frozen=True, slots=True)
class Heard:
    deploy: Deploy
    token: RepoToken | None


async def beat(ctx: Context, deploy_id: int, lease: str, status_written: str | None, wait_s: float) -> Heard:
    """Renew the lease, then wait up to ``wait_s`` for a cancel, a new token or the lease's end.

    Each answer tells of cancel and token, because any may get lost; only news is told before the time.
    Raises Problem ``lease_over`` or ``declared_dead``.
    """
    deploy = await ctx.decide(lambda tx: leases.beat(tx, ctx, deploy_id, lease, status_written))
    deadline = ctx.now() + int(wait_s * 1000)
    while True:
        woken = ctx.signals.watch("changes")
        current = await ctx.stores.main.read(lambda tx: deploys.get(tx, deploy_id)) or deploy
        token = await _token(ctx, current)
        left_s = (deadline - ctx.now()) / 1000
        if current.lease_hash != lease_hash(lease) or current.state is not deploy.state:
            break
        if _news(ctx, current, token) or left_s <= 0 or ctx.stopping:
            return Heard(current, token)
        await Signals.wait(woken, left_s)
    return Heard(await ctx.stores.main.write(lambda tx: _still(tx, deploy_id, lease)), None)


async def _still(tx: Tx, deploy_id: int, lease: str) -> Deploy:
    deploy = await leases.leased(tx, deploy_id, lease)
    leases.checked(states.Event.BEAT, deploy)
    return deploy


def _news(ctx: Context, deploy: Deploy, token: RepoToken | None) -> bool:
    """Is there anything that this process has not told the runner? It counts as told from now on."""
    cancel = deploy.cancel_requested_by is not None and deploy.id not in ctx.told_cancel
    renewed = token is not None and ctx.handed_out.get(deploy.id) != token.expires_at
    if cancel:
        ctx.told_cancel.add(deploy.id)
    if token:
        ctx.handed_out[deploy.id] = token.expires_at
    return cancel or renewed


async def _token(ctx: Context, deploy: Deploy) -> RepoToken | None:
    """The newest repository token; None where none can be had now, or none is needed."""
    provider, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, deploy.repository_id))
    try:
        return await ctx.providers[provider].repo_token(repository)
    except RemoteError:
        return None

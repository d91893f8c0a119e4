"""After a rollback every automatic deploy to the environment waits until a person goes on.

- It begins when the rollback is asked for, at any door, so that nothing automatic slips in before it runs. That
  it fails or is cancelled changes nothing: what was live was bad enough to go back from, and a person knows more.
- It ends by `resume`, or when a deploy succeeds that a person asked for after the rollback. One that was in line
  or running already when the rollback was asked for says nothing about it; nor does another task than deploy.
"""

from ghapp.core.releases import ROLLBACK
from ghapp.core.values import Door, State
from ghapp.service.context import Context
from ghapp.store import deploys, events, releases
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy


async def begin(tx: Tx, ctx: Context, deploy: Deploy) -> None:
    """A rollback was asked for. Where nothing is live there is nothing to go back from."""
    live = await deploys.live(tx, deploy.environment_id)
    if live is None:
        return
    now = ctx.now()
    await releases.set_rolled_back(tx, deploy.environment_id, live.id, deploy.user, now)
    await events.record(tx, now, "rolled_back", who=deploy.user, deploy=deploy.id, before=live.name)


async def ended(tx: Tx, ctx: Context, deploy: Deploy) -> None:
    """A deploy has ended: one that a person asked for since and that succeeded lets the automatic ones go on."""
    if deploy.state is not State.SUCCEEDED:
        return
    rolled_back = await releases.rolled_back(tx, deploy.environment_id)
    if rolled_back is None:
        return
    if deploy.task == ROLLBACK:
        await _really(tx, deploy, rolled_back.who, rolled_back.since)
    elif deploy.task == "deploy" and deploy.door != Door.AUTOMATIC and deploy.created_at > rolled_back.since:
        await resume(tx, ctx, deploy.environment_id, deploy.user, deploy.app, deploy.environment)


async def _really(tx: Tx, deploy: Deploy, who: str, since: int) -> None:
    """What ran when the rollback was asked for may have gone live before it: that is what it went back from."""
    newest = await releases.newest(tx, deploy.environment_id, 2)
    if len(newest) == 2 and newest[0].id == deploy.id:
        await releases.set_rolled_back(tx, deploy.environment_id, newest[1].id, who, since)


async def resume(tx: Tx, ctx: Context, environment_id: int, who: str, app: str, environment: str) -> bool:
    """Automatic deploys go on. False if none had to wait. The caller settles the line."""
    if not await releases.clear_rolled_back(tx, environment_id):
        return False
    await events.record(tx, ctx.now(), "resumed", who=who, app=app, environment=environment)
    return True

"""The line as people see it: who is where, and when it is their turn."""

from dataclasses import dataclass

from ghapp.core import estimates
from ghapp.core.actors import EVERYBODY, Actor
from ghapp.core.estimates import Estimate
from ghapp.service import seeing
from ghapp.service.context import Context
from ghapp.service.seeing import Seen
from ghapp.store import deploys, durations
from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class InLine:
    """A deploy that is claimed, running or waits; without an ``estimate`` nobody can know."""

    seen: Seen
    estimate: Estimate | None


async def queue(
    tx: Tx, ctx: Context, app: str, most: int, environment: str | None = None, reader: Actor = EVERYBODY
) -> list[InLine]:
    """For each environment of the app that the reader sees, or the one that is named, what is active there and the
    line in order; of all of it the first ``most`` or some more. Nothing behind them is read: what one waits for, and
    when its turn is, hangs on those before it. Raises Problem ``not_found`` with the nearest names, ``forbidden``."""
    found: list[InLine] = []
    row = await seeing.known_app(tx, ctx, app)
    for one in await seeing.environments_of(tx, ctx, row.name, environment, reader):
        if len(found) < most:
            found += await _queue(tx, ctx, one.id, most - len(found))
    return found


async def _queue(tx: Tx, ctx: Context, environment_id: int, most: int) -> list[InLine]:
    active = await deploys.active(tx, environment_id)
    line = await seeing.line(tx, ctx, environment_id, most)
    tasks = {one.deploy.task for one in line} | ({active.task} if active else set())
    took = {task: await durations.newest(tx, environment_id, task, estimates.SAMPLE) for task in tasks}
    running = estimates.Active(active.task, active.started_at, active.lost_since is not None) if active else None
    waiting = [estimates.Waiting(one.deploy.task, one.deploy.blockers) for one in line]
    now_running, in_line = estimates.estimate(ctx.now(), took, running, waiting)
    head = [InLine(Seen(active), now_running)] if active else []
    return head + [InLine(one, each) for one, each in zip(line, in_line, strict=True)]

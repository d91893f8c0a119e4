"""How much of the lines is not over, for metrics: read from indexes that hold nothing else."""

from dataclasses import dataclass

from ghapp.store import places
from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class Standing:
    """What is not over in an environment: how many wait, since when the oldest of them (ms), and whether one is
    ``claimed`` or ``running``."""

    app: str
    environment: str
    waiting: int = 0
    oldest_at: int | None = None
    active: str | None = None


async def every(tx: Tx) -> list[Standing]:
    """Of every environment."""
    lines = await tx.all(
        """SELECT e.id AS environment_id,
             (SELECT COUNT(*) FROM deploys d WHERE d.environment_id = e.id AND d.state = 'queued') AS waiting,
             (SELECT MIN(d.asked_at) FROM deploys d WHERE d.environment_id = e.id AND d.state = 'queued') AS oldest_at
           FROM environments e"""
    )
    active = await tx.all(
        """SELECT d.environment_id, d.state FROM environments e JOIN deploys d ON d.environment_id = e.id
           AND d.state IN ('claimed', 'running')"""
    )
    waiting = {row["environment_id"]: (row["waiting"], row["oldest_at"]) for row in lines}
    states = {row["environment_id"]: row["state"] for row in active}
    return [Standing(one.app, one.name, *waiting[one.id], states.get(one.id)) for one in await places.environments(tx)]

"""How long deploys ran."""

from ghapp.store.base import Tx


async def newest(tx: Tx, environment_id: int, task: str, limit: int) -> list[int]:
    """Milliseconds that the commands of the newest succeeded deploys of a task ran there."""
    rows = await tx.all(
        """SELECT started_at, ended_at FROM deploys
           WHERE environment_id = :id AND task = :task AND state = 'succeeded' ORDER BY ended_at DESC LIMIT :limit""",
        id=environment_id,
        task=task,
        limit=limit,
    )
    return [row["ended_at"] - row["started_at"] for row in rows if row["started_at"] is not None]

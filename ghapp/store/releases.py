"""Releases: the deploys that were live in an environment, without what only a runner needs of them."""

from ghapp.core.releases import ROLLBACK, Release
from ghapp.store.base import Tx


async def newest(tx: Tx, environment_id: int, limit: int) -> list[Release]:
    """The releases of an environment, newest first: the first is what is live."""
    rows = await tx.all(
        """SELECT id, number, sha, task, "user", ended_at FROM deploys
           WHERE environment_id = :id AND state = 'succeeded' AND task IN ('deploy', 'rollback')
           ORDER BY ended_at DESC, id DESC LIMIT :limit""",
        id=environment_id,
        limit=limit,
    )
    return [
        Release(row["id"], row["number"], row["sha"], row["user"], row["ended_at"], row["task"] == ROLLBACK)
        for row in rows
    ]


async def shas(tx: Tx, app_id: int, abbreviated: str) -> list[str]:
    """The shas of an app's deploys that begin so (lower-case hexadecimal digits), two at most."""
    rows = await tx.all(
        """SELECT DISTINCT sha FROM deploys WHERE app_id = :app_id AND sha >= :least AND sha < :most
           ORDER BY sha LIMIT 2""",
        app_id=app_id,
        least=abbreviated,
        most=f"{abbreviated}g",
    )
    return [row["sha"] for row in rows]

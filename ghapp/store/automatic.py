"""Automatic deploys that wait, and which of them the app is to look at."""

from collections.abc import Sequence

from ghapp.store.base import Tx
from ghapp.store.deploys import SELECT, Deploy, from_row

_AUTOMATIC = "d.door = 'automatic' AND d.environment_id = :environment_id"


async def waiting(tx: Tx, environment_id: int) -> list[Deploy]:
    """Those of an environment, in the line and out of it, oldest first."""
    rows = await tx.all(
        f"{SELECT} WHERE {_AUTOMATIC} AND d.state = 'queued' ORDER BY d.id", environment_id=environment_id
    )
    return [from_row(row) for row in rows]


async def out_of_line(tx: Tx, environment_ids: Sequence[int]) -> list[Deploy]:
    """Those of environments that have no place yet, oldest first."""
    rows = await tx.all(
        SELECT
        + """WHERE d.environment_id = ANY(:ids) AND d.door = 'automatic' AND d.state = 'queued' AND d.out_of_line = 1
             ORDER BY d.id""",
        ids=list(environment_ids),
    )
    return [from_row(row) for row in rows]


async def of_commit(tx: Tx, app_id: int, environment_id: int, sha: str) -> list[Deploy]:
    """All there ever were of a commit in an environment."""
    rows = await tx.all(
        f"{SELECT} WHERE {_AUTOMATIC} AND d.app_id = :app_id AND d.sha = :sha",
        app_id=app_id,
        environment_id=environment_id,
        sha=sha,
    )
    return [from_row(row) for row in rows]


async def due(tx: Tx, now: int, limit: int) -> list[int]:
    """Ids of those to look at now."""
    rows = await tx.all(
        "SELECT id FROM deploys WHERE state = 'queued' AND judge_at <= :now ORDER BY judge_at LIMIT :limit",
        now=now,
        limit=limit,
    )
    return [row["id"] for row in rows]


async def next_at(tx: Tx, now: int) -> int | None:
    row = await tx.one("SELECT MIN(judge_at) AS at FROM deploys WHERE state = 'queued' AND judge_at > :now", now=now)
    return row["at"] if row else None

"""Releases: the deploys that were live in an environment, without what only a runner needs of them; and which
environments were rolled back."""

from collections.abc import Sequence

from ghapp.core.releases import ROLLBACK, Release
from ghapp.core.values import RolledBack
from ghapp.store.base import Row, Tx

_SELECT = """SELECT id, number, sha, task, "user", ended_at FROM deploys
WHERE state = 'succeeded' AND task IN ('deploy', 'rollback') AND
"""


def _release(row: Row) -> Release:
    return Release(row["id"], row["number"], row["sha"], row["user"], row["ended_at"], row["task"] == ROLLBACK)


async def newest(tx: Tx, environment_id: int, limit: int) -> list[Release]:
    """The releases of an environment, newest first: the first is what is live."""
    rows = await tx.all(
        _SELECT + "environment_id = :id ORDER BY ended_at DESC, id DESC LIMIT :limit", id=environment_id, limit=limit
    )
    return [_release(row) for row in rows]


async def one(tx: Tx, deploy_id: int) -> Release | None:
    """The release that a deploy was, if it was one."""
    row = await tx.one(_SELECT + "id = :id", id=deploy_id)
    return _release(row) if row else None


async def shas(tx: Tx, app_id: int, environment_ids: Sequence[int], abbreviated: str) -> list[str]:
    """The shas of an app's deploys in its environments that begin so (lower-case hexadecimal digits), two at most."""
    rows = await tx.all(
        """SELECT DISTINCT sha FROM deploys WHERE app_id = :app_id AND sha >= :least AND sha < :most
             AND environment_id = ANY(:environment_ids)
           ORDER BY sha LIMIT 2""",
        app_id=app_id,
        environment_ids=list(environment_ids),
        least=abbreviated,
        most=f"{abbreviated}g",
    )
    return [row["sha"] for row in rows]


async def was_live(tx: Tx, environment_id: int, sha: str) -> bool:
    """Was exactly this commit ever live there?"""
    row = await tx.one(
        """SELECT d.id FROM deploys d JOIN environments e ON e.app_id = d.app_id
           WHERE e.id = :id AND d.sha = :sha AND d.environment_id = :id AND d.state = 'succeeded'
           AND d.task IN ('deploy', 'rollback') LIMIT 1""",
        id=environment_id,
        sha=sha,
    )
    return row is not None


_ROLLED_BACK = """SELECT e.id, e.name, a.name AS app, d.number, d.sha, e.rolled_back_by, e.rolled_back_at
FROM environments e JOIN apps a ON a.id = e.app_id JOIN deploys d ON d.id = e.rolled_back_from
"""


def _rolled_back(row: Row) -> RolledBack:
    name = f"{row['app']}#{row['number']}"
    return RolledBack(row["name"], name, row["sha"], row["rolled_back_by"], row["rolled_back_at"])


async def rolled_back(tx: Tx, environment_id: int) -> RolledBack | None:
    """That somebody rolled the environment back, while automatic deploys wait for that."""
    row = await tx.one(_ROLLED_BACK + "WHERE e.id = :id", id=environment_id)
    return _rolled_back(row) if row else None


async def all_rolled_back(tx: Tx) -> dict[int, RolledBack]:
    """Every environment that is rolled back, by its id."""
    return {row["id"]: _rolled_back(row) for row in await tx.all(_ROLLED_BACK)}


async def set_rolled_back(tx: Tx, environment_id: int, before: int, who: str, at: int) -> None:
    """``before``: the id of the deploy that is rolled back from."""
    await tx.run(
        """UPDATE environments SET rolled_back_from = :before, rolled_back_by = :who, rolled_back_at = :at
           WHERE id = :id""",
        id=environment_id,
        before=before,
        who=who,
        at=at,
    )


async def clear_rolled_back(tx: Tx, environment_id: int) -> bool:
    """Was it rolled back?"""
    changed = await tx.run(
        """UPDATE environments SET rolled_back_from = NULL, rolled_back_by = NULL, rolled_back_at = NULL
           WHERE id = :id AND rolled_back_from IS NOT NULL""",
        id=environment_id,
    )
    return changed > 0

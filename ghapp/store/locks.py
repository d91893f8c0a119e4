"""Locks: what holds an environment, an app or everything. A scope is (app id, environment id); None is all of them."""

from ghapp.core.values import Lock
from ghapp.store.base import Row, Tx

_SELECT = """SELECT l.*, a.name AS app, e.name AS environment FROM locks l
LEFT JOIN apps a ON a.id = l.app_id LEFT JOIN environments e ON e.id = l.environment_id
"""
_SCOPE = """COALESCE({table}app_id, 0) = COALESCE(:app_id::bigint, 0)
AND COALESCE({table}environment_id, 0) = COALESCE(:environment_id::bigint, 0)"""


def _lock(row: Row) -> Lock:
    return Lock(row["who"], row["reason"], row["since"], row["until"], row["app"], row["environment"])


async def on(tx: Tx, environment_id: int, now: int) -> list[Lock]:
    """The locks that hold an environment now: its own, its app's, the one on everything."""
    rows = await tx.all(
        _SELECT
        + """WHERE (l.environment_id = :id
                OR (l.environment_id IS NULL AND l.app_id = (SELECT app_id FROM environments WHERE id = :id))
                OR (l.environment_id IS NULL AND l.app_id IS NULL))
             AND (l.until IS NULL OR l.until > :now) ORDER BY l.id""",
        id=environment_id,
        now=now,
    )
    return [_lock(row) for row in rows]


async def every(tx: Tx, now: int) -> list[Lock]:
    """All locks that hold now, oldest first."""
    rows = await tx.all(_SELECT + "WHERE l.until IS NULL OR l.until > :now ORDER BY l.id", now=now)
    return [_lock(row) for row in rows]


async def of_scope(tx: Tx, app_id: int | None, environment_id: int | None) -> Lock | None:
    """The lock of exactly that scope, also one whose time has passed and that was not released yet."""
    condition = _SCOPE.format(table="l.")
    row = await tx.one(f"{_SELECT} WHERE {condition}", app_id=app_id, environment_id=environment_id)
    return _lock(row) if row else None


async def scope_of(tx: Tx, lock: Lock) -> tuple[int | None, int | None]:
    """The scope that a lock's names stand for."""
    row = await tx.one(
        """SELECT a.id AS app_id, e.id AS environment_id FROM apps a
           LEFT JOIN environments e ON e.app_id = a.id AND e.name = :environment WHERE a.name = :app""",
        app=lock.app or "",
        environment=lock.environment or "",
    )
    return (row["app_id"], row["environment_id"]) if row else (None, None)


async def put(tx: Tx, app_id: int | None, environment_id: int | None, lock: Lock, *, told: bool) -> None:
    """Set or replace the lock of exactly that scope. ``told``: its owner need not be told that it ends soon."""
    await drop(tx, app_id, environment_id)
    await tx.run(
        """INSERT INTO locks (app_id, environment_id, who, reason, since, until, told)
           VALUES (:app_id, :environment_id, :who, :reason, :since, :until, :told)""",
        app_id=app_id,
        environment_id=environment_id,
        who=lock.who,
        reason=lock.reason,
        since=lock.since,
        until=lock.until,
        told=int(told),
    )


async def drop(tx: Tx, app_id: int | None, environment_id: int | None) -> bool:
    """Remove the lock of exactly that scope; was there one?"""
    condition = _SCOPE.format(table="")
    return await tx.run(f"DELETE FROM locks WHERE {condition}", app_id=app_id, environment_id=environment_id) > 0


async def ended(tx: Tx, now: int) -> list[tuple[int | None, int | None]]:
    """Scopes of the locks whose ``until`` has passed."""
    rows = await tx.all("SELECT app_id, environment_id FROM locks WHERE until <= :now ORDER BY id", now=now)
    return [(row["app_id"], row["environment_id"]) for row in rows]


async def ending(tx: Tx, now: int, by: int) -> list[Lock]:
    """The locks that end until then and whose owners were not told yet."""
    rows = await tx.all(
        f"{_SELECT} WHERE l.told = 0 AND l.until > :now AND l.until <= :by ORDER BY l.id", now=now, by=by
    )
    return [_lock(row) for row in rows]


async def tell(tx: Tx, app_id: int | None, environment_id: int | None) -> bool:
    """The owner of that lock is told that it ends soon; False if that was done before."""
    condition = _SCOPE.format(table="")
    changed = await tx.run(
        f"UPDATE locks SET told = 1 WHERE told = 0 AND {condition}", app_id=app_id, environment_id=environment_id
    )
    return changed > 0

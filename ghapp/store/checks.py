"""What events have told of the checks of a sha: the newest state of each, and how many events there were."""

from ghapp.core.checks import Check, CheckState
from ghapp.store.base import Row, Tx

#: Counts events that say nothing of a single check, such as a check suite's.
NAMELESS = Check(key="", name="", state=CheckState.PENDING)


def _check(row: Row) -> Check:
    return Check(row["key"], row["name"], CheckState(row["state"]), row["at"], row["serial"], row["url"], row["detail"])


async def counter(tx: Tx, repository_id: int, sha: str) -> int:
    """Events seen for that sha so far."""
    row = await tx.one(
        "SELECT MAX(counter) AS counter FROM checks_seen WHERE repository_id = :repository_id AND sha = :sha",
        repository_id=repository_id,
        sha=sha,
    )
    return (row["counter"] if row else None) or 0


async def newest(tx: Tx, repository_id: int, sha: str, *, after: int = 0) -> list[Check]:
    """The newest state of each check that an event after the counter ``after`` told of."""
    rows = await tx.all(
        """SELECT * FROM checks_seen WHERE repository_id = :repository_id AND sha = :sha
           AND counter > :after AND "key" <> '' ORDER BY "key" """,
        repository_id=repository_id,
        sha=sha,
        after=after,
    )
    return [_check(row) for row in rows]


async def last_seen(tx: Tx, repository_id: int, sha: str) -> int:
    """When the last event came in that told of a check of that sha (ms); 0 where none did."""
    row = await tx.one(
        """SELECT MAX(seen_at) AS at FROM checks_seen
           WHERE repository_id = :repository_id AND sha = :sha AND "key" <> ''""",
        repository_id=repository_id,
        sha=sha,
    )
    return (row["at"] if row else None) or 0


async def see(tx: Tx, repository_id: int, sha: str, check: Check | None, now: int) -> int:
    """Count an event for the sha and keep what it told, unless something newer is known; the new counter."""
    count = await counter(tx, repository_id, sha) + 1
    known = {seen.key: seen for seen in await newest(tx, repository_id, sha)}
    told = check or NAMELESS
    before = known.get(told.key)
    kept = before if before and not told.newer_than(before) else told
    await tx.run(
        """INSERT INTO checks_seen (repository_id, sha, "key", name, state, at, serial, url, detail, counter, seen_at)
           VALUES (:repository_id, :sha, :key, :name, :state, :at, :serial, :url, :detail, :counter, :now)
           ON CONFLICT (repository_id, sha, "key") DO UPDATE SET name = excluded.name, state = excluded.state,
           at = excluded.at, serial = excluded.serial, url = excluded.url, detail = excluded.detail,
           counter = excluded.counter, seen_at = excluded.seen_at""",
        repository_id=repository_id,
        sha=sha,
        key=kept.key,
        name=kept.name,
        state=kept.state.value,
        at=kept.at,
        serial=kept.serial,
        url=kept.url,
        detail=kept.detail,
        counter=count,
        now=now,
    )
    return count


async def forget(tx: Tx, before: int) -> None:
    """Drop what was told of shas that nothing waits for any more."""
    await tx.run(
        """DELETE FROM checks_seen WHERE seen_at < :before AND NOT EXISTS (
             SELECT 1 FROM deploys d WHERE d.repository_id = checks_seen.repository_id AND d.sha = checks_seen.sha
             AND d.state IN ('queued', 'claimed', 'running'))""",
        before=before,
    )

"""Where the branches of repositories were when they were last looked at."""

from collections.abc import Mapping, Sequence

from ghapp.store.base import Tx


async def branches(tx: Tx, repository_id: int) -> dict[str, str] | None:
    """Branch -> sha; None where the repository was never looked at."""
    if not await tx.one("SELECT 1 AS one FROM polled WHERE repository_id = :id", id=repository_id):
        return None
    rows = await tx.all("SELECT name, sha FROM branches WHERE repository_id = :id", id=repository_id)
    return {row["name"]: row["sha"] for row in rows}


async def begin(tx: Tx, repository_id: int, source: str, heads: Mapping[str, str], now: int) -> None:
    """Looked at for the first time as ``source``; what was there before is history."""
    await tx.run(
        "INSERT INTO polled (repository_id, source, looked_at) VALUES (:id, :source, :now)",
        id=repository_id,
        source=source,
        now=now,
    )
    for name, sha in heads.items():
        await move(tx, repository_id, name, None, sha)


async def looked(tx: Tx, repository_id: int, source: str, now: int) -> None:
    """Everything that happened until then is known; it was looked at as ``source``."""
    await tx.run(
        "UPDATE polled SET source = :source, looked_at = :now WHERE repository_id = :id",
        id=repository_id,
        source=source,
        now=now,
    )


async def move(tx: Tx, repository_id: int, name: str, before: str | None, after: str | None) -> bool:
    """The branch is elsewhere now; False where it is not at ``before`` any more, because somebody else was quicker."""
    given = {"id": repository_id, "name": name}
    if before is None:
        changed = await tx.run(
            """INSERT INTO branches (repository_id, name, sha) VALUES (:id, :name, :after)
               ON CONFLICT (repository_id, name) DO NOTHING""",
            after=after,
            **given,
        )
    elif after is None:
        changed = await tx.run(
            "DELETE FROM branches WHERE repository_id = :id AND name = :name AND sha = :before", before=before, **given
        )
    else:
        changed = await tx.run(
            "UPDATE branches SET sha = :after WHERE repository_id = :id AND name = :name AND sha = :before",
            before=before,
            after=after,
            **given,
        )
    return changed > 0


async def keep_only(tx: Tx, sources: Sequence[str], repository_ids: Sequence[int]) -> None:
    """Those that are neither of these sources nor of these repositories are not looked at any more: should they be
    again, that is for the first time."""
    await tx.run(
        "DELETE FROM polled WHERE source <> ALL(:sources) AND repository_id <> ALL(:ids)",
        sources=list(sources),
        ids=list(repository_ids),
    )
    await tx.run("DELETE FROM branches WHERE repository_id NOT IN (SELECT repository_id FROM polled)")


async def oldest(tx: Tx) -> int | None:
    """When (ms) that repository was looked at whose last look is longest ago; None where none is looked at."""
    row = await tx.one("SELECT MIN(looked_at) AS at FROM polled")
    return row["at"] if row else None

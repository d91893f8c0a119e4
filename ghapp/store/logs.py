"""Log chunks by byte offset. Offsets count bytes before compression; repeated and shuffled chunks do no harm."""

from dataclasses import dataclass

from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class Chunk:
    """``length`` bytes of the log from ``start`` on, compressed by ``codec``."""

    start: int
    length: int
    codec: str
    body: bytes


async def put(tx: Tx, deploy_id: int, chunk: Chunk) -> int:
    """Store a chunk; returns the contiguous end of all that is stored."""
    await tx.run(
        "INSERT INTO log_ends (deploy_id, contiguous_end) VALUES (:id, 0) ON CONFLICT (deploy_id) DO NOTHING",
        id=deploy_id,
    )
    row = await tx.one("SELECT contiguous_end FROM log_ends WHERE deploy_id = :id FOR UPDATE", id=deploy_id)
    before = int(row["contiguous_end"]) if row else 0
    if chunk.length == 0 or chunk.start + chunk.length <= before:
        return before
    await tx.run(
        """INSERT INTO log_chunks (deploy_id, start, length, codec, body)
           VALUES (:id, :start, :length, :codec, :body)
           ON CONFLICT (deploy_id, start) DO UPDATE SET length = excluded.length, codec = excluded.codec,
           body = excluded.body WHERE excluded.length > log_chunks.length""",
        id=deploy_id,
        start=chunk.start,
        length=chunk.length,
        codec=chunk.codec,
        body=chunk.body,
    )
    after = await _advanced(tx, deploy_id, before)
    if after != before:
        await tx.run("UPDATE log_ends SET contiguous_end = :after WHERE deploy_id = :id", id=deploy_id, after=after)
    return after


async def _advanced(tx: Tx, deploy_id: int, end: int) -> int:
    rows = await tx.all(
        """SELECT start, start + length AS stop FROM log_chunks
           WHERE deploy_id = :id AND start >= :from ORDER BY start""",
        id=deploy_id,
        **{"from": max(0, end - (1 << 20))},
    )
    for row in rows:
        if row["start"] > end:
            break
        end = max(end, row["stop"])
    return end


async def end(tx: Tx, deploy_id: int) -> int:
    """The contiguous end."""
    row = await tx.one("SELECT contiguous_end FROM log_ends WHERE deploy_id = :id", id=deploy_id)
    return int(row["contiguous_end"]) if row else 0


async def chunk_at(tx: Tx, deploy_id: int, offset: int) -> Chunk | None:
    """The chunk that holds the byte at ``offset``, if it is stored."""
    row = await tx.one(
        """SELECT start, length, codec, body FROM log_chunks WHERE deploy_id = :id AND start <= :offset
           AND start + length > :offset ORDER BY start DESC LIMIT 1""",
        id=deploy_id,
        offset=offset,
    )
    return Chunk(row["start"], row["length"], row["codec"], bytes(row["body"])) if row else None

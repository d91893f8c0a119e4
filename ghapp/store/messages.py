"""Messages: what is owed to channels beside the providers, retried until said, and what each channel keeps of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.store.base import Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """``key`` tells it from all others of its ``target``. ``body`` is JSON of the channel's own form: what is to be
    said, or what was said. ``version`` counts how often it was owed. ``unsure``: an earlier answer was lost, so that it
    may have been said. ``state``: ``waiting``, ``done``, or given up for good: ``failed``, ``handed_on``. Times are
    ms."""

    id: int
    channel: str
    target: str
    key: str
    deploy_id: int | None
    body: str
    version: int
    created_at: int
    next_at: int
    said_at: int | None
    attempts: int
    unsure: bool
    state: str


def _message(row: Row) -> Message:
    return Message(
        id=row["id"],
        channel=row["channel"],
        target=row["target"],
        key=row["key"],
        deploy_id=row["deploy_id"],
        body=row["body"],
        version=row["version"],
        created_at=row["created_at"],
        next_at=row["next_at"],
        said_at=row["said_at"],
        attempts=row["attempts"],
        unsure=bool(row["unsure"]),
        state=row["state"],
    )


_INSERT = """INSERT INTO messages (channel, target, "key", deploy_id, body, state, created_at, next_at)
             VALUES (:channel, :target, :key, :deploy_id, :body, 'waiting', :now, :next_at)
             ON CONFLICT (channel, target, "key") """


async def put(
    tx: Tx, *, channel: str, target: str, key: str, deploy_id: int | None, body: str, now: int, next_at: int
) -> None:
    """Owe a message; one that is known by its ``key`` is owed again with the body that it has, unless it was
    given up."""
    await tx.run(
        _INSERT
        + """DO UPDATE SET state = 'waiting', version = messages.version + 1,
             next_at = excluded.next_at, attempts = 0 WHERE messages.state IN ('waiting', 'done')""",
        channel=channel,
        target=target,
        key=key,
        deploy_id=deploy_id,
        body=body,
        now=now,
        next_at=next_at,
    )


async def add(tx: Tx, *, channel: str, target: str, key: str, deploy_id: int | None, body: str, now: int) -> None:
    """Owe a message once: one that is known by its ``key`` is not owed again."""
    await tx.run(
        _INSERT + "DO NOTHING",
        channel=channel,
        target=target,
        key=key,
        deploy_id=deploy_id,
        body=body,
        now=now,
        next_at=now,
    )


async def replace(tx: Tx, *, channel: str, target: str, key: str, body: str, now: int, next_at: int) -> None:
    """Owe a message about no deploy with this body, in the place of what was owed by its ``key`` and not said yet."""
    await tx.run(
        _INSERT
        + """DO UPDATE SET body = excluded.body, next_at = excluded.next_at,
             version = messages.version + 1 WHERE messages.state = 'waiting'""",
        channel=channel,
        target=target,
        key=key,
        deploy_id=None,
        body=body,
        now=now,
        next_at=next_at,
    )


async def of_deploy(tx: Tx, deploy_id: int, channel: str) -> list[Message]:
    """What a channel was owed about a deploy, also what it has said or given up."""
    rows = await tx.all(
        "SELECT * FROM messages WHERE deploy_id = :deploy_id AND channel = :channel ORDER BY id",
        deploy_id=deploy_id,
        channel=channel,
    )
    return [_message(row) for row in rows]


async def due(tx: Tx, channel: str, now: int, limit: int, *, in_order: bool) -> list[Message]:
    """What a channel is to say now, in order: so many of each target. ``in_order``: of what is about no deploy only
    the oldest that is owed there."""
    rows = await tx.all(
        """SELECT * FROM messages WHERE id IN (
             SELECT id FROM (
               SELECT id, ROW_NUMBER() OVER (PARTITION BY target ORDER BY next_at, id) AS place FROM messages
               WHERE state = 'waiting' AND channel = :channel AND next_at <= :now
               AND NOT (:in_order = 1 AND deploy_id IS NULL AND EXISTS (
                 SELECT 1 FROM messages before WHERE before.state = 'waiting' AND before.channel = :channel
                 AND before.target = messages.target AND before.deploy_id IS NULL AND before.id < messages.id))
             ) AS placed WHERE place <= :limit)
           ORDER BY next_at, id""",
        channel=channel,
        now=now,
        limit=limit,
        in_order=int(in_order),
    )
    return [_message(row) for row in rows]


async def waiting(tx: Tx, message_id: int) -> Message | None:
    """The message if it is still owed."""
    row = await tx.one("SELECT * FROM messages WHERE id = :id AND state = 'waiting'", id=message_id)
    return _message(row) if row else None


async def next_at(tx: Tx, channel: str, now: int) -> int | None:
    row = await tx.one(
        "SELECT MIN(next_at) AS at FROM messages WHERE state = 'waiting' AND channel = :channel AND next_at > :now",
        channel=channel,
        now=now,
    )
    return row["at"] if row else None


async def oldest_due(tx: Tx, channels: Sequence[str], now: int) -> int | None:
    """Since when the oldest message that was not said is due, of these channels, however often it was tried; None where
    nothing is."""
    row = await tx.one(
        """SELECT MIN(COALESCE(due_since, next_at)) AS at FROM messages
           WHERE state = 'waiting' AND channel = ANY(:channels) AND COALESCE(due_since, next_at) <= :now""",
        channels=list(channels),
        now=now,
    )
    return row["at"] if row else None


async def doubt(tx: Tx, message_id: int) -> None:
    """About to be said: until an answer is saved, it may or may not have been."""
    await tx.run("UPDATE messages SET unsure = 1 WHERE id = :id", id=message_id)


async def said(tx: Tx, message_id: int, body: str, now: int) -> None:
    """The answer is known, and what the channel keeps of it."""
    await tx.run(
        "UPDATE messages SET body = :body, said_at = :now, unsure = 0, attempts = 0, due_since = NULL WHERE id = :id",
        id=message_id,
        body=body,
        now=now,
    )


async def wait(tx: Tx, message_id: int, next_at: int) -> None:
    """There is more to say then. That is no attempt."""
    await tx.run("UPDATE messages SET next_at = :next_at WHERE id = :id", id=message_id, next_at=next_at)


async def postpone(tx: Tx, message_id: int, next_at: int, *, unsure: bool, problem: str | None) -> None:
    await tx.run(
        """UPDATE messages SET due_since = COALESCE(due_since, next_at), next_at = :next_at, attempts = attempts + 1,
           unsure = :unsure, problem = :problem WHERE id = :id""",
        id=message_id,
        next_at=next_at,
        unsure=int(unsure),
        problem=problem,
    )


async def end(tx: Tx, message_id: int, state: str, problem: str | None = None) -> None:
    """``done``, until it is owed again; ``failed`` or ``handed_on`` for good."""
    await tx.run(
        "UPDATE messages SET state = :state, problem = :problem WHERE id = :id",
        id=message_id,
        state=state,
        problem=problem,
    )


async def forget(tx: Tx, before: int) -> None:
    """Drop what is old, said or not, but for what is about deploys that have not ended."""
    await tx.run(
        """DELETE FROM messages WHERE created_at < :before AND NOT EXISTS (
             SELECT 1 FROM deploys d
             WHERE d.id = messages.deploy_id AND d.state IN ('queued', 'claimed', 'running'))""",
        before=before,
    )

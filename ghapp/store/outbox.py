"""Notices: what the provider *should show*, at most one wanted status per deploy, retried until delivered."""

from dataclasses import dataclass

import msgspec

from ghapp.core.values import CommitStatus, DeploymentStatus
from ghapp.store.base import Row, Tx

STATUS = "status"
REGISTER = "register"
VERIFY = "verify"
COMMIT = "commit"
#: The comment that tells of a deploy; it is made of how the deploy stands when it is written.
COMMENT = "comment"
#: A comment that answers another one.
ANSWER = "answer"
REACTION = "reaction"


@dataclass(frozen=True, slots=True)
class Notice:
    """``deployment_id`` is 0 where a deployment is yet to be registered, whose first status then is ``status``; and
    where it is about none. ``body`` is JSON of the channel's own form."""

    id: int
    channel: str
    deploy_id: int | None
    repository_id: int
    deployment_id: int
    body: str
    final: bool
    version: int
    created_at: int
    next_at: int
    attempts: int
    unsure: bool

    @property
    def status(self) -> DeploymentStatus:
        return msgspec.json.decode(self.body, type=DeploymentStatus)

    @property
    def commit_status(self) -> CommitStatus:
        return msgspec.json.decode(self.body, type=CommitStatus)


def _notice(row: Row) -> Notice:
    return Notice(
        row["id"],
        row["channel"],
        row["deploy_id"],
        row["repository_id"],
        row["deployment_id"],
        row["body"],
        bool(row["final"]),
        row["version"],
        row["created_at"],
        row["next_at"],
        row["attempts"],
        bool(row["unsure"]),
    )


async def waiting(tx: Tx, deploy_id: int, channel: str = STATUS) -> Notice | None:
    """The notice of a deploy that is still to be delivered."""
    row = await tx.one(
        "SELECT * FROM notices WHERE deploy_id = :deploy_id AND channel = :channel AND state = 'waiting'",
        deploy_id=deploy_id,
        channel=channel,
    )
    return _notice(row) if row else None


async def put(
    tx: Tx,
    *,
    channel: str,
    deploy_id: int | None,
    repository_id: int,
    deployment_id: int,
    wanted: object,
    final: bool,
    now: int,
    next_at: int,
) -> None:
    """Want something shown; replaces what the same deploy still waits to show on that channel."""
    body = msgspec.json.encode(wanted).decode()
    before = await waiting(tx, deploy_id, channel) if deploy_id is not None else None
    if before:
        await tx.run(
            """UPDATE notices SET body = :body, final = :final, version = version + 1, next_at = :next_at,
               attempts = 0 WHERE id = :id""",
            id=before.id,
            body=body,
            final=int(final),
            next_at=next_at,
        )
        return
    await tx.run(
        """INSERT INTO notices (channel, deploy_id, repository_id, deployment_id, body, final, state, created_at,
             next_at)
           VALUES (:channel, :deploy_id, :repository_id, :deployment_id, :body, :final, 'waiting', :now, :next_at)""",
        channel=channel,
        deploy_id=deploy_id,
        repository_id=repository_id,
        deployment_id=deployment_id,
        body=body,
        final=int(final),
        now=now,
        next_at=next_at,
    )


async def answered(tx: Tx, repository_id: int, deployment_id: int) -> bool:
    """Is there an answer to a deployment that no deploy was made of?"""
    row = await tx.one(
        """SELECT 1 AS one FROM notices WHERE deploy_id IS NULL AND repository_id = :repository_id
           AND deployment_id = :deployment_id LIMIT 1""",
        repository_id=repository_id,
        deployment_id=deployment_id,
    )
    return row is not None


async def due(tx: Tx, now: int, limit: int) -> list[Notice]:
    """What is to be delivered now, final states first."""
    rows: list[Row] = []
    for final in (1, 0):
        rows += await tx.all(
            """SELECT * FROM notices WHERE state = 'waiting' AND final = :final AND next_at <= :now
               ORDER BY next_at, id LIMIT :limit""",
            final=final,
            now=now,
            limit=limit - len(rows),
        )
    return [_notice(row) for row in rows]


async def get(tx: Tx, notice_id: int) -> Notice | None:
    """The notice if it still waits."""
    row = await tx.one("SELECT * FROM notices WHERE id = :id AND state = 'waiting'", id=notice_id)
    return _notice(row) if row else None


async def next_at(tx: Tx, now: int) -> int | None:
    row = await tx.one("SELECT MIN(next_at) AS at FROM notices WHERE state = 'waiting' AND next_at > :now", now=now)
    return row["at"] if row else None


async def oldest_due(tx: Tx, now: int) -> int | None:
    """Since when the oldest undelivered notice is due, however often it was tried; None where nothing is."""
    row = await tx.one(
        """SELECT MIN(COALESCE(due_since, next_at)) AS at FROM notices
           WHERE state = 'waiting' AND COALESCE(due_since, next_at) <= :now""",
        now=now,
    )
    return row["at"] if row else None


async def postpone(tx: Tx, notice_id: int, next_at: int, *, unsure: bool, problem: str | None) -> None:
    await tx.run(
        """UPDATE notices SET due_since = COALESCE(due_since, next_at), next_at = :next_at, attempts = attempts + 1,
           unsure = :unsure, problem = :problem WHERE id = :id""",
        id=notice_id,
        next_at=next_at,
        unsure=int(unsure),
        problem=problem,
    )


async def put_off(tx: Tx, notice_id: int, next_at: int) -> None:
    """Not now: somebody else may be writing. That is no attempt."""
    await tx.run(
        "UPDATE notices SET due_since = COALESCE(due_since, next_at), next_at = :next_at WHERE id = :id",
        id=notice_id,
        next_at=next_at,
    )


async def doubt(tx: Tx, notice_id: int) -> None:
    """About to be sent: until an answer is saved, it may or may not have been written."""
    await tx.run("UPDATE notices SET unsure = 1 WHERE id = :id", id=notice_id)


async def trust(tx: Tx, notice_id: int) -> None:
    """The answer to what was sent before is known; what is wanted now has not been sent."""
    await tx.run("UPDATE notices SET unsure = 0, due_since = NULL WHERE id = :id", id=notice_id)


async def end(tx: Tx, notice_id: int, state: str, problem: str | None = None) -> None:
    """``done`` or ``failed``."""
    await tx.run(
        "UPDATE notices SET state = :state, problem = :problem WHERE id = :id",
        id=notice_id,
        state=state,
        problem=problem,
    )


async def forget(tx: Tx, before: int) -> None:
    await tx.run("DELETE FROM notices WHERE state <> 'waiting' AND created_at < :before", before=before)

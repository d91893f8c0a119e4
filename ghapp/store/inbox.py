"""Deliveries: stored before they are answered, worked off later, remembered to tell what was already known.

An id is its sender's, and none other's: it is kept with the sender's name before it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ghapp.store.base import Row, Tx


@dataclass(frozen=True, slots=True)
class Delivery:
    """``sender``: a provider, or another service that tells Kedge something."""

    id: int
    sender: str
    guid: str
    event: str
    received_at: int
    attempts: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A delivery without its body. ``problem`` says why it failed or does not count."""

    event: str
    received_at: int
    state: str
    problem: str | None


def _delivery(row: Row) -> Delivery:
    sender, _, guid = row["guid"].partition(" ")
    return Delivery(row["id"], sender, guid, row["event"], row["received_at"], row["attempts"], row["body"])


def _key(sender: str, guid: str) -> str:
    return f"{sender} {guid}"


def _sent_by(sender: str) -> str:
    key = _key(sender, "")
    return f"substr(guid, 1, {len(key)}) = '{key}'"


async def store(tx: Tx, sender: str, guid: str, event: str, body: bytes, now: int) -> bool:
    """Take a delivery in; False if this id was known."""
    changed = await tx.run(
        """INSERT INTO deliveries (guid, event, received_at, state, next_at, body)
           VALUES (:guid, :event, :now, 'waiting', :now, :body) ON CONFLICT (guid) DO NOTHING""",
        guid=_key(sender, guid),
        event=event,
        now=now,
        body=body,
    )
    return changed > 0


async def known(tx: Tx, sender: str, guids: Sequence[str]) -> set[str]:
    """Those of these ids that were taken in already."""
    keys = [_key(sender, guid) for guid in guids]
    rows = await tx.all("SELECT guid FROM deliveries WHERE guid = ANY(:guids)", guids=keys)
    return {row["guid"].partition(" ")[2] for row in rows}


async def due(tx: Tx, now: int, limit: int, *, sender: str | None = None, but: Collection[str] = ()) -> list[Delivery]:
    """Deliveries to work on, in the order they came in: of all senders, of one, or of all ``but`` some."""
    which = [_sent_by(sender)] if sender else [f"NOT {_sent_by(name)}" for name in but]
    waiting = " AND ".join(["state = 'waiting'", "next_at <= :now", *which])
    # +id is sorted. By id SQLite would read the whole table in its order (https://www.sqlite.org/optoverview.html).
    rows = await tx.all(
        f"""SELECT v.* FROM (SELECT id FROM deliveries WHERE {waiting}
             ORDER BY +id LIMIT :limit) AS due JOIN deliveries v ON v.id = due.id ORDER BY v.id""",
        now=now,
        limit=limit,
    )
    return [_delivery(row) for row in rows]


async def next_at(tx: Tx, now: int) -> int | None:
    row = await tx.one("SELECT MIN(next_at) AS at FROM deliveries WHERE state = 'waiting' AND next_at > :now", now=now)
    return row["at"] if row else None


async def oldest_due(tx: Tx, now: int) -> int | None:
    """Since when the oldest delivery that could be worked on waits; None where none does.

    The plus keeps SQLite from reading all deliveries in order of ``received_at``:
    https://www.sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_
    """
    row = await tx.one(
        "SELECT MIN(+received_at) AS at FROM deliveries WHERE state = 'waiting' AND next_at <= :now", now=now
    )
    return row["at"] if row else None


async def about_setup(tx: Tx, since: int) -> list[Heard]:
    """What GitHub told of the App itself from then on: the oldest 100, in order."""
    rows = await tx.all(
        """SELECT event, received_at, state, problem FROM deliveries
           WHERE event IN ('ping', 'installation', 'installation_repositories') AND received_at >= :since
           ORDER BY received_at LIMIT 100""",
        since=since,
    )
    return [Heard(**row) for row in rows]


async def end(tx: Tx, delivery_id: int, state: str, problem: str | None = None) -> None:
    """``done``, ``ignored`` or ``failed``. The body of an ignored one goes at once."""
    body = "body = NULL, " if state == "ignored" else ""
    await tx.run(
        f"UPDATE deliveries SET {body}state = :state, problem = :problem WHERE id = :id",
        id=delivery_id,
        state=state,
        problem=problem,
    )


async def postpone(tx: Tx, delivery_id: int, next_at: int, problem: str) -> None:
    """Try again later, keeping what went wrong (a traceback)."""
    await tx.run(
        "UPDATE deliveries SET next_at = :next_at, attempts = attempts + 1, problem = :problem WHERE id = :id",
        id=delivery_id,
        next_at=next_at,
        problem=problem,
    )


async def forget(tx: Tx, *, bodies_before: int, ids_before: int) -> None:
    """Drop old bodies, and later the ids too; what still waits is kept."""
    await tx.run(
        "UPDATE deliveries SET body = NULL WHERE state <> 'waiting' AND received_at < :at AND body IS NOT NULL",
        at=bodies_before,
    )
    await tx.run("DELETE FROM deliveries WHERE state <> 'waiting' AND received_at < :at", at=ids_before)

"""What waits: the lines in their order, and which deploys may be claimed."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ghapp.store.base import Row, Tx
from ghapp.store.deploys import SELECT, Deploy, from_row

#: As `core.line.order` and the indexes have it; a deploy that the provider does not know comes after those it does.
_ORDER = "(d.front_at IS NULL), COALESCE(d.front_at, d.asked_at), COALESCE(d.deployment_id, 4611686018427387904), d.id"
#: SQLite joins at most 500 SELECTs: https://www.sqlite.org/limits.html#max_compound_select
_TERMS = 100


@dataclass(frozen=True, slots=True)
class Head:
    """A deploy that may be claimed: as much of it as tells who may claim it. ``labels`` a runner must have."""

    id: int
    environment_id: int
    repository_id: int
    app: str
    environment: str
    repository: str
    defined_in: str
    labels: tuple[str, ...]


class _Labels(msgspec.Struct):
    runner: tuple[str, ...] = ()


def _head(row: Row) -> Head:
    labels = msgspec.json.decode(row["config"], type=_Labels).runner  # of hundreds of heads one is taken
    values = {name: value for name, value in row.items() if name != "config"}
    return Head(**values, labels=labels)


async def line(tx: Tx, environment_id: int, most: int | None = None) -> list[Deploy]:
    """The queued deploys of an environment in order; ``most``: only the first of them. Not those out of the line."""
    rows = await tx.all(
        f"""{SELECT} WHERE d.environment_id = :id AND d.state = 'queued' AND d.out_of_line = 0
            ORDER BY {_ORDER} LIMIT :most""",
        id=environment_id,
        most=(1 << 62) if most is None else most,
    )
    return [from_row(row) for row in rows]


async def fronts(tx: Tx, environment_ids: Sequence[int], most: int) -> list[Deploy]:
    """The first of each environment's line, in no order."""
    found = []
    for start in range(0, len(environment_ids), _TERMS):
        some = environment_ids[start : start + _TERMS]
        each = " UNION ALL ".join(
            f"""SELECT * FROM (SELECT d.id FROM deploys d WHERE d.environment_id = :e{place} AND d.state = 'queued'
                AND d.out_of_line = 0 ORDER BY {_ORDER} LIMIT :most) AS e{place}"""
            for place in range(len(some))
        )
        given = {f"e{place}": one for place, one in enumerate(some)}
        found += await tx.all(f"{SELECT} WHERE d.id IN ({each})", most=most, **given)
    return [from_row(row) for row in found]


async def lengths(tx: Tx, environment_ids: Sequence[int]) -> dict[int, int]:
    """How many wait, in the environments in which anything does."""
    rows = await tx.all(
        """SELECT environment_id, COUNT(*) AS length FROM deploys
           WHERE environment_id = ANY(:ids) AND state = 'queued' GROUP BY environment_id""",
        ids=list(environment_ids),
    )
    return {row["environment_id"]: row["length"] for row in rows}


async def positions(tx: Tx, environment_id: int, deploy_ids: Sequence[int]) -> dict[int, int]:
    """Where the deploys stand in the line of their environment, counted from 1."""
    rows = await tx.all(
        f"""SELECT id, position FROM (
              SELECT d.id, ROW_NUMBER() OVER (ORDER BY {_ORDER}) AS position FROM deploys d
              WHERE d.environment_id = :environment_id AND d.state = 'queued' AND d.out_of_line = 0) AS line
            WHERE id = ANY(:ids)""",
        environment_id=environment_id,
        ids=list(deploy_ids),
    )
    return {row["id"]: row["position"] for row in rows}


async def environments(tx: Tx) -> list[int]:
    """Those in which something waits, in id order."""
    rows = await tx.all(
        """SELECT e.id FROM environments e WHERE EXISTS (
             SELECT 1 FROM deploys d WHERE d.environment_id = e.id AND d.state = 'queued') ORDER BY e.id"""
    )
    return [row["id"] for row in rows]


async def heads(tx: Tx, now: int, *, limit: int, skip: int = 0) -> list[Head]:
    """Those that are next in their environment and may be claimed, longest waiting first: one per line at most."""
    rows = await tx.all(
        f"""SELECT h.id, h.environment_id, h.repository_id, a.name AS app, e.name AS environment,
              r.full_name AS repository, h.defined_in, h.config
            FROM (SELECT * FROM deploys d WHERE d.state = 'queued' AND d.ready_at IS NOT NULL AND d.ready_at <= :now
                  ORDER BY {_ORDER} LIMIT :limit OFFSET :skip) AS h
            JOIN apps a ON a.id = h.app_id JOIN environments e ON e.id = h.environment_id
            JOIN repositories r ON r.id = h.repository_id ORDER BY {_ORDER.replace("d.", "h.")}""",
        now=now,
        limit=limit,
        skip=skip,
    )
    return [_head(row) for row in rows]


async def next_ready_at(tx: Tx, now: int) -> int | None:
    """When the next one becomes ready that is not yet."""
    row = await tx.one("SELECT MIN(ready_at) AS at FROM deploys WHERE state = 'queued' AND ready_at > :now", now=now)
    return row["at"] if row else None


async def checks_timed_out(tx: Tx, now: int) -> list[Deploy]:
    """Queued deploys of which checks have been the only blocker for their ``checks_timeout``, and that no runner
    is to look at again now."""
    rows = await tx.all(SELECT + "WHERE d.state = 'queued' AND d.checks_until <= :now AND d.ready_at > :now", now=now)
    return [from_row(row) for row in rows]

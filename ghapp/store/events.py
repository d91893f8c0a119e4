"""Who did what, when, from where: the audit and each deploy's timeline. Append only."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from ghapp.store.base import Row, Tx, Work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where what is done now comes from; nothing of it where Kedge acts by itself. ``address`` is the client's."""

    door: str | None = None
    address: str | None = None


#: Set by whoever takes a request in. What is recorded meanwhile carries it.
ORIGIN: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039  frozen


@dataclass(frozen=True, slots=True)
class Noted:
    """What the log says of an event; ``deploy`` is ``app#number``."""

    kind: str
    who: str | None
    deploy: str | None


_NOTED: ContextVar[list[Noted] | None] = ContextVar("noted", default=None)


def noting(work: Work[T], noted: list[Noted]) -> Work[T]:
    """The same work, noting what it records, for whoever logs it once it is saved."""

    async def noting_work(tx: Tx) -> T:
        noted.clear()  # a work may run again
        _NOTED.set(noted)
        return await work(tx)

    return noting_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One event. ``number`` is the deploy's; without an ``app`` it concerns everything."""

    id: int
    at: int
    kind: str
    who: str | None
    app: str | None
    environment: str | None
    number: int | None
    door: str | None
    address: str | None
    data: dict[str, object]


_SELECT = """
SELECT v.id, v.at, v.kind, v.who, v.app, v.environment, v.door, v.address, v.data, d.number
FROM events v LEFT JOIN deploys d ON d.id = v.deploy_id
"""


async def record(
    tx: Tx, at: int, kind: str, *, who: str | None = None, deploy: int | None = None, **data: object
) -> None:
    """Add an event, with the `ORIGIN` of this moment. Without a deploy, ``app`` and ``environment`` of the data say
    what it concerns."""
    origin = ORIGIN.get()
    row = await tx.one(
        """INSERT INTO events (at, kind, who, deploy_id, app, environment, door, address, data)
           VALUES (:at, :kind, :who, :deploy_id,
           COALESCE(:app::text, (SELECT a.name FROM deploys d JOIN apps a ON a.id = d.app_id WHERE d.id = :deploy_id)),
           COALESCE(:environment::text, (SELECT e.name FROM deploys d JOIN environments e ON e.id = d.environment_id
                                         WHERE d.id = :deploy_id)),
           :door, :address, :data)
           RETURNING app, (SELECT d.number FROM deploys d WHERE d.id = :deploy_id) AS number""",
        at=at,
        kind=kind,
        who=who,
        deploy_id=deploy,
        app=data.get("app"),
        environment=data.get("environment"),
        door=origin.door,
        address=origin.address,
        data=msgspec.json.encode(data).decode(),
    )
    if row and (noted := _NOTED.get()) is not None:
        noted.append(Noted(kind, who, f"{row['app']}#{row['number']}" if row["number"] else None))


async def of_deploy(tx: Tx, deploy_id: int) -> list[Recorded]:
    """In the order in which they happened."""
    rows = await tx.all(_SELECT + "WHERE v.deploy_id = :id ORDER BY v.id", id=deploy_id)
    return [_recorded(row) for row in rows]


async def after(tx: Tx, event_id: int, limit: int) -> list[Recorded]:
    """Those with a higher id, in order."""
    rows = await tx.all(_SELECT + "WHERE v.id > :id ORDER BY v.id LIMIT :limit", id=event_id, limit=limit)
    return [_recorded(row) for row in rows]


async def newest_id(tx: Tx) -> int:
    """0 where there is none."""
    row = await tx.one("SELECT MAX(id) AS id FROM events")
    return (row["id"] if row else None) or 0


async def newest(
    tx: Tx,
    *,
    app: str | None = None,
    who: str | None = None,
    kind: str | None = None,
    within: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
    before: int | None = None,
    limit: int = 50,
) -> list[Recorded]:
    """Newest first, from below the id ``before``. ``within``: only of these apps, in these environments."""
    apps, environments = within
    conditions, given = ["TRUE"], dict[str, object]({"limit": limit})
    for condition, name, value in (
        ("v.app = :app", "app", app),
        ("v.who = :who", "who", who),
        ("v.kind = :kind", "kind", kind),
        ("v.app = ANY(:apps)", "apps", None if apps is None else list(apps)),
        ("v.environment = ANY(:environments)", "environments", None if environments is None else list(environments)),
        ("v.id < :before", "before", before),
    ):
        if value is not None:
            conditions.append(condition)
            given[name] = value
    rows = await tx.all(_SELECT + f"WHERE {' AND '.join(conditions)} ORDER BY v.id DESC LIMIT :limit", **given)
    return [_recorded(row) for row in rows]


def _recorded(row: Row) -> Recorded:
    return Recorded(**{**row, "data": msgspec.json.decode(row["data"], type=dict[str, object])})

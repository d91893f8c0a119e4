"""Who did what, when: the audit and each deploy's timeline. Append only."""

from dataclasses import dataclass

import msgspec

from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class Recorded:
    id: int
    at: int
    kind: str
    who: str | None
    deploy_id: int | None
    data: dict[str, object]


async def record(
    tx: Tx, at: int, kind: str, *, who: str | None = None, deploy: int | None = None, **data: object
) -> None:
    await tx.run(
        "INSERT INTO events (at, kind, who, deploy_id, data) VALUES (:at, :kind, :who, :deploy_id, :data)",
        at=at,
        kind=kind,
        who=who,
        deploy_id=deploy,
        data=msgspec.json.encode(data).decode(),
    )


async def of_deploy(tx: Tx, deploy_id: int) -> list[Recorded]:
    rows = await tx.all("SELECT * FROM events WHERE deploy_id = :id ORDER BY id", id=deploy_id)
    return [
        Recorded(
            row["id"],
            row["at"],
            row["kind"],
            row["who"],
            row["deploy_id"],
            msgspec.json.decode(row["data"], type=dict[str, object]),
        )
        for row in rows
    ]

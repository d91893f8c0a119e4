"""Deploys: the rows as values, and every query that touches them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from ghapp.core.config import EnvironmentConfig
from ghapp.core.values import Blocker, Chat, Door, EndedBy, State
from ghapp.store.base import Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """One row of ``deploys`` with the names of its app, environment, repository and provider. Times are ms."""

    id: int
    app_id: int
    environment_id: int
    repository_id: int
    app: str
    environment: str
    repository: str
    via: str
    number: int
    request: str
    deployment_id: int | None
    registering: int
    door: str
    task: str
    ref: str
    sha: str
    user: str
    on_behalf_of: str | None
    chat: Chat | None
    hosts: str
    config: EnvironmentConfig
    state: State
    blockers: tuple[Blocker, ...]
    own_blockers: tuple[Blocker, ...]
    asked_at: int
    created_at: int
    ready_at: int | None
    front_at: int | None
    forced_by: str | None
    forced: frozenset[str]
    checks_until: int | None
    out_of_line: int
    judge_at: int | None
    compared_with: int | None
    stale_holds: int
    claims: int
    claim_id: str | None
    lease_hash: str | None = field(repr=False)
    lease_until: int | None
    confirmed: int
    runner: str | None
    defined_in: str
    check_counter: int
    previous_sha: str | None
    claimed_at: int | None
    start_grant_at: int | None
    started_at: int | None
    ended_at: int | None
    cancel_requested_by: str | None
    cancel_requested_at: int | None
    lost_since: int | None
    declared_dead_by: str | None
    ended_by: EndedBy | None
    started: int | None
    exit_code: int | None
    signal: int | None
    reason: str
    log_end: int | None
    shown_state: str | None
    shown_description: str | None
    shown_at: int | None
    shown_blocker: int
    status_writer: str | None
    status_writer_since: int | None
    status_problem: str | None

    @property
    def name(self) -> str:
        """``app#number``, as people say it."""
        return f"{self.app}#{self.number}"

    @property
    def automatic(self) -> bool:
        """Nobody asked for it, and nobody has taken it upon themselves since by passing its checks."""
        return self.door == Door.AUTOMATIC and not self.forced & {"checks", "all"}

    @property
    def labels(self) -> tuple[str, ...]:
        """What a runner must have to claim it."""
        return self.config.runner


_JSON = {
    "config": EnvironmentConfig,
    "chat": Chat | None,
    "blockers": tuple[Blocker, ...],
    "own_blockers": tuple[Blocker, ...],
    "forced": frozenset[str],
}
_NAMES = frozenset(each.name for each in fields(Deploy))
_COLUMNS = _NAMES - {"app", "environment", "repository", "via"}

#: Of every deploy; what follows may refer to it as ``d``.
SELECT = """
SELECT d.*, a.name AS app, e.name AS environment, r.full_name AS repository, r.provider AS via
FROM deploys d JOIN apps a ON a.id = d.app_id JOIN environments e ON e.id = d.environment_id
JOIN repositories r ON r.id = d.repository_id
"""


def from_row(row: Row) -> Deploy:
    """Of what ``SELECT`` gives."""
    values: dict[str, Any] = {name: row[name] for name in _NAMES}
    for name, kind in _JSON.items():
        values[name] = msgspec.json.decode(values[name], type=kind)
    values["state"] = State(values["state"])
    values["ended_by"] = EndedBy(values["ended_by"]) if values["ended_by"] else None
    return Deploy(**values)


def _encoded(changes: dict[str, object]) -> dict[str, object]:
    return {
        name: msgspec.json.encode(value).decode()
        if name in _JSON
        else value.value
        if isinstance(value, State)
        else value
        for name, value in changes.items()
    }


async def get(tx: Tx, deploy_id: int) -> Deploy | None:
    row = await tx.one(SELECT + "WHERE d.id = :id", id=deploy_id)
    return from_row(row) if row else None


async def several(tx: Tx, deploy_ids: Sequence[int]) -> list[Deploy]:
    """In no order."""
    return [from_row(row) for row in await tx.all(SELECT + "WHERE d.id = ANY(:ids)", ids=list(deploy_ids))]


async def by_number(tx: Tx, app: str, number: int) -> Deploy | None:
    row = await tx.one(SELECT + "WHERE a.name = :app AND d.number = :number", app=app, number=number)
    return from_row(row) if row else None


async def by_deployment(tx: Tx, repository_id: int, deployment_id: int) -> Deploy | None:
    row = await tx.one(
        SELECT + "WHERE d.repository_id = :repository_id AND d.deployment_id = :deployment_id",
        repository_id=repository_id,
        deployment_id=deployment_id,
    )
    return from_row(row) if row else None


async def by_request(tx: Tx, request: str) -> Deploy | None:
    row = await tx.one(SELECT + "WHERE d.request = :request", request=request)
    return from_row(row) if row else None


async def by_claim(tx: Tx, claim_id: str) -> Deploy | None:
    """The deploy that this claim id was once given, whether or not the lease still lives."""
    row = await tx.one(SELECT + "JOIN claims c ON c.deploy_id = d.id WHERE c.claim_id = :id", id=claim_id)
    return from_row(row) if row else None


async def insert(tx: Tx, **values: object) -> int:
    """A new deploy with the next number of its app; returns its id. Raises Conflict for a known request or
    deployment."""
    numbered = await tx.one(
        "UPDATE apps SET last_number = last_number + 1 WHERE id = :id RETURNING last_number", id=values["app_id"]
    )
    if numbered is None:
        raise LookupError(f"no app with id {values['app_id']}")
    encoded = _encoded({**values, "number": numbered["last_number"]})
    columns = ", ".join(f'"{name}"' for name in encoded)
    places = ", ".join(f":{name}" for name in encoded)
    row = await tx.one(f"INSERT INTO deploys ({columns}) VALUES ({places}) RETURNING id", **encoded)
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return int(row["id"])


async def save(tx: Tx, deploy_id: int, **changes: object) -> None:
    """Change columns of one deploy. Column names come from code only; unknown ones raise ValueError."""
    if unknown := set(changes) - _COLUMNS:
        raise ValueError(f"deploys has no column {', '.join(sorted(unknown))}")
    sets = ", ".join(f'"{name}" = :{name}' for name in changes)
    await tx.run(f"UPDATE deploys SET {sets} WHERE id = :id", id=deploy_id, **_encoded(changes))


async def active(tx: Tx, environment_id: int) -> Deploy | None:
    """The deploy that is claimed or running there: at most one."""
    row = await tx.one(SELECT + "WHERE d.environment_id = :id AND d.state IN ('claimed', 'running')", id=environment_id)
    return from_row(row) if row else None


async def live(tx: Tx, environment_id: int) -> Deploy | None:
    """What is live there: the last *finished* success whose task is deploy or rollback."""
    row = await tx.one(
        SELECT
        + """WHERE d.environment_id = :id AND d.state = 'succeeded' AND d.task IN ('deploy', 'rollback')
             ORDER BY d.ended_at DESC, d.id DESC LIMIT 1""",
        id=environment_id,
    )
    return from_row(row) if row else None


async def active_in(tx: Tx, environment_ids: Sequence[int]) -> dict[int, Deploy]:
    """What is claimed or running, by environment."""
    rows = await tx.all(
        SELECT + "WHERE d.environment_id = ANY(:ids) AND d.state IN ('claimed', 'running')", ids=list(environment_ids)
    )
    return {row["environment_id"]: from_row(row) for row in rows}


async def live_in(tx: Tx, environment_ids: Sequence[int]) -> dict[int, Deploy]:
    """What is live, by environment."""
    rows = await tx.all(
        SELECT
        + """WHERE e.id = ANY(:ids) AND d.id = (
               SELECT l.id FROM deploys l WHERE l.environment_id = e.id AND l.state = 'succeeded'
               AND l.task IN ('deploy', 'rollback') ORDER BY l.ended_at DESC, l.id DESC LIMIT 1)""",
        ids=list(environment_ids),
    )
    return {row["environment_id"]: from_row(row) for row in rows}


async def of_sha(tx: Tx, repository_id: int, sha: str) -> list[Deploy]:
    """The deploys of a sha that have not ended."""
    rows = await tx.all(
        SELECT
        + """WHERE d.repository_id = :repository_id AND d.sha = :sha
                     AND d.state IN ('queued', 'claimed', 'running')""",
        repository_id=repository_id,
        sha=sha,
    )
    return [from_row(row) for row in rows]


async def live_shas(tx: Tx, repository_id: int) -> list[str]:
    """The shas of the deploys of a repository that have not ended."""
    rows = await tx.all(
        """SELECT DISTINCT sha FROM deploys
           WHERE repository_id = :repository_id AND state IN ('queued', 'claimed', 'running') ORDER BY sha""",
        repository_id=repository_id,
    )
    return [row["sha"] for row in rows]


async def leases_ended(tx: Tx, now: int) -> list[Deploy]:
    """Claimed or running, not heard of within their lease, not yet marked lost."""
    rows = await tx.all(
        SELECT + "WHERE d.state IN ('claimed', 'running') AND d.lease_until <= :now AND d.lost_since IS NULL", now=now
    )
    return [from_row(row) for row in rows]


async def shown_as_success(tx: Tx, environment_id: int, before: int) -> list[Deploy]:
    """Deploys that ended before that time and that the provider still shows as successful there."""
    rows = await tx.all(
        SELECT + "WHERE d.environment_id = :id AND d.shown_state = 'success' AND d.ended_at < :before",
        id=environment_id,
        before=before,
    )
    return [from_row(row) for row in rows]


async def remember_claim(tx: Tx, claim_id: str, deploy_id: int, at: int) -> None:
    await tx.run(
        "INSERT INTO claims (claim_id, deploy_id, at) VALUES (:claim_id, :deploy_id, :at)",
        claim_id=claim_id,
        deploy_id=deploy_id,
        at=at,
    )


async def forget_claims(tx: Tx, before: int) -> None:
    await tx.run("DELETE FROM claims WHERE at < :before", before=before)

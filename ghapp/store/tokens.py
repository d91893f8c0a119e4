"""Tokens that were created: whose, for what, and until when. Of the secret itself only a hash is kept."""

from dataclasses import dataclass

import msgspec

from ghapp.store.base import Row, Tx

_LISTS = ("scopes", "apps", "environments", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """``apps`` and ``environments`` None: every one; ``labels`` None: whatever a runner names. Times are ms."""

    id: int
    name: str
    owner: str
    scopes: tuple[str, ...]
    apps: tuple[str, ...] | None
    environments: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    created_at: int
    created_by: str
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


_COLUMNS = (
    "id, name, owner, scopes, apps, environments, labels, created_at, created_by, expires_at, last_used_at, revoked_at"
)


def _token(row: Row) -> Token:
    lists = {name: msgspec.json.decode(row[name], type=tuple[str, ...] | None) for name in _LISTS}
    return Token(**{**row, **lists})


async def insert(tx: Tx, secret_hash: str, **values: object) -> Token:
    """A new token. ``values`` are the fields of `Token` that are known when it is created."""
    for name in _LISTS:
        values[name] = msgspec.json.encode(values[name]).decode()
    row = await tx.one(
        f"""INSERT INTO tokens
              (hash, name, owner, scopes, apps, environments, labels, created_at, created_by, expires_at)
            VALUES (:hash, :name, :owner, :scopes, :apps, :environments, :labels, :created_at, :created_by, :expires_at)
            RETURNING {_COLUMNS}""",
        hash=secret_hash,
        **values,
    )
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return _token(row)


async def by_hash(tx: Tx, secret_hash: str) -> Token | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM tokens WHERE hash = :hash", hash=secret_hash)
    return _token(row) if row else None


async def get(tx: Tx, token_id: int) -> Token | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM tokens WHERE id = :id", id=token_id)
    return _token(row) if row else None


async def newest(tx: Tx, *, before: int | None, limit: int) -> list[Token]:
    """Newest first, from below the id ``before``."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM tokens WHERE id < :before ORDER BY id DESC LIMIT :limit",
        before=(1 << 62) if before is None else before,
        limit=limit,
    )
    return [_token(row) for row in rows]


async def revoke(tx: Tx, token_id: int, now: int) -> bool:
    """Was it still good for anything?"""
    changed = await tx.run(
        "UPDATE tokens SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL", id=token_id, now=now
    )
    return changed > 0


async def keep_use(tx: Tx, token_id: int, at: int) -> None:
    await tx.run(
        "UPDATE tokens SET last_used_at = :at WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :at)",
        id=token_id,
        at=at,
    )

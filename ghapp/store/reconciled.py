"""How far each provider's own record of what it sent was read back, and since when it counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class Position:
    """Times in ms. Of what was sent before ``begun_at`` nothing counts; what was sent before ``heard_until`` is
    stored."""

    begun_at: int
    heard_until: int


async def position(tx: Tx, provider: str) -> Position | None:
    """None where its record was never read."""
    row = await tx.one("SELECT begun_at, heard_until FROM reconciled WHERE provider = :provider", provider=provider)
    return Position(**row) if row else None


async def begin(tx: Tx, provider: str, now: int) -> Position:
    """The position, which is now unless it was begun meanwhile."""
    await tx.run(
        """INSERT INTO reconciled (provider, begun_at, heard_until) VALUES (:provider, :now, :now)
           ON CONFLICT (provider) DO NOTHING""",
        provider=provider,
        now=now,
    )
    return await position(tx, provider) or Position(now, now)


async def move(tx: Tx, provider: str, until: int) -> None:
    """Everything sent before is stored; never back."""
    await tx.run(
        "UPDATE reconciled SET heard_until = :until WHERE provider = :provider AND heard_until < :until",
        provider=provider,
        until=until,
    )


async def watch(tx: Tx, name: str, source: str, now: int) -> None:
    """The app's repository by the config in force; where it is another one than before, it counts from now on, and
    the one before no longer."""
    await tx.run(
        """UPDATE apps SET source = :source, source_since = :now, repository_id = NULL
           WHERE name = :name AND (source IS NULL OR source <> :source)""",
        name=name,
        source=source,
        now=now,
    )


async def leave(tx: Tx, names: Sequence[str]) -> None:
    """Only apps of these names are in the config in force."""
    await tx.run("UPDATE apps SET source = NULL WHERE source IS NOT NULL AND name <> ALL(:names)", names=list(names))


async def sources(tx: Tx) -> dict[str, int]:
    """By name of an app in force: since when its repository counts (ms)."""
    rows = await tx.all("SELECT name, source_since FROM apps WHERE source IS NOT NULL")
    return {row["name"]: row["source_since"] for row in rows}

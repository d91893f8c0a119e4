"""Migrations: numbered SQL files, applied in order at start, forward only, each in one transaction.

`NNNN_name.sql`, from 0001 without a gap. The SQL is that of both databases (see `base`), with `{id}` for the type
of a generated key and `{blob}` for bytes. What was applied stands, with a checksum, in a table of the database.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ghapp.store.base import Database, Row, StoreError, Tx, Unavailable
from ghapp.store.sql import statements

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class MigrationError(StoreError):
    """The database and this version's migrations do not fit, or one failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs in the migrations' SQL: the two macros, and what keeps a second process waiting, if needed."""

    id: str
    blob: str
    lock: str | None

    def fill(self, sql: str) -> str:
        return sql.replace("{id}", self.id).replace("{blob}", self.blob)


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


def load(folder: Path) -> list[Migration]:
    """The folder's migrations in order.

    Raises MigrationError for a wrong name, a gap, a number used twice, or a folder without any.
    """
    migrations = []
    for number, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise MigrationError(
                f"{path} should be number {number:04}: migrations are named NNNN_name.sql, "
                "from 0001 on, each number once. Rename it, or put back the file that is missing."
            )
        migrations.append(Migration(number, match[2], path.read_text(encoding="utf-8")))
    if not migrations:
        raise MigrationError(f"{folder} has no migrations: Kedge is not installed completely. Install it again.")
    return migrations


def next_one(migrations: Sequence[Migration], applied: Sequence[Row]) -> Migration | None:
    """The migration to apply next, given the recorded ones in order; None if there is none left. Pure.

    Raises MigrationError where the record shows a gap, a changed file, or more than `migrations` has.
    """
    for index, row in enumerate(applied):
        if index >= len(migrations):
            raise MigrationError(
                f"The database was made by a newer Kedge: it has migration {row['number']:04}_{row['name']}, "
                f"this version ends at {len(migrations):04}. Start the newer version again, "
                "or restore a backup from before the upgrade."
            )
        known = migrations[index]
        if row["number"] != known.number:
            raise MigrationError(
                f"The database has migration {row['number']:04}_{row['name']} but not {known}, which comes before "
                "it. Restore the table of migrations, or the whole database, from a backup."
            )
        if row["checksum"] != known.checksum:
            raise MigrationError(
                f"{known}.sql was changed after it was applied to this database. Put the file back as it was, "
                "and write the change into a new migration."
            )
    return migrations[len(applied)] if len(applied) < len(migrations) else None


async def migrate(database: Database, dialect: Dialect, migrations: Sequence[Migration], table: str) -> None:
    """Apply what is missing; `table` records it. Safe where several processes start at once.

    Raises MigrationError; the migrations before the one that failed stay applied.
    """

    async def step(tx: Tx) -> bool:
        return await _step(tx, dialect, migrations, table)

    while await database.write(step):
        pass


async def _step(tx: Tx, dialect: Dialect, migrations: Sequence[Migration], table: str) -> bool:
    if dialect.lock is not None:
        await tx.run(dialect.lock)
    await tx.run(
        f"CREATE TABLE IF NOT EXISTS {table} (number BIGINT PRIMARY KEY, name TEXT NOT NULL, "
        "checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    applied = await tx.all(f"SELECT number, name, checksum FROM {table} ORDER BY number")
    migration = next_one(migrations, applied)
    if migration is None:
        return False
    await _apply(tx, dialect, migration)
    await tx.run(
        f"INSERT INTO {table} VALUES (:number, :name, :checksum, :applied_at)",
        number=migration.number,
        name=migration.name,
        checksum=migration.checksum,
        applied_at=time.time_ns() // 1_000_000,
    )
    return True


async def _apply(tx: Tx, dialect: Dialect, migration: Migration) -> None:
    for statement in statements(dialect.fill(migration.sql)):
        try:
            await tx.run(statement)
        except Unavailable:
            raise
        except Exception as error:
            raise MigrationError(
                f"Migration {migration} failed and left nothing behind: {error}. "
                "The earlier version of Kedge still runs on this database; please report this."
            ) from error

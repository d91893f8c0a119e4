"""Many deploys at once, written past the service: for what is measured or planned on databases of any size.

Half of the finished deploys are of the first app, a few of the last app are older than all others, and as few, as old,
were asked for by ``rare`` or rejected: what is looked for is not always among the newest.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import msgspec

from ghapp.core.config import EnvironmentConfig
from ghapp.store.stores import open_stores, sqlite_path

#: 2026-11-23T14:00:00Z
NOW = 1_795_442_400_000
RARE = 60
Value = int | str | bytes | None
Table = tuple[str, tuple[str, ...], Iterator[tuple[Value, ...]]]

_DEPLOY = (
    *("id", "app_id", "environment_id", "repository_id", "number", "request", "deployment_id", "door", "task"),
    *("ref", "sha", "user", "config", "state", "asked_at", "created_at", "claims", "runner", "claimed_at"),
    *("started_at", "ended_at", "shown_state"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """``line``: how many wait in each environment of the first ``lines``, the last of which are of the last apps."""

    finished: int
    lines: int
    line: int
    apps: int = 50
    environments: int = 10

    @property
    def count(self) -> int:
        return self.apps * self.environments

    @property
    def waiting(self) -> int:
        return self.lines * self.line


def config_text(scale: Scale) -> str:
    """The operator's config of the apps."""
    names = ", ".join(f"e{place}: {{}}" for place in range(scale.environments))
    return "".join(
        f"a{place}: {{via: github, repository: acme/a{place}, deploy: ./deploy, environments: {{{names}}}}}\n"
        for place in range(scale.apps)
    )


def _environment_of(scale: Scale, place: int) -> int:
    """Of the finished deploy at that place, counted from 0: the id of its environment."""
    if place < RARE:
        return scale.count
    if place % 2:
        return 1 + place // 2 % scale.environments
    return 1 + scale.environments + place // 2 % (scale.count - 2 * scale.environments)


def _deploys(scale: Scale) -> Iterator[tuple[Value, ...]]:
    configs = [
        msgspec.json.encode(EnvironmentConfig(f"e{place}", "./deploy {env} {sha}")).decode()
        for place in range(scale.environments)
    ]
    for place in range(scale.finished):
        environment = _environment_of(scale, place)
        rare = RARE <= place < 4 * RARE and environment <= scale.environments
        state = "rejected" if rare else "failed" if place % 10 == 9 else "succeeded"
        user = "rare" if rare else f"u{place % 7}"
        shown = {"rejected": "failure", "failed": "failure", "succeeded": "inactive"}[state]
        at = NOW - (scale.finished - place) * 1000 - 1_000_000
        yield (*_asked(scale, place + 1, environment, configs, user, state, at), 1, "r1", at, at, at + 900, shown)
    for place in range(scale.waiting):
        environment = scale.count - place % scale.lines
        at = NOW - (scale.waiting - place) * 10
        row = _asked(scale, scale.finished + place + 1, environment, configs, "ana", "queued", at)
        yield (*row, 0, None, None, None, None, "queued")


def _asked(
    scale: Scale, number: int, environment: int, configs: list[str], user: str, state: str, at: int
) -> tuple[Value, ...]:
    app = 1 + (environment - 1) // scale.environments
    config = configs[(environment - 1) % scale.environments]
    first = (number, app, environment, app, number, f"request-{number}", number, "api", "deploy")
    return (*first, "main", f"{number:040x}", user, config, state, at, at)


def tables(scale: Scale) -> list[Table]:
    """Of every table that grows its rows, in an order that foreign keys allow."""
    apps, places = range(1, scale.apps + 1), range(1, scale.count + 1)
    deploys = range(1, scale.finished + 1)
    each = scale.environments
    repository = ("id", "provider", "provider_id", "full_name", "clone_url", "default_branch")
    event = ("at", "kind", "who", "deploy_id", "app", "environment")
    delivery = ("guid", "event", "received_at", "state", "next_at", "body")
    notice = ("channel", "deploy_id", "repository_id", "deployment_id", "body", "state", "created_at", "next_at")
    message = ("channel", "target", "key", "deploy_id", "body", "state", "created_at", "next_at")
    check = ("repository_id", "sha", "key", "name", "state", "at", "serial", "counter", "seen_at")
    status = '{"state":"success","description":"x"}'

    def of(number: int) -> tuple[str, str]:
        place = _environment_of(scale, number - 1) - 1
        return f"a{place // each}", f"e{place % each}"

    def kind(number: int) -> str:
        return "locked" if number <= RARE else "asked" if number % 2 else "succeeded"

    return [
        ("repositories", repository, ((n, "github", n, f"acme/a{n - 1}", "https://x", "main") for n in apps)),
        ("apps", ("id", "name", "repository_id", "last_number"), ((n, f"a{n - 1}", n, 1 << 40) for n in apps)),
        ("environments", ("id", "app_id", "name"), ((n, 1 + (n - 1) // each, f"e{(n - 1) % each}") for n in places)),
        ("deploys", _DEPLOY, _deploys(scale)),
        ("events", event, ((NOW, kind(n), f"u{n % 7}", n, *of(n)) for n in deploys)),
        ("deliveries", delivery, ((f"g{n}", "status", NOW - 1000 * n, "done", 0, None) for n in deploys[::4])),
        ("notices", notice, (("status", n, 1, n, status, "done", NOW - 1000 * n, 0) for n in deploys[::4])),
        ("messages", message, (("slack", "#d", f"k{n}", n, "{}", "done", NOW - 1000 * n, 0) for n in deploys[::4])),
        ("checks_seen", check, ((1, f"{n:040x}", "k", "ci", "success", n, n, n, NOW - n) for n in deploys[::4])),
        ("claims", ("claim_id", "deploy_id", "at"), ((f"c{n}", n, NOW - 1000 * n) for n in deploys[::100])),
    ]


async def look_over(url: str) -> None:
    """What autovacuum does by and by: PostgreSQL knows what its tables hold, and which pages need no look."""
    if url.startswith("sqlite:"):
        return
    raw = await asyncpg.connect(url)
    try:
        await raw.execute("VACUUM ANALYZE")
    finally:
        await raw.close()


async def fill(url: str, scale: Scale) -> None:
    """Fill a database that is fresh (migrated here)."""
    await (await open_stores(url)).close()
    if url.startswith("sqlite:"):
        _fill_sqlite(url, scale)
    else:
        await _fill_postgres(url, scale)


def _fill_sqlite(url: str, scale: Scale) -> None:
    raw = sqlite3.connect(sqlite_path(url))
    raw.execute("PRAGMA synchronous = OFF")
    found = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'"
    indexes = raw.execute(found).fetchall()
    for name, _ in indexes:  # made at once when the rows are there, which is much faster
        raw.execute(f"DROP INDEX {name}")
    for table, columns, rows in tables(scale):
        names, values = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        raw.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)
    for _, sql in indexes:
        raw.execute(sql)
    raw.commit()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


async def _fill_postgres(url: str, scale: Scale) -> None:
    raw = await asyncpg.connect(url)
    try:
        indexes = await raw.fetch(
            """SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE 'CREATE INDEX%'
            """
        )
        for index in indexes:
            await raw.execute(f"DROP INDEX {index['indexname']}")
        for table, columns, rows in tables(scale):
            await raw.copy_records_to_table(table, columns=columns, records=rows)
        for index in indexes:
            await raw.execute(index["indexdef"])
        for table in ("repositories", "apps", "environments", "deploys"):
            await raw.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))")
    finally:
        await raw.close()
    await look_over(url)

"""No statement of a named query reads a growing table from one end to the other, on either database.

Every query function of the store is called on a few thousand deploys, and each statement that it issues explained. A
new function is called by itself: its parameters get their values by name, from `VALUES` or `SPECIAL`.
"""

import importlib
import inspect
import json
import pkgutil
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import asyncpg
import pytest
import pytest_asyncio

from ghapp import store
from ghapp.core.checks import Check, CheckState
from ghapp.core.values import DeploymentStatus, Lock, Repository
from ghapp.store.base import Row, Tx
from ghapp.store.comments import Head
from ghapp.store.logs import Chunk
from ghapp.store.own_configs import OwnConfig
from ghapp.store.places import App, Runner
from ghapp.store.sql import to_postgres, to_sqlite
from ghapp.store.stores import MIGRATIONS
from tests.conftest import PostgresServer
from tests.scale_data import NOW, Scale, fill

GROWING = (
    *("deploys", "events", "deliveries", "notices", "checks_seen", "claims", "log_chunks", "log_ends"),
    *("comments", "tellings", "heads", "messages"),
)
#: Indexes of what is not over, which may be read whole.
NOT_OVER = re.compile(
    r"deploys_(line|waiting|heads|ready|active|automatic|leased|checks_until|of_sha|judged)|(notices_waiting|notices_due|messages_due|deliveries_waiting)"
)
SCALE = Scale(finished=4000, lines=20, line=5, apps=10, environments=4)
SHA = f"{70:040x}"

VALUES: dict[str, Any] = {
    "tx": None,
    "abbreviated": SHA[:10],
    "app": "a1",
    "app_id": 2,
    "at": NOW,
    "before": NOW,
    "bodies_before": NOW,
    "body": b"{}",
    "by": NOW,
    "channel": "status",
    "channels": ["slack", "status"],
    "asked_in": 9,
    "check": Check("k", "ci", CheckState.SUCCESS, NOW, 1),
    "chunk": Chunk(0, 1, "identity", b"x"),
    "claim_id": "c1",
    "clone_url": "https://x",
    "comment_id": 9,
    "count": 1,
    "delivery_id": 3,
    "deploy_id": 70,
    "deploy_ids": [70, 4001, 4002],
    "deployment_id": 70,
    "environment_id": SCALE.count,
    "environment_ids": [1, 2, SCALE.count],
    "event": "status",
    "event_id": 7,
    "final": True,
    "full_name": "acme/a1",
    "guid": "new",
    "guids": ["new", "d-3"],
    "head": Head(SHA, NOW),
    "ids_before": NOW,
    "installation_id": 5,
    "kind": "asked",
    "label": "x",
    "limit": 50,
    "key": "k",
    "lock": Lock("ana", "why", NOW, None, "a1", "e0"),
    "message_id": 3,
    "most": 30,
    "name": "a1",
    "names": ["a1"],
    "next_at": NOW,
    "notice_id": 3,
    "judged_sha": SHA,
    "now": NOW,
    "number": 70,
    "offset": 0,
    "own": OwnConfig("github", Repository(2, "acme/a1", "https://x", "main"), 2, NOW, 0, None, SHA, (), SHA, "x"),
    "problem": None,
    "problems": (),
    "provider": "github",
    "provider_id": 2,
    "repository": Repository(2, "acme/a1", "https://x", "main"),
    "repository_id": 2,
    "request": "request-70",
    "runner": Runner("r", (), None, "1", "b", NOW),
    "secret_hash": "x",
    "sender": "github",
    "sealed": b"x",
    "sha": SHA,
    "since": NOW,
    "source": "github:acme/a1",
    "state": "done",
    "target": "#deploys",
    "task": "deploy",
    "text": "x",
    "trouble": None,
    "until": NOW,
    "token_id": 1,
    "told": False,
    "unsure": False,
    "value_ms": 5,
    "wanted": DeploymentStatus("success", "x"),
    "bounds_s": (1.0,),
    "who": "u1",
    "why": "x",
}
_TOKEN = {"name": "t", "owner": "ana", "created_at": NOW, "created_by": "ana", "expires_at": None}
_NEW = {"app_id": 1, "environment_id": 1, "repository_id": 1, "request": "new", "door": "api", "task": "deploy"}
SPECIAL: dict[str, list[dict[str, Any]]] = {
    "deploys.insert": [
        {
            **_NEW,
            "ref": "main",
            "sha": SHA,
            "user": "ana",
            "config": {},
            "state": "queued",
            "asked_at": 1,
            "created_at": 1,
        }
    ],
    "deploys.save": [{"state": "failed", "ready_at": None}],
    "deploys.remember_claim": [{"claim_id": "new"}],
    "tokens.insert": [{"scopes": [], "apps": None, "environments": None, "labels": None, **_TOKEN}],
    "places.keep_environment": [{"app": App(2, "a1", 2)}],
    "releases.set_rolled_back": [{"before": 70}],
    "messages.due": [{"in_order": True}, {"in_order": False}],
    "messages.put": [{"body": "{}"}],
    "messages.said": [{"body": "{}"}],
    "messages.add": [{"body": "{}"}],
    "messages.replace": [{"body": "{}"}],
    "polled.begin": [{"repository_id": 3, "heads": {"main": SHA}}],
    "polled.keep_only": [{"sources": ["git x"], "repository_ids": [3]}],
    "polled.move": [
        {"before": None, "after": SHA},
        {"before": SHA, "after": None},
        {"before": SHA, "after": SHA},
    ],
    "outbox.put": [{}, {"deploy_id": None}],
    "history.page": [
        {"state": state, "user": user, "before": before}
        for state in (None, "rejected")
        for user in (None, "rare")
        for before in (None, 3000)
    ],
    "events.newest": [
        {},
        {"before": 3000},
        *(
            {name: value, "before": before}
            for name, value in (("app", "a9"), ("who", "nobody"), ("kind", "locked"))
            for before in (None, 3000)
        ),
    ],
    "checks.forget": [{"before": NOW - 3990}],
}


class Explainer(Protocol):
    """A Tx that explains each statement before it runs it; `scans` are the findings."""

    scans: list[str]


class SqliteTx:
    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.scans: list[str] = []

    async def all(self, sql: str, /, **params: object) -> list[Row]:
        return list(self._execute(sql, params).fetchall())

    async def one(self, sql: str, /, **params: object) -> Row | None:
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def run(self, sql: str, /, **params: object) -> int:
        return self._execute(sql, params).rowcount

    def _execute(self, sql: str, params: dict[str, object]) -> sqlite3.Cursor:
        text = to_sqlite(sql)
        bound = {name: json.dumps(one) if isinstance(one, list | tuple) else one for name, one in params.items()}
        names = {alias: table for table, alias in re.findall(r"(?:FROM|JOIN|UPDATE) (\w+)(?: AS)? (\w+)", text)}
        for row in self.raw.execute(f"EXPLAIN QUERY PLAN {text}", bound).fetchall():
            found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", row["detail"])
            if found and names.get(found[1], found[1]) in GROWING and not NOT_OVER.fullmatch(found[2] or ""):
                self.scans.append(f"{row['detail']}: {text}")
        return self.raw.execute(text, bound)


class PostgresTx:
    def __init__(self, raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.raw = raw
        self.scans: list[str] = []

    async def all(self, sql: str, /, **params: object) -> list[Row]:
        text, names = to_postgres(sql)
        values = [params[name] for name in names]
        (explained,) = await self.raw.fetch(f"EXPLAIN (FORMAT JSON) {text}", *values)
        self._look(json.loads(explained[0])[0]["Plan"], text, limited=False)
        return [dict(row) for row in await self.raw.fetch(text, *values)]

    async def one(self, sql: str, /, **params: object) -> Row | None:
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def run(self, sql: str, /, **params: object) -> int:
        return len(await self.all(sql, **params))

    def _look(self, node: dict[str, Any], sql: str, *, limited: bool) -> None:
        """A scan, or an index read without a condition: whole, unless all that it reads counts for a limit."""
        limited = (limited or node["Node Type"] == "Limit") and node["Node Type"] != "Sort" and "Filter" not in node
        whole = "Scan" in node["Node Type"] and not (limited or "Index Cond" in node or "Recheck Cond" in node)
        name = node.get("Index Name", "")
        if whole and node.get("Relation Name") in GROWING and not NOT_OVER.fullmatch(name):
            self.scans.append(f"{node['Node Type']} {node['Relation Name']} {name}: {sql}")
        for one in node.get("Plans", ()):
            self._look(one, sql, limited=limited)


def functions() -> list[tuple[str, Callable[..., Any]]]:
    """Every public query function: its first parameter is a Tx."""
    found = []
    for info in pkgutil.iter_modules(store.__path__):
        module: ModuleType = importlib.import_module(f"ghapp.store.{info.name}")
        for name, one in inspect.getmembers(module, inspect.iscoroutinefunction):
            if one.__module__ == module.__name__ and not name.startswith("_"):
                first = next(iter(inspect.signature(one).parameters.values()), None)
                if first is not None and first.annotation is Tx:
                    found.append((f"{info.name}.{name}", one))
    return found


def arguments(name: str, function: Callable[..., Any], tx: Explainer) -> list[tuple[list[Any], dict[str, Any]]]:
    calls = []
    for special in SPECIAL.get(name, [{}]):
        positional: list[Any] = []
        named = dict(special)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            if parameter.name not in named:
                if parameter.default is not parameter.empty:
                    continue
                assert parameter.name in VALUES, (
                    f"{name} has a parameter {parameter.name}; say what it may be in VALUES"
                )
                named[parameter.name] = VALUES[parameter.name]
            if parameter.kind is not parameter.KEYWORD_ONLY:
                positional.append(named.pop(parameter.name))
        positional[0] = tx
        calls.append((positional, named))
    return calls


@asynccontextmanager
async def sqlite_tx(path: Path) -> AsyncIterator[SqliteTx]:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.row_factory = lambda cursor, values: {
        column[0]: one for column, one in zip(cursor.description, values, strict=True)
    }
    raw.execute(f"ATTACH '{path.with_name('big-logs.sqlite')}' AS logs")
    raw.execute("BEGIN")
    yield SqliteTx(raw)
    raw.rollback()
    raw.close()


@pytest_asyncio.fixture(params=["sqlite", "postgres"], scope="module", loop_scope="module")
async def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'big.sqlite'}"
        await fill(url, SCALE)
        yield url
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        async with server.database(MIGRATIONS) as url:
            await fill(url, SCALE)
            yield url


@asynccontextmanager
async def explaining(url: str) -> AsyncIterator[SqliteTx | PostgresTx]:
    """What is done in it is undone."""
    if url.startswith("sqlite:"):
        async with sqlite_tx(Path(url.removeprefix("sqlite:///"))) as tx:
            yield tx
        return
    raw = await asyncpg.connect(url)
    transaction = raw.transaction()
    await transaction.start()
    await raw.execute("SET LOCAL enable_seqscan = off")  # small tables would be read whole, whatever indexes there are
    yield PostgresTx(raw)
    await raw.close()


@pytest.mark.parametrize(("name", "function"), functions(), ids=[name for name, _ in functions()])
async def test_no_query_reads_a_growing_table_whole(filled: str, name: str, function: Callable[..., Any]) -> None:
    scans: list[str] = []
    async with explaining(filled) as tx:
        for positional, named in arguments(name, function, tx):
            await function(*positional, **named)
        scans = [one for one in tx.scans if "WHERE TRUE ORDER BY v.id DESC LIMIT" not in one]
    assert not scans, "\n".join(scans)


async def test_a_scan_is_found(filled: str) -> None:
    async with explaining(filled) as tx:
        await tx.all("SELECT d.id FROM deploys d WHERE d.runner = :runner", runner="rare")
        assert tx.scans

"""What a read and the claim cost the database does not grow with what is over, nor with how many wait.

Every GET of the API and every page is asked for twice over, on databases that differ in size alone. Costs are counted,
not timed: the steps of SQLite's virtual machine (https://www.sqlite.org/opcode.html), and the rows that are read.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import pytest_asyncio

from ghapp.api.routes import ROUTES
from ghapp.core.limits import Rate
from ghapp.service import reload, sweeping
from ghapp.service.limits import Limits
from ghapp.store import sqlite
from ghapp.store.stores import open_stores
from tests.integration.commit_graph import Commits
from tests.integration.kedge_world import BEARER, World, world
from tests.scale_data import Scale, config_text, fill

LIMIT = 1.3
#: What every read does besides, such as finding the app.
SLACK_STEPS = 300
#: For one more in a line of which somebody asks a position or the length.
COUNTED_STEPS = 60
FEW = Scale(finished=1000, lines=2, line=120, apps=4, environments=3)
MANY = Scale(finished=10_000, lines=2, line=120, apps=4, environments=3)
LONG = Scale(finished=1000, lines=2, line=1200, apps=4, environments=3)
_NO_LIMIT = Rate(1e6, 10**6)


@dataclass
class Cost:
    """What was counted since `start`."""

    steps: int = 0
    rows: int = 0

    def start(self) -> None:
        self.steps = self.rows = 0


@dataclass
class Sized:
    """The app on a database of a size."""

    kedge: World
    scale: Scale
    cost: Cost = field(default_factory=Cost)

    async def of(self, path: str) -> Cost:
        """Of asking for it once more."""
        for _ in range(2):
            self.cost.start()
            async with self.kedge.client.get(path, headers=BEARER) as answer:
                assert answer.status < 500, (path, await answer.text())
        return Cost(self.cost.steps, self.cost.rows)


@asynccontextmanager
async def sized(folder: Path, scale: Scale, patch: pytest.MonkeyPatch) -> AsyncIterator[Sized]:
    cost = Cost()
    connect, as_dict = sqlite._connect, sqlite._as_dict

    def step() -> int:
        cost.steps += 1
        return 0

    def row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
        cost.rows += 1
        return as_dict(cursor, values)

    async def counting(path: Path, *, readonly: bool = False) -> aiosqlite.Connection:
        raw = await connect(path, readonly=readonly)
        await raw.set_progress_handler(step, 1)
        return raw

    url = f"sqlite:///{folder / 'kedge.sqlite'}"
    await fill(url, scale)
    with patch.context() as patched:
        patched.setattr(sqlite, "_connect", counting)
        patched.setattr(sqlite, "_as_dict", row)
        stores = await open_stores(url)
    try:
        async with world(stores) as kedge:
            provider = Commits()
            provider.grow("abc")
            kedge.ctx.providers = {"github": provider}
            kedge.ctx.limits = Limits(_NO_LIMIT, _NO_LIMIT, _NO_LIMIT)
            await reload.put_in_force(kedge.ctx, config_text(scale))
            await sweeping.cast_slow_net(kedge.ctx)
            yield Sized(kedge, scale, cost)
    finally:
        await stores.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sizes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Sized]]:
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        yield {
            name: await stack.enter_async_context(sized(tmp_path_factory.mktemp(name), scale, patch))
            for name, scale in (("few", FEW), ("many", MANY), ("long", LONG))
        }


def targets(path: str, scale: Scale) -> list[str]:
    """Where something has been for long, and where much waits."""
    busy = {"app": "a0", "number": scale.finished // 2, "env": "e1", "sha": "a" * 40}
    last = {"app": f"a{scale.apps - 1}", "env": f"e{scale.environments - 1}"}
    line = {**last, "number": scale.finished + 1, "sha": "main"}
    return list(dict.fromkeys(path.format(**names) for names in (busy, line)))


#: What some reads are narrowed to.
FILTERS = {
    "/api/0/{app}/deploys": ("env={env}", "state=rejected", "user=rare", "state=failed&user=u1&limit=5"),
    "/api/0/audit": ("app={app}", "kind=locked", "who=u1"),
    "/api/0/{app}/queue": ("env={env}",),
    "/api/0/{app}/compare": ("env={env}",),
}
#: Every read of the table that ends, and every page.
READS = [
    *(route.path for route in ROUTES if route.method == "GET" and route.path not in {"/api/0/events", "/healthz"}),
    *(f"{path}?{query}" for path, queries in FILTERS.items() for query in queries),
    *("/", "/{app}", "/{app}/deploys/{number}"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", READS)
async def test_a_read_costs_the_same_however_much_is_over(sizes: dict[str, Sized], path: str) -> None:
    few, many = sizes["few"], sizes["many"]
    for here, there in zip(targets(path, few.scale), targets(path, many.scale), strict=True):
        least, most = await few.of(here), await many.of(there)
        assert most.steps <= LIMIT * least.steps + SLACK_STEPS, (here, least, most)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", READS)
async def test_a_read_takes_no_more_rows_however_many_wait(sizes: dict[str, Sized], path: str) -> None:
    """A position in line is counted: the database steps over an index for it, and nothing of it is read."""
    few, many = sizes["few"], sizes["long"]
    for here, there in zip(targets(path, few.scale), targets(path, many.scale), strict=True):
        least, most = await few.of(here), await many.of(there)
        assert most.rows <= LIMIT * least.rows, (here, least, most)
        assert most.steps <= LIMIT * least.steps + COUNTED_STEPS * many.scale.waiting, (here, least, most)


@pytest.mark.asyncio(loop_scope="module")
async def test_looking_for_what_time_brings_costs_the_same(sizes: dict[str, Sized]) -> None:
    costs = {}
    for name, one in sizes.items():
        one.cost.start()
        for job in (sweeping.expire_leases, sweeping.expire_locks, sweeping.time_out_checks, sweeping.tell_of_locks):
            await job(one.kedge.ctx)
        costs[name] = one.cost.steps
    assert max(costs.values()) <= LIMIT * costs["few"], costs


@pytest.mark.asyncio(loop_scope="module")
async def test_the_claim_costs_the_same_whatever_is_over_or_waits(sizes: dict[str, Sized]) -> None:
    costs = {}
    for name, one in sizes.items():
        await one.kedge.claim()
        one.kedge.now[0] += 1
        one.cost.start()
        await one.kedge.claim()
        costs[name] = (one.cost.steps, one.cost.rows)
    for steps, rows in costs.values():
        assert steps <= LIMIT * costs["few"][0] and rows <= LIMIT * costs["few"][1], costs

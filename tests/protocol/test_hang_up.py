"""Runners that hang up at every await of claim, start, hold and finish: at each database call, before it is begun and
after it is done. What is saved is whole, and who asks again gets the right answer."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from ghapp.store.base import Database, Work
from ghapp.store.stores import Stores
from tests.protocol.rig import Rig, rig_on

T = TypeVar("T")
Call = Callable[[], Awaitable[tuple[int, Any]]]


class Stopping:
    """A database whose n-th call stops, until it is let go, before or after it does its work."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.at = 0
        self.before = True
        self.reads = True
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.calls = 0
        self.under_way = 0

    def stop_at(self, call: int, *, before: bool, reads: bool = True) -> None:
        """Stop at that call; ``reads``: do they count?"""
        self.calls, self.at, self.before, self.reads = 0, call, before, reads
        self.reached.clear()
        self.go_on.clear()

    async def write(self, work: Work[T]) -> T:
        return await self._call(self.inner.write, work)

    async def read(self, work: Work[T]) -> T:
        return await self._call(self.inner.read, work, counts=self.reads)

    async def close(self) -> None:
        await self.inner.close()

    async def _call(self, call: Callable[[Work[T]], Awaitable[T]], work: Work[T], *, counts: bool = True) -> T:
        self.calls += counts
        stops = counts and self.calls == self.at
        self.under_way += 1
        try:
            if stops and self.before:
                await self._stop()
            result = await call(work)
            if stops and not self.before:
                await self._stop()
            return result
        finally:
            self.under_way -= 1

    async def _stop(self) -> None:
        self.reached.set()
        await self.go_on.wait()


@pytest.fixture
async def stopping(stores: Stores) -> Stopping:
    return Stopping(stores.main)


@pytest.fixture
async def rig(stores: Stores, stopping: Stopping) -> AsyncIterator[Rig]:
    async with rig_on(Stores(stopping, stores.logs)) as made:
        yield made


async def hang_up(rig: Rig, stopping: Stopping, call: Call) -> bool:
    """Make the call and hang up when its database call stops; False if it was answered before."""
    asking = asyncio.ensure_future(call())
    reached = asyncio.ensure_future(stopping.reached.wait())
    await asyncio.wait({asking, reached}, return_when=asyncio.FIRST_COMPLETED)
    hung_up = not asking.done()
    asking.cancel()
    reached.cancel()
    await asyncio.gather(asking, reached, return_exceptions=True)
    async with asyncio.timeout(20):
        while rig.handling:  # noqa: ASYNC110  the handlers are the server's own
            await asyncio.sleep(0.002)
        stopping.go_on.set()
        while stopping.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    stopping.at = 0
    return hung_up


async def claim(rig: Rig, job: dict[str, Any]) -> tuple[int, Any]:
    return await rig.claim(f"claim of {job['id']}")


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("what", ["claim", "start", "finish", "hold"])
async def test_hanging_up_at_every_call_to_the_database(rig: Rig, stopping: Stopping, what: str, before: bool) -> None:
    """I1, I2, I7; the trace: the runner is gone, and its deploy with it, or it is run twice."""
    for number in itertools.count(1):
        deploy = await rig.deployment()
        job = {"id": deploy.id}
        if what != "claim":
            job = await rig.claimed(claim_id=f"claim of {deploy.id}")
        if what == "finish":
            await rig.start(job)
            await rig.beat(job, status_written="in_progress")
        calls: dict[str, Call] = {
            "claim": lambda job=job: claim(rig, job),  # type: ignore[misc]
            "start": lambda job=job: rig.start(job),  # type: ignore[misc]
            "finish": lambda job=job: rig.finish(job),  # type: ignore[misc]
            "hold": lambda job=job: rig.hold(job),  # type: ignore[misc]
        }
        stopping.stop_at(number, before=before)
        hung_up = await hang_up(rig, stopping, calls[what])
        await check(rig, what, job, await calls[what]())
        await rig.deliver()
        if not hung_up:
            assert number > (3 if what == "claim" else 1)
            return


async def check(rig: Rig, what: str, job: dict[str, Any], answer: tuple[int, Any]) -> None:
    """Asked again it is as if the runner had never hung up; then the deploy goes its way to the end."""
    status, said = answer
    stored = await rig.ctx.stores.main.read(lambda tx: tx.all("SELECT state FROM deploys WHERE id = :id", id=job["id"]))
    state = stored[0]["state"]
    if what == "claim":
        assert (status, said["id"], state) == (200, job["id"], "claimed")
        assert (await rig.start(said))[1]["answer"] == "yes"
        assert (await rig.finish(said))[1]["state"] == "succeeded"
    elif what == "start":
        assert (status, said["answer"], state) == (200, "yes", "running")
        assert said["status"]["state"] == "in_progress"
        assert (await rig.finish(job))[1]["state"] == "succeeded"
    elif what == "finish":
        assert (status, said["state"], state) == (200, "succeeded", "succeeded")
        assert said["status"]["state"] == "success"
    elif status == 200:
        assert (said["state"], state) == ("queued", "queued")
    else:
        assert (status, said["error"]["code"], state) == (409, "lease_over", "queued"), "it was held already"
    if what == "hold":
        await rig.cancel(await rig.by_deployment(job["deployment_id"]))


async def test_who_waits_is_woken_although_the_one_who_decided_has_hung_up(rig: Rig, stopping: Stopping) -> None:
    """I4; the trace: a hold is saved, its runner hangs up, and the next claim waits out its 25 s beside a deploy that
    is ready."""
    await rig.deployment()
    job = await rig.claimed()
    await rig.check("ci", "success")
    stopping.stop_at(1, before=True, reads=False)
    hold = asyncio.create_task(rig.hold(job))
    await stopping.reached.wait()
    stopping.at = 0
    waiting = asyncio.create_task(rig.claim(wait_s=25))
    await asyncio.wait({waiting}, timeout=0.3)
    hold.cancel()
    await asyncio.gather(hold, return_exceptions=True)
    async with asyncio.timeout(15):
        while len(rig.handling) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        stopping.go_on.set()
        status, job = await waiting
    assert status == 200

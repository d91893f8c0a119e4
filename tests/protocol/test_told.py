"""Nobody is dropped without being told: every end of a deploy that waits is a status at the provider and an event."""

from collections.abc import Awaitable, Callable

import pytest

from ghapp.core.values import Lock
from ghapp.service import acting, locking
from ghapp.store import events
from ghapp.store.deploys import Deploy
from tests.protocol.rig import Rig


async def cancelled(rig: Rig, deploy: Deploy) -> None:
    await rig.cancel(deploy)


async def superseded(rig: Rig, deploy: Deploy) -> None:
    newer = await rig.deployment("production")
    await rig.ctx.decide(lambda tx: acting.supersede(tx, rig.ctx, deploy.id, newer))


async def superseded_while_claimed(rig: Rig, deploy: Deploy) -> None:
    await rig.claimed()
    await superseded(rig, deploy)


async def refused_by_its_checks(rig: Rig, deploy: Deploy) -> None:
    await rig.hold(await rig.claimed(), "reject", blockers=[{"kind": "checks", "message": "Check ci failed."}])


async def out_of_patience(rig: Rig, deploy: Deploy) -> None:
    for _ in range(40):
        status, job = await rig.claim()
        if status == 200:
            await rig.hold(job)
        await rig.pass_s(20)


ENDS: list[tuple[Callable[[Rig, Deploy], Awaitable[None]], str, str, str]] = [
    (cancelled, "cancelled", "error", "by bob"),
    (superseded, "cancelled", "error", "Superseded by hello#2."),
    (superseded_while_claimed, "cancelled", "error", "Superseded by hello#2."),
    (refused_by_its_checks, "rejected", "failure", "Check ci failed."),
    (out_of_patience, "rejected", "failure", "Waited 10 min for checks."),
]


@pytest.mark.parametrize(("end", "state", "shown", "words"), ENDS, ids=[one[0].__name__ for one in ENDS])
async def test_every_end_is_told(
    rig: Rig, end: Callable[[Rig, Deploy], Awaitable[None]], state: str, shown: str, words: str
) -> None:
    deploy = await rig.deployment("production")
    await end(rig, deploy)
    ended = await rig.get(deploy)
    assert ended.state == state and words in ended.reason
    recorded = await rig.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
    (last,) = [one for one in recorded if one.kind == state]
    assert words in str(last.data["reason"])
    await rig.deliver()
    status = rig.provider.statuses[deploy.deployment_id or 0][-1]
    assert (status.state, words in status.description) == (shown, True)


async def test_superseding_a_running_one_asks_its_runner(rig: Rig) -> None:
    deploy, job = await rig.started()
    newer = await rig.deployment()
    await rig.ctx.decide(lambda tx: acting.supersede(tx, rig.ctx, deploy.id, newer))
    assert (await rig.beat(job))[1]["cancel_requested"]["who"] == "ana"
    await rig.finish(job, "cancel")
    assert (await rig.get(deploy)).state == "cancelled"


async def test_a_lock_that_is_set_while_it_is_prepared_holds_it_at_start(rig: Rig) -> None:
    """I3, for a lock that was changed or taken over in between too."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    for who in ("ana", "ana", "bob"):
        lock = Lock(who, "broken db", rig.clock[0])
        await rig.ctx.decide(lambda tx, lock=lock: locking.lock(tx, rig.ctx, None, None, lock))  # type: ignore[misc]
    status, answer = await rig.start(job)
    assert (status, answer["answer"], answer["state"]) == (200, "no", "queued")
    (blocker,) = answer["blockers"]
    assert blocker["kind"] == "lock" and blocker["message"].startswith("Everything is locked by bob since ")
    assert await rig.ctx.decide(lambda tx: locking.unlock(tx, rig.ctx, None, None, "bob"))
    assert await rig.ready(deploy)

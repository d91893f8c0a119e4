"""Why a deploy does not run yet, as it is read: never without a reason, and true of the moment."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ghapp.core.values import Blocker, BlockerKind, Lock
from ghapp.service import acting, reload, sweeping
from ghapp.store.stores import Stores
from tests.integration.kedge_world import BEARER, CONFIG, World, world

LABELLED = CONFIG.replace("production: {}", "production: {runner: [prod]}")


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def get(kedge: World, path: str) -> Any:
    async with kedge.client.get(f"/api/0{path}", headers=BEARER) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def messages(kedge: World, number: int) -> list[str]:
    return [one["message"] for one in (await get(kedge, f"/shop/deploys/{number}"))["blockers"]]


async def everywhere(kedge: World, number: int, sentence: str) -> None:
    """The same sentence in the deploy, the history, the app and on the pages."""
    assert await messages(kedge, number) == [sentence]
    listed = (await get(kedge, "/shop/deploys"))["items"]
    line = [one for environment in (await get(kedge, "/shop"))["environments"] for one in environment["queue"]]
    for deploys in (listed, line):
        (found,) = (one for one in deploys if one["number"] == number)
        assert [one["message"] for one in found["blockers"]] == [sentence]
    for path in ("/", "/shop", f"/shop/deploys/{number}"):
        async with kedge.client.get(path, headers=BEARER) as answer:
            assert sentence in (await answer.text()).replace("&#39;", "'"), path


async def test_a_silent_runner_is_told_by_the_clock_of_who_reads(kedge: World) -> None:
    """Nothing happens in between: no event, no sweep."""
    await reload.put_in_force(kedge.ctx, LABELLED)
    await kedge.ask()
    await everywhere(kedge, 1, "No runner with label prod has been seen yet; start one with `python -m runner`.")
    await kedge.ask(environment="staging")
    await kedge.ask()
    claimed = await kedge.claim(labels=("prod",))
    await kedge.hold(claimed, Blocker(BlockerKind.CHECKS, "Waiting for check ci."))
    heard = kedge.now[0]
    kedge.now[0] = heard + 60_000
    await everywhere(kedge, 1, "Waiting for check ci.")
    kedge.now[0] = heard + 200_000
    assert await messages(kedge, 1) == [
        "Waiting for check ci.",
        "No runner with label prod has been seen for 3 min.",
    ]
    await everywhere(kedge, 2, "No runner has been seen for 3 min.")
    kedge.now[0] = heard + 3 * 3_600_000
    await everywhere(kedge, 2, "No runner has been seen for 3 h.")
    shown = (await get(kedge, "/shop/deploys/2"))["blockers"][0]
    assert (shown["kind"], shown["since"]) == ("runner", (await get(kedge, "/shop/deploys/1"))["blockers"][1]["since"])


async def test_those_behind_hear_it_too(kedge: World) -> None:
    await kedge.ask()
    await kedge.ask()
    heard = kedge.now[0]
    await kedge.hold(await kedge.claim(), Blocker(BlockerKind.PROVIDER, "The provider is down."))
    await everywhere(kedge, 2, "Behind shop#1: The provider is down. To pass it: cancel 1.")
    kedge.now[0] = heard + 600_000
    await everywhere(kedge, 2, "Behind shop#1: The provider is down. To pass it: cancel 1.")


async def test_those_behind_a_ready_one_hear_of_the_runner(kedge: World) -> None:
    await kedge.ask(environment="staging")
    await kedge.finish(await kedge.start(await kedge.claim()))
    await kedge.ask()
    await kedge.ask()
    await everywhere(kedge, 3, "Behind shop#2: Ready; waiting for a runner to take it. To pass it: cancel 2.")
    kedge.now[0] += 120_000
    await everywhere(kedge, 3, "Behind shop#2: No runner has been seen for 2 min. To pass it: cancel 2.")


async def test_what_is_kept_and_sent_does_not_count(kedge: World) -> None:
    """The trace: a description that counts the minutes is written to the provider every minute."""
    await kedge.ask(environment="staging")
    await kedge.finish(await kedge.start(await kedge.claim()))
    deploy = await kedge.ask()
    kept = set()
    for _ in range(3):
        kedge.now[0] += 120_000
        await sweeping.cast_slow_net(kedge.ctx)
        kept.add((await kedge.known(deploy)).blockers[0].message)
    assert len(kept) == 1
    assert await messages(kedge, 2) == ["No runner has been seen for 6 min."]


async def test_a_passed_lock_is_not_shown_although_nobody_swept(kedge: World) -> None:
    deploy = await kedge.ask()
    lock = Lock("ana", "broken db", kedge.now[0], kedge.now[0] + 60_000, "shop", "production")
    await kedge.ctx.decide(lambda tx: acting.lock(tx, kedge.ctx, deploy.app_id, deploy.environment_id, lock))
    assert "is locked by" in (await messages(kedge, 1))[0]
    kedge.now[0] += 60_000
    await everywhere(kedge, 1, "No runner has been seen yet; start one with `python -m runner`.")

"""The line of an environment: who is next, what those behind are told, and what lets one pass (rules 1 to 3)."""

import asyncio
import random

import pytest

from ghapp.core.values import Lock
from ghapp.service import acting, sweeping
from ghapp.store.deploys import Deploy
from tests.protocol.rig import Rig


def messages(deploy: Deploy) -> list[str]:
    return [blocker.message for blocker in deploy.blockers]


async def test_environments_stand_beside_each_other(rig: Rig) -> None:
    """I2, the other way round: what runs in one environment holds nothing in another."""
    staging, production = await rig.deployment("staging"), await rig.deployment("production")
    jobs = [await rig.claimed(), await rig.claimed()]
    assert {job["id"] for job in jobs} == {staging.id, production.id}
    for job in jobs:
        assert (await rig.start(job))[1]["answer"] == "yes"


async def test_rule_1_only_one_is_claimed_however_many_ask_at_once(rig: Rig) -> None:
    """I2; the trace: two runners read the same free environment and both claim in it."""
    for _ in range(3):
        await rig.deployment()
    answers = await asyncio.gather(*(rig.claim() for _ in range(6)))
    assert sorted(status for status, _ in answers) == [200, 204, 204, 204, 204, 204]


async def test_rule_1_a_lock_and_a_start_at_once_are_one_after_the_other(rig: Rig) -> None:
    """I3; the trace: the start reads that there is no lock, the lock is answered, the start is answered yes."""
    for _ in range(8):
        deploy = await rig.deployment()
        job = await rig.claimed()
        order: list[str] = []

        async def start(job: dict[str, object] = job, order: list[str] = order) -> str:
            _, answer = await rig.start(job)
            order.append("start")
            return str(answer["answer"])

        async def lock(deploy: Deploy = deploy, order: list[str] = order) -> None:
            await rig.lock(deploy)
            order.append("lock")

        answer, _ = await asyncio.gather(start(), lock())
        after = await rig.get(deploy)
        assert after.state == ("running" if answer == "yes" else "queued")
        if answer == "yes":
            await rig.finish(job)
        await rig.unlock(deploy)
        if answer == "no":
            await rig.cancel(deploy)


async def test_rule_2_a_claim_hands_out_nothing_that_start_would_refuse(rig: Rig) -> None:
    """The trace: a locked deploy is claimed, refused at start, and claimed again, without end."""
    deploy = await rig.deployment()
    await rig.lock(deploy)
    assert (await rig.claim())[0] == 204
    await rig.unlock(deploy)
    job = await rig.claimed()
    assert (await rig.start(job))[1]["answer"] == "yes"


async def test_rule_2_start_refuses_what_was_locked_after_the_claim(rig: Rig) -> None:
    """I3; the trace: locked while its runner prepares, a deploy starts all the same."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.lock(deploy)
    status, answer = await rig.start(job)
    assert (status, answer["answer"], answer["state"]) == (200, "no", "queued")
    assert [blocker["kind"] for blocker in answer["blockers"]] == ["lock"]
    assert "bob" in answer["blockers"][0]["message"]
    assert (await rig.start(job))[0] == 409, "its lease is over"
    await rig.unlock(deploy)
    assert await rig.ready(deploy)


async def test_rule_2_what_was_claimed_before_its_lock_and_unlocked_again_starts(rig: Rig) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.lock(deploy)
    await rig.unlock(deploy)
    assert (await rig.start(job))[1]["answer"] == "yes"


@pytest.mark.parametrize("scope", ["environment", "app", "everything"])
async def test_rule_3_the_end_of_a_lock_makes_ready(rig: Rig, scope: str) -> None:
    """The trace: the lock's time passes, and what waits for it waits for the next event."""
    deploy = await rig.deployment()
    until = rig.clock[0] + 10_000
    app_id = None if scope == "everything" else deploy.app_id
    environment_id = deploy.environment_id if scope == "environment" else None
    lock = Lock("bob", "broken db", rig.clock[0], until)
    await rig.ctx.decide(lambda tx: acting.lock(tx, rig.ctx, app_id, environment_id, lock))
    assert [blocker.until for blocker in (await rig.get(deploy)).blockers] == [until]
    assert "until" in messages(await rig.get(deploy))[0]
    await rig.pass_s(9.9)
    assert not await rig.ready(deploy)
    assert (await rig.claim())[0] == 204
    await rig.pass_s(0.1)
    assert await rig.ready(deploy)
    await rig.claimed()


async def test_rule_3_a_lock_replaced_by_a_longer_one_ends_with_that(rig: Rig) -> None:
    deploy = await rig.deployment()
    await rig.lock(deploy, until=rig.clock[0] + 10_000)
    await rig.lock(deploy, until=rig.clock[0] + 20_000)
    await rig.pass_s(15)
    assert not await rig.ready(deploy)
    await rig.pass_s(5)
    assert await rig.ready(deploy)


@pytest.mark.parametrize("leaves", ["finish", "cancel", "cancel claimed", "reject", "cancel queued", "declared dead"])
async def test_rule_3_the_head_leaving_makes_the_next_ready(rig: Rig, leaves: str) -> None:
    """I4; the trace: the head is gone, and the next waits for an event that has already been."""
    head, following = await rig.deployment(), await rig.deployment()
    if leaves == "cancel queued":
        await rig.cancel(head)
        assert await rig.ready(following)
        return
    job = await rig.claimed()
    assert job["id"] == head.id
    assert not await rig.ready(following)
    if leaves == "reject":
        await rig.hold(job, "reject")
    elif leaves == "cancel claimed":
        await rig.cancel(head)
    else:
        await rig.start(job)
        if leaves == "declared dead":
            await rig.pass_s(61)
            await rig.declare_dead(head)
        else:
            await rig.finish(job, "cancel" if leaves == "cancel" else "exit")
    assert await rig.ready(following)
    assert (await rig.claimed())["id"] == following.id


@pytest.mark.parametrize("seed", range(3))
async def test_i6_order_is_by_creation_however_late_they_are_heard_of(rig: Rig, seed: int) -> None:
    """The trace: deliveries arrive shuffled, and a newer commit is overwritten by an older one."""
    created = {deployment_id: rig.clock[0] + deployment_id // 2 * 1000 for deployment_id in range(11, 17)}
    wanted = sorted(created)
    shuffled = random.Random(seed).sample(wanted, len(wanted))
    for deployment_id in shuffled:
        await rig.deployment(deployment_id=deployment_id, created_at=created[deployment_id])
    line = []
    for _ in wanted:
        job = await rig.claimed()
        line.append(job["deployment_id"])
        await rig.start(job)
        await rig.finish(job)
    assert line == wanted


async def test_i6_one_that_is_held_keeps_its_place(rig: Rig) -> None:
    head, following = await rig.deployment(), await rig.deployment()
    job = await rig.claimed()
    await rig.hold(job)
    assert not await rig.ready(following)
    assert (await rig.claim())[0] == 204
    await rig.pass_s(75)
    assert (await rig.claimed())["id"] == head.id


async def test_those_behind_are_told_whom_they_wait_for_and_the_way_on(rig: Rig) -> None:
    """Silence is what people complain about most."""
    head, following = await rig.deployment(), await rig.deployment()
    job = await rig.claimed()
    assert messages(await rig.get(following)) == ["hello#1 is being prepared."]
    await rig.hold(job)
    assert messages(await rig.get(following)) == ["Behind hello#1: Waiting for check ci. To pass it: cancel 1."]
    await rig.pass_s(75)
    job = await rig.claimed()
    await rig.start(job)
    (running,) = messages(await rig.get(following))
    assert running.startswith("hello#1 by ana is running since ")
    await rig.pass_s(61)
    (lost,) = messages(await rig.get(following))
    assert lost.startswith("hello#1 has lost its runner since ")
    assert lost.endswith("(declare-dead 1).")
    assert [blocker.kind for blocker in (await rig.get(following)).blockers] == ["lost"]
    await rig.beat(job)
    assert messages(await rig.get(following)) == [running], "healed"
    assert head.blockers


async def test_a_head_that_a_lock_holds_does_not_stop_one_that_may_pass(rig: Rig) -> None:
    head, following = await rig.deployment(), await rig.deployment()
    await rig.lock(head)
    forced = await rig.force(following, "lock")
    assert [blocker.kind for blocker in forced.blockers] == ["runner"]
    job = await rig.claimed()
    assert (job["id"], job["forced"], job["forced_by"]) == (following.id, ["lock"], "bob")
    assert (await rig.start(job))[1]["answer"] == "yes", "start asks what claim asked"
    await rig.finish(job)
    assert (await rig.claim())[0] == 204, "the head is still locked"


async def test_forced_goes_to_the_front(rig: Rig) -> None:
    await rig.deployment()
    await rig.deployment()
    last = await rig.deployment()
    await rig.force(last, "checks")
    job = await rig.claimed()
    assert (job["id"], job["forced"]) == (last.id, ["checks"])


async def test_force_does_not_pass_a_turn(rig: Rig) -> None:
    """I2; the trace: ``force=all`` starts beside what runs."""
    _, job = await rig.started()
    waiting = await rig.deployment()
    await rig.force(waiting, "all")
    assert (await rig.claim())[0] == 204
    await rig.finish(job)
    assert (await rig.claimed())["id"] == waiting.id


async def test_a_lock_set_after_a_force_of_checks_holds(rig: Rig) -> None:
    deploy = await rig.deployment()
    await rig.force(deploy, "checks")
    await rig.lock(deploy)
    assert (await rig.claim())[0] == 204
    await rig.force(deploy, "lock")
    assert (await rig.claimed())["forced"] == ["checks", "lock"]


async def test_forced_while_it_was_gated_it_is_ready_at_once(rig: Rig) -> None:
    """I4; the trace: forced past its checks while a runner looks at them, it waits for the slow net all the same."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.force(deploy, "checks")
    assert (await rig.hold(job)) == (200, {"state": "queued", "ready": True})
    job = await rig.claimed()
    assert job["forced"] == ["checks"]


async def test_forced_while_it_was_gated_it_is_not_rejected(rig: Rig) -> None:
    """The trace: the force is answered yes, and the runner that did not know of it rejects."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.force(deploy, "checks")
    assert (await rig.hold(job, "reject")) == (200, {"state": "queued", "ready": True})


async def test_blockers_are_never_empty_while_queued(rig: Rig) -> None:
    waiting = [await rig.deployment() for _ in range(3)]

    async def all_say_why() -> None:
        for each in waiting:
            deploy = await rig.get(each)
            assert deploy.state != "queued" or deploy.blockers
            assert all(blocker.message.endswith((".", ")")) for blocker in deploy.blockers)

    await all_say_why()
    job = await rig.claimed()
    await all_say_why()
    await rig.hold(job)
    await all_say_why()
    await rig.lock(waiting[0])
    await all_say_why()
    await rig.unlock(waiting[0])
    await rig.force(waiting[2], "all")
    await all_say_why()
    job = await rig.claimed()
    await rig.pass_s(5)
    await all_say_why()
    job = await rig.claimed()
    await rig.start(job)
    await rig.pass_s(60)
    await all_say_why()


async def test_what_is_claimed_is_not_blocked(rig: Rig) -> None:
    deploy = await rig.deployment()
    assert messages(deploy) == ["No runner has been seen yet; start one with `python -m runner`."]
    await rig.claimed()
    assert (await rig.get(deploy)).blockers == ()


async def test_a_missing_runner_is_told_and_found_again(rig: Rig) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.hold(job, blockers=[{"kind": "checks", "message": "Waiting for check ci."}])
    await rig.pass_s(90)
    await sweeping.cast_slow_net(rig.ctx)
    kinds = [blocker.kind for blocker in (await rig.get(deploy)).blockers]
    assert kinds == ["checks", "runner"], "checks are not its only blocker"
    assert "No runner has been seen since" in messages(await rig.get(deploy))[1]
    other = await rig.deployment("production")
    assert (await rig.claim(labels=["odd"], apps=[]))[0] == 204
    assert [blocker.kind for blocker in (await rig.get(other)).blockers] == ["runner"]
    job = await rig.claimed()
    assert job["id"] == deploy.id


async def test_a_missing_runner_is_told_in_words_that_do_not_change(rig: Rig) -> None:
    """The trace: a sentence that counts the minutes is written to the provider every minute, for each that waits."""
    await rig.deployment()
    await rig.claimed()
    waiting = await rig.deployment()
    told = set()
    for _ in range(5):
        await rig.pass_s(90)
        await sweeping.cast_slow_net(rig.ctx)
        told.add(tuple(messages(await rig.get(waiting))))
    assert len(told) == 1


@pytest.mark.parametrize("many", [60])
async def test_heads_that_no_runner_takes_do_not_hide_the_others(rig: Rig, many: int) -> None:
    """The trace: so many lines wait for a runner with a label that others never look at the rest."""
    environments = "".join(f"    e{number}: {{runner: [rare]}}\n" for number in range(many))
    await rig.config(
        f"hello:\n  repository: acme/hello\n  deploy: ./d\n  environments:\n{environments}    staging: {{}}\n"
    )
    for number in range(many):
        await rig.deployment(f"e{number}")
    last = await rig.deployment("staging")
    assert (await rig.claimed())["id"] == last.id

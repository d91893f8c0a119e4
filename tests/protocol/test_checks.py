"""Checks: events against fetches, whichever is newer, and when waiting for them ends (rules 3 and 15)."""

from typing import Any

import pytest

from ghapp.service import sweeping
from ghapp.vcs.events import CheckEvent
from tests.protocol.rig import REPOSITORY, SHA, Rig


def fetched(name: str, state: str, at: str = "2020-01-01T00:00:00Z", serial: int = 0) -> dict[str, Any]:
    """A check as the runner saw it; long ago, unless told."""
    return {"key": f"status/{name}", "name": name, "state": state, "at": at, "serial": serial}


async def test_events_before_the_deployment_count(rig: Rig) -> None:
    """The trace: the check turned green before the deployment was made, and the deploy waits for an event that has
    already been."""
    await rig.check("ci", "pending", at=rig.clock[0] - 9_000)
    await rig.check("ci", "success", at=rig.clock[0] - 5_000)
    await rig.deployment("production")
    job = await rig.claimed()
    assert job["check_counter"] == 2
    assert [(check["key"], check["state"]) for check in job["checks_newest"]] == [("status/ci", "success")]
    assert (job["checks"], job["own_checks"]) == (["ci"], ["status/kedge", "run/99/"])


async def test_events_of_other_repositories_are_nobodys_business(rig: Rig) -> None:
    other = REPOSITORY.__class__(8, "acme/other", "https://github.test/acme/other.git")
    assert not await rig.hear(CheckEvent(other, SHA, None))
    await rig.deployment("production")
    assert (await rig.claimed())["check_counter"] == 0


async def test_older_events_that_come_late_change_nothing_but_the_counter(rig: Rig) -> None:
    await rig.deployment("production")
    await rig.check("ci", "success", at=rig.clock[0], serial=7)
    await rig.check("ci", "pending", at=rig.clock[0] - 1000, serial=6)
    job = await rig.claimed()
    assert job["check_counter"] == 2
    assert [check["state"] for check in job["checks_newest"]] == ["success"]


async def test_events_that_name_no_check_count_and_make_ready(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    job = await rig.claimed()
    await rig.hold(job)
    assert not await rig.ready(deploy)
    for counted in (1, 2, 3):
        await rig.hear(CheckEvent(REPOSITORY, SHA, None))
        assert await rig.ready(deploy)
        job = await rig.claimed()
        assert (job["check_counter"], job["checks_newest"]) == (counted, [])
        await rig.hold(job)


async def test_an_event_for_another_sha_makes_nothing_ready(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await rig.hold(await rig.claimed())
    await rig.check("ci", "success", sha="b" * 40)
    assert not await rig.ready(deploy)


async def test_an_event_makes_every_environment_ready_but_only_its_head(rig: Rig) -> None:
    heads = [await rig.deployment("staging"), await rig.deployment("production")]
    behind = await rig.deployment("staging")
    for _ in heads:
        await rig.hold(await rig.claimed())
    await rig.check("ci", "success")
    assert [await rig.ready(deploy) for deploy in (*heads, behind)] == [True, True, False]


# hold


async def test_rule_15_an_event_while_it_was_gated_makes_a_held_one_ready_at_once(rig: Rig) -> None:
    """I4; the trace: fetched pending, then the green event comes, then the hold: it waits for what has been."""
    deploy = await rig.deployment("production")
    job = await rig.claimed()
    await rig.check("ci", "success")
    assert not await rig.ready(deploy), "it is claimed"
    assert await rig.hold(job) == (200, {"state": "queued", "ready": True})
    assert await rig.ready(deploy)


async def test_rule_15_a_stale_fetch_is_repeated_after_1_2_4_8_s_then_by_the_slow_net(rig: Rig) -> None:
    """The trace: the event said green, the fetch still shows pending, and no further event will come."""
    deploy = await rig.deployment("production")
    await rig.check("ci", "success")
    pauses = []
    for _ in range(6):
        job = await rig.claimed()
        await rig.hold(job, checks=[fetched("ci", "pending")])
        held = await rig.get(deploy)
        assert held.ready_at is not None
        pauses.append(held.ready_at - rig.clock[0])
        rig.clock[0] = held.ready_at
    assert pauses[:4] == [1_000, 2_000, 4_000, 8_000]
    assert all(50_000 <= pause <= 70_000 for pause in pauses[4:])


async def test_rule_15_after_a_fresh_fetch_the_pauses_begin_anew(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await rig.check("ci", "success")
    for checks in ([fetched("ci", "pending")], [fetched("ci", "success", "2099-01-01T00:00:00Z")]):
        await rig.hold(await rig.claimed(), checks=checks)
        rig.clock[0] = (await rig.get(deploy)).ready_at or 0
    await rig.hold(await rig.claimed(), checks=[fetched("ci", "pending")])
    assert (await rig.get(deploy)).ready_at == rig.clock[0] + 1_000


async def test_rule_3_the_slow_net_makes_a_held_one_ready(rig: Rig) -> None:
    """The trace: the event is lost."""
    deploy = await rig.deployment("production")
    await rig.hold(await rig.claimed(), checks=[fetched("ci", "pending")])
    await rig.pass_s(49)
    assert not await rig.ready(deploy)
    await rig.pass_s(22)
    assert await rig.ready(deploy)


# reject


async def test_rule_15_a_rejection_stands_when_the_newer_events_agree(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    job = await rig.claimed()
    await rig.check("lint", "success")
    red = [fetched("ci", "failure")]
    assert await rig.hold(job, "reject", checks=red) == (200, {"state": "rejected", "ready": False})
    assert (await rig.get(deploy)).reason == "Waiting for check ci."


async def test_rule_15_a_rejection_on_a_check_that_turned_green_since_is_refused(rig: Rig) -> None:
    """The trace: red was fetched, the check was run again and is green, and the deploy is rejected all the same."""
    deploy = await rig.deployment("production")
    job = await rig.claimed()
    await rig.check("ci", "success")
    answer = await rig.hold(job, "reject", checks=[fetched("ci", "failure")])
    assert answer == (200, {"state": "queued", "ready": True})
    assert await rig.ready(deploy)


async def test_rule_15_a_rejection_on_a_check_that_runs_again_is_refused(rig: Rig) -> None:
    await rig.deployment("production")
    job = await rig.claimed()
    await rig.check("ci", "pending")
    answer = await rig.hold(job, "reject", checks=[fetched("ci", "failure")])
    assert answer == (200, {"state": "queued", "ready": True})


async def test_rule_15_a_rejection_for_another_reason_stands(rig: Rig) -> None:
    """What the runner may not do, it may not do after a newer event either."""
    await rig.deployment("production")
    job = await rig.claimed()
    await rig.check("ci", "success")
    blockers = [{"kind": "config", "message": "Runner r1 has no secret KEY."}]
    status, answer = await rig.call(job, "reject", check_counter=job["check_counter"], blockers=blockers)
    assert (status, answer["state"]) == (200, "rejected")


async def test_a_hold_must_say_why(rig: Rig) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    for blockers in ([], [{"kind": "nonsense", "message": "x"}]):
        assert (await rig.hold(job, blockers=blockers))[0] == 422
    assert (await rig.get(deploy)).state == "claimed"


# start


@pytest.mark.parametrize("state", ["pending", "failure"])
async def test_rule_15_a_start_is_refused_on_newer_events_that_disagree(rig: Rig, state: str) -> None:
    """The trace: green was fetched, the check was started again and turned red, and then it is deployed."""
    deploy = await rig.deployment("production")
    await rig.check("ci", "success", at=rig.clock[0] - 9000)
    job = await rig.claimed()
    await rig.check("ci", state)
    status, answer = await rig.start(job)
    assert (status, answer["answer"], answer["state"]) == (200, "no", "queued")
    assert answer["blockers"], "it says why"
    assert await rig.ready(deploy)
    assert (await rig.start(job))[0] == 409


async def test_rule_15_a_start_goes_on_when_the_newer_events_agree_or_have_no_say(rig: Rig) -> None:
    """The trace: every event sends the deploy back, and a busy repository never deploys."""
    await rig.deployment("production")
    await rig.check("ci", "pending", at=rig.clock[0] - 9000)
    job = await rig.claimed()
    await rig.check("ci", "success")
    await rig.check("unnamed", "failure")
    await rig.check("kedge", "pending")
    await rig.hear(CheckEvent(REPOSITORY, SHA, None))
    assert (await rig.start(job))[1]["answer"] == "yes"


async def test_rule_15_where_every_check_counts_any_newer_one_that_is_not_green_refuses(rig: Rig) -> None:
    await rig.deployment("staging")
    job = await rig.claimed()
    await rig.check("anything", "pending")
    assert (await rig.start(job))[1]["answer"] == "no"


async def test_rule_15_an_older_event_that_comes_late_does_not_refuse(rig: Rig) -> None:
    await rig.deployment("production")
    await rig.check("ci", "success", at=rig.clock[0] - 1000, serial=5)
    job = await rig.claimed()
    await rig.check("ci", "pending", at=rig.clock[0] - 9000, serial=4)
    assert (await rig.start(job))[1]["answer"] == "yes"


async def test_rule_15_a_forced_start_asks_no_checks(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await rig.force(deploy, "checks")
    job = await rig.claimed()
    await rig.check("ci", "failure")
    assert (await rig.start(job))[1]["answer"] == "yes"


async def test_rule_15_where_no_checks_are_asked_for_none_refuses(rig: Rig) -> None:
    await rig.config("hello: {repository: acme/hello, deploy: ./d, environments: {staging: {checks: []}}}")
    await rig.deployment("staging")
    job = await rig.claimed()
    await rig.check("ci", "failure")
    assert (await rig.start(job))[1]["answer"] == "yes"


# checks_timeout


async def wait_for_checks(rig: Rig, seconds: float, **report: Any) -> None:
    """The time passes with a runner there, which looks again and again."""
    end = rig.clock[0] + int(seconds * 1000)
    while rig.clock[0] < end:
        status, job = await rig.claim()
        if status == 200:
            await rig.hold(job, **report)
        await rig.pass_s(min(20, (end - rig.clock[0]) / 1000))


async def test_checks_timeout_rejects_and_names_the_checks(rig: Rig) -> None:
    """I4; the trace: a check that never reports holds the line for good."""
    asked_at = rig.clock[0]
    deploy, following = await rig.deployment("production"), await rig.deployment("production")
    await wait_for_checks(rig, 599)
    assert (await rig.get(deploy)).state == "queued"
    while (await rig.get(deploy)).state == "queued":
        assert rig.clock[0] < asked_at + 670_000
        await wait_for_checks(rig, 1)
    after = await rig.get(deploy)
    said = "Waited 10 min for checks. Waiting for check ci. Deploy again once they are green, or force it."
    assert (after.state, after.reason) == ("rejected", said)
    assert await rig.ready(following)


async def test_checks_timeout_counts_only_while_checks_are_the_only_blocker(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await wait_for_checks(rig, 500)
    await rig.lock(deploy)
    await wait_for_checks(rig, 500)
    await rig.unlock(deploy)
    await wait_for_checks(rig, 590)
    assert (await rig.get(deploy)).state == "queued"
    await wait_for_checks(rig, 80)
    assert (await rig.get(deploy)).state == "rejected"


async def test_checks_timeout_counts_not_for_those_behind(rig: Rig) -> None:
    head, behind = await rig.deployment("production"), await rig.deployment("production")
    await wait_for_checks(rig, 660)
    assert [(await rig.get(deploy)).state for deploy in (head, behind)] == ["rejected", "queued"]
    await wait_for_checks(rig, 500)
    assert (await rig.get(behind)).state == "queued"


async def test_checks_timeout_does_not_take_a_deploy_from_its_runner(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await wait_for_checks(rig, 590)
    await rig.check("ci", "success")
    job = await rig.claimed()
    await rig.beat(job)
    await rig.pass_s(30)
    assert (await rig.get(deploy)).state == "claimed"
    assert (await rig.start(job))[1]["answer"] == "yes"


async def test_checks_timeout_waits_for_a_runner_to_look_again(rig: Rig) -> None:
    """The trace: green at last, with every runner busy, it is rejected for a check that is green."""
    deploy = await rig.deployment("production")
    await wait_for_checks(rig, 580)
    await rig.check("ci", "success")
    await rig.pass_s(40)
    assert (await rig.get(deploy)).state == "queued"
    assert (await rig.claimed())["id"] == deploy.id


async def test_checks_timeout_does_not_count_while_no_runner_is_there(rig: Rig) -> None:
    deploy = await rig.deployment("production")
    await wait_for_checks(rig, 300)
    for _ in range(20):
        await rig.pass_s(60)
        await sweeping.cast_slow_net(rig.ctx)
    assert (await rig.get(deploy)).state == "queued"
    await wait_for_checks(rig, 590)
    assert (await rig.get(deploy)).state == "queued"
    await wait_for_checks(rig, 80)
    assert (await rig.get(deploy)).state == "rejected"


async def test_checks_timeout_does_not_count_what_the_app_slept_through(rig: Rig) -> None:
    """The trace: down for an hour, in which the check turned green, the app rejects as its first act."""
    deploy = await rig.deployment("production")
    await wait_for_checks(rig, 60)
    rig.clock[0] += 3_600_000
    rig.restart()
    await rig.pass_s(1)
    assert (await rig.get(deploy)).state == "queued"
    job = await rig.claimed()
    assert (await rig.start(job))[1]["answer"] == "yes"

"""Who writes statuses, and what the provider shows in the end (rules 16 to 18, I5), whatever answer is lost."""

import asyncio
from collections.abc import Callable

import pytest

from ghapp.core.remote import Forbidden, NotFound, RateLimited, Refused, RemoteError, Unauthorized, Unavailable
from ghapp.core.values import DESCRIPTION_LIMIT
from ghapp.service import measuring, outgoing, sweeping
from ghapp.store import outbox
from ghapp.store.deploys import Deploy
from ghapp.store.outbox import Notice
from tests.protocol.rig import SHA, Rig


async def owed(rig: Rig, deploy: Deploy) -> Notice | None:
    return await rig.ctx.stores.main.read(lambda tx: outbox.waiting(tx, deploy.id))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the provider in memory has no event for every condition
            await asyncio.sleep(0.005)


def descriptions(rig: Rig, deploy: Deploy) -> list[str]:
    return [status.description for status in rig.provider.statuses.get(deploy.deployment_id or 0, [])]


# One writer at a time


async def test_rule_16_a_grant_holds_the_outbox_back_for_30_s_and_not_longer(rig: Rig) -> None:
    """I5; the trace: the runner writes ``success`` after the outbox wrote it, or nobody ever does."""
    deploy, job = await rig.started()
    await rig.beat(job, status_written="in_progress")
    _, answer = await rig.finish(job)
    assert (answer["state"], answer["status"]["state"]) == ("succeeded", "success")
    assert answer["status"]["write_within_s"] == 20
    await rig.pass_s(29.9)
    await rig.deliver()
    assert "success" not in rig.shown(deploy)
    await rig.pass_s(0.1)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "success"


async def test_rule_16_a_grant_that_is_confirmed_is_over(rig: Rig) -> None:
    deploy, job = await rig.started()
    assert (await rig.get(deploy)).status_writer == "runner"
    await rig.beat(job, status_written="in_progress")
    after = await rig.get(deploy)
    assert (after.status_writer, after.shown_state) == (None, "in_progress")
    assert (await owed(rig, deploy)) is None
    await rig.pass_s(40)
    await rig.deliver()
    assert "in_progress" not in rig.shown(deploy), "the runner has written it"


async def test_rule_16_a_grant_from_before_the_app_restarted_holds_for_30_s_of_its_new_life(rig: Rig) -> None:
    """The trace: the app was down while the grant ran out, and writes in the moment in which the runner does."""
    deploy, _ = await rig.started()
    rig.clock[0] += 600_000
    rig.restart()
    await rig.pass_s(29.9)
    await rig.deliver()
    assert "in_progress" not in rig.shown(deploy)
    await rig.pass_s(0.1)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "in_progress"


async def test_rule_16_a_status_under_way_when_the_app_died_holds_for_30_s(rig: Rig) -> None:
    """The trace: sent before the crash and late, the old ``queued`` arrives after the new ``pending``."""
    deploy = await rig.deployment()
    rig.provider.gate = asyncio.Event()
    sending = asyncio.create_task(outgoing.deliver_due(rig.ctx))
    await until(lambda: rig.provider.waiting == 1)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    rig.provider.gate = None
    rig.clock[0] += 5_000
    rig.restart()
    await rig.pass_s(29.9)
    await rig.deliver()
    assert rig.shown(deploy) == []
    await rig.pass_s(0.1)
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]


async def test_rule_17_while_the_outbox_writes_an_answer_grants_nothing(rig: Rig) -> None:
    """I5; the trace: ``pending`` and ``in_progress`` are under way at once, and arrive in the wrong order."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    rig.provider.gate = asyncio.Event()
    sending = asyncio.create_task(rig.deliver())
    await until(lambda: rig.provider.waiting == 1)
    _, answer = await rig.start(job)
    assert (answer["answer"], answer["status"]) == ("yes", None)
    rig.provider.gate.set()
    await sending
    assert rig.shown(deploy) == ["pending", "in_progress"], "the outbox writes it when its turn comes"


async def test_rule_17_a_second_try_after_a_lost_answer_is_under_way_as_well(rig: Rig) -> None:
    """The trace: an answer is lost; 30 s after the first try the second one leaves; a start in this moment is granted
    ``in_progress``, and the second try arrives after it."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    rig.provider.refusals = [Unavailable("no answer came")] * 6
    for _ in range(6):
        await rig.beat(job)
        await rig.deliver()
        await rig.pass_s(20)
        notice = await owed(rig, deploy)
        assert notice
        rig.clock[0] = max(rig.clock[0], notice.next_at)
    rig.provider.gate = asyncio.Event()
    sending = asyncio.create_task(rig.deliver())
    await until(lambda: rig.provider.waiting == 1)
    _, answer = await rig.start(job)
    assert (answer["answer"], answer["status"]) == ("yes", None)
    rig.provider.gate.set()
    await sending
    assert rig.shown(deploy) == ["pending", "in_progress"]


async def test_rule_17_what_is_replaced_while_a_grant_runs_waits_for_its_end(rig: Rig) -> None:
    """The trace: the runner may still be writing ``in_progress`` when the command has ended already."""
    deploy, job = await rig.started()
    await rig.pass_s(2)
    _, answer = await rig.finish(job)
    assert answer["status"] is None
    await rig.deliver()
    assert rig.shown(deploy) == []
    _, again = await rig.finish(job)
    assert again == answer, "the same again: same answer"
    _, again = await rig.finish(job, status_written="in_progress")
    assert again == answer
    await rig.deliver()
    assert rig.shown(deploy) == ["success"], "confirmed, the grant is over at once"


async def test_rule_17_confirming_the_start_again_does_not_end_the_grant_of_the_finish(rig: Rig) -> None:
    """The trace: the answer to a finish is lost; the finish, repeated, confirms ``in_progress`` once more."""
    deploy, job = await rig.started()
    await rig.beat(job, status_written="in_progress")
    await rig.pass_s(5)
    _, answer = await rig.finish(job, status_written="in_progress")
    assert answer["status"]["state"] == "success"
    await rig.pass_s(1)
    _, again = await rig.finish(job, status_written="in_progress")
    assert again["status"] == {**answer["status"], "write_within_s": 19}
    assert (await rig.get(deploy)).status_writer == "runner"


async def test_rule_17_a_repeated_start_gets_what_is_left_of_its_grant(rig: Rig) -> None:
    _, job = await rig.started()
    await rig.pass_s(12)
    _, answer = await rig.start(job)
    assert (answer["status"]["state"], answer["status"]["write_within_s"]) == ("in_progress", 8)
    await rig.pass_s(8)
    _, answer = await rig.start(job)
    assert (answer["answer"], answer["status"]) == ("yes", None)


async def test_rule_17_the_app_alone_writes_queued_pending_rejected_and_cancels(rig: Rig) -> None:
    deploy = await rig.deployment()
    await rig.deliver()
    job = await rig.claimed()
    await rig.deliver()
    await rig.hold(job, "reject")
    await rig.deliver()
    assert rig.shown(deploy) == ["queued", "pending", "failure"]
    cancelled = await rig.deployment()
    await rig.claimed()
    await rig.cancel(cancelled)
    await rig.deliver()
    assert rig.shown(cancelled) == ["error"]
    assert descriptions(rig, cancelled) == ["Cancelled: by bob"]


# Lost answers


async def test_rule_18_after_a_lost_answer_it_looks_first(rig: Rig) -> None:
    """The trace: written, its answer lost, and written again."""
    deploy = await rig.deployment()
    rig.provider.lost = [Unavailable("the connection broke")]
    await rig.deliver()
    await rig.pass_s(10)
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]
    assert (await rig.get(deploy)).shown_state == "queued"


async def test_rule_18_what_the_runner_wrote_and_never_confirmed_is_not_written_again(rig: Rig) -> None:
    """The trace: the runner writes ``success`` and is killed before it tells."""
    deploy, job = await rig.started()
    await rig.beat(job, status_written="in_progress")
    _, answer = await rig.finish(job)
    said = answer["status"]
    rig.provider.write(deploy.deployment_id or 0, said["state"], said["description"])
    await rig.pass_s(30)
    await rig.deliver()
    assert rig.shown(deploy) == ["success"]
    assert (await rig.get(deploy)).shown_state == "success"


async def test_rule_18_a_server_error_may_have_been_written(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.lost = [Unavailable("GitHub answered 502", status=502)]
    await rig.deliver()
    await rig.pass_s(10)
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]


async def test_rule_18_a_minute_after_the_end_it_looks_once_more(rig: Rig) -> None:
    """I5; the trace: a request that was lost on the way arrives after the terminal state."""
    deploy, job = await rig.started()
    await rig.beat(job, status_written="in_progress")
    await rig.finish(job)
    await rig.finish(job, status_written="success")
    rig.provider.write(deploy.deployment_id or 0, "success", "Succeeded.")
    rig.provider.write(deploy.deployment_id or 0, "in_progress", "Running on r1.")
    await rig.pass_s(59.9)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "in_progress"
    await rig.pass_s(0.1)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "success"
    await rig.pass_s(60)
    await rig.deliver()
    assert rig.shown(deploy) == ["success", "in_progress", "success"]


async def test_rule_18_what_a_person_made_inactive_stays_so(rig: Rig) -> None:
    deploy, job = await rig.started()
    await rig.finish(job, status_written="in_progress")
    await rig.finish(job, status_written="success")
    rig.provider.write(deploy.deployment_id or 0, "inactive", "")
    await rig.pass_s(120)
    await rig.deliver()
    assert rig.shown(deploy) == ["inactive"]


# The outbox


async def test_of_several_waiting_only_the_newest_is_sent(rig: Rig) -> None:
    deploy = await rig.deployment()
    await rig.lock(deploy)
    await rig.unlock(deploy)
    job = await rig.claimed()
    await rig.hold(job, "reject")
    await rig.deliver()
    assert rig.shown(deploy) == ["failure"]


async def test_what_is_replaced_while_it_is_sent_goes_next(rig: Rig) -> None:
    """The trace: the answer to the older one marks the newer one as delivered."""
    deploy = await rig.deployment()
    rig.provider.gate = asyncio.Event()
    sending = asyncio.create_task(rig.deliver())
    await until(lambda: rig.provider.waiting == 1)
    await rig.cancel(deploy)
    rig.provider.gate.set()
    await sending
    assert rig.shown(deploy) == ["queued", "error"]


async def test_final_ones_go_first(rig: Rig) -> None:
    waiting = [await rig.deployment("production") for _ in range(25)]
    ended = await rig.deployment("production")
    await rig.cancel(ended)
    rig.clock[0] += 1000
    await outgoing.deliver_due(rig.ctx)
    assert rig.shown(ended) == ["error"]
    assert sum(bool(rig.shown(each)) for each in waiting) < len(waiting)


async def test_the_first_blocker_is_told_at_once_and_then_one_change_in_30_s(rig: Rig) -> None:
    deploy = await rig.deployment()
    await rig.deliver()
    job = await rig.claimed()
    await rig.deliver()
    await rig.hold(job, blockers=[{"kind": "checks", "message": "Waiting for check a."}])
    await rig.deliver()
    assert descriptions(rig, deploy)[-1] == "Waiting for check a.", "the first that names a blocker goes at once"
    for name in "bcd":
        await rig.check(name, "pending")
        job = await rig.claimed()
        await rig.hold(job, blockers=[{"kind": "checks", "message": f"Waiting for check {name}."}])
        await rig.pass_s(9.9)
        await rig.deliver()
    assert descriptions(rig, deploy)[-1] == "Waiting for check a."
    await rig.pass_s(0.3)
    await rig.deliver()
    assert descriptions(rig, deploy)[-2:] == ["Waiting for check a.", "Waiting for check d."]
    await rig.cancel(deploy)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "error", "another state is no change of description"


async def test_a_hold_shows_the_state_that_is_shown_already(rig: Rig) -> None:
    """Never back from ``pending`` to ``queued``."""
    deploy = await rig.deployment()
    await rig.deliver()
    job = await rig.claimed()
    await rig.deliver()
    await rig.hold(job)
    await rig.pass_s(100)
    await rig.deliver()
    job = await rig.claimed()
    await rig.deliver()
    await rig.pass_s(100)
    await rig.deliver()
    assert set(rig.shown(deploy)[1:]) == {"pending"}


async def test_server_errors_are_tried_again_with_growing_pauses(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.refusals = [Unavailable("GitHub answered 503", status=503)] * 4
    pauses = []
    for _ in range(4):
        await rig.deliver()
        notice = await owed(rig, deploy)
        assert notice
        pauses.append(notice.next_at - rig.clock[0])
        rig.clock[0] = notice.next_at
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 6_000


@pytest.mark.parametrize("trouble", ["refusals", "lost"])
async def test_a_provider_that_raises_anything_holds_up_no_other(rig: Rig, trouble: str) -> None:
    setattr(rig.provider, trouble, [KeyError("a defect of somebody else's class")])
    deploys = [await rig.deployment(), await rig.deployment("production")]
    await rig.deliver()
    first = [rig.shown(deploy) for deploy in deploys]
    assert first.count(["queued"]) == (1 if trouble == "refusals" else 2)
    await rig.pass_s(2)
    await rig.deliver()
    assert [rig.shown(deploy) for deploy in deploys] == [["queued"], ["queued"]]
    assert [await owed(rig, deploy) for deploy in deploys] == [None, None]


async def test_how_far_the_outbox_is_behind_grows_while_the_provider_is_away(rig: Rig) -> None:
    async def lag() -> float:
        return (await rig.ctx.stores.main.read(lambda tx: measuring.lags(tx, rig.ctx, rig.clock[0])))[1]

    rig.provider.refusals = [Unavailable("away"), RateLimited("slow down", retry_after_s=600)]
    deploy = await rig.deployment()
    for away_s in (0, 2, 300):
        await rig.pass_s(away_s)
        await rig.deliver()
    assert (rig.provider.refusals, await lag()) == ([], 302)
    await rig.pass_s(300)
    await rig.cancel(deploy)
    assert await lag() == 602, "what is wanted instead is owed since then too"
    await rig.pass_s(1)
    await rig.deliver()
    assert (rig.shown(deploy), await lag()) == (["error"], 0)


async def test_a_limit_is_honoured_by_what_is_wanted_meanwhile_too(rig: Rig) -> None:
    """The trace: told to wait a minute, Kedge asks on for the next deploy, and is shut out for longer."""
    deploy = await rig.deployment()
    rig.provider.refusals = [RateLimited("secondary limit", retry_after_s=60, status=403)]
    await rig.deliver()
    writes = rig.provider.writes
    other = await rig.deployment("production")
    await rig.cancel(deploy)
    await rig.pass_s(59.9)
    await rig.deliver()
    assert rig.provider.writes == writes
    await rig.pass_s(0.1)
    await rig.deliver()
    assert (rig.shown(deploy), rig.shown(other)) == (["error"], ["queued"])


@pytest.mark.parametrize("refusal", [Forbidden, Refused])
async def test_a_permanent_refusal_ends_that_notice_and_shows_on_the_deploy(
    rig: Rig, refusal: type[RemoteError]
) -> None:
    refused, other = await rig.deployment("staging"), await rig.deployment("production")
    rig.provider.refusals = [refusal("Resource not accessible by integration")]
    await rig.deliver()
    await rig.pass_s(100)
    await rig.deliver()
    problems = {(await rig.get(each)).status_problem for each in (refused, other)}
    assert problems == {None, "Resource not accessible by integration"}
    await sweeping.cast_slow_net(rig.ctx)
    await rig.deliver()
    assert rig.provider.writes == 2, "the next goes on, the refused one is not repeated"
    job = await rig.claimed()
    await rig.deliver()
    after = await rig.get(refused)
    assert job["id"] in {refused.id, other.id}
    assert after.status_writer is None


async def test_a_deployment_that_was_deleted_is_not_deployed(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.refusals = [NotFound("GitHub answered 404"), NotFound("GitHub answered 404")]
    await rig.deliver()
    after = await rig.get(deploy)
    assert (after.state, after.reason) == ("cancelled", "its deployment was deleted at the provider")
    assert (await rig.claim())[0] == 204


async def test_a_later_status_that_is_taken_clears_the_problem(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.refusals = [Forbidden("no")]
    await rig.deliver()
    assert (await rig.get(deploy)).status_problem == "no"
    await rig.cancel(deploy)
    await rig.deliver()
    assert (await rig.get(deploy)).status_problem is None


async def test_credentials_that_are_not_taken_are_tried_again(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.refusals = [Unauthorized("Bad credentials", status=401)]
    await rig.deliver()
    await rig.pass_s(10)
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]


async def test_older_successes_of_the_environment_become_inactive(rig: Rig) -> None:
    """Whatever the provider does by itself: it does so for some environments only."""
    shown = {}
    for environment in ("staging", "production", "staging"):
        deploy, job = await rig.started(environment)
        await rig.pass_s(1)
        await rig.finish(job, status_written="in_progress")
        await rig.finish(job, status_written="success")
        await rig.deliver()
        shown[deploy.name] = deploy
    assert [rig.shown(shown[f"hello#{number}"])[-1:] for number in (1, 2, 3)] == [["inactive"], [], []]
    assert descriptions(rig, shown["hello#1"]) == ["hello#3 is live now."]


async def test_a_clock_that_is_wrong_does_not_change_what_is_live(rig: Rig) -> None:
    """The trace: the clock of a runner is an hour late, so that its deploy seems to have ended before the last."""
    _, job = await rig.started()
    await rig.pass_s(10)
    await rig.finish(job, status_written="in_progress", ended_at="2099-01-01T00:00:00Z")
    await rig.pass_s(10)
    second = await rig.deployment(sha="b" * 40)
    job = await rig.claimed()
    assert job["previous_sha"] == SHA
    await rig.start(job)
    await rig.pass_s(10)
    await rig.finish(job, ended_at="2020-01-01T00:00:00Z")
    ended = await rig.get(second)
    assert ended.ended_at is not None
    assert ended.started_at is not None
    assert ended.ended_at >= ended.started_at
    third = await rig.deployment()
    assert (await rig.claimed())["previous_sha"] == "b" * 40
    assert third.state == "queued"


async def test_descriptions_fit_the_provider(rig: Rig) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.hold(job, blockers=[{"kind": "checks", "message": f"Waiting for check {'x' * 400}."}])
    await rig.deliver()
    assert max(map(len, descriptions(rig, deploy))) == DESCRIPTION_LIMIT

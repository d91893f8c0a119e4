"""Automatic deploys: one for each push at most, once its checks are green, never backwards, whatever comes when."""

import random
from collections.abc import Sequence

import pytest

from ghapp.core import automatic
from ghapp.core.checks import Check, CheckState
from ghapp.core.remote import RateLimited, Unavailable
from ghapp.service import queueing, seeing
from ghapp.vcs.events import CheckEvent
from tests.protocol.branch import CONFIG, Pushes, pushes_on, sha
from tests.protocol.rig import REPOSITORY, Rig

pytestmark = pytest.mark.usefixtures("rig")
DEFAULT_CHECKS = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  environments:
    staging: {auto: {branch: main}}
"""
AFTER_PUSH = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  environments:
    staging: {auto: {branch: main, after: push}}
    strict: {checks: [ci], auto: {branch: main, after: push}}
    other: {checks: [], auto: {branch: release, after: push}}
"""


@pytest.fixture
async def it(rig: Rig) -> Pushes:
    return await pushes_on(rig)


async def test_a_push_waits_out_of_the_line_until_its_checks_are_green(it: Pushes) -> None:
    deploy = await it.push("a")
    assert deploy is not None
    assert (deploy.door, deploy.user, deploy.ref, deploy.state) == ("automatic", "ana", "main", "queued")
    assert [one.message for one in deploy.blockers] == ["Waiting for check ci: it has not reported yet."]
    assert (deploy.deployment_id, it.github.registered, await it.nothing_to_claim()) == (None, {}, True)
    asked = await it.rig.deployment(environment="staging", sha=sha("b"))
    job = await it.rig.claimed()
    assert job["id"] == asked.id, "who has no place holds nobody"
    await it.rig.start(job)
    await it.rig.finish(job)
    await it.report("a", "success")
    deploy = await it.existing("a")
    assert (deploy.out_of_line, deploy.deployment_id) == (0, 1000)
    assert deploy.asked_at == it.github.registered[deploy.request].created_at
    assert (await it.run())["door"] == "automatic"
    assert it.rig.shown(deploy)[0] == "queued"


async def test_it_is_shown_with_what_it_waits_for_and_without_a_place(it: Pushes) -> None:
    await it.push("a")
    await it.rig.deployment(sha=sha("b"))
    shown = await it.rig.ctx.stores.main.read(lambda tx: queueing.queue(tx, it.rig.ctx, "hello", 50, "staging"))
    assert [(one.seen.deploy.door, one.seen.position) for one in shown] == [("github", 1), ("automatic", None)]
    seen = await it.rig.ctx.stores.main.read(lambda tx: seeing.deploy(tx, it.rig.ctx, "hello", 1))
    assert (seen.position, [one.kind for one in seen.deploy.blockers]) == (None, ["checks"])
    (app,) = await it.rig.ctx.stores.main.read(lambda tx: seeing.apps(tx, it.rig.ctx))
    assert [one.position for one in app.environments[0].queue] == [1, None]


async def test_fifty_events_shuffled_and_doubled_some_before_the_push_start_exactly_one(it: Pushes) -> None:
    push = it.commit("a")
    made: list[Check] = []
    for number in range(25):
        state = CheckState.SUCCESS if number % 5 == 4 else CheckState.PENDING
        name = ("ci", "lint", "docs")[number % 3]
        made.append(Check(f"status/{name}", name, state, it.rig.clock[0] + number * 1000, number + 1))
    it.github.shown[sha("a")] = {check.name: check for check in made}
    it.github.shown[sha("a")]["ci"] = last = Check("status/ci", "ci", CheckState.SUCCESS, it.rig.clock[0] + 60_000, 99)
    told: list[object] = [CheckEvent(REPOSITORY, sha("a"), check) for check in (*made, *made)]
    random.Random(7).shuffle(told)
    told[20:20] = [push, CheckEvent(REPOSITORY, sha("a"), last), push]
    for event in told:
        await it.rig.hear(event)  # type: ignore[arg-type]
        await it.judge()
    await it.pass_s(5)
    await it.run()
    for event in (push, *told[:10]):
        await it.rig.hear(event)  # type: ignore[arg-type]
    await it.pass_s(61)
    assert (await it.states(), len(it.github.registered)) == ([("a", "succeeded")], 1)
    assert await it.nothing_to_claim()


async def test_red_is_no_end_and_a_rerun_starts_it_once(it: Pushes) -> None:
    await it.push("a")
    await it.report("a", "failure")
    await it.pass_s(4000)
    deploy = await it.existing("a")
    assert (deploy.state, [one.message for one in deploy.blockers]) == ("queued", ["Check ci failed."])
    await it.report("a", "pending")
    await it.report("a", "success")
    await it.run()
    await it.report("a", "failure")
    await it.report("a", "success")
    assert (await it.states(), await it.nothing_to_claim()) == ([("a", "succeeded")], True)


async def test_what_failed_or_was_cancelled_is_not_started_again_by_itself(it: Pushes) -> None:
    await it.push("a")
    await it.report("a", "success")
    job = await it.rig.claimed()
    await it.rig.start(job)
    await it.rig.finish(job, exit_code=1)
    await it.report("a", "success")
    await it.push("b")
    await it.rig.cancel(await it.existing("b"))
    await it.report("b", "success")
    await it.rig.hear(it.move("b"))
    await it.judge()
    assert await it.states() == [("a", "failed"), ("b", "cancelled")]


async def test_a_newer_one_that_is_green_supersedes_older_ones_and_both_say_so(it: Pushes) -> None:
    for letter in "abc":
        await it.push(letter)
    assert await it.states() == [("a", "queued"), ("b", "queued"), ("c", "queued")], "none is ready to take a place"
    await it.report("a", "failure")
    await it.report("b", "success")
    older, newer = await it.existing("a"), await it.existing("b")
    assert (older.state, older.reason) == ("cancelled", f"Superseded by {newer.name}.")
    assert [one.kind for one in older.blockers] == ["superseded"]
    assert older.deployment_id is None, "it leaves nothing at the provider"
    assert [await it.rig.ctx.stores.main.read(lambda tx: tx.all(
        "SELECT data FROM events WHERE deploy_id = :id AND kind = 'supersedes'", id=newer.id))] == [
        [{"data": f'{{"before":"{older.name}"}}'}]
    ]  # fmt: skip
    assert (await it.existing("c")).state == "queued", "an older one never ends a newer one"
    await it.report("a", "success")
    assert (await it.run())["sha"] == sha("b")
    await it.report("c", "success")
    assert (await it.run())["sha"] == sha("c")
    assert await it.nothing_to_claim()


async def test_pushes_that_arrive_in_the_wrong_order(it: Pushes) -> None:
    first, second = it.commit("a"), it.commit("b")
    await it.rig.hear(second)
    await it.report("b", "success")
    await it.rig.hear(first)
    await it.report("a", "success")
    assert await it.states() == [("b", "queued"), ("a", "cancelled")]
    assert (await it.existing("a")).reason == f"Superseded by {(await it.existing('b')).name}."
    await it.run()
    await it.rig.hear(first)
    assert await it.states() == [("b", "succeeded"), ("a", "cancelled")]


async def test_never_backwards(it: Pushes) -> None:
    """Live is a later commit, or the same: by a person, while it waited or before."""
    await it.push("a")
    later = it.commit("b")
    asked = await it.rig.deployment(sha=sha("b"))
    job = await it.rig.claimed()
    await it.rig.start(job)
    await it.report("a", "success")
    assert (await it.existing("a")).deployment_id, "green, it is in line behind what runs"
    await it.rig.finish(job)
    deploy = await it.existing("a")
    assert [one.kind for one in deploy.blockers] == ["superseded"]
    assert await it.nothing_to_claim(), "not before it was compared with what is live now"
    await it.judge()
    deploy = await it.existing("a")
    assert (deploy.state, deploy.reason) == ("cancelled", f"Superseded by {asked.name}.")
    await it.rig.deliver()
    assert it.rig.shown(deploy)[-1] == "error"
    await it.rig.hear(later)
    assert await it.of("b") is None
    await it.rig.hear(it.move("a"))
    assert await it.told("passed_over") == [
        f"bbbbbbb on main is not deployed to staging by itself. It is part of {asked.name}, which is live.",
        f"aaaaaaa on main is not deployed to staging by itself. It is part of {asked.name}, which is live.",
    ]


async def test_what_is_no_part_of_what_is_live_goes_on(it: Pushes) -> None:
    it.commit("f", on="0", branch="feature")
    await it.rig.deployment(sha=sha("f"))
    job = await it.rig.claimed()
    await it.rig.start(job)
    await it.push("a")
    await it.report("a", "success")
    await it.rig.finish(job)
    await it.judge()
    assert (await it.run())["sha"] == sha("a")


async def test_locked_it_waits_and_the_newest_goes_out_on_unlock(it: Pushes) -> None:
    first = await it.push("a")
    assert first is not None
    await it.rig.lock(first)
    await it.report("a", "success")
    shown = await it.existing("a")
    assert [one.kind for one in shown.blockers] == ["lock"]
    await it.push("b")
    assert {one.kind for one in (await it.existing("b")).blockers} == {"lock", "checks"}
    await it.report("b", "success")
    assert await it.states() == [("a", "cancelled"), ("b", "queued")]
    assert (it.rig.shown(shown)[-1], await it.nothing_to_claim()) == ("error", True)
    await it.rig.unlock(first)
    assert (await it.run())["sha"] == sha("b")


async def test_what_is_green_is_not_held_by_a_newer_one_that_is_not(it: Pushes) -> None:
    first = await it.push("a")
    assert first is not None
    await it.rig.lock(first)
    await it.report("a", "success")
    await it.push("b")
    await it.rig.unlock(first)
    assert (await it.run())["sha"] == sha("a")


async def test_skip_deploy(it: Pushes) -> None:
    it.commit("a")
    await it.rig.hear(it.move("a", message="docs only\n\n[Skip Deploy]"))
    assert await it.of("a") is None
    assert await it.told("passed_over") == [
        "aaaaaaa on main is not deployed to staging by itself. Its commit message says [skip deploy]."
    ]


async def test_a_branch_moved_back_and_forth(it: Pushes) -> None:
    await it.push("a")
    await it.push("b")
    await it.pass_s(20)
    await it.push("c", on="a")
    assert await it.states() == [("a", "queued"), ("b", "cancelled"), ("c", "queued")]
    assert (await it.existing("b")).reason == "main does not contain bbbbbbb."
    await it.report("b", "success")
    await it.report("c", "success")
    await it.rig.hear(it.move("b"))
    for seconds in (1, 2, 4, 8):
        await it.pass_s(seconds)
    assert [state for _, state in await it.states()] == ["cancelled", "cancelled", "cancelled", "queued"]
    assert (await it.run())["sha"] == sha("b")
    await it.rig.hear(it.delete())
    await it.rig.hear(it.commit("d", on="b"))
    await it.pass_s(20)
    await it.rig.hear(it.delete())
    await it.judge()
    assert (await it.existing("d")).state == "cancelled"


async def test_a_late_push_of_what_has_left_the_branch(it: Pushes) -> None:
    """It may just as well be one that the provider does not show yet, so that it is asked a few times."""
    late = it.commit("a")
    it.commit("b", on="0")
    await it.rig.hear(late)
    await it.judge()
    assert [one.message for one in (await it.existing("a")).blockers] == ["main does not contain aaaaaaa."]
    for seconds in (1, 2, 4, 8):
        assert (await it.existing("a")).state == "queued"
        await it.pass_s(seconds)
    assert ((await it.existing("a")).state, it.github.registered) == ("cancelled", {})


async def test_with_every_check_there_is_it_waits_until_nothing_changes(rig: Rig) -> None:
    it = await pushes_on(rig, DEFAULT_CHECKS)
    deploy = await it.push("a")
    assert deploy is not None
    assert deploy.blockers[0].message == "The commit has no checks yet; an automatic deploy waits for the first."
    await it.report("a", "success", "lint")
    deploy = await it.existing("a")
    assert deploy.blockers[0].message == "All checks are green; it goes out once nothing has changed for 10 s."
    assert deploy.blockers[0].until == rig.clock[0] + 10_000
    await it.pass_s(9)
    await it.report("a", "pending", "tests")
    await it.pass_s(20)
    assert (await it.existing("a")).out_of_line
    await it.report("a", "success", "tests")
    await it.pass_s(9.9)
    assert (await it.existing("a")).out_of_line
    await it.pass_s(0.2)
    assert not (await it.existing("a")).out_of_line


async def test_after_a_push_only_named_checks_are_asked(rig: Rig) -> None:
    it = await pushes_on(rig, AFTER_PUSH)
    it.github.heads["release"] = sha("0")
    await it.rig.hear(it.commit("a"))
    await it.judge()
    free, strict = await it.existing("a"), await it.existing("a", "strict")
    assert (free.out_of_line, strict.out_of_line) == (0, 1)
    assert await it.of("a", "other") is None
    await it.report("a", "failure", "lint")
    job = await it.rig.claimed()
    assert (job["id"], job["checks"]) == (free.id, [])
    await it.report("a", "success")
    assert (await it.existing("a", "strict")).out_of_line == 0


async def test_a_check_that_turns_red_in_line_costs_the_place(it: Pushes) -> None:
    await it.push("a")
    await it.report("a", "success")
    job = await it.rig.claimed()
    await it.report("a", "failure")
    blockers = [{"kind": "checks", "message": "Check ci failed."}]
    await it.rig.hold(job, blockers=blockers)
    held = await it.existing("a")
    assert (held.state, held.out_of_line) == ("queued", 1)
    asked = await it.rig.deployment(sha=sha("b"))
    assert (await it.rig.claimed())["id"] == asked.id
    await it.rig.cancel(asked)
    await it.report("a", "success")
    assert (await it.run())["sha"] == sha("a")
    assert len(it.github.registered) == 1, "it was registered already"


async def test_a_person_forces_it(it: Pushes) -> None:
    await it.push("a")
    await it.report("a", "failure")
    await it.rig.force(await it.existing("a"), "checks")
    await it.rig.deliver()
    forced = await it.existing("a")
    assert (forced.out_of_line, forced.forced_by, forced.deployment_id) == (0, "bob", 1000)
    assert (await it.run())["forced"] == ["checks"]


async def test_the_provider_is_away(it: Pushes) -> None:
    await it.push("a")
    it.github.away = Unavailable("GitHub did not answer")
    await it.report("a", "success")
    waits = await it.existing("a")
    assert [one.kind for one in waits.blockers] == ["provider"]
    assert "GitHub did not answer" in waits.blockers[0].message
    assert waits.judge_at == it.rig.clock[0] + 1000
    it.github.away = RateLimited("enough for now", retry_after_s=30)
    await it.pass_s(1)
    assert (await it.existing("a")).judge_at == it.rig.clock[0] + 30_000
    it.github.away = None
    await it.pass_s(30)
    assert (await it.run())["sha"] == sha("a")


async def test_an_answer_lost_while_registering_makes_no_second_deployment(it: Pushes) -> None:
    await it.push("a")
    it.github.lost = [Unavailable("the connection broke")]
    await it.report("a", "success")
    await it.pass_s(30)
    assert len(it.github.registered) == 1
    await it.run()


async def test_an_event_lost_is_made_up_for_by_the_slow_net(it: Pushes) -> None:
    await it.push("a")
    it.github.shown[sha("a")] = {"ci": Check("status/ci", "ci", CheckState.SUCCESS, it.rig.clock[0], 1)}
    it.rig.restart()
    await it.pass_s(71)
    assert (await it.run())["sha"] == sha("a")


async def test_an_event_newer_than_the_answer_keeps_it_closed(it: Pushes) -> None:
    await it.push("a")
    it.github.shown[sha("a")] = {"ci": Check("status/ci", "ci", CheckState.SUCCESS, it.rig.clock[0] - 1000, 1)}
    await it.rig.check("ci", "failure", sha=sha("a"))
    await it.judge()
    waits = await it.existing("a")
    assert (waits.out_of_line, waits.blockers[0].message) == (
        1,
        "Check ci has just changed to failure; asking again.",
    )
    assert waits.judge_at == it.rig.clock[0] + 1000


async def test_after_a_rollback_it_waits_until_somebody_resumes(it: Pushes) -> None:
    await it.push("a")
    await it.report("a", "success")
    job = await it.run()
    await it.rig.ctx.stores.main.write(
        lambda tx: tx.run("UPDATE environments SET rolled_back_from = :id, rolled_back_by = 'bob', rolled_back_at = 1 "
                          "WHERE name = 'staging'", id=job["id"])
    )  # fmt: skip
    await it.push("b")
    await it.report("b", "success")
    held = await it.existing("b")
    assert ([one.kind for one in held.blockers], await it.nothing_to_claim()) == (["rolled_back"], True)


async def test_refs_bind_automatic_deploys_too(rig: Rig) -> None:
    it = await pushes_on(rig, DEFAULT_CHECKS.replace("{auto:", "{refs: [release], auto:"))
    await it.push("a")
    for seconds in (1, 2, 4, 8):
        await it.pass_s(seconds)
    rejected = await it.existing("a")
    assert (rejected.state, [one.kind for one in rejected.blockers]) == ("rejected", ["ref"])
    assert it.github.registered == {}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_one_for_each_branch_and_environment(rig: Rig, order: Sequence[str]) -> None:
    """The same commit on two branches, each of which is deployed by another environment."""
    it = await pushes_on(rig, AFTER_PUSH)
    it.github.heads["release"] = sha("0")
    events = {"a": it.commit("a"), "b": it.move("a", "release")}
    for name in order:
        await it.rig.hear(events[name])
    await it.judge()
    assert [len(await it.all(name)) for name in ("staging", "strict", "other")] == [1, 1, 1]


async def test_refs_are_asked_of_a_provider_that_knows_of_the_push(rig: Rig) -> None:
    """It may tell of a push before it shows the commit on the branch: that refuses nothing yet."""
    it = await pushes_on(rig, DEFAULT_CHECKS.replace("{auto:", "{refs: [main, release], auto:"))
    push = it.commit("a")
    it.github.heads["main"] = sha("0")
    await it.rig.hear(push)
    await it.judge()
    it.github.heads["main"] = sha("a")
    await it.report("a", "success", "lint")
    await it.pass_s(11)
    assert (await it.run())["sha"] == sha("a")


async def test_without_a_green_one_the_oldest_give_way_to_the_newest(
    it: Pushes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a branch whose checks never turn green would have ever more that wait, each asked for every minute."""
    monkeypatch.setattr(automatic, "MOST_WAITING", 3)
    for letter in "abcdef":
        await it.push(letter)
    await it.pass_s(71)
    assert [state for _, state in await it.states()] == ["cancelled"] * 3 + ["queued"] * 3
    assert (await it.existing("a")).reason == f"Superseded by {(await it.existing('f')).name}."
    await it.report("d", "success")
    assert (await it.run())["sha"] == sha("d")


async def test_the_config_in_force_when_it_takes_its_place_counts(it: Pushes) -> None:
    """It is asked for at that moment: with another command, other checks, or not at all any more."""
    await it.push("a")
    await it.rig.config(CONFIG.replace("./deploy.sh", "./other.sh").replace("[ci], auto", "[lint], auto"))
    await it.report("a", "success")
    assert [one.message for one in (await it.existing("a")).blockers] == [
        "Waiting for check lint: it has not reported yet."
    ]
    await it.report("a", "success", "lint")
    job = await it.run()
    assert (job["command"], job["checks"]) == (f"./other.sh staging {sha('a')}", ["lint"])
    await it.push("b")
    await it.rig.config(CONFIG.replace(", auto: {branch: main, after: checks}", ""))
    await it.report("b", "success")
    gone = await it.existing("b")
    assert (gone.state, gone.reason) == (
        "cancelled",
        "By the config in force, staging of hello does not deploy main by itself.",
    )
    assert [one.kind for one in gone.blockers] == ["config"]


@pytest.mark.parametrize("away", [False, True])
async def test_what_is_in_line_does_not_go_out_once_its_branch_is_told_to_be_gone(it: Pushes, away: bool) -> None:
    await it.push("a")
    await it.report("a", "success")
    await it.pass_s(20)
    await it.rig.hear(it.delete())
    it.github.away = Unavailable("no answer") if away else None
    assert await it.nothing_to_claim()
    await it.judge()
    assert await it.nothing_to_claim()
    it.github.away = None
    await it.pass_s(71)
    assert await it.states() == [("a", "cancelled")]


async def test_in_line_too_an_answer_from_before_the_push_ends_nothing(rig: Rig) -> None:
    it = await pushes_on(rig, AFTER_PUSH)
    asked = await it.rig.deployment(sha=sha("0"))
    job = await it.rig.claimed()
    await it.rig.start(job)
    await it.push("a")
    assert not (await it.existing("a")).out_of_line
    await it.rig.finish(job)
    it.github.heads["main"] = sha("0")
    await it.judge()
    it.github.heads["main"] = sha("a")
    await it.pass_s(1)
    assert asked.sha == sha("0")
    assert (await it.run())["sha"] == sha("a")


async def test_a_storm_of_checks_is_looked_at_now_and_then(it: Pushes) -> None:
    """A thousand events a minute: what is asked of the provider stays within its limit, and nothing is missed."""
    await it.push("a")
    for _ in range(600):
        await it.rig.pass_s(0.1)
        await it.report("a", "pending")
    assert it.github.asked < 30
    await it.report("a", "success")
    await it.pass_s(6)
    assert (await it.run())["sha"] == sha("a")


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(it: Pushes) -> None:
    await it.push("a")
    await it.push("b")
    it.github.shown[sha("a")] = {"ci": None}  # type: ignore[dict-item]
    await it.rig.check("ci", "success", sha=sha("a"))
    await it.report("b", "success")
    assert await it.states() == [("a", "cancelled"), ("b", "queued")], "b contains it"
    await it.push("c")
    it.github.shown[sha("c")] = {"ci": None}  # type: ignore[dict-item]
    await it.report("b", "success")
    await it.rig.check("ci", "success", sha=sha("c"))
    await it.judge()
    assert (await it.existing("c")).judge_at > it.rig.clock[0] + 40_000  # type: ignore[operator]


async def test_who_wants_to_be_left_alone_is_asked_for_nobody(it: Pushes) -> None:
    await it.push("a")
    await it.push("b")
    it.github.away = RateLimited("enough for now", retry_after_s=600)
    await it.report("a", "success")
    it.github.away = None
    await it.report("b", "success")
    waits = await it.existing("b")
    assert ([one.kind for one in waits.blockers], waits.judge_at) == (["provider"], it.rig.clock[0] + 600_000)
    await it.pass_s(600)
    assert (await it.run())["sha"] == sha("b")


async def test_a_provider_that_wants_to_be_left_alone_is_however_often_it_was_asked(it: Pushes) -> None:
    it.github.away = RateLimited("enough for now", retry_after_s=600)
    await it.push("a")
    for _ in range(6):
        await it.pass_s(600)
        await it.judge()
        assert (await it.existing("a")).judge_at == it.rig.clock[0] + 600_000

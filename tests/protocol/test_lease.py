"""The life of a lease: claimed once, confirmed, renewed, lost, healed, over (rules 5 to 10)."""

import asyncio

import pytest

from ghapp.core.remote import Forbidden, Unavailable
from ghapp.service import context
from ghapp.service.claiming import Claimed
from ghapp.store import events
from ghapp.vcs.base import RepoToken
from tests.protocol.rig import RUNNER_TOKEN, Rig

CHECKED = """
hello:
  repository: acme/hello
  deploy: ./deploy.sh
  environments:
    staging: {runner: [linux, prod]}
    production: {}
"""


async def test_rule_5_a_claim_repeated_is_the_same_job(rig: Rig) -> None:
    """The trace: the answer to a claim is lost; the runner asks again and would get a second deploy."""
    await rig.deployment("staging")
    await rig.deployment("production")
    first = await rig.claimed(claim_id="c")
    assert await rig.claimed(claim_id="c") == first


async def test_rule_5_two_claims_with_one_id_at_once_are_one(rig: Rig) -> None:
    """The trace: the runner hangs up and asks again while its first request is still being answered."""
    for environment in ("staging", "production"):
        await rig.deployment(environment)
    answers = await asyncio.gather(*(rig.claim("c") for _ in range(4)))
    assert {(status, job["id"]) for status, job in answers} == {(200, answers[0][1]["id"])}


async def test_rule_5_a_lease_is_never_given_twice(rig: Rig) -> None:
    """I7; the trace: who lost its lease gets it back with the next claim, and two runners hold the same one."""
    await rig.deployment()
    leases = []
    for way_back in ("hold", "unconfirmed", "silent", "lock"):
        job = await rig.claimed()
        leases.append(job["lease"])
        if way_back == "hold":
            await rig.hold(job)
            await rig.pass_s(75)
        elif way_back == "unconfirmed":
            await rig.pass_s(5)
        elif way_back == "silent":
            await rig.beat(job)
            await rig.pass_s(60)
        else:
            deploy = await rig.by_deployment(job["deployment_id"])
            await rig.lock(deploy)
            assert (await rig.start(job))[1]["answer"] == "no"
            await rig.unlock(deploy)
    assert len(set(leases)) == 4


async def test_rule_5_an_old_claim_id_is_over_for_good(rig: Rig) -> None:
    """The trace: back in line and claimed by another runner, the first repeats its claim and gets the job too."""
    await rig.deployment()
    await rig.claimed(claim_id="old")
    await rig.pass_s(5)
    await rig.claimed(claim_id="new")
    status, answer = await rig.claim("old")
    assert (status, answer["error"]["code"]) == (409, "claim_over")


async def test_rule_5_leases_are_not_stored(rig: Rig) -> None:
    """Who reads the database cannot act for a runner."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    stored = await rig.get(deploy)
    assert stored.lease_hash == context.lease_hash(job["lease"])
    assert job["lease"] not in repr(stored)
    assert job["lease"] not in repr(Claimed(stored, job["lease"], "github", None, RepoToken("secret", 0), []))  # type: ignore[arg-type]


async def test_claims_need_the_runners_token(rig: Rig) -> None:
    await rig.deployment()
    body = {"claim_id": "c", "runner": "r1"}
    status, answer = await rig.post("/api/0/runner/claim", "x" * 30, body)
    assert (status, answer["error"]["code"]) == (401, "unauthorized")
    assert (await rig.post("/api/0/runner/claim", RUNNER_TOKEN, {**body, "claim_id": ""}))[0] == 422
    assert (await rig.post("/api/0/runner/claim", RUNNER_TOKEN, {"runner": "r1"}))[0] == 422
    assert (await rig.claim())[0] == 200


async def test_a_claim_is_for_what_the_runner_has_labels_for(rig: Rig) -> None:
    await rig.config(CHECKED)
    staging, production = await rig.deployment("staging"), await rig.deployment("production")
    assert (await rig.claimed(labels=["linux"]))["id"] == production.id
    assert (await rig.claim(labels=["linux"]))[0] == 204
    told = (await rig.get(staging)).blockers[0].message
    assert "linux and prod" in told
    assert (await rig.claimed(labels=["linux", "prod", "more"]))["id"] == staging.id


async def test_a_claim_is_for_the_apps_the_runner_accepts(rig: Rig) -> None:
    deploy = await rig.deployment()
    for apps in ([], ["other"], ["acme/other"]):
        assert (await rig.claim(apps=apps))[0] == 204
    assert (await rig.claimed(apps=["acme/hello"]))["id"] == deploy.id
    await rig.pass_s(5)
    assert (await rig.claimed(apps=["other", "hello"]))["id"] == deploy.id


async def test_a_waiting_claim_is_answered_as_soon_as_there_is_work(rig: Rig) -> None:
    claim = asyncio.create_task(rig.claim(wait_s=20))
    await asyncio.sleep(0)
    deploy = await rig.deployment()
    async with asyncio.timeout(10):
        status, job = await claim
    assert (status, job["id"]) == (200, deploy.id)


# Tokens for the runner


async def test_a_missing_permission_is_a_blocker_that_names_it(rig: Rig) -> None:
    deploy = await rig.deployment()
    rig.provider.missing = ("checks:read",)
    assert (await rig.claim())[0] == 204
    (blocker,) = (await rig.get(deploy)).blockers
    assert (blocker.kind, "checks:read" in blocker.message) == ("token_permission", True)
    rig.provider.missing = ()
    assert (await rig.claim())[0] == 204, "it is left alone for a while"
    await rig.pass_s(15)
    assert (await rig.claimed())["id"] == deploy.id


@pytest.mark.parametrize("problem", [Unavailable("github.test cannot be reached."), Forbidden("Suspended.")])
async def test_a_provider_that_gives_no_token_is_a_blocker(rig: Rig, problem: Unavailable | Forbidden) -> None:
    deploy, behind = await rig.deployment(), await rig.deployment()
    rig.provider.token_problem = problem
    assert (await rig.claim())[0] == 204
    (blocker,) = (await rig.get(deploy)).blockers
    assert (blocker.kind, problem.message in blocker.message) == ("provider", True)
    assert problem.message in (await rig.get(behind)).blockers[0].message
    rig.provider.token_problem = None
    await rig.pass_s(15)
    assert (await rig.claimed())["id"] == deploy.id


async def test_what_gets_no_token_does_not_stop_other_environments(rig: Rig) -> None:
    await rig.deployment("staging")
    rig.provider.missing = ("statuses:read",)
    assert (await rig.claim())[0] == 204
    rig.provider.missing = ()
    other = await rig.deployment("production")
    assert (await rig.claimed())["id"] == other.id


# Confirmed, renewed, lost, healed


async def test_rule_6_a_beat_within_5_s_confirms_and_every_call_renews(rig: Rig) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    await rig.pass_s(4.9)
    await rig.beat(job)
    await rig.pass_s(59)
    await rig.log(job, 0, b"preparing\n")
    await rig.pass_s(59)
    assert (await rig.start(job))[1]["answer"] == "yes"
    for call in (rig.start(job), rig.log(job, 10, b"x"), rig.beat(job)):
        await rig.pass_s(59)
        assert (await call)[0] == 200
        assert (await rig.get(deploy)).lost_since is None


async def test_rule_6_back_in_its_place_after_silence_it_is_the_head_again(rig: Rig) -> None:
    """I6."""
    head, _ = await rig.deployment(), await rig.deployment()
    job = await rig.claimed()
    await rig.beat(job)
    await rig.pass_s(60)
    assert (await rig.claimed())["id"] == head.id


@pytest.mark.parametrize("call", ["beat", "log", "start", "finish"])
async def test_rule_6_any_call_heals_what_was_lost(rig: Rig, call: str) -> None:
    """The trace: the network was down for two minutes; the command ran on, and its end must count."""
    deploy, job = await rig.started()
    await rig.pass_s(120)
    assert (await rig.get(deploy)).lost_since is not None
    calls = {"beat": rig.beat, "start": rig.start, "finish": rig.finish, "log": lambda job: rig.log(job, 0, b"x")}
    await calls[call](job)
    after = await rig.get(deploy)
    assert (after.lost_since, after.state) == (None, "succeeded" if call == "finish" else "running")


async def test_rule_6_lost_it_holds_its_environment_until_a_person_says_otherwise(rig: Rig) -> None:
    """I1, I2; the trace: the runner is silent, and the command is started elsewhere while it still runs."""
    deploy, job = await rig.started()
    waiting = await rig.deployment()
    await rig.pass_s(86_400)
    assert (await rig.claim())[0] == 204
    assert (await rig.get(deploy)).state == "running"
    await rig.declare_dead(deploy)
    assert (await rig.claimed())["id"] == waiting.id
    status, answer = await rig.finish(job)
    assert (status, answer["error"]["code"]) == (410, "declared_dead"), "I5: the terminal state stays"
    assert (await rig.get(deploy)).state == "errored"


async def test_lost_and_healed_are_in_the_timeline(rig: Rig) -> None:
    deploy, job = await rig.started()
    await rig.pass_s(61)
    await rig.beat(job)
    recorded = await rig.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
    assert [each.kind for each in recorded] == ["asked", "claimed", "started", "lost", "healed"]


async def test_rule_6_no_lease_expires_in_the_apps_first_minute(rig: Rig) -> None:
    """The trace: up again after minutes, the app calls every runner lost before it could be heard."""
    deploy, _ = await rig.started()
    rig.clock[0] += 300_000
    rig.restart()
    await rig.pass_s(59)
    assert (await rig.get(deploy)).lost_since is None
    await rig.pass_s(1)
    assert (await rig.get(deploy)).lost_since is not None


# The beat


async def test_rule_7_a_cancel_is_told_at_once_and_then_not_again_before_its_time(rig: Rig) -> None:
    """The trace: a cancelled command takes its grace to end, and its runner asks a thousand times meanwhile."""
    deploy, job = await rig.started()
    await rig.beat(job)
    beat = asyncio.create_task(rig.beat(job, wait_s=10))
    await asyncio.sleep(0)
    await rig.cancel(deploy)
    async with asyncio.timeout(8):
        _, answer = await beat
    assert answer["cancel_requested"]["who"] == "bob"
    again = asyncio.create_task(rig.beat(job, wait_s=10))
    done, _ = await asyncio.wait({again}, timeout=0.3)
    assert not done, "told once it is no news"
    rig.clock[0] += 10_000
    rig.ctx.signals.send("changes")
    async with asyncio.timeout(8):
        _, answer = await again
    assert answer["cancel_requested"]["who"] == "bob", "but it is in every answer"


async def test_rule_7_an_answer_that_is_lost_is_told_again(rig: Rig) -> None:
    """The trace: the answer with the new token or the cancel is lost, and the app counts it as told."""
    deploy, job = await rig.started()
    rig.provider.token_serial = 2
    await rig.cancel(deploy)
    await rig.beat(job)
    _, answer = await rig.beat(job)
    assert answer["repo_token"]["value"] == "token-2"
    assert answer["cancel_requested"]["who"] == "bob"


async def test_rule_7_a_new_token_is_told_at_once(rig: Rig) -> None:
    """The trace: the command takes longer than the token lives, and the end can be shown nowhere."""
    _, job = await rig.started()
    assert job["repo_token"]["value"] == "token-1"
    beat = asyncio.create_task(rig.beat(job, wait_s=10))
    done, _ = await asyncio.wait({beat}, timeout=0.2)
    assert not done
    rig.provider.token_serial = 2
    rig.ctx.signals.send("changes")
    async with asyncio.timeout(8):
        _, answer = await beat
    assert answer["repo_token"]["value"] == "token-2"


async def test_rule_7_a_beat_goes_on_while_no_token_can_be_had(rig: Rig) -> None:
    _, job = await rig.started()
    rig.provider.token_problem = Unavailable("down")
    assert await rig.beat(job) == (200, {"cancel_requested": None, "repo_token": None, "lease_s": 60})


@pytest.mark.parametrize("event", ["cancel", "finish"])
async def test_rule_7_the_end_of_the_lease_is_told_at_once(rig: Rig, event: str) -> None:
    deploy = await rig.deployment()
    job = await rig.claimed()
    beat = asyncio.create_task(rig.beat(job, wait_s=10))
    await asyncio.wait({beat}, timeout=0.2)
    await (rig.cancel(deploy) if event == "cancel" else rig.finish(job, "error", started=False))
    async with asyncio.timeout(8):
        status, answer = await beat
    assert (status, answer["error"]["code"]) == (409, "lease_over")


# What ends a lease, and what does not


async def test_rule_8_only_the_app_ends_a_lease_and_says_so_in_its_own_shape(rig: Rig) -> None:
    """The trace: a proxy answers 404 or a page, and the runner kills a healthy command."""
    _, job = await rig.started()
    assert (await rig.post(f"/api/0/runner/deploys/{job['id']}/nothing", job["lease"], {}))[0] == 404
    assert (await rig.call(job, "beat", phase=3))[0] == 422
    assert (await rig.post(f"/api/0/runner/deploys/{job['id']}/beat", "", {"phase": "running"}))[0] == 401
    assert (await rig.beat(job))[0] == 200
    status, answer = await rig.beat({**job, "id": 10**6})
    assert (status, answer["error"]["code"]) == (409, "lease_over")


async def test_rule_9_a_cancel_before_start_ends_it_at_once(rig: Rig) -> None:
    """I3; the trace: cancelled and answered, the deploy starts because its runner was just preparing."""
    deploy, following = await rig.deployment(), await rig.deployment()
    job = await rig.claimed()
    assert (await rig.cancel(deploy)).state == "cancelled"
    for call in (rig.start(job), rig.beat(job), rig.hold(job), rig.finish(job, "error")):
        status, answer = await call
        assert (status, answer["error"]["code"], answer["error"]["who"]) == (409, "lease_over", "bob")
    assert (await rig.get(deploy)).reason == "by bob"
    assert (await rig.claimed())["id"] == following.id


async def test_rule_9_a_cancel_while_it_runs_asks_its_runner(rig: Rig) -> None:
    deploy, job = await rig.started()
    assert (await rig.cancel(deploy)).state == "running"
    _, answer = await rig.start(job)
    assert (answer["answer"], answer["cancel_requested"]["who"]) == ("yes", "bob")
    _, answer = await rig.finish(job, "cancel", exit_code=None, signal=15)
    assert answer["state"] == "cancelled"
    assert (await rig.get(deploy)).reason == "by bob"


async def test_rule_9_a_cancel_that_comes_too_late_changes_nothing(rig: Rig) -> None:
    """The command ended by itself while the cancel was on its way."""
    deploy, job = await rig.started()
    await rig.cancel(deploy)
    _, answer = await rig.finish(job)
    assert answer["state"] == "succeeded"


async def test_rule_9_a_cancel_and_a_start_at_once(rig: Rig) -> None:
    """I3."""
    for _ in range(6):
        deploy = await rig.deployment()
        job = await rig.claimed()
        (status, answer), after = await asyncio.gather(rig.start(job), rig.cancel(deploy))
        if status == 200:
            assert answer["answer"] == "yes"
            assert (after.state, after.cancel_requested_by) == ("running", "bob")
            await rig.finish(job)
        else:
            assert (answer["error"]["code"], after.state) == ("lease_over", "cancelled")


async def test_rule_10_what_was_heard_again_cannot_be_declared_dead(rig: Rig) -> None:
    """I2; the trace: the page shows it as lost, its runner is heard again, the button is pressed."""
    deploy, job = await rig.started()
    await rig.pass_s(61)
    await rig.beat(job)
    with pytest.raises(Exception, match="cannot be done now"):
        await rig.declare_dead(deploy)
    assert (await rig.get(deploy)).state == "running"


async def test_every_answer_carries_the_wire_version_and_another_one_is_refused(rig: Rig) -> None:
    headers = {"Authorization": f"Bearer {RUNNER_TOKEN}", "Kedge-Wire-Version": "2"}
    async with rig.client.post("/api/0/runner/claim", headers=headers, json={}) as response:
        assert (response.status, response.headers["Kedge-Wire-Version"]) == (426, "1")
        assert (await response.json())["error"]["code"] == "wire_version"

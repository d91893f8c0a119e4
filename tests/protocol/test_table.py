"""Each event in each state, through the app's doors: what it answers, and what the deploy is afterwards.

``core.states.TABLE`` says the same in words; here it is what really happens.
"""

import pytest

from ghapp.core import sentences
from ghapp.service.problems import Problem
from tests.protocol.rig import Rig

STATES = ("queued", "claimed", "running", "lost", "succeeded", "dead")
#: The state column of a deploy in each of them.
STORED = {"lost": "running", "dead": "errored"}

OVER = "lease_over"
DEAD = "declared_dead"

#: call -> for each of STATES: the error code, or the state it is in after an answer of 200.
CALLS: dict[str, tuple[str, str, str, str, str, str]] = {
    "beat": (OVER, "claimed", "running", "running", OVER, DEAD),
    "hold": (OVER, "queued", "conflict", "conflict", OVER, OVER),
    "reject": (OVER, "rejected", "conflict", "conflict", OVER, OVER),
    "start": (OVER, "running", "running", "running", OVER, DEAD),
    "finish error": (OVER, "errored", "errored", "errored", "too_late", DEAD),
    "finish exit": (OVER, "conflict", "succeeded", "succeeded", "succeeded", DEAD),
    "finish timeout": (OVER, "conflict", "failed", "failed", "too_late", DEAD),
    "finish silence": (OVER, "conflict", "failed", "failed", "too_late", DEAD),
    "finish cancel": (OVER, "conflict", "errored", "cancelled", "too_late", DEAD),
    "log": (OVER, "claimed", "running", "running", OVER, DEAD),
}


async def call(rig: Rig, job: dict[str, object], what: str) -> str:
    """The error code, or ``too_late``, or empty for a plain answer."""
    name, _, ended_by = what.partition(" ")
    if name == "finish":
        status, answer = await rig.finish(job, ended_by, exit_code=0 if ended_by == "exit" else None)
    elif name in {"hold", "reject"}:
        status, answer = await rig.hold(job, name)
    elif name == "log":
        status, answer = await rig.log(job, 0, b"some")
    else:
        status, answer = await (rig.beat(job) if name == "beat" else rig.start(job))
    if status == 200:
        return "too_late" if answer.get("too_late") else ""
    error = answer["error"]
    assert status == (410 if error["code"] == "declared_dead" else 409)
    assert error["deploy"] == "hello#1", "an error names the deploy"
    assert error["state"], "an error names the state"
    return str(error["code"])


REFUSALS = {OVER, DEAD, "conflict", "too_late"}
ACCEPTED = [
    (what, state, after)
    for what, row in CALLS.items()
    for state, after in zip(STATES, row, strict=True)
    if after not in REFUSALS
]


@pytest.mark.parametrize(("what", "state", "expected"), ACCEPTED)
async def test_runner_calls_that_are_accepted(rig: Rig, what: str, state: str, expected: str) -> None:
    before, job = await rig.in_state(state)
    assert await call(rig, job, what) == ""
    after = await rig.get(before)
    assert (after.state, after.lost_since) == (expected, None), "any call with the lease heals"


@pytest.mark.parametrize("state", STATES)
async def test_runner_calls_that_are_refused_change_nothing(rig: Rig, state: str) -> None:
    before, job = await rig.in_state(state)
    for what, row in CALLS.items():
        expected = row[STATES.index(state)]
        if expected in REFUSALS:
            assert await call(rig, job, what) == expected, what
            assert await rig.get(before) == before, what


@pytest.mark.parametrize("state", STATES)
async def test_calls_with_another_lease_change_nothing(rig: Rig, state: str) -> None:
    """I7; the trace: a runner that was thought dead ends a deploy that runs elsewhere."""
    before, job = await rig.in_state(state)
    for what in CALLS:
        assert await call(rig, {**job, "lease": "0" * 64}, what) == (DEAD if state == "dead" else OVER), what
        assert await rig.get(before) == before, what


@pytest.mark.parametrize("state", STATES)
async def test_asked_again_it_is_the_same_deploy(rig: Rig, state: str) -> None:
    before, _ = await rig.in_state(state)
    assert await rig.deployment(deployment_id=before.deployment_id) == before


@pytest.mark.parametrize("state", STATES)
async def test_only_a_queued_one_is_offered(rig: Rig, state: str) -> None:
    before, _ = await rig.in_state(state)
    if state == "queued":
        await rig.pass_s(100)
    status, job = await rig.claim("second")
    assert status == (200 if state == "queued" else 204)
    if state == "queued":
        after = await rig.get(before)
        assert (after.state, after.claim_id, job["lease_s"], job["confirm_s"]) == ("claimed", "second", 60, 5)


@pytest.mark.parametrize("state", STATES)
async def test_a_known_claim_id(rig: Rig, state: str) -> None:
    """Rule 5; the trace: the answer to a claim is lost, and the deploy waits for a runner that does not know."""
    before, job = await rig.in_state(state)
    status, answer = await rig.claim("first")
    if state in {"queued", "succeeded", "dead"}:
        assert (status, answer["error"]["code"]) == (409, "claim_over")
    else:
        assert (status, answer) == (200, job)
    assert (await rig.get(before)).state == before.state


@pytest.mark.parametrize("state", STATES)
async def test_cancel(rig: Rig, state: str) -> None:
    """Rule 9."""
    before, job = await rig.in_state(state)
    if before.state.terminal:
        with pytest.raises(Problem) as refused:
            await rig.cancel(before)
        assert refused.value.code == "too_late"
        assert refused.value.message == sentences.too_late("hello#1", before.state)
        assert await rig.get(before) == before
    elif before.state == "running":
        after = await rig.cancel(before)
        assert (after.state, after.cancel_requested_by, after.lost_since) == ("running", "bob", before.lost_since)
        assert await rig.cancel(before, "eve") == after, "asked again it changes nothing"
    else:
        assert (await rig.cancel(before)).state == "cancelled"
        assert (await rig.beat(job))[1]["error"]["code"] == OVER


@pytest.mark.parametrize("state", STATES)
async def test_declare_dead(rig: Rig, state: str) -> None:
    """Rule 10; the trace: a person declares dead what only seems to hang, and a second command runs beside it."""
    before, job = await rig.in_state(state)
    if state == "lost":
        assert (await rig.declare_dead(before)).state == "errored"
        status, answer = await rig.beat(job)
        assert (status, answer["error"]["code"], answer["error"]["who"]) == (410, DEAD, "bob")
        assert answer["error"]["when"], "an error names when"
    else:
        with pytest.raises(Problem) as refused:
            await rig.declare_dead(before)
        assert refused.value.code == "conflict"
        assert await rig.get(before) == before


@pytest.mark.parametrize("state", STATES)
async def test_force(rig: Rig, state: str) -> None:
    before, _ = await rig.in_state(state)
    if state in {"queued", "claimed"}:
        after = await rig.force(before, "checks")
        assert (after.state, after.forced_by, after.forced) == (before.state, "bob", frozenset({"checks"}))
        assert await rig.ready(before) is (state == "queued")
    else:
        with pytest.raises(Problem) as refused:
            await rig.force(before, "checks")
        assert refused.value.code == "conflict"
        assert await rig.get(before) == before


@pytest.mark.parametrize("state", STATES)
async def test_lock_and_unlock(rig: Rig, state: str) -> None:
    before, _ = await rig.in_state(state)
    await rig.lock(before)
    locked = await rig.get(before)
    if state == "queued":
        assert [blocker.kind for blocker in locked.blockers] == ["lock"]
        assert not await rig.ready(before)
    else:
        assert locked == before
    await rig.unlock(before)
    assert (await rig.get(before)).state == before.state
    assert await rig.ready(before) is (state == "queued")


@pytest.mark.parametrize("state", STATES)
async def test_check_event(rig: Rig, state: str) -> None:
    before, _ = await rig.in_state(state)
    assert not await rig.ready(before)
    await rig.check("ci", "success")
    assert await rig.ready(before) is (state == "queued")
    assert (await rig.get(before)).state == before.state


@pytest.mark.parametrize("state", STATES)
async def test_slow_net(rig: Rig, state: str) -> None:
    """Rule 3; the trace: the event that a deploy waits for is lost, and nobody ever looks again."""
    before, job = await rig.in_state(state)
    for _ in range(5):
        if state in {"claimed", "running"}:
            await rig.beat(job)
        await rig.pass_s(14.5)
    after = await rig.get(before)
    assert (after.state, after.lost_since) == (before.state, before.lost_since)
    assert await rig.ready(before) is (state == "queued")


@pytest.mark.parametrize("state", STATES)
async def test_silence(rig: Rig, state: str) -> None:
    """Rule 6: 60 s without a call."""
    before, job = await rig.in_state(state)
    if state == "claimed":
        await rig.beat(job)
    await rig.pass_s(59)
    assert (await rig.get(before)).state == before.state
    await rig.pass_s(1)
    after = await rig.get(before)
    assert after.state == ("queued" if state == "claimed" else before.state)
    assert (after.lost_since is not None) is (state in {"running", "lost"})
    if state == "claimed":
        assert (await rig.beat(job))[1]["error"]["code"] == OVER


@pytest.mark.parametrize("state", STATES)
async def test_unconfirmed_for_5_s(rig: Rig, state: str) -> None:
    """Rule 6; the trace: a runner claims and vanishes, and the environment is held for a minute."""
    before, job = await rig.in_state(state)
    await rig.pass_s(4.9)
    assert (await rig.get(before)).state == before.state
    await rig.pass_s(0.1)
    after = await rig.get(before)
    assert after.state == ("queued" if state == "claimed" else before.state)
    if state == "claimed":
        assert await rig.ready(before)
        assert (await rig.start(job))[1]["error"]["code"] == OVER


@pytest.mark.parametrize("state", STATES)
async def test_app_restarts(rig: Rig, state: str) -> None:
    """Rule 6; the trace: the app was down for minutes, and every lease seems to have run out."""
    before, job = await rig.in_state(state)
    rig.clock[0] += 600_000
    rig.restart()
    await rig.pass_s(59.9)
    after = await rig.get(before)
    assert (after.state, after.lost_since) == (before.state, before.lost_since)
    if not before.state.terminal and state != "queued":
        assert (await rig.beat(job))[0] == 200, "the runner is heard again"
        await rig.pass_s(59.9)
        heard = await rig.get(before)
        assert (heard.state, heard.lost_since) == (before.state, None)

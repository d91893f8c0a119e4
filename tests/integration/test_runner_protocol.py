"""What a runner does when answers are lost, late, hostile or unwelcome: each rule of the protocol by its trace."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from ghapp import wire
from runner import journal, processes
from tests.integration import fake_app, runner_world
from tests.integration.fake_app import (
    HANG,
    LOST_ANSWER,
    LOST_REQUEST,
    NONSENSE,
    REDIRECT,
    Fault,
    http,
    kedge_error,
)
from tests.integration.runner_world import World, until
from tests.integration.runner_world import world as make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


WEATHER = {
    "request lost": LOST_REQUEST,
    "answer lost": LOST_ANSWER,
    "hangs": HANG,
    "nonsense": NONSENSE,
    "redirect": REDIRECT,
    "401": http(401),
    "403": http(403),
    "404": http(404),
    "500": http(500),
    "409 without Kedge's shape": http(409),
    "410 without Kedge's shape": http(410),
    "404 by Kedge": Fault(answer=kedge_error(404, "not_found")),
    "lease_over, but not as 409": Fault(answer=kedge_error(404, "lease_over")),
    "503 by Kedge": Fault(answer=kedge_error(503, "unavailable")),
}


@pytest.mark.parametrize("weather", WEATHER)
async def test_bad_weather_at_each_call_changes_nothing(world: World, weather: str) -> None:
    for call in ("claim", "beat", "start", "log", "finish"):
        world.app.faults[call].extend([WEATHER[weather]] * 2)
    deploy = await world.see_through(f"{world.tally()}; sh deploy.sh")
    assert (deploy.state, deploy.output, world.times("runs")) == ("succeeded", "deploying\n", 1)
    assert world.github.states == ["in_progress", "success"]


@pytest.mark.parametrize("call", ["hold", "reject"])
@pytest.mark.parametrize("weather", [LOST_REQUEST, LOST_ANSWER, HANG, NONSENSE, http(500)])
async def test_bad_weather_at_hold_and_reject(world: World, call: str, weather: Fault) -> None:
    world.github.contexts = {"ci": "pending" if call == "hold" else "failure"}
    world.app.faults[call].append(weather)
    deploy = await world.see_through(world.tally())
    assert [name for name, _ in deploy.given_back] == [call]
    assert world.times("runs") == 0


async def test_a_claim_whose_answer_was_lost_is_repeated_with_the_same_id(world: World) -> None:
    world.app.faults["claim"].extend([LOST_ANSWER, LOST_ANSWER])
    deploy = await world.see_through("true")
    assert deploy.state == "succeeded"
    assert len({claim.claim_id for claim in world.app.claims[:3]}) == 1


async def test_an_app_of_another_wire_version_is_named_in_a_sentence(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = web.Response(status=200, text="{}", headers={wire.WIRE_HEADER: "2"})
    world.app.faults["claim"].extend([Fault(answer=newer), Fault(answer=kedge_error(426, "wire_version"))])
    deploy = await world.see_through("true")
    said = "".join(capsys.readouterr())
    assert "The app speaks version 2 of the wire, this runner version 1; bring both to the same release." in said
    assert "(wire_version)" in said
    assert deploy.state == "succeeded"


async def test_a_claim_that_is_over_gets_a_new_id(world: World) -> None:
    world.app.faults["claim"].extend([LOST_ANSWER, Fault(answer=kedge_error(409, "claim_over"))])
    deploy = world.ask("true")
    async with world.running():
        await until(lambda: len(world.app.claims) > 1)
        deploy.claim_id = ""  # not confirmed: back in its place
        world.app.again(deploy)
        await world.ended(deploy)
    assert deploy.state == "succeeded"
    assert world.app.claims[0].claim_id != world.app.claims[1].claim_id


async def test_the_first_beat_goes_at_once_and_beats_never_cease(world: World) -> None:
    deploy = world.ask(world.wait_for("go"))
    async with world.running():
        await until(lambda: len(deploy.beats) > 3)
        (world.folder / "go").touch()
        await world.ended(deploy)
    assert deploy.beats[0].wait_s == 0
    assert world.app.calls[:2] == ["claim", "beat"]
    assert {beat.phase for beat in deploy.beats} >= {"running"}


async def test_start_is_answered_no(world: World) -> None:
    deploy = world.ask(world.tally())
    blocker = wire.WireBlocker(kind="lock", message="env1 is locked by bob.")
    deploy.start = wire.StartAnswer(answer="no", state="queued", blockers=[blocker])
    async with world.running():
        await world.ended(deploy)
    assert (world.times("runs"), deploy.finishes, len(deploy.starts)) == (0, [], 1)
    assert deploy.log == b""


async def test_after_no_it_can_be_claimed_and_started_again(world: World) -> None:
    deploy = world.ask(world.tally())
    yes, deploy.start = deploy.start, wire.StartAnswer(answer="no", state="queued")
    async with world.running():
        await world.ended(deploy)
        deploy.start = yes
        world.app.again(deploy)
        await until(lambda: deploy.terminal)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)


async def test_a_start_whose_answer_was_lost_is_repeated_with_the_same_lease(world: World) -> None:
    world.app.faults["start"].extend([LOST_ANSWER, LOST_ANSWER])
    deploy = await world.see_through(world.tally())
    assert (len(deploy.starts), len(world.app.claims), world.times("runs")) == (3, 2, 1)


async def test_a_yes_that_comes_too_late_is_not_used(world: World) -> None:
    """Protocol rule 12: it counts from the sending."""
    deploy = world.ask(world.tally())
    deploy.start = wire.StartAnswer(answer="yes", good_for_s=0.2)
    world.app.faults["start"].append(Fault(late_s=0.3))
    async with world.running():
        await until(lambda: deploy.starts)
        deploy.start = wire.StartAnswer(answer="yes", good_for_s=30)
        await world.ended(deploy)
    assert (deploy.state, len(deploy.starts), world.times("runs")) == ("succeeded", 2, 1)


async def test_a_yes_that_is_always_too_late_never_executes(world: World) -> None:
    deploy = world.ask(world.tally())
    deploy.start = wire.StartAnswer(answer="yes", good_for_s=0.05)
    world.app.always["start"] = Fault(late_s=0.1)
    async with world.running():
        await until(lambda: len(deploy.starts) > 3)
    assert world.times("runs") == 0


@pytest.mark.parametrize(("good_for_s", "most_s"), [(5, 5), (30, 30), (600, 30)])
async def test_a_yes_is_written_down_with_its_deadline(world: World, good_for_s: float, most_s: float) -> None:
    seen = world.folder / "seen"
    deploy = world.ask(f"cat {world.workdir}/journal/*/starting > {seen}")
    deploy.start = wire.StartAnswer(answer="yes", good_for_s=good_for_s)
    before = journal.boottime_ns()
    async with world.running():
        await world.ended(deploy)
    written = msgspec.json.decode(seen.read_bytes(), type=journal.Starting)
    assert before + most_s * 1e9 <= written.deadline_ns <= journal.boottime_ns() + most_s * 1e9


async def test_checks_that_change_while_start_is_unanswered_stop_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.checks.FRESH_S", 0.0)
    world.app.always["start"] = LOST_ANSWER
    deploy = world.ask(world.tally())
    async with world.running():
        await until(lambda: deploy.starts)
        world.github.contexts = {"ci": "failure"}
        await world.ended(deploy)
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)
    assert "Check ci failed." in deploy.finishes[0].reason


async def test_checks_are_fetched_again_before_start_when_older_than_ten_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.checks.FRESH_S", 0.0)
    deploy = await world.see_through("true")
    assert deploy.state == "succeeded"
    assert world.github.requests.count("checks") == 2
    assert deploy.starts[0].checks_age_s < 10


async def test_a_yes_with_a_cancel_is_not_executed(world: World) -> None:
    """It was cancelled after an earlier start was answered yes, an answer that was lost."""
    deploy = world.ask(world.tally())
    deploy.cancel = wire.Who(who="bob", at="2026-11-23T17:00:00Z")
    async with world.running():
        await world.ended(deploy)
    assert (deploy.state, world.times("runs")) == ("cancelled", 0)
    assert (deploy.finishes[0].ended_by, deploy.finishes[0].started) == ("cancel", False)


async def test_a_cancel_ends_what_runs(world: World) -> None:
    deploy = world.ask("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")
    async with world.running():
        await until(lambda: "up" in deploy.output)
        deploy.request_cancel()
        await world.ended(deploy)
    assert deploy.state == "cancelled"
    assert deploy.output.startswith("up\n")
    assert deploy.output.endswith("bye\n")
    assert world.github.states == ["in_progress", "error"]


async def test_a_cancel_is_heard_at_once_after_a_beat_that_did_not_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first beat, and the one that confirms a status, are followed by one that waits, without a pause."""
    monkeypatch.setattr(runner_world, "QUICK", dataclasses.replace(runner_world.QUICK, beat_apart_s=3600))
    deploy = world.ask("echo up; sleep 600", beat_s=60)
    async with world.running():
        await until(lambda: "up" in deploy.output)
        await until(lambda: "in_progress" in deploy.confirmed)
        deploy.request_cancel()
        await world.ended(deploy)
    assert deploy.state == "cancelled"


async def test_a_cancel_kills_what_ignores_term(world: World) -> None:
    deploy = world.ask("trap '' TERM; (setsid sh -c 'echo up; sleep 600') & wait")
    async with world.running():
        await until(lambda: "up" in deploy.output)
        deploy.request_cancel()
        await world.ended(deploy)
    assert deploy.state == "cancelled"


async def test_a_lease_that_is_over_before_start_stops_the_preparation(world: World) -> None:
    world.github.faults["checks"].append("hang")
    deploy = world.ask(world.tally())
    async with world.running():
        await until(lambda: "checks" in world.github.requests)
        deploy.state = "cancelled"
        deploy.poke.set()
        await until(lambda: not world.journal)
        other = world.ask("true")
        await world.ended(other)
    assert (world.times("runs"), deploy.starts, deploy.finishes, other.state) == (0, [], [], "succeeded")


@pytest.mark.parametrize("dead", [True, False])
async def test_an_ended_lease_kills_the_command_and_writes_nothing(world: World, dead: bool) -> None:
    deploy = world.ask(f"echo up; {world.wait_for('go')}; {world.tally()}")
    async with world.running():
        await until(lambda: "up" in deploy.output)
        await until(lambda: "in_progress" in deploy.confirmed)
        deploy.dead = dead
        deploy.state = "errored"
        deploy.poke.set()
        await until(lambda: not world.journal)
        (world.folder / "go").touch()
        await world.ended(world.ask("true"))
    assert (world.times("runs"), deploy.finishes) == (0, [])
    assert world.github.states[0] == "in_progress"
    assert "error" not in world.github.states


async def test_a_new_token_is_used_for_what_comes_later(world: World) -> None:
    deploy = world.ask(world.wait_for("go"))
    async with world.running():
        await until(lambda: "in_progress" in deploy.confirmed)
        world.github.token = "ghs_Renewed"
        deploy.renewed = wire.WireToken(value="ghs_Renewed", expires_at="2026-11-23T19:00:00Z")
        deploy.poke.set()
        await until(lambda: deploy.renewal_heard)
        (world.folder / "go").touch()
        await world.ended(deploy)
    assert world.github.states == ["in_progress", "success"]


async def test_a_long_outage_loses_nothing(world: World) -> None:
    deploy = world.ask(f"for i in 1 2 3; do echo $i; {world.wait_for('$i')}; done; echo end")
    async with world.running():
        await until(lambda: "1" in deploy.output)
        world.app.always = dict.fromkeys(("beat", "log", "finish"), LOST_REQUEST)
        for step in "123":
            (world.folder / step).touch()
        await until(lambda: world.app.calls[-40:].count("log") > 15, "many tries")
        assert deploy.output == "1\n"
        world.app.always.clear()
        await world.ended(deploy)
    assert (deploy.state, deploy.output) == ("succeeded", "1\n2\n3\nend\n")


async def test_a_proxy_that_finds_chunks_too_large_gets_smaller_ones(world: World) -> None:
    world.app.log_limit = 100_000
    deploy = await world.see_through("head -c 1000000 /dev/urandom | base64")
    assert deploy.state == "succeeded"
    assert len(deploy.log) > 1_300_000


async def test_chunks_that_are_answered_out_of_order_or_lost_arrive_in_order(world: World) -> None:
    weather = [Fault(late_s=0.2), Fault(late_s=0.05), LOST_ANSWER, LOST_REQUEST, Fault(late_s=0.1), http(502)]
    world.app.faults["log"].extend(weather * 3)
    deploy = await world.see_through("seq 1 1500000", deployment_id=None)
    assert deploy.output == "".join(f"{number}\n" for number in range(1, 1_500_001))


async def test_an_app_that_has_lost_a_part_of_the_log_gets_it_again(world: World) -> None:
    deploy = world.ask(f"echo one; {world.wait_for('two')}; echo two; {world.wait_for('end')}")
    async with world.running():
        await until(lambda: deploy.output == "one\n")
        deploy.chunks.clear()
        (world.folder / "two").touch()
        await until(lambda: deploy.output == "one\ntwo\n")
        (world.folder / "end").touch()
        await world.ended(deploy)
    assert deploy.state == "succeeded"


# When the runner itself fails


@pytest.mark.parametrize("where", ["runner.ship.Shipper.run", "runner.processes.wait", "runner.statuses.write"])
async def test_a_failure_of_its_own_while_it_runs_goes_on_by_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    deploy = world.ask(f"{world.tally()}; sh deploy.sh")
    with monkeypatch.context() as patch:
        failed = failing(patch, where)
        async with world.running():
            await until(failed.is_set)
            patch.undo()
            await world.ended(deploy)
    assert (deploy.state, deploy.output, world.times("runs")) == ("succeeded", "deploying\n", 1)


@pytest.mark.parametrize("where", ["runner.checks.ask", "runner.environment.build"])
async def test_a_failure_of_its_own_before_the_start_ends_the_deploy(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    failing(monkeypatch, where)
    deploy = await world.see_through(world.tally())
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)
    assert b"as asked for" in deploy.log


async def test_without_room_for_the_journal_nothing_is_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy = world.ask(world.tally())
    with monkeypatch.context() as patch:
        failed = failing(patch, "runner.journal.Journal.create", OSError("as asked for"))
        async with world.running():
            await until(failed.is_set)
            patch.undo()
            assert deploy.beats == []
            world.app.again(deploy)
            await world.ended(deploy)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)


async def test_without_a_supervisor_nothing_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "runner.processes.launch", processes.LaunchFailed("as asked for"))
    deploy = await world.see_through(world.tally())
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)


def failing(patch: pytest.MonkeyPatch, where: str, error: Exception | None = None) -> asyncio.Event:
    """Make a function fail; the event tells that it did."""
    failed = asyncio.Event()

    def fail(*_: object, **__: object) -> None:
        failed.set()
        raise error or RuntimeError("as asked for")

    patch.setattr(where, fail)
    return failed


async def test_a_supervisor_that_died_before_it_took_the_start_ran_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "supervisor.py"
    script.write_text(
        f"import sys\nsys.path.append({str(Path(processes.__file__).parents[1])!r})\nimport runner.supervise, os\n"
        "def full(*_):\n    raise OSError(28, 'No space left on device')\n"
        "os.posix_fallocate = full\nrunner.supervise.main()\n"
    )
    monkeypatch.setattr(processes, "SUPERVISOR", script)
    deploy = await world.see_through(world.tally())
    assert (deploy.state, deploy.finishes[0].started, world.times("runs")) == ("errored", False, 0)
    assert "No space left on device" in deploy.finishes[0].reason


async def test_a_full_disk_does_not_lose_the_last_words_of_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "runner.tools.Held._spool", OSError(28, "No space left on device"))
    deploy = await world.see_through("echo up; sleep 600", timeout=1)
    assert deploy.state == "failed"
    assert deploy.log == b"up\n[kedge] It ran longer than its timeout of 1 s.\n"


async def test_a_finish_that_was_answered_otherwise_before_is_the_end(world: World) -> None:
    world.app.faults["finish"].append(Fault(answer=kedge_error(409, "too_late")))
    deploy = world.ask("true")
    async with world.running():
        await until(lambda: "finish" in world.app.calls)
        await until(lambda: not world.journal)
    assert deploy.finishes == []


# Statuses


async def test_a_status_whose_answer_was_lost_is_looked_for_before_it_is_repeated(world: World) -> None:
    world.github.faults["create"].append("lost")
    deploy = await world.see_through("true")
    assert world.github.states == ["in_progress", "success"]
    assert deploy.confirmed == ["in_progress", "success"]
    assert world.github.requests.count("newest") == 1


async def test_a_status_that_did_not_arrive_is_written_again(world: World) -> None:
    world.github.faults["create"].append(502)
    deploy = await world.see_through("true")
    assert world.github.states == ["in_progress", "success"]
    assert deploy.confirmed == ["in_progress", "success"]


async def test_a_status_is_not_repeated_while_nobody_can_say_whether_it_is_there(world: World) -> None:
    world.github.faults["create"].append("lost")
    world.github.faults["newest"].extend([500, 500, 500])
    deploy = await world.see_through("true")
    assert world.github.states == ["in_progress", "success"]
    assert deploy.confirmed == ["in_progress", "success"]


async def test_a_grant_whose_time_has_passed_is_not_used(world: World) -> None:
    deploy = world.ask("true")
    deploy.write_within_s = 0.1
    async with world.running():
        await world.ended(deploy)
    assert (deploy.state, deploy.confirmed, world.github.shown) == ("succeeded", [], [])


async def test_a_grant_that_runs_out_over_failures_is_left_to_the_app(world: World) -> None:
    deploy = world.ask("true")
    deploy.write_within_s = 0.8
    world.github.faults["create"].extend([502] * 1000)
    async with world.running():
        await world.ended(deploy)
    assert (deploy.state, deploy.confirmed, world.github.shown) == ("succeeded", [], [])


async def test_a_status_that_is_refused_is_left_to_the_app(world: World) -> None:
    world.github.faults["create"].append(422)
    deploy = await world.see_through("true")
    assert deploy.state == "succeeded"
    assert deploy.confirmed == []
    assert world.github.requests.count("create") == 1


async def test_a_limit_that_outlasts_the_grant_leaves_the_status_to_the_app(world: World) -> None:
    world.github.faults["create"].append(429)  # without Retry-After: a minute
    deploy = await world.see_through("true")
    assert (deploy.state, deploy.confirmed, world.github.requests.count("create")) == ("succeeded", [], 1)


async def test_lost_finish_answers_do_not_write_twice(world: World) -> None:
    world.app.faults["finish"].extend([LOST_ANSWER] * 3)
    deploy = await world.see_through("exit 4")
    assert len(set(deploy.finishes)) == 1
    assert world.github.states == ["in_progress", "failure"]


async def test_secrets_stay_out_of_the_runners_own_lines(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.app.faults["beat"].extend([http(500), NONSENSE])
    world.github.faults["checks"].append(401)
    deploy = await world.see_through("true")
    said = "".join(capsys.readouterr())
    assert "claimed" in said
    for secret in (fake_app.RUNNER_TOKEN, deploy.lease, world.github.token):
        assert secret not in said

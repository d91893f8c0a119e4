"""What Slack is told of a deploy: one message that follows it, a thread with each step once, never an older state."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ghapp.channels.slack import SlackClient
from ghapp.core.remote import RateLimited, Unavailable
from ghapp.core.values import Lock
from ghapp.service import acting, locking, messaging, sweeping
from ghapp.service.slack_telling import NAME, SlackTelling
from ghapp.store import deploys, events
from ghapp.store.deploys import Deploy
from tests.protocol.rig import Rig
from tests.protocol.slack_memory import MemorySlack

CONFIG = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  notify: {slack: "#deploys"}
  environments:
    staging: {}
    production: {checks: [ci], checks_timeout: 10m}
other:
  repository: acme/other
  deploy: "./deploy.sh"
  notify: {slack: ["#ops", "#deploys"]}
"""


@pytest.fixture
async def slack(rig: Rig) -> MemorySlack:
    await rig.config(CONFIG)
    made = MemorySlack()
    use(rig, made)
    return made


def use(rig: Rig, slack: MemorySlack) -> None:
    rig.ctx.channels = {NAME: SlackTelling(cast(SlackClient, slack), slack, buttons=True)}


async def told(rig: Rig, after_s: float = 11) -> None:
    """Let so much time pass, and all that is due be said."""
    await rig.pass_s(after_s)
    while await messaging.say_due(rig.ctx, NAME):
        pass


async def asked_in(rig: Rig, room: str, user: str = "") -> Deploy:
    """A deploy that was asked for in a room of Slack."""
    notify = {"adapter": "@hubot-friends/hubot-slack", "room": room, "user": user, "user_name": "alice"}
    return await rig.deployment(payload={"notify": notify})


async def rows(rig: Rig, query: str) -> list[Any]:
    return list(await rig.ctx.stores.main.read(lambda tx: tx.all(query)))


async def finish(rig: Rig, job: dict[str, Any], exit_code: int = 0) -> None:
    ended_at = datetime.fromtimestamp(rig.clock[0] / 1000, UTC).isoformat()
    await rig.finish(job, exit_code=exit_code, ended_at=ended_at)


async def blocked(rig: Rig) -> Deploy:
    """A deploy that waits for a lock of bob's."""
    first = await rig.deployment(sha="b" * 40)
    await rig.cancel(first)
    await told(rig)
    await rig.lock(first)
    await told(rig)
    return await rig.deployment(ref="feature")


async def test_it_is_told_from_the_moment_it_is_asked_for_to_its_end(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    await told(rig, 0)
    job = await rig.claimed()
    await rig.beat(job, phase="preparing")
    await told(rig)
    await rig.start(job)
    await told(rig)
    await finish(rig, job)
    await told(rig, 0)
    (message,) = slack.messages()
    assert [text.partition(": ")[2] for text in message.versions] == [
        "No runner has been seen yet; start one with `python -m runner`.",
        "Runner r1 asks the checks and prepares.",
        "Running on r1.",
        "Succeeded after 11 s.",
    ]
    assert message.buttons == ["rollback"]
    assert slack.thread() == [
        "ana asked for it as a GitHub deployment.",
        "No runner has been seen yet; start one with `python -m runner`.",
        "The command started on runner r1.",
        "Succeeded.",
    ]
    assert deploy.name == "hello#1"


async def test_what_waits_runs_fails_is_retried_and_succeeds_is_one_message(rig: Rig, slack: MemorySlack) -> None:
    deploy = await blocked(rig)
    await told(rig, 0)
    message = slack.messages()[-1]
    assert message.buttons == ["unlock", "force", "cancel"]
    await rig.unlock(deploy)
    job = await rig.claimed()
    await rig.start(job)
    await told(rig)
    await finish(rig, job, exit_code=3)
    await told(rig, 0)
    assert message.buttons == ["retry"]
    await told(rig, 20)
    again = await rig.deployment(ref="feature")
    await told(rig, 0)
    job = await rig.claimed()
    await rig.start(job)
    await told(rig)
    await finish(rig, job)
    await told(rig, 0)
    assert not [one for one in slack.messages() if one is not message and "hello#3" in one.text]
    assert [text.split(" ", 2)[:2] for text in message.versions] == [
        ["⏳", "hello#2"],
        ["🚀", "hello#2"],
        ["❌", "hello#2"],
        ["⏳", "hello#3"],
        ["🚀", "hello#3"],
        ["✅", "hello#3"],
    ]
    assert slack.thread(ts=message.ts) == [
        "ana asked for it as a GitHub deployment.",
        "staging is locked by bob since Jan 15, 08:02 UTC: broken db.",
        "The command started on runner r1.",
        "<@U0000ANA> Failed: the command ended with exit code 3",
        "*hello#3*: ana asked for it as a GitHub deployment.",
        "*hello#3*: The command started on runner r1.",
        "*hello#3*: Succeeded.",
    ]
    assert again.name == "hello#3"


async def test_something_else_or_much_later_is_a_message_of_its_own(rig: Rig, slack: MemorySlack) -> None:
    for sha, after_s in (("a", 0), ("b", 60), ("b", 3700)):
        await rig.pass_s(after_s)
        deploy = await rig.deployment(sha=sha * 40)
        await rig.cancel(deploy)
        await told(rig)
    assert len(slack.messages()) == 3


async def test_how_long_it_runs_is_shown_by_tenths_of_what_is_usual(rig: Rig, slack: MemorySlack) -> None:
    _, job = await rig.started()
    await rig.pass_s(50)
    await rig.beat(job)
    await rig.pass_s(50)
    await finish(rig, job)
    await told(rig)
    _, job = await rig.started()
    await told(rig, 0)
    bars = []
    for _ in range(13):
        await told(rig, 10)
        await rig.beat(job)
        bars.append(slack.messages()[-1].blocks[0]["text"]["text"].splitlines()[-1])
    assert bars[0] == "▓░░░░░░░░░ usually 1 min"
    assert bars[-1] == "▓▓▓▓▓▓▓▓▓▓ longer than the usual 1 min"
    assert len(set(bars)) == 10
    updates = len(slack.calls)
    await told(rig, 40)
    assert len(slack.calls) == updates, "nothing more to say"


async def test_at_most_one_update_in_ten_seconds_and_the_end_at_once(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    await told(rig, 0)
    job = await rig.claimed()
    await told(rig, 3)
    await rig.start(job)
    await told(rig, 3)
    assert slack.calls == ["post", "reply"]
    await finish(rig, job, exit_code=1)
    await told(rig, 0)
    assert slack.calls == ["post", "reply", "update", "reply"]
    assert slack.messages()[0].versions[-1].startswith("❌") and deploy.number == 1


async def test_after_slack_was_down_there_is_one_message_with_the_end(rig: Rig, slack: MemorySlack) -> None:
    """Never started after failed; no status of the provider waited."""
    slack.refusals = [Unavailable("down")] * 3
    deploy, job = await rig.started()
    await told(rig)
    await rig.deliver()
    await rig.pass_s(31)
    await rig.beat(job)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "in_progress"
    await finish(rig, job, exit_code=1)
    for _ in range(6):
        await told(rig)
    (message,) = slack.messages()
    assert [text[0] for text in message.versions] == ["❌"]
    assert [line.split(" ")[0] for line in slack.thread()] == ["ana", "The", "<@U0000ANA>"]


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5, 6])
async def test_whichever_answer_is_lost_nothing_is_said_twice(rig: Rig, slack: MemorySlack, lost: int) -> None:
    writes = 0
    begin = slack._end

    def losing() -> None:
        nonlocal writes
        writes += 1
        if writes == lost:
            raise Unavailable("no answer")
        begin()

    slack._end = losing  # type: ignore[method-assign]
    await rig.deployment()
    await told(rig)
    job = await rig.claimed()
    await rig.start(job)
    await told(rig)
    await rig.beat(job)
    await told(rig)
    await finish(rig, job, exit_code=1)
    await told(rig)
    await told(rig, 61)
    (message,) = slack.messages()
    assert message.text.startswith("❌")
    steps = [line for line in slack.thread() if not line.startswith("No runner")]  # it waits no more when it is told
    assert [" ".join(line.split(" ")[:2]) for line in steps] == ["ana asked", "The command", "<@U0000ANA> Failed:"]
    assert writes >= lost


async def test_a_reason_to_wait_whose_answer_was_lost_is_told_once(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    await told(rig)
    await rig.lock(deploy)
    lost = slack._end
    seen: list[str] = []

    def losing() -> None:
        seen.append(slack.calls[-1])
        if seen.count("reply") == 1 and seen[-1] == "reply":
            raise Unavailable("no answer")
        lost()

    slack._end = losing  # type: ignore[method-assign]
    await told(rig)
    await told(rig)
    await told(rig)
    assert [line for line in slack.thread() if "locked" in line] == [slack.thread()[-1]]
    assert "reply" in seen


async def test_an_end_after_a_lost_answer_is_written_once_more(rig: Rig, slack: MemorySlack) -> None:
    """The trace: an update without an answer is still under way, and comes to Slack after the one with the end."""
    _, job = await rig.started()
    await told(rig, 0)
    slack.lost = [Unavailable("no answer")]
    await finish(rig, job, exit_code=1)
    await told(rig, 0)
    await told(rig)
    late = slack.messages()[0]
    late.versions.append("🚀 started")
    await told(rig, 61)
    assert late.text.startswith("❌")
    updates = slack.calls.count("update")
    await told(rig, 600)
    assert slack.calls.count("update") == updates


async def test_a_rate_limit_is_kept(rig: Rig, slack: MemorySlack) -> None:
    slack.refusals = [RateLimited("slow down", retry_after_s=30)]
    await rig.deployment()
    await told(rig, 0)
    await rig.deployment("production")
    await told(rig, 29)
    assert slack.calls == ["post"]
    await told(rig, 2)
    assert len(slack.messages()) == 2


async def test_a_message_that_was_deleted_is_left_alone(rig: Rig, slack: MemorySlack) -> None:
    deploy, job = await rig.started()
    await told(rig)
    slack.shown.clear()
    await finish(rig, job)
    await told(rig)
    await told(rig, 60)
    assert slack.messages() == []
    recorded = await rig.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
    assert [one.data["why"] for one in recorded if one.kind == "message_refused"] == [
        "The message was deleted in Slack."
    ]
    await rig.deployment()
    await told(rig)
    assert len(slack.messages()) == 1, "the next one is told again"


@pytest.mark.parametrize("lost", [None, 0, 1])
async def test_a_retry_of_what_was_deleted_is_told_anew(rig: Rig, slack: MemorySlack, lost: int | None) -> None:
    """Also where the answer to its first or second write is lost."""
    _, job = await rig.started()
    await told(rig)
    await finish(rig, job, exit_code=1)
    await told(rig, 0)
    slack.shown.clear()
    if lost is not None:
        slack.refusals = [Unavailable("no answer")] if lost == 0 else []
        slack.lost = [Unavailable("no answer")] if lost == 1 else []
    await rig.deployment()
    await told(rig, 0)
    job = await rig.claimed()
    await rig.start(job)
    await told(rig)
    await finish(rig, job)
    await told(rig)
    (message,) = slack.messages()
    assert message.text.startswith("✅ hello#2 to staging: Succeeded")
    assert slack.thread()[0] == "ana asked for it as a GitHub deployment." and slack.thread()[-1] == "Succeeded."
    assert "message_refused" not in {one["kind"] for one in await rows(rig, "SELECT kind FROM events")}


async def test_a_room_that_is_not_there_keeps_no_other_waiting(rig: Rig, slack: MemorySlack) -> None:
    del slack.rooms["#deploys"]
    deploy = await asked_in(rig, "#ops")
    await told(rig)
    assert len(slack.messages("C00000OPS")) == 1
    recorded = await rig.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
    (refused,) = [one.data for one in recorded if one.kind == "message_refused"]
    assert refused == {"channel": "slack", "target": "#deploys", "why": "There is no channel #deploys."}


async def test_who_cancels_what_runs_is_told_at_once_and_presses_once(rig: Rig, slack: MemorySlack) -> None:
    deploy, job = await rig.started()
    await told(rig)
    await rig.cancel(deploy)
    await told(rig)
    (message,) = slack.messages()
    assert message.text.endswith("bob asked to end it; it is running on r1.") and message.buttons == []
    assert slack.thread()[-1] == "bob asked to cancel it."
    await rig.finish(job, "cancel")
    await told(rig)
    assert message.buttons == ["retry"]


async def test_what_waits_out_of_the_line_was_not_asked_for_yet(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    await rig.ctx.stores.main.write(lambda tx: deploys.save(tx, deploy.id, out_of_line=1))
    await rig.ctx.stores.main.write(lambda tx: tx.run("DELETE FROM messages"))
    await rig.cancel(deploy)
    await told(rig)
    assert slack.calls == []


@pytest.mark.parametrize("room", ["C0DEPLOYS", "deploys", "#DEPLOYS", "D024BE91L"])
async def test_a_room_that_is_named_in_two_ways_hears_once(rig: Rig, slack: MemorySlack, room: str) -> None:
    slack.rooms |= {"deploys": "C0DEPLOYS", "#DEPLOYS": "C0DEPLOYS"}
    deploy = await asked_in(rig, room)
    await told(rig)
    await rig.cancel(deploy)
    await told(rig)
    assert len(slack.messages()) == 1 and len(slack.shown) == 1
    assert slack.messages()[0].text.startswith("🚫")


async def test_the_room_that_asked_hears_too_and_is_where_people_are_called(rig: Rig, slack: MemorySlack) -> None:
    for user, called in (("", "<@U0000ANA>"), ("U024ALICE", "<@U024ALICE>"), ("<!channel>", "Failed")):
        slack.shown.clear()
        await rig.pass_s(3700)
        await asked_in(rig, "C00000OPS", user)
        job = await rig.claimed()
        await rig.start(job)
        await finish(rig, job, exit_code=1)
        await told(rig)
        assert slack.thread("C00000OPS")[-1].startswith(called)
        assert "<" not in slack.thread()[-1]
        assert "asked for by ana for alice" in slack.messages()[0].blocks[0]["text"]["text"]


async def test_who_waits_long_for_something_that_takes_a_person_is_called_once(rig: Rig, slack: MemorySlack) -> None:
    await blocked(rig)
    await told(rig)
    ts = slack.messages()[-1].ts
    await told(rig, 9 * 60)
    assert not [line for line in slack.thread(ts=ts) if "<@" in line]
    await told(rig, 61)
    await told(rig, 3600)
    called = [line for line in slack.thread(ts=ts) if "<@" in line]
    assert called == [
        "<@U0000ANA> It has waited for 10 min. staging is locked by bob since Jan 15, 08:02 UTC: broken db."
    ]


async def test_nobody_is_called_for_a_line_that_moves(rig: Rig, slack: MemorySlack) -> None:
    _, job = await rig.started()
    await rig.deployment(sha="b" * 40)
    for _ in range(16):
        await told(rig, 50)
        await rig.beat(job)
    assert "<@" not in " ".join(slack.thread(ts=slack.messages()[1].ts))


async def test_who_is_nobody_in_slack_is_not_called(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment(creator="zoe")
    job = await rig.claimed()
    await rig.start(job)
    await finish(rig, job, exit_code=1)
    await told(rig)
    assert slack.thread()[-1].startswith("Failed") and deploy.user == "zoe"


async def test_locks_are_told_in_the_rooms_of_their_apps_once_each(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    ctx = rig.ctx

    async def lock(app_id: int | None, environment_id: int | None, scope: tuple[str | None, str | None]) -> None:
        one = Lock("ana", "db", rig.clock[0], rig.clock[0] + 20 * 60_000, *scope)
        await ctx.decide(lambda tx: locking.lock(tx, ctx, app_id, environment_id, one))

    await lock(deploy.app_id, deploy.environment_id, ("hello", "staging"))
    await lock(None, None, (None, None))
    await told(rig)
    assert [one.text[0] for one in slack.messages("C00000OPS")] == ["🔒"]
    own, every = slack.messages()[1:]
    assert own.buttons == ["unlock"] and own.text.startswith("🔒 ana locked staging of hello until")
    assert every.buttons == [] and "locked everything" in every.text
    await ctx.decide(lambda tx: acting.unlock(tx, ctx, None, None, "bob"))
    await rig.pass_s(11 * 60)
    await sweeping.tell_of_locks(ctx)
    await told(rig)
    await told(rig, 10 * 60)
    assert [one.text for one in slack.messages()[3:]] == [
        "🔓 bob released the lock of ana on everything.",
        "⏰ The lock of ana on staging of hello holds only until Jan 15, 08:22 UTC; change it to hold longer.",
        "🔓 The lock of ana on staging of hello ended by itself.",
    ]


async def test_a_lock_whose_answer_was_lost_is_told_once(rig: Rig, slack: MemorySlack) -> None:
    slack.lost = [Unavailable("no answer")]
    one = Lock("ana", "db", rig.clock[0])
    await rig.ctx.decide(lambda tx: locking.lock(tx, rig.ctx, None, None, one))
    await told(rig)
    await told(rig)
    assert len(slack.messages()) == len(slack.messages("C00000OPS")) == 1


async def test_locks_are_told_in_the_order_in_which_they_changed(rig: Rig, slack: MemorySlack) -> None:
    deploy = await rig.deployment()
    await told(rig)
    slack.refusals = [Unavailable("down")]
    await rig.lock(deploy)
    await told(rig, 0)
    await rig.unlock(deploy)
    await told(rig, 0.5)
    await rig.lock(deploy)
    await told(rig, 2)
    assert [one.text[0] for one in slack.messages()[1:]] == ["🔒", "🔓", "🔒"]


async def test_a_provider_that_cannot_tell_the_commits_delays_nothing(rig: Rig, slack: MemorySlack) -> None:
    async def compare(base: str, head: str) -> None:
        raise RateLimited("not now", retry_after_s=3600)

    rig.provider.compare = compare  # type: ignore[assignment, method-assign]
    _, job = await rig.started()
    await finish(rig, job)
    await rig.deployment(sha="b" * 40)
    await told(rig)
    await told(rig)
    assert len(slack.messages()) == 2


async def test_a_lost_runner_calls_who_asked(rig: Rig, slack: MemorySlack) -> None:
    await rig.started()
    await told(rig)
    await told(rig, 61)
    assert slack.messages()[0].blocks[0]["text"]["text"].endswith("(declare-dead 1).")
    assert slack.thread()[-1] == "<@U0000ANA> Runner r1 is not heard any more; the environment stays held."

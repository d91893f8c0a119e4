"""What Kedge says in Slack: nothing of others' means anything there, and every limit of Slack is kept."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ghapp.core.answers import Action, Answer, Line, actions_of, said
from ghapp.core.values import Blocker, BlockerKind, Commit, State
from ghapp.notify import mrkdwn, slack, slack_answer
from ghapp.notify.facts import Progress, Shipped
from ghapp.notify.slack import Body, Step

NOW = 1_800_000_000_000
PAGE = "https://kedge.test/hello/deploys/12"
WAITS = Progress(
    request="r",
    name="hello#12",
    environment="production",
    sha="a" * 40,
    ref="main",
    task="deploy",
    user="ana",
    state=State.QUEUED,
    sentence="production is locked by bob since Nov 23, 14:02 UTC: broken db. Waiting for check ci.",
    blockers=(
        Blocker(BlockerKind.LOCK, "production is locked by bob since Nov 23, 14:02 UTC: broken db."),
        Blocker(BlockerKind.CHECKS, "Waiting for check ci.", url="https://ci.test/1?a=1&b=2"),
    ),
    actions=("unlock", "force", "cancel"),
    position=3,
    page=PAGE,
)
RUNS = replace(
    WAITS,
    state=State.RUNNING,
    sentence="Running on r1.",
    blockers=(),
    actions=("cancel",),
    position=None,
    started_at=NOW,
)


def texts(body: Body) -> list[str]:
    """Of its blocks, in order: texts, and labels of buttons."""
    return [one["text"] for one in _text_objects(list(body.blocks))]


def _text_objects(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, list):
        for one in found:
            yield from _text_objects(one)
    elif isinstance(found, dict) and found.get("type") in {"mrkdwn", "plain_text"}:
        yield found
    elif isinstance(found, dict):
        for one in found.values():
            yield from _text_objects(one)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<!channel> <@U123> <http://evil.test|x>", "&lt;!channel&gt; &lt;@U123&gt; &lt;http://evil.test|x&gt;"),
        ("a & b &lt;", "a &amp; b &amp;lt;"),
        ("one\n\ttwo", "one two"),
        ("x" * 500, "x" * 399 + "…"),
    ],
)
def test_text(value: str, shown: str) -> None:
    assert mrkdwn.text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("main", "`main`"), ("a`b", "`aˋb`"), ("<!here>", "`&lt;!here&gt;`"), ("", "")]
)
def test_code(value: str, shown: str) -> None:
    assert mrkdwn.code(value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.test/a?b=1&c=2", "<https://x.test/a?b=1&amp;c=2|here>"),
        ("https://x.test/a|b>c d", "<https://x.test/a%7Cb%3Ec%20d|here>"),
        ("javascript:alert(1)", "here"),
        ("https://x.test/" + "a" * 1000, "here"),
        ("https://x.test/?" + "&" * 200, "here"),
        ("https://[ci", "<https://[ci|here>"),
        ("https:x.test", "here"),
        (None, "here"),
    ],
)
def test_link(url: str | None, shown: str) -> None:
    assert mrkdwn.link("here", url) == shown


@pytest.mark.parametrize(
    ("user", "shown"), [("U024BE7LH", "<@U024BE7LH>"), ("U1> <!channel", ""), ("", ""), (None, "")]
)
def test_mention(user: str | None, shown: str) -> None:
    assert mrkdwn.mention(user) == shown


def test_it_waits() -> None:
    body = slack.progress(WAITS, NOW, buttons=True)
    assert body.text.startswith("⏳ hello#12 to production: production is locked by bob")
    title, _, *buttons = texts(body)
    assert title.splitlines() == [
        f"⏳ *<{PAGE}|hello#12>* `aaaaaaa` (`main`) to *production*, asked for by ana",
        "Number 3 in line.",
        "• production is locked by bob since Nov 23, 14:02 UTC: broken db.",
        "• <https://ci.test/1?a=1&amp;b=2|Waiting for check ci.>",
    ]
    assert buttons[0] == "Unlock"
    (actions,) = [block for block in body.blocks if block["type"] == "actions"]
    assert [(one["action_id"], one["value"]) for one in actions["elements"]] == [
        ("kedge:unlock", "hello/production"),
        ("kedge:force", "hello#12"),
        ("kedge:cancel", "hello#12"),
    ]
    assert not [block for block in slack.progress(WAITS, NOW, buttons=False).blocks if block["type"] == "actions"]


@pytest.mark.parametrize(
    ("after_s", "shown"),
    [
        (0, "░░░░░░░░░░ usually 3 min"),
        (89, "▓▓▓▓░░░░░░ usually 3 min"),
        (200, "▓▓▓▓▓▓▓▓▓▓ longer than the usual 3 min"),
    ],
)
def test_it_runs(after_s: int, shown: str) -> None:
    body = slack.progress(replace(RUNS, usual_ms=180_000), NOW + after_s * 1000, buttons=False)
    assert texts(body)[0].splitlines()[1:] == [
        "Running on r1. Since <!date^1800000000^{time}|Jan 15, 08:00 UTC>.",
        shown,
    ]


def test_nobody_knows_how_long_it_runs() -> None:
    assert len(texts(slack.progress(RUNS, NOW, buttons=False))[0].splitlines()) == 2


def test_why_it_was_rejected() -> None:
    blockers = (Blocker(BlockerKind.CHECKS, "Check ci failed.", url="https://ci.test/1"),)
    of = replace(WAITS, state=State.REJECTED, sentence="Rejected: Waited 10 min for checks.", blockers=blockers)
    assert texts(slack.progress(of, NOW, buttons=False))[0].splitlines()[1:] == [
        "Rejected: Waited 10 min for checks.",
        "• <https://ci.test/1|Check ci failed.>",
    ]


def test_what_it_ships() -> None:
    commits = tuple(Commit(f"{n:x}" * 40, f"Fix <{n}>", "ana", 0, f"https://gh.test/{n}") for n in range(1, 11))
    shipped = Shipped("hello#11", 12, commits, "https://gh.test/compare")
    body = slack.progress(replace(RUNS, shipped=shipped), NOW, buttons=False)
    assert texts(body)[1].splitlines() == [
        "Ships <https://gh.test/compare|12 commits since hello#11>:",
        *(f"• <https://gh.test/{n}|`{f'{n:x}' * 7}`> Fix &lt;{n}&gt; (ana)" for n in range(1, 6)),
        "• … and 7 more",
    ]
    note = slack.progress(replace(RUNS, shipped=Shipped(note="It is live there.")), NOW, buttons=False)
    assert texts(note)[1] == "It is live there."


def test_a_thread_calls_who_asked_only_where_that_is_due() -> None:
    quiet, loud = Step("It started."), Step("Failed: <!channel>", calls=True)
    assert texts(slack.thread([quiet], "U1X")) == ["It started."]
    assert texts(slack.thread([quiet, loud], "U1X")) == ["It started.\n<@U1X> Failed: &lt;!channel&gt;"]
    assert texts(slack.thread([Step("Failed.", "hello#13", calls=True)], None)) == ["*hello#13*: Failed."]


@pytest.mark.parametrize(
    ("kind", "sign", "pressed"),
    [
        ("locked", "🔒", ["kedge:unlock"]),
        ("lock_taken_over", "🔒", ["kedge:unlock"]),
        ("lock_expiring", "⏰", ["kedge:unlock"]),
        ("lock_expired", "🔓", []),
        ("unlocked", "🔓", []),
    ],
)
def test_locks(kind: str, sign: str, pressed: list[str]) -> None:
    body = slack.lock(kind, "ana locked production of hello: <!here>", ("hello", "production"))
    assert body.text == f"{sign} ana locked production of hello: &lt;!here&gt;"
    found = [one for block in body.blocks[1:] for one in block["elements"]]
    assert [one["action_id"] for one in found] == pressed
    assert all(one["value"] == "hello/production" for one in found)
    assert len(slack.lock(kind, "x", None).blocks) == 1


def test_an_answer_shows_whole_commands_whatever_else_it_shows() -> None:
    way = f"deploy hello to production feature/{'x' * 150}"
    short, long = Answer(True, (Line("No."),), (way, "help")), said(*["y" * 390] * 30, ways=[way, "help"])
    for answer in (short, long):
        body = slack_answer.answered(answer)
        assert texts(body)[-1].splitlines() == ["What can be done:", f"• `/kedge {way}`", "• `/kedge help`"]
        keeps_limits(body)
    assert texts(slack_answer.answered(said())) == ["Done."]
    keeps_limits(slack_answer.answered(said(*[NASTY] * 30, ways=["lock production " + "&" * 980] * 5)))


NASTY = "&<!channel>`*_~|" * 2000


@pytest.mark.parametrize("state", list(State))
def test_whatever_people_write_every_limit_is_kept(state: State) -> None:
    """https://docs.slack.dev/reference/block-kit/blocks: the library checks none of them."""
    commits = tuple(Commit("f" * 40, NASTY, NASTY, 0, f"https://x.test/{NASTY}") for _ in range(10))
    nasty = Progress(
        request=NASTY,
        name=f"{'a' * 63}#999999999",
        environment="e" * 63,
        sha="f" * 40,
        ref=NASTY,
        task=NASTY,
        user=NASTY,
        state=state,
        sentence=NASTY,
        blockers=(Blocker(BlockerKind.LOCK, NASTY, url=f"https://x.test/{'a' * 780}"),) * 80 if state.terminal else (),
        actions=tuple(Action),
        started_at=NOW,
        usual_ms=1,
        page=f"https://kedge.test/{'a' * 63}/deploys/999999999",
        environment_url=f"https://x.test/?{'&' * 780}",
        shipped=Shipped(NASTY, 10**6, commits, f"https://x.test/{NASTY}", None if state.terminal else NASTY),
    )
    bodies = [
        slack.progress(nasty, NOW, buttons=True, after=NASTY),
        slack.thread([Step(NASTY, NASTY, calls=True)] * 100, "U024BE7LH"),
        slack.lock("locked", NASTY, ("a" * 63, "e" * 63)),
    ]
    for body in bodies:
        keeps_limits(body)


def keeps_limits(body: Body) -> None:
    assert 0 < len(body.text) <= 4000 and "<!channel" not in body.text
    assert 0 < len(body.blocks) <= 50
    for one in _text_objects(list(body.blocks)):
        assert 0 < len(one["text"]) <= 3000
        assert not re.search(r"<[!#]channel|<(?!@U024BE7LH>|https?://|!date\^)", one["text"])
        assert one.get("verbatim") is (True if one["type"] == "mrkdwn" else None)
    for block in body.blocks:
        assert len(block.get("elements", ())) <= (25 if block["type"] == "actions" else 10)
        for button in block["elements"] if block["type"] == "actions" else ():
            assert len(button["text"]["text"]) <= 75 and len(button["value"]) <= 2000
            assert len(button["action_id"]) <= 255
            if confirm := button.get("confirm"):
                limits = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
                assert all(len(confirm[name]["text"]) <= most for name, most in limits.items())


def _blocked(*kinds: BlockerKind) -> tuple[Blocker, ...]:
    return tuple(Blocker(kind, "x") for kind in kinds)


@pytest.mark.parametrize(
    ("state", "blockers", "own_lock", "found"),
    [
        (State.QUEUED, _blocked(BlockerKind.TURN), False, "cancel"),
        (State.QUEUED, _blocked(BlockerKind.LOCK), True, "unlock force cancel"),
        (State.QUEUED, _blocked(BlockerKind.LOCK), False, "force cancel"),
        (State.QUEUED, _blocked(BlockerKind.CHECKS), True, "force cancel"),
        (State.CLAIMED, (), False, "cancel"),
        (State.RUNNING, (), False, "cancel"),
        (State.SUCCEEDED, (), False, "rollback"),
        (State.FAILED, (), False, "retry"),
        (State.ERRORED, (), False, "retry"),
        (State.CANCELLED, (), False, "retry"),
        (State.CANCELLED, _blocked(BlockerKind.SUPERSEDED), False, ""),
        (State.REJECTED, _blocked(BlockerKind.CHECKS), False, "retry"),
        (State.REJECTED, _blocked(BlockerKind.PERMISSION), False, ""),
    ],
)
def test_what_can_be_done(state: State, blockers: tuple[Blocker, ...], own_lock: bool, found: str) -> None:
    assert " ".join(actions_of(state, blockers, own_lock=own_lock)) == found

"""What a rollback goes back to, whom it holds afterwards, and where a commit has come."""

from dataclasses import replace

import pytest

from ghapp.core import gate, line
from ghapp.core.config import EnvironmentConfig
from ghapp.core.gate import Facts, Verdict
from ghapp.core.line import Waiting, arrange
from ghapp.core.releases import (
    Pending,
    Reach,
    Release,
    Track,
    before,
    candidates,
    next_look,
    rolled_back,
    standing,
    where_it_is,
)
from ghapp.core.values import Blocker, BlockerKind, Lock, RolledBack, State

NOON = 1_795_442_400_000
MINUTE = 60_000


def history(text: str) -> list[Release]:
    """``A B C <B``: what was live, oldest first; ``<`` marks a rollback. Newest first, as everywhere."""
    made = [
        Release(number, number, one.removeprefix("<"), "ana", NOON + number * MINUTE, one.startswith("<"))
        for number, one in enumerate(text.split(), 1)
    ]
    return made[::-1]


# What to go back to


@pytest.mark.parametrize(
    ("was_live", "target"),
    [
        ("", None),
        ("A", None),
        ("A A", None),
        ("A B", "A"),
        ("A B B", "A"),
        ("A B C", "B"),
        ("A B A", "B"),
        # Once more: further back, never to what was rolled back from.
        ("A B C <B", "A"),
        ("A B C <B <A", None),
        ("A B C D <C <B", "A"),
        ("A B C D <C <B <A", None),
        # To one that was named, leaving others out.
        ("A B C <A", None),
        ("A B C D <B", "A"),
        # After a rollback people deploy again.
        ("A B C <B D", "B"),
        ("A B C <B D <B", "A"),
        ("A B C <B D <B <A", None),
        ("A B C <B D E", "D"),
        ("A B C <B D E <D", "B"),
        ("A B C <B D E <D <B", "A"),
        # What was rolled back from and deployed again on purpose is as good as any other.
        ("A B C <B C D", "C"),
        ("A B C <B C D <C", "B"),
        ("A B C <B C D <C <B", "A"),
        # What was good once and rolled back from later is not.
        ("A B C B <C", "A"),
        ("A B <A C", "A"),
        ("A B <A C <A", None),
        # A task called rollback that brought something new.
        ("A B <N", "A"),
        ("<N", None),
    ],
)
def test_what_a_rollback_goes_back_to(was_live: str, target: str | None) -> None:
    found = before(history(was_live))
    assert (found and found.sha) == target


def test_rolling_back_again_and_again_ends_and_never_goes_to_the_same_twice() -> None:
    live = list("ABCDEFG")
    seen = []
    while found := before(history(" ".join(live))):
        seen.append(found.sha)
        live.append(f"<{found.sha}")
    assert seen == ["F", "E", "D", "C", "B", "A"]


def test_the_newest_release_of_the_sha_is_the_one_to_go_back_to() -> None:
    found = before(history("A B A C"))
    assert found and (found.sha, found.number) == ("A", 3)


@pytest.mark.parametrize(
    ("was_live", "numbers"), [("A", []), ("A B C", [2, 1]), ("A B A C", [3, 2]), ("A B C <B", [3, 1])]
)
def test_what_may_be_named(was_live: str, numbers: list[int]) -> None:
    assert [one.number for one in candidates(history(was_live))] == numbers


@pytest.mark.parametrize(
    ("tasks", "command"), [({}, "./deploy {sha}"), ({"rollback": "./back {sha}", "migrate": "./m"}, "./back {sha}")]
)
def test_a_rollback_runs_its_task_or_deploy_and_asks_no_checks(tasks: dict[str, str], command: str) -> None:
    config = EnvironmentConfig("production", "./deploy {sha}", tasks=tasks, checks=("ci",), refs=("main",))
    rollback = config.for_rollback()
    assert (rollback.command("rollback"), rollback.command("deploy")) == (command, "./deploy {sha}")
    assert rollback.checks == () and rollback.refs == ("main",)
    assert config.command("rollback") == tasks.get("rollback"), "at other doors it is a task like any other"


# Whom it holds

ROLLED_BACK = RolledBack("production", "shop#3", "c" * 40, "ana", NOON)


@pytest.mark.parametrize("forced", [(), ("checks",), ("lock",), ("all",)])
def test_what_is_automatic_waits_however_it_is_forced(forced: tuple[str, ...]) -> None:
    facts = Facts(user="kedge", forced=frozenset(forced), forced_by="bob", rolled_back=ROLLED_BACK, automatic=True)
    decision = gate.decide(facts)
    assert decision.verdict is Verdict.WAIT
    (blocker,) = decision.blockers
    assert (blocker.kind, blocker.since, blocker.who) == (BlockerKind.ROLLED_BACK, NOON, "ana")
    assert blocker.message == rolled_back(ROLLED_BACK)
    assert "Rolled back from shop#3 (ccccccc) by ana" in blocker.message


def test_what_somebody_asked_for_does_not_wait_for_it() -> None:
    assert gate.decide(Facts(user="bob", rolled_back=ROLLED_BACK)).verdict is Verdict.OPEN


def test_it_adds_to_what_else_an_automatic_one_waits_for() -> None:
    lock = Lock("bob", "broken", NOON)
    decision = gate.decide(Facts(user="kedge", locks=(lock,), rolled_back=ROLLED_BACK, automatic=True))
    assert [one.kind for one in decision.blockers] == [BlockerKind.LOCK, BlockerKind.ROLLED_BACK]


def test_an_automatic_one_that_is_held_lets_others_pass() -> None:
    automatic = Waiting(1, "shop#1", 1, "kedge", NOON, automatic=True)
    asked = Waiting(2, "shop#2", 2, "bob", NOON + 1)
    first, second = arrange([automatic, asked], None, (), ROLLED_BACK)
    assert (first.id, first.position, first.next) == (1, 1, False)
    assert [one.kind for one in first.blockers] == [BlockerKind.ROLLED_BACK]
    assert (second.id, second.next, second.blockers) == (2, True, ())
    first, second = arrange([automatic, asked], None, ())
    assert (first.next, second.next) == (True, False)


def test_it_waits_for_its_turn_and_for_that() -> None:
    automatic = Waiting(1, "shop#1", 1, "kedge", NOON, automatic=True)
    active = line.Active("shop#9", 9, "bob", State.RUNNING, NOON)
    (place,) = arrange([automatic], active, (), ROLLED_BACK)
    assert [one.kind for one in place.blockers] == [BlockerKind.ROLLED_BACK, BlockerKind.TURN]


# Where a commit is


def look(track: Track, containing: str) -> tuple[list[str], dict[str, bool]]:
    """Which shas were looked at, in order, and what was found."""
    has: dict[str, bool] = {}
    while (sha := next_look(track, has)) is not None:
        has[sha] = sha in containing
    return list(has), has


def track(was_live: str, *pending: Pending, whole: bool = True) -> Track:
    return Track("production", tuple(history(was_live)), pending, whole)


RUNS = Pending(8, "R", "bob", NOON, running=True)
WAITS = Pending(9, "W", "bob", NOON, blockers=(Blocker(BlockerKind.LOCK, "production is locked."),))


@pytest.mark.parametrize(
    ("was_live", "containing", "looked", "reach", "number"),
    [
        ("A B C", "ABC", "CBA", Reach.LIVE, 1),
        ("A B C", "BC", "CBA", Reach.LIVE, 2),
        ("A B C", "C", "CB", Reach.LIVE, 3),
        ("A B C C C", "C", "CB", Reach.LIVE, 3),
        ("A C B C", "C", "CB", Reach.LIVE, 4),
        ("A B C <B", "BC", "BCA", Reach.LIVE, 2),
        ("A B C <B", "C", "BRWC", Reach.ROLLED_BACK, 3),
        ("A B C D", "BC", "DRWCBA", Reach.WAS_LIVE, 3),
        ("A B C <A", "BC", "ARWCB", Reach.ROLLED_BACK, 3),
        ("A B C <A D", "C", "DRWACB", Reach.ROLLED_BACK, 3),
        ("A B C", "X", "CRWBA", Reach.NEVER, None),
        ("A B C", "RW", "CR", Reach.RUNNING, 8),
        ("A B C", "W", "CRW", Reach.WAITING, 9),
        ("A B C", "BW", "CRW", Reach.WAITING, 9),
        ("A B C", "CRW", "CB", Reach.LIVE, 3),
        ("", "W", "RW", Reach.WAITING, 9),
        ("", "X", "RW", Reach.NEVER, None),
    ],
)
def test_where_a_commit_is(was_live: str, containing: str, looked: str, reach: Reach, number: int | None) -> None:
    made = track(was_live, RUNS, WAITS)
    order, has = look(made, containing)
    assert "".join(order) == looked
    found = standing(made, has)
    assert (found.reach, found.number, found.exact) == (reach, number, True)


def test_what_was_not_looked_at_is_not_claimed() -> None:
    made = track("A B C D")
    found = standing(made, {"D": True, "C": True})
    assert (found.reach, found.number, found.exact) == (Reach.LIVE, 3, False)
    assert standing(made, {}).exact is False
    assert standing(track("A B", whole=False), {"A": True, "B": True}).exact is False
    assert standing(track("A B", whole=False), {"A": False, "B": True}).exact is True
    assert standing(track("A B", whole=False), {"A": False, "B": False}).exact is False


def test_since_and_until() -> None:
    gone = standing(track("A B C C <A"), {"A": False, "B": False, "C": True})
    assert (gone.since, gone.until) == (NOON + 3 * MINUTE, NOON + 5 * MINUTE)
    assert gone.ended_by == "ana"
    live = standing(track("A B C"), {"A": False, "B": True, "C": True})
    assert (live.since, live.until, live.sha) == (NOON + 2 * MINUTE, None, "C")


def test_in_words() -> None:
    live = standing(track("A B"), {"A": False, "B": True})
    waits = standing(replace(track("A", WAITS), environment="europe"), {"A": False, "W": True})
    runs = standing(replace(track("A", RUNS), environment="asia"), {"A": False, "R": True})
    gone = standing(replace(track("B A"), environment="africa"), {"A": False, "B": True})
    back = standing(replace(track("A B <A"), environment="america"), {"A": False, "B": True})
    never = standing(replace(track("A"), environment="moon"), {"A": False})
    unknown = standing(replace(track("A"), environment="mars"), {})
    said = where_it_is(NOON, [live, waits, runs, gone, back, never, unknown])
    assert said == (
        "Committed Nov 23, 14:00 UTC, production since Nov 23, 14:02 UTC, europe waiting: production is locked, "
        "asia running since Nov 23, 14:00 UTC, africa until Nov 23, 14:02 UTC, "
        "america rolled back Nov 23, 14:03 UTC by ana, moon never, mars not as far as is known."
    )
    assert where_it_is(None, [replace(live, exact=False)]) == "production since Nov 23, 14:02 UTC or earlier."
    assert where_it_is(None, [])

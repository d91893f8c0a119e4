"""The line: one order, at most one next, and nobody waits without a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.line import Active, Place, Waiting, arrange, order
from ghapp.core.values import Blocker, BlockerKind, Lock, State

READY = Blocker(BlockerKind.RUNNER, "Ready; waiting for a runner to take it.")
CHECKS = Blocker(BlockerKind.CHECKS, "Waiting for check ci.")
LOCK = Lock("bob", "broken db", 1_800_000_000_000)
RUNS = Active("hello#1", 1, "ana", State.RUNNING, 1_800_000_000_000)


def waiting(number: int, asked_at: int = 0, **changes: object) -> Waiting:
    values: dict[str, object] = {"user": "ana", "asked_at": asked_at, "own": (READY,), **changes}
    return Waiting(id=number, name=f"hello#{number}", number=number, **values)  # type: ignore[arg-type]


def ids(places: list[Place]) -> list[int]:
    return [place.id for place in places]


@pytest.mark.parametrize(
    "line",
    [
        [waiting(1, 10), waiting(2, 20)],
        [waiting(2, 10), waiting(1, 20)],
        # at one time by the provider's id, then by our own; one that the provider does not know yet comes last
        [waiting(2, 10, deployment_id=5), waiting(1, 10, deployment_id=6), waiting(3, 10)],
        [waiting(1, 10), waiting(2, 10)],
        # who was put to the front comes first, in the order of that
        [waiting(3, 30, front_at=40), waiting(1, 10), waiting(2, 20)],
        [waiting(3, 30, front_at=40), waiting(2, 20, front_at=50), waiting(1, 10)],
    ],
)
def test_order(line: list[Waiting]) -> None:
    assert ids(arrange(reversed(line), None, [])) == [one.id for one in line]
    assert [place.position for place in arrange(line, None, [])] == list(range(1, len(line) + 1))


def test_the_head_is_next_and_those_behind_name_it() -> None:
    head, *behind = arrange([waiting(1), waiting(2), waiting(3)], None, [])
    assert (head.next, head.blockers) == (True, (READY,))
    said = "Behind hello#1: Ready; waiting for a runner to take it. To pass it: cancel 1."
    for place in behind:
        assert (place.next, [blocker.message for blocker in place.blockers]) == (False, [said])


def test_a_head_that_waits_for_checks_stays_next_and_those_behind_know_what_for() -> None:
    head, behind = arrange([waiting(1, own=(CHECKS,)), waiting(2)], None, [])
    assert (head.next, head.blockers) == (True, (CHECKS,))
    assert behind.blockers[0].message == "Behind hello#1: Waiting for check ci. To pass it: cancel 1."


def test_who_is_out_of_the_line_has_no_position_holds_nobody_and_waits_for_no_turn() -> None:
    out = waiting(1, out_of_line=True, aside=(CHECKS,), automatic=True)
    head, behind, last = arrange([out, waiting(2, 20), waiting(3, 30)], None, [LOCK])
    assert [(place.id, place.position) for place in (head, behind, last)] == [(2, 1), (3, 2), (1, None)]
    assert [blocker.kind for blocker in last.blockers] == ["checks", "lock"]
    head, last = arrange([out, waiting(2, 20)], None, [])
    assert (head.next, last.next, last.blockers) == (True, False, (CHECKS,))


@pytest.mark.parametrize(
    ("active", "kind", "said"),
    [
        (RUNS, "turn", "hello#1 by ana is running since Jan 15, 08:00 UTC."),
        (Active("hello#1", 1, "ana", State.CLAIMED, 0), "turn", "hello#1 is being prepared."),
        (Active("hello#1", 1, "ana", State.RUNNING, 0, lost_since=1), "lost", "(declare-dead 1)."),
    ],
)
def test_what_holds_the_environment_is_named(active: Active, kind: str, said: str) -> None:
    for place in arrange([waiting(2), waiting(3)], active, []):
        (blocker,) = place.blockers
        assert (place.next, blocker.kind.value, blocker.message.endswith(said)) == (False, kind, True)


def test_a_lock_holds_all_but_who_passes_it() -> None:
    line = [waiting(1), waiting(2, forced=frozenset({"lock"}), forced_by="bob"), waiting(3)]
    first, second, third = arrange(line, None, [LOCK])
    assert (first.next, second.next, third.next) == (False, True, False)
    assert [blocker.kind for blocker in first.blockers] == [BlockerKind.LOCK]
    assert [blocker.kind for blocker in third.blockers] == [BlockerKind.LOCK, BlockerKind.TURN]


def test_one_that_is_being_registered_holds_nobody() -> None:
    registering = Blocker(BlockerKind.REGISTERING, "Being registered.")
    first, second = arrange([waiting(1, aside=(registering,)), waiting(2)], None, [])
    assert (first.next, second.next, first.blockers) == (False, True, (registering,))


def test_an_empty_line() -> None:
    assert arrange([], RUNS, [LOCK]) == []


_waiting = st.builds(
    waiting,
    number=st.integers(1, 10_000),
    asked_at=st.integers(0, 3),
    deployment_id=st.sampled_from([None, 1, 2, 3]),
    front_at=st.sampled_from([None, 1, 2]),
    forced=st.frozensets(st.sampled_from(["checks", "lock", "all"])),
    forced_by=st.sampled_from([None, "bob", "eve"]),
    own=st.sampled_from([(READY,), (CHECKS,)]),
    aside=st.sampled_from([(), (), (Blocker(BlockerKind.REGISTERING, "Being registered."),)]),
)
_lines = st.lists(_waiting, max_size=8, unique_by=lambda one: one.id)
_active = st.sampled_from([None, RUNS, Active("hello#1", 1, "ana", State.RUNNING, 0, 1)])
_locks = st.sampled_from([[], [LOCK], [LOCK, Lock("eve", "mine", 2)]])


@given(_lines, _active, _locks)
def test_at_most_one_is_next_and_none_beside_one_that_holds_the_environment(
    line: list[Waiting], active: Active | None, locks: list[Lock]
) -> None:
    """I2."""
    following = [place for place in arrange(line, active, locks) if place.next]
    assert len(following) <= (0 if active else 1)


@given(_lines, _active, _locks)
def test_blockers_are_never_empty(line: list[Waiting], active: Active | None, locks: list[Lock]) -> None:
    assert all(place.blockers for place in arrange(line, active, locks))


@given(_lines, _active, _locks, st.randoms(use_true_random=False))
def test_arrival_does_not_matter(
    line: list[Waiting], active: Active | None, locks: list[Lock], random: st.DataObject
) -> None:
    """I6."""
    shuffled = sorted(line, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert arrange(line, active, locks) == arrange(shuffled, active, locks)


@given(_lines)
def test_a_free_line_without_locks_moves(line: list[Waiting]) -> None:
    """I4."""
    registered = [one for one in line if not one.aside]
    following = [place.id for place in arrange(line, None, []) if place.next]
    assert following == [min(registered, key=order).id] if registered else not following


@given(_waiting, _waiting)
def test_no_two_share_a_place(one: Waiting, other: Waiting) -> None:
    if one.id != other.id:
        assert order(one) != order(other)

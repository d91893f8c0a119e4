"""When it is whose turn: pure."""

import pytest

from ghapp.core import sentences
from ghapp.core.estimates import Active, Estimate, Waiting, estimate
from ghapp.core.values import Blocker, BlockerKind

NOW = 1_000_000
TOOK = {"deploy": [100, 300, 200], "migrate": [1000]}
READY = Blocker(BlockerKind.RUNNER, sentences.ready())
TURN = Blocker(BlockerKind.TURN, "Behind it.")
LOCK = Blocker(BlockerKind.LOCK, "Locked.")
CHECK = Blocker(BlockerKind.CHECKS, "Waiting for check ci.")


def line(*blockers: Blocker) -> list[Waiting]:
    return [Waiting("deploy", (one,)) for one in blockers]


def times(found: list[Estimate | None]) -> list[tuple[int, int] | None]:
    """From now on."""
    return [(one.starts_at - NOW, one.ends_at - NOW) if one else None for one in found]


def test_one_after_the_other_by_the_median_of_the_task() -> None:
    running, found = estimate(NOW, TOOK, Active("migrate", NOW - 400), [*line(TURN), Waiting("migrate", (TURN,))])
    assert running == Estimate(NOW - 400, NOW + 600)
    assert times(found) == [(600, 800), (800, 1800)]


def test_a_free_environment_starts_at_once() -> None:
    assert times(estimate(NOW, TOOK, None, line(READY, TURN))[1]) == [(0, 200), (200, 400)]


def test_what_runs_longer_than_usual_ends_any_moment() -> None:
    running, found = estimate(NOW, TOOK, Active("deploy", NOW - 5000), line(TURN))
    assert running == Estimate(NOW - 5000, NOW)
    assert times(found) == [(0, 200)]


def test_what_is_being_prepared_starts_now() -> None:
    assert estimate(NOW, TOOK, Active("deploy", None), [])[0] == Estimate(NOW, NOW + 200)


@pytest.mark.parametrize("active", [Active("seed", NOW), Active("deploy", NOW, lost=True)])
def test_behind_what_nobody_can_know_nobody_can_know(active: Active) -> None:
    assert estimate(NOW, TOOK, active, line(TURN, TURN)) == (None, [None, None])


def test_without_a_history_there_is_none() -> None:
    assert estimate(NOW, {"deploy": []}, None, line(READY)) == (None, [None])
    seed = Waiting("seed", (READY,))
    assert times(estimate(NOW, TOOK, None, [seed, *line(TURN)])[1]) == [None, None]


@pytest.mark.parametrize("kind", [BlockerKind.CHECKS, BlockerKind.RUNNER, BlockerKind.PROVIDER])
def test_what_waits_for_something_without_a_time_holds_those_behind(kind: BlockerKind) -> None:
    assert times(estimate(NOW, TOOK, None, line(Blocker(kind, "Waiting for it."), TURN))[1]) == [None, None]


@pytest.mark.parametrize("kind", [BlockerKind.LOCK, BlockerKind.REGISTERING, BlockerKind.ROLLED_BACK])
def test_what_stands_aside_holds_nobody(kind: BlockerKind) -> None:
    assert times(estimate(NOW, TOOK, None, line(Blocker(kind, "Aside."), READY))[1]) == [None, (0, 200)]


def test_a_lock_with_an_end_ends() -> None:
    until = [Blocker(BlockerKind.LOCK, "Locked.", until=NOW + ms) for ms in (5000, 7000)]
    assert times(estimate(NOW, TOOK, None, [Waiting("deploy", tuple(until)), *line(until[0])])[1]) == [
        (7000, 7200),
        (7200, 7400),
    ]


def test_one_of_several_reasons_without_a_time_is_enough() -> None:
    until = Blocker(BlockerKind.LOCK, "Locked.", until=NOW + 5000)
    for reasons in ((until, LOCK), (TURN, LOCK), (CHECK, READY)):
        assert times(estimate(NOW, TOOK, None, [Waiting("deploy", reasons)])[1]) == [None]

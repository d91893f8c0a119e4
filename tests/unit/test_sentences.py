"""The sentences: readable, bounded, naming what they speak of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core import sentences
from ghapp.core.checks import Check, CheckState
from ghapp.core.values import DESCRIPTION_LIMIT, Lock, State

AT = 1_800_000_000_000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (99, "99 s"),
        (100, "1 min"),
        (600, "10 min"),
        (5999, "99 min"),
        (6000, "1 h 40 min"),
        (7200, "2 h"),
        (172_799, "47 h 59 min"),
        (172_800, "2 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert sentences.duration(seconds) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d", "e", "f", "g"], "a, b, c, d and 3 more"),
    ],
)
def test_joined(words: list[str], said: str) -> None:
    assert sentences.joined(words) == said


@given(st.lists(st.text("abc", min_size=1), min_size=1), st.integers(2, 6))
def test_joined_counts_what_it_leaves_out(words: list[str], most: int) -> None:
    said = sentences.joined(words, most)
    shown = said.replace(" and ", ", ").split(", ")
    assert len(shown) <= most
    left_out = int(shown[-1].split()[0]) if shown[-1].endswith(" more") else 0
    assert len(shown) - bool(left_out) + left_out == len(words)


@given(st.text())
def test_descriptions_fit_and_are_one_line(text: str) -> None:
    said = sentences.description(text)
    assert len(said) <= DESCRIPTION_LIMIT
    assert said == " ".join(said.split())
    flat = " ".join(text.split())
    assert said == flat or (said.endswith("…") and flat.startswith(said[:-1]))


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("stagin", ["staging", "production"], " Did you mean staging?"),
        ("STAGING", ["staging", "production"], " Did you mean staging?"),
        ("prod", ["prod-us", "prod-eu", "staging"], " Did you mean prod-us or prod-eu?"),
        ("moon", ["staging", "production"], " There is: staging and production."),
        ("x", [], ""),
        ("x", [f"environment-{number}" for number in range(30)], "environment-6 and 23 more."),
    ],
)
def test_nearest(name: str, names: list[str], said: str) -> None:
    assert sentences.nearest(name, names).endswith(said)


@given(st.text(), st.lists(st.text(min_size=1), max_size=5))
def test_nearest_says_something_where_there_is_anything(name: str, names: list[str]) -> None:
    assert bool(sentences.nearest(name, names)) is bool(names)


def test_the_way_on_is_named() -> None:
    said = sentences.turn("hello#7", sentences.ready(), 7)
    assert said == "Behind hello#7: Ready; waiting for a runner to take it. To pass it: cancel 7."
    assert sentences.turn_lost("hello#7", AT, 7).endswith("(declare-dead 7).")
    assert "force" in sentences.checks_timed_out(600, ["Waiting for check ci."])


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (Lock("bob", "db.", AT, None, "hello", "staging"), "staging is locked by bob since Jan 15, 08:00 UTC: db."),
        (Lock("bob", "db", AT, None, "hello"), "hello is locked by bob since Jan 15, 08:00 UTC: db."),
        (
            Lock("bob", "db", AT, AT + 1_800_000),
            "Everything is locked by bob since Jan 15, 08:00 UTC until Jan 15, 08:30 UTC: db.",
        ),
    ],
)
def test_a_lock_says_what_who_since_until_and_why(lock: Lock, said: str) -> None:
    assert sentences.locked(lock) == said


def test_a_runner_that_is_missing_is_named_by_its_labels() -> None:
    assert "with labels linux and prod" in sentences.no_runner(["linux", "prod"], None)
    assert "with label prod has" in sentences.no_runner(["prod"], AT)
    assert "start one" in sentences.no_runner([], None)
    assert "since Jan 15, 08:00 UTC" in sentences.no_runner([], AT)


@pytest.mark.parametrize("state", [state for state in State if state.terminal])
@pytest.mark.parametrize("reason", ["", "by bob", "it ran longer than its timeout of 30 min"])
@pytest.mark.parametrize("seconds", [None, 0, 63.2])
def test_every_end_has_its_sentence(state: State, reason: str, seconds: float | None) -> None:
    said = sentences.ended(state, seconds, reason)
    assert said[0].isupper()
    assert reason in said or state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check("status/ci", "ci", CheckState.FAILURE), "Check ci failed."),
        (Check("status/ci", "ci", CheckState.FAILURE, detail="3 tests failed"), "Check ci failed (3 tests failed)."),
        (Check("status/ci", "ci", CheckState.FAILURE, detail="x" * 61), "Check ci failed."),
    ],
)
def test_a_check_is_told_with_its_detail_if_that_is_short(check: Check, said: str) -> None:
    assert sentences.check_failed(check) == said

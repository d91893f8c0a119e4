"""Are the checks green? Every outcome, what is stale, and that nothing uncertain ever counts as green."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.checks import Check, CheckState, Evaluation, Policy, agree, current, evaluate, latest

SUCCESS, PENDING, FAILURE = CheckState.SUCCESS, CheckState.PENDING, CheckState.FAILURE
EVERY = Policy()
NAMED = Policy(("ci", "build"))


def status(name: str, state: CheckState, at: int = 10, serial: int = 1) -> Check:
    return Check(f"status/{name}", name, state, at, serial)


def run(name: str, state: CheckState, at: int = 10, serial: int = 1, app: int = 7) -> Check:
    return Check(f"run/{app}/{name}", name, state, at, serial)


def suite(state: CheckState = PENDING, app: int = 7, serial: int = 1) -> Check:
    return Check(f"suite/{app}/{serial}", "GitHub Actions", state, 10, serial)


def names(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks]


GREEN = [
    (EVERY, []),
    (EVERY, [status("ci", SUCCESS)]),
    (EVERY, [status("ci", SUCCESS), run("build", SUCCESS)]),
    (EVERY, [status("ci", PENDING, 10, 1), status("ci", SUCCESS, 11, 2)]),
    (NAMED, [status("ci", SUCCESS), run("build", SUCCESS)]),
    (NAMED, [status("ci", SUCCESS), run("build", SUCCESS), status("other", FAILURE)]),
    (NAMED, [status("ci", SUCCESS), run("build", SUCCESS), suite()]),
    (Policy(()), [status("ci", FAILURE), suite()]),
    (Policy(own=("status/kedge", "run/99/")), [status("kedge/deploy", PENDING), run("kedge", FAILURE, app=99)]),
    (Policy(("ci",), automatic=True), [status("ci", SUCCESS)]),
    (Policy(automatic=True), [status("ci", SUCCESS)]),
]


@pytest.mark.parametrize(("policy", "fetched"), GREEN)
def test_green(policy: Policy, fetched: list[Check]) -> None:
    assert evaluate(fetched, policy) == Evaluation()
    assert Evaluation().green


NOT_GREEN = [
    (EVERY, [status("ci", PENDING)], {"pending": ["ci"]}),
    (EVERY, [status("ci", FAILURE), run("build", PENDING)], {"failed": ["ci"], "pending": ["build"]}),
    (EVERY, [status("ci", SUCCESS, 10, 1), status("ci", PENDING, 11, 2)], {"pending": ["ci"]}),
    (EVERY, [suite()], {"pending": ["GitHub Actions"]}),
    (EVERY, [run("build", SUCCESS, app=7), run("build", FAILURE, app=8)], {"failed": ["build"]}),
    (NAMED, [], {"missing": ["ci", "build"]}),
    (NAMED, [status("ci", SUCCESS)], {"missing": ["build"]}),
    (NAMED, [status("CI", SUCCESS), run("build", SUCCESS)], {"missing": ["ci"]}),
    (NAMED, [status("ci", FAILURE), run("build", SUCCESS)], {"failed": ["ci"]}),
    # a status and a check run of one name are two checks
    (Policy(("ci",)), [status("ci", SUCCESS), run("ci", PENDING)], {"pending": ["ci"]}),
    # what Kedge writes itself is not the named check
    (Policy(("ci",), own=("run/99/",)), [run("ci", SUCCESS, app=99)], {"missing": ["ci"]}),
    # a suite is not the named check
    (Policy(("GitHub Actions",)), [suite(SUCCESS)], {"missing": ["GitHub Actions"]}),
]


@pytest.mark.parametrize(("policy", "fetched", "expected"), NOT_GREEN)
def test_not_green(policy: Policy, fetched: list[Check], expected: dict[str, list[str]]) -> None:
    found = evaluate(fetched, policy)
    assert not found.green
    assert names(found.failed) == expected.get("failed", [])
    assert names(found.pending) == expected.get("pending", [])
    assert list(found.missing) == expected.get("missing", [])
    assert (found.stale, found.none_at_all) == ((), False)


def test_no_checks_at_all_open_for_a_person_and_not_for_an_automatic_deploy() -> None:
    assert evaluate([], EVERY).green
    assert evaluate([], Policy(automatic=True)) == Evaluation(none_at_all=True)
    own = Policy(own=("status/kedge",), automatic=True)
    assert evaluate([status("kedge", SUCCESS)], own).none_at_all


# Several runs of one name


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        # run again: a later run of a higher id stands for the one before
        (run("build", FAILURE, 10, 1), run("build", SUCCESS, 11, 2), "green"),
        (run("build", SUCCESS, 10, 1), run("build", FAILURE, 11, 2), "failed"),
        (run("build", SUCCESS, 10, 1), run("build", PENDING, 11, 2), "pending"),
        # beside each other, as of a push and of its pull request: all must be green
        (run("build", PENDING, 9, 1), run("build", SUCCESS, 11, 2), "pending"),
        (run("build", PENDING, 9, 2), run("build", SUCCESS, 11, 1), "pending"),
        (run("build", FAILURE, 10, 2), run("build", SUCCESS, 11, 1), "failed"),
        (run("build", SUCCESS, 10, 2), run("build", FAILURE, 11, 1), "failed"),
        (run("build", SUCCESS, 10, 2), run("build", SUCCESS, 11, 1), "green"),
        # the same run seen twice, on two pages
        (run("build", PENDING, 10, 1), run("build", SUCCESS, 11, 1), "green"),
    ],
)
def test_several_runs_of_one_name_and_app(one: Check, other: Check, outcome: str) -> None:
    """The trace: the run for the pull request ends green and hides the red or running one for the push."""
    for policy, fetched in itertools.product((EVERY, Policy(("build",))), ([one, other], [other, one])):
        found = evaluate(fetched, policy)
        assert (found.green, bool(found.failed), bool(found.pending)) == (
            outcome == "green",
            outcome == "failed",
            outcome == "pending",
        )


# Events against the fetch


@pytest.mark.parametrize(
    ("shown", "event", "stale"),
    [
        (None, status("ci", SUCCESS), True),
        (None, status("ci", FAILURE), True),
        (status("ci", PENDING, 10), status("ci", SUCCESS, 11), True),
        (status("ci", SUCCESS, 10), status("ci", PENDING, 11), True),
        (status("ci", SUCCESS, 10), status("ci", FAILURE, 10, 2), True),
        (status("ci", SUCCESS, 11), status("ci", PENDING, 10), False),
        (status("ci", SUCCESS, 10, 2), status("ci", PENDING, 10, 1), False),
        (status("ci", SUCCESS, 10), status("ci", SUCCESS, 11), False),
        (run("ci", SUCCESS, 10), run("ci", PENDING, 10), False),
        (run("ci", PENDING, 10), run("ci", SUCCESS, 10), True),
        (run("ci", SUCCESS, 10, 1), run("ci", PENDING, 11, 2), True),
    ],
)
def test_a_newer_event_makes_a_check_stale(shown: Check | None, event: Check, stale: bool) -> None:
    """Rule 15: where an event is newer than the fetch, neither green nor red may be concluded."""
    found = evaluate([shown] if shown else [], Policy(("ci",)), [event])
    assert (found.stale == (event,)) is stale
    assert found.missing == ()
    if stale:
        assert not found.green
        assert (found.failed, found.pending) == ((), ())


def test_events_without_a_say_make_nothing_stale() -> None:
    events = [status("other", FAILURE, 99), status("kedge", PENDING, 99)]
    assert evaluate([status("ci", SUCCESS)], Policy(("ci",), own=("status/kedge",)), events).green


def test_of_several_events_the_newest_counts() -> None:
    events = [status("ci", SUCCESS, 12, 3), status("ci", PENDING, 11, 2)]
    assert evaluate([status("ci", SUCCESS, 12, 3)], Policy(("ci",)), events).green


def test_an_event_of_a_superseded_run_does_not_make_its_successor_stale() -> None:
    fetched = [run("ci", SUCCESS, 20, 2)]
    assert evaluate(fetched, EVERY, [run("ci", FAILURE, 19, 1)]).green


def test_agree_puts_newer_events_in_the_place_of_the_fetch() -> None:
    red = [status("ci", FAILURE, 10)]
    assert agree(red, [], EVERY).failed
    assert agree(red, [status("lint", SUCCESS, 11)], EVERY).failed
    assert agree(red, [status("ci", SUCCESS, 11, 2)], EVERY).green
    assert agree(red, [status("ci", PENDING, 11, 2)], EVERY).pending
    assert agree(red, [status("ci", SUCCESS, 9, 2)], EVERY).failed


# What holds whatever there is

_checks = st.builds(
    lambda kind, name, state, at, serial: (status if kind else run)(name, state, at, serial),
    st.booleans(),
    st.sampled_from(["ci", "build", "other"]),
    st.sampled_from(list(CheckState)),
    st.integers(0, 4),
    st.integers(1, 4),
)
_lists = st.lists(_checks, max_size=6)
_policies = st.sampled_from([EVERY, NAMED, Policy(automatic=True), Policy(("ci",), own=("run/7/ci",))])


@given(_lists, _policies, _lists)
def test_green_means_that_everything_that_counts_is_green(
    fetched: list[Check], policy: Policy, events: list[Check]
) -> None:
    found = evaluate(fetched, policy, events)
    if found.green:
        counted = [check for check in current(fetched) if policy.counts(check)]
        assert all(check.state is SUCCESS for check in counted)
        assert set(policy.names or ()) <= {check.name for check in counted}


@given(_lists, _policies, _lists, st.randoms(use_true_random=False))
def test_the_order_of_the_lists_does_not_matter(
    fetched: list[Check], policy: Policy, events: list[Check], random: st.DataObject
) -> None:
    def outcome(found: Evaluation) -> list[object]:
        return [set(found.failed), set(found.pending), found.missing, set(found.stale), found.none_at_all]

    shuffled = sorted(fetched, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert outcome(evaluate(fetched, policy, events)) == outcome(evaluate(shuffled, policy, events[::-1]))


@given(_lists, _policies, _lists)
def test_events_only_ever_close_the_gate(fetched: list[Check], policy: Policy, events: list[Check]) -> None:
    assert evaluate(fetched, policy).green or not evaluate(fetched, policy, events).green or policy.automatic


@given(_lists, _checks)
def test_a_check_that_is_not_green_closes_the_gate_when_it_is_the_newest(fetched: list[Check], newest: Check) -> None:
    last = Check(newest.key, newest.name, newest.state, at=100, serial=100)
    assert evaluate([*fetched, last], EVERY).green <= (last.state is SUCCESS)


@given(_lists)
def test_the_newest_of_each_key_has_a_say(checks: list[Check]) -> None:
    newest = latest(checks)
    assert set(newest) == {check.key for check in checks}
    for check in checks:
        assert not check.newer_than(newest[check.key])
    assert {(check.key, check.order()) for check in newest.values()} <= {
        (check.key, check.order()) for check in current(checks)
    }


@given(_checks, _checks)
def test_newer_than_is_a_strict_order(one: Check, other: Check) -> None:
    assert not (one.newer_than(other) and other.newer_than(one))
    if one.order() != other.order():
        assert one.newer_than(other) or other.newer_than(one)

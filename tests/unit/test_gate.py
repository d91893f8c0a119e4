"""The one gate: what refuses, what waits, what is forced, and that each blocker says something."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.checks import Check, CheckState, Evaluation
from ghapp.core.gate import Decision, Facts, Verdict, decide
from ghapp.core.values import Blocker, BlockerKind, Lock

LOCK = Lock("bob", "broken db", 1_800_000_000_000)
TURN = Blocker(BlockerKind.TURN, "hello#1 is being prepared.")
NOT_ALLOWED = Blocker(BlockerKind.PERMISSION, "eve may not.")
RED = Check("status/ci", "ci", CheckState.FAILURE, url="https://ci.test/1")
PENDING = Check("status/build", "build", CheckState.PENDING)


def kinds(decision: Decision) -> list[str]:
    return [blocker.kind.value for blocker in decision.blockers]


@pytest.mark.parametrize(
    ("facts", "verdict", "expected"),
    [
        (Facts("ana"), Verdict.OPEN, []),
        (Facts("ana", evaluation=Evaluation()), Verdict.OPEN, []),
        (Facts("ana", locks=(LOCK,)), Verdict.WAIT, ["lock"]),
        (Facts("ana", turn=TURN), Verdict.WAIT, ["turn"]),
        (Facts("ana", locks=(LOCK, LOCK), turn=TURN), Verdict.WAIT, ["lock", "lock", "turn"]),
        (Facts("ana", token_missing=("checks:read",)), Verdict.WAIT, ["token_permission"]),
        (Facts("ana", checks_problem="down"), Verdict.WAIT, ["provider"]),
        (Facts("ana", evaluation=Evaluation(pending=(PENDING,))), Verdict.WAIT, ["checks"]),
        (Facts("ana", evaluation=Evaluation(missing=("ci", "build"))), Verdict.WAIT, ["checks", "checks"]),
        (Facts("ana", evaluation=Evaluation(stale=(RED,))), Verdict.WAIT, ["checks"]),
        (Facts("ana", evaluation=Evaluation(none_at_all=True)), Verdict.WAIT, ["checks"]),
        (Facts("ana", evaluation=Evaluation(failed=(RED,))), Verdict.REFUSE, ["checks"]),
        # one red check refuses although others are pending, and of a refusal only that is told
        (Facts("ana", locks=(LOCK,), evaluation=Evaluation((RED,), (PENDING,))), Verdict.REFUSE, ["checks"]),
        (Facts("eve", refused=(NOT_ALLOWED,), turn=TURN), Verdict.REFUSE, ["permission"]),
        (Facts("ana", cancelled_by="bob", locks=(LOCK,)), Verdict.REFUSE, ["superseded"]),
        # an automatic deploy waits until its checks are green
        (Facts("ana", automatic=True, evaluation=Evaluation(failed=(RED,))), Verdict.WAIT, ["checks"]),
        # forced
        (Facts("ana", forced=frozenset({"checks"}), evaluation=Evaluation((RED,))), Verdict.OPEN, []),
        (Facts("ana", forced=frozenset({"all"}), evaluation=Evaluation((RED,)), checks_problem="x"), Verdict.OPEN, []),
        (Facts("ana", forced=frozenset({"lock"}), evaluation=Evaluation((RED,))), Verdict.REFUSE, ["checks"]),
        (Facts("ana", forced=frozenset({"checks"}), locks=(LOCK,)), Verdict.WAIT, ["lock"]),
        (Facts("ana", forced=frozenset({"all"}), turn=TURN), Verdict.WAIT, ["turn"]),
        (Facts("ana", forced=frozenset({"all"}), refused=(NOT_ALLOWED,)), Verdict.REFUSE, ["permission"]),
        (Facts("ana", forced=frozenset({"all"}), token_missing=("statuses:read",)), Verdict.WAIT, ["token_permission"]),
    ],
)
def test_decisions(facts: Facts, verdict: Verdict, expected: list[str]) -> None:
    decision = decide(facts)
    assert (decision.verdict, kinds(decision)) == (verdict, expected)


@pytest.mark.parametrize("forced", ["lock", "all"])
def test_who_forces_passes_a_lock_taken_over_and_no_later_one(forced: str) -> None:
    """The trace: forced once, it starts through a lock that somebody set afterwards."""
    forcing = {"forced": frozenset({forced}), "forced_by": "bob"}
    assert decide(Facts("ana", locks=(LOCK,), **forcing)).verdict is Verdict.OPEN  # type: ignore[arg-type]
    later = Lock("eve", "later", 1_800_000_100_000)
    decision = decide(Facts("ana", locks=(LOCK, later), **forcing))  # type: ignore[arg-type]
    assert (decision.verdict, [blocker.who for blocker in decision.blockers]) == (Verdict.WAIT, ["eve"])


def test_a_lock_says_who_when_why_and_until() -> None:
    until = 1_800_003_600_000
    (blocker,) = decide(Facts("ana", locks=(Lock("bob", "broken db", LOCK.since, until, "hello", "staging"),))).blockers
    assert (blocker.who, blocker.since, blocker.until) == ("bob", LOCK.since, until)
    assert blocker.message == ("staging is locked by bob since Jan 15, 08:00 UTC until Jan 15, 09:00 UTC: broken db.")


def test_a_red_check_says_which_and_where() -> None:
    (blocker,) = decide(Facts("ana", evaluation=Evaluation((RED,)))).blockers
    assert ("ci" in blocker.message, blocker.url) == (True, "https://ci.test/1")


_facts = st.builds(
    Facts,
    user=st.just("ana"),
    forced=st.frozensets(st.sampled_from(["checks", "lock", "all"])),
    forced_by=st.sampled_from([None, "bob", "ana"]),
    cancelled_by=st.sampled_from([None, "bob"]),
    refused=st.sampled_from([(), (NOT_ALLOWED,)]),
    waiting=st.sampled_from([(), (TURN,)]),
    locks=st.sampled_from([(), (LOCK,)]),
    turn=st.sampled_from([None, TURN]),
    evaluation=st.sampled_from(
        [None, Evaluation(), Evaluation((RED,)), Evaluation(pending=(PENDING,)), Evaluation(missing=("x",))]
    ),
    checks_problem=st.sampled_from([None, "It is down."]),
    token_missing=st.sampled_from([(), ("checks:read",)]),
    automatic=st.booleans(),
)


@given(_facts)
def test_what_is_not_open_says_why_and_what_is_open_says_nothing(facts: Facts) -> None:
    decision = decide(facts)
    assert bool(decision.blockers) is (decision.verdict is not Verdict.OPEN)
    assert all(blocker.message.endswith(".") for blocker in decision.blockers)


@given(_facts)
def test_what_refuses_outweighs_what_waits(facts: Facts) -> None:
    red = bool(facts.evaluation and facts.evaluation.failed) and not facts.automatic
    red = red and not facts.forced & {"checks", "all"}
    refused = bool(facts.refused or facts.cancelled_by or red)
    assert (decide(facts).verdict is Verdict.REFUSE) is refused


@given(_facts, st.sampled_from(["checks", "lock", "all"]))
def test_forcing_never_closes(facts: Facts, what: str) -> None:
    forced = Facts(
        **{name: getattr(facts, name) for name in Facts.__slots__ if name != "forced"}, forced=facts.forced | {what}
    )
    assert decide(forced).verdict <= decide(facts).verdict


def test_verdicts_are_ordered() -> None:
    assert all(one < other for one, other in itertools.pairwise([Verdict.OPEN, Verdict.WAIT, Verdict.REFUSE]))

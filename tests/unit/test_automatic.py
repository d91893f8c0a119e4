"""When an automatic deploy may begin, and what it waits for."""

import pytest

from ghapp.core.automatic import Earlier, Facts, Judgement, Verdict, config_of, in_force, judge, may_begin, skipped
from ghapp.core.checks import Check, CheckState, Evaluation
from ghapp.core.config import AppConfig, Auto, EnvironmentConfig
from ghapp.core.values import Blocker, BlockerKind, State

NOW = 1_800_000_000_000
SUPERSEDED = (Blocker(BlockerKind.SUPERSEDED, "Superseded by hello#2."),)
LEFT = (Blocker(BlockerKind.REF, "main does not contain aaaaaaa."),)
GREEN = Evaluation()


def check(state: CheckState) -> Check:
    return Check("status/ci", "ci", state, NOW, 1)


RED = Evaluation(failed=(check(CheckState.FAILURE),))


def facts(**known: object) -> Facts:
    return Facts(user="ana", sha="a" * 40, branch="main", environment="staging", **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "skips"),
    [
        ("fix [skip deploy]", True),
        ("fix\n\n[Skip Deploy] docs only", True),
        ("fix skip deploy", False),
        ("[skip ci]", False),
        ("", False),
    ],
)
def test_skip(message: str, skips: bool) -> None:
    assert skipped(message) is skips


@pytest.mark.parametrize(
    ("after", "checks", "asked"),
    [
        ("checks", None, None),
        ("checks", ("ci",), ("ci",)),
        ("push", None, ()),
        ("push", (), ()),
        ("push", ("ci",), ("ci",)),
    ],
)
def test_which_checks_are_asked(after: str, checks: tuple[str, ...] | None, asked: tuple[str, ...] | None) -> None:
    environment = EnvironmentConfig("staging", "./deploy", auto=Auto("main", after), checks=checks)
    assert config_of(environment).checks == asked


def test_what_is_in_force() -> None:
    staging = EnvironmentConfig("staging", "./deploy", aliases=("qa",), auto=Auto("main", "push"))
    app = AppConfig("hello", "github", None, (staging, EnvironmentConfig("production", "./deploy")))
    assert in_force(app, "staging", "main") == config_of(staging)
    for environment, branch in (("staging", "release"), ("production", "main"), ("qa", "main"), ("gone", "main")):
        assert in_force(app, environment, branch) is None
    assert in_force(None, "staging", "main") is None


@pytest.mark.parametrize(
    ("earlier", "moved", "begins"),
    [
        ([], False, True),
        ([Earlier(State.QUEUED, False, ())], True, False),
        ([Earlier(State.RUNNING, True, ())], True, False),
        ([Earlier(State.SUCCEEDED, True, ())], True, False),
        ([Earlier(State.FAILED, True, ())], True, False),
        ([Earlier(State.CANCELLED, True, SUPERSEDED)], True, False),  # its command had begun
        ([Earlier(State.REJECTED, False, LEFT)], True, False),
        ([Earlier(State.CANCELLED, False, ())], True, False),  # a person said no
        ([Earlier(State.CANCELLED, False, SUPERSEDED)], True, True),
        ([Earlier(State.CANCELLED, False, LEFT)], True, True),
        ([Earlier(State.CANCELLED, False, SUPERSEDED)], False, False),  # the same push told twice
        ([Earlier(State.CANCELLED, False, SUPERSEDED), Earlier(State.FAILED, True, ())], True, False),
    ],
)
def test_of_a_commit_one_begins_by_itself(earlier: list[Earlier], moved: bool, begins: bool) -> None:
    assert may_begin(earlier, moved=moved) is begins


@pytest.mark.parametrize(
    ("known", "verdict", "kinds", "look_at", "stale"),
    [
        ({}, Verdict.GO, [], None, False),
        ({"evaluation": GREEN}, Verdict.GO, [], None, False),
        ({"evaluation": RED}, Verdict.WAIT, ["checks"], None, False),
        ({"evaluation": Evaluation(none_at_all=True)}, Verdict.WAIT, ["checks"], None, False),
        ({"evaluation": Evaluation(stale=(check(CheckState.PENDING),))}, Verdict.WAIT, ["checks"], None, True),
        ({"evaluation": GREEN, "changed_at": NOW - 9_999}, Verdict.WAIT, ["checks"], NOW + 1, False),
        ({"evaluation": GREEN, "changed_at": NOW - 10_000}, Verdict.GO, [], None, False),
        ({"evaluation": RED, "changed_at": NOW}, Verdict.WAIT, ["checks"], None, False),
        ({"problem": "no answer", "on_branch": False}, Verdict.WAIT, ["provider"], None, False),
        ({"on_branch": False, "pushed_at": NOW - 14_999}, Verdict.WAIT, ["ref"], None, True),
        ({"on_branch": False, "pushed_at": NOW - 15_000}, Verdict.GONE, ["ref"], None, False),
        ({"on_branch": False, "evaluation": GREEN}, Verdict.GONE, ["ref"], None, False),
        ({"off_refs": ("release",), "pushed_at": NOW - 14_999}, Verdict.WAIT, ["ref"], None, True),
        ({"off_refs": ("release",), "evaluation": GREEN}, Verdict.REFUSED, ["ref"], None, False),
    ],
)
def test_judging(
    known: dict[str, object], verdict: Verdict, kinds: list[str], look_at: int | None, stale: bool
) -> None:
    found: Judgement = judge(facts(**known), NOW)
    assert (found.verdict, [one.kind.value for one in found.blockers]) == (verdict, kinds)
    assert (found.look_at, found.stale) == (look_at, stale)

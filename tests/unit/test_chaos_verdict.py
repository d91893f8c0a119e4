"""The verdict on chaos finds what it is there to find."""

from dataclasses import replace

import pytest

from tests.chaos_verdict import Ended, verdict


def _deploy(number: int, **changed: object) -> Ended:
    count = number * 37 % 200 + 20
    lines = "".join(f"app#{number} line {line} of {count}\n" for line in range(1, count + 1))
    made = Ended(
        id=number,
        name=f"app#{number}",
        number=number,
        state="failed" if number % 7 == 0 else "succeeded",
        environment_id=1,
        order=(1000, 500 + number),
        deployment_id=500 + number,
        executed=1,
        never_began=False,
        shown=("queued", "pending", "in_progress", "failure" if number % 7 == 0 else "success"),
        log=f"[kedge] Preparing.\n{lines}",
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def _events(*numbers: int) -> list[tuple[int, str]]:
    asked = [(number, "asked") for number in sorted(numbers)]
    return asked + [(number, kind) for number in numbers for kind in ("claimed", "started", "succeeded")]


RIGHT = [_deploy(1, shown=("in_progress", "success", "inactive")), _deploy(2), _deploy(7)]
ASKED = {501, 502, 507}


def test_all_right() -> None:
    assert verdict(RIGHT, ASKED, _events(1, 2, 7)) == []


def test_one_that_never_began_was_executed_by_nobody() -> None:
    never = _deploy(2, never_began=True, executed=0, state="errored", shown=("pending", "in_progress", "error"), log="")
    assert verdict([RIGHT[0], never, RIGHT[2]], ASKED, _events(1, 2, 7)) == []
    assert verdict([RIGHT[0], replace(never, executed=1), RIGHT[2]], ASKED, _events(1, 2, 7)) != []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"executed": 2}, "executed 2 times"),
        ({"executed": 0}, "executed 0 times"),
        ({"state": "errored"}, "not succeeded"),
        ({"shown": ("in_progress", "success", "success")}, "GitHub was told"),
        ({"shown": ("success", "in_progress")}, "GitHub was told"),
        ({"shown": ("in_progress", "failure")}, "GitHub was told"),
        ({"shown": ("in_progress",)}, "GitHub was told"),
        ({"log": "app#2 line 1 of 94\n"}, "log of 1 lines"),
        ({"log": RIGHT[1].log.replace("line 3 ", "line 4 ")}, "log of 94 lines"),
        ({"deployment_id": 501}, "more than one deploy"),
        ({"deployment_id": 999}, "never asked for"),
    ],
)
def test_what_is_wrong_with_one(changed: dict[str, object], said: str) -> None:
    wrong = verdict([RIGHT[0], replace(RIGHT[1], **changed), RIGHT[2]], ASKED, _events(1, 2, 7))  # type: ignore[arg-type]
    assert any(said in line for line in wrong), wrong


def test_a_deployment_that_became_nothing() -> None:
    assert "became no deploy" in verdict(RIGHT[:2], ASKED, _events(1, 2))[0]


def test_claimed_out_of_turn() -> None:
    assert verdict(RIGHT, ASKED, _events(2, 1, 7)) == ["app#2 was claimed before app#1, which is older and waited"]


def test_one_that_the_app_did_not_know_of_yet_was_passed_rightly() -> None:
    events = [(2, "asked"), (2, "claimed"), (1, "asked"), (2, "succeeded"), (1, "claimed"), (1, "succeeded")]
    assert verdict(RIGHT[:2], {501, 502}, events) == []


def test_one_that_goes_back_keeps_its_place() -> None:
    back = [(1, "asked"), (1, "claimed"), (2, "asked"), (1, "lease_expired")]
    right = [*back, (1, "claimed"), (1, "succeeded"), (2, "claimed"), (2, "succeeded")]
    assert verdict(RIGHT[:2], {501, 502}, right) == []
    wrong = [*back, (2, "claimed"), (2, "succeeded"), (1, "claimed"), (1, "succeeded")]
    assert verdict(RIGHT[:2], {501, 502}, wrong) != []


def test_two_at_a_time() -> None:
    events = [(1, "asked"), (2, "asked"), (1, "claimed"), (2, "claimed")]
    assert verdict(RIGHT[:2], {501, 502}, events) == ["app#2 was claimed while app#1 held the environment"]

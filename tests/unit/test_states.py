"""The state × event table: complete, and nothing in it leaves an end or starts twice."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.states import COLUMNS, FINISH_EVENT, TABLE, Cell, Event, Facts, Step, cell, step
from ghapp.core.values import LIVE, STATUS_OF, EndedBy, State

QUEUED = Facts(State.QUEUED)
CLAIMED = Facts(State.CLAIMED)
RUNNING = Facts(State.RUNNING)
LOST = Facts(State.RUNNING, lost=True)
ENDED = Facts(State.SUCCEEDED)
DEAD = Facts(State.ERRORED, declared_dead=True)

#: What START and REJECT need to know beside the state.
VERDICTS = {Event.START: ("yes", "no", "refused", "disagree"), Event.REJECT: ("", "disagree")}


def every_facts() -> list[Facts]:
    """Every state with everything that a cell may depend on."""
    flags = itertools.product([False, True], repeat=5)
    return [
        Facts(
            state,
            lost=lost,
            declared_dead=dead,
            cancel_requested=cancel,
            newer_events=newer,
            gate="yes",
            exit_code=code,
            same_again=same,
        )
        for lost, dead, cancel, newer, same in flags
        for state in State
        for code in (0, 1, None)
    ]


def test_every_event_has_a_cell_for_every_column() -> None:
    assert set(TABLE) == set(Event)
    assert {len(row) for row in TABLE.values()} == {len(COLUMNS)}


def test_every_cell_is_used() -> None:
    used = {found for row in TABLE.values() for found in row}
    assert used == set(Cell)


def test_every_state_has_a_column_and_every_column_a_state() -> None:
    seen = {cell(Event.BEAT, facts) for facts in (QUEUED, CLAIMED, RUNNING, LOST, ENDED)}
    assert seen == {Cell.OVER, Cell.CONFIRMED, Cell.RENEWED, Cell.HEALS, Cell.OVER_OR_DEAD}
    for state in State:
        assert cell(Event.BEAT, Facts(state))


@pytest.mark.parametrize("event", Event)
def test_every_cell_has_a_step(event: Event) -> None:
    for facts in every_facts():
        assert isinstance(step(event, facts), Step)


def test_an_end_is_never_left() -> None:
    """I5."""
    for event, facts in itertools.product(Event, every_facts()):
        if facts.state.terminal:
            assert step(event, facts).to in {None, facts.state}, (event, facts.state)


def test_an_error_changes_nothing() -> None:
    for event, facts in itertools.product(Event, every_facts()):
        made = step(event, facts)
        if made.error:
            assert made == Step(error=made.error)


def test_only_start_makes_it_run_and_only_from_a_claim() -> None:
    """I1."""
    for event, facts in itertools.product(Event, every_facts()):
        if step(event, facts).to is State.RUNNING and facts.state is not State.RUNNING:
            assert (event, facts.state) == (Event.START, State.CLAIMED)


def test_what_runs_never_goes_back_into_the_line() -> None:
    """I1: a started deploy is never run again by itself."""
    for event, facts in itertools.product(Event, every_facts()):
        if facts.state is State.RUNNING:
            to = step(event, facts).to
            assert to is None or to.terminal


def test_each_way_back_into_the_line_ends_the_lease() -> None:
    """Rule 5."""
    for event, facts in itertools.product(Event, every_facts()):
        for verdict in VERDICTS.get(event, ("",)):
            made = step(event, Facts(facts.state, facts.lost, gate=verdict))
            if facts.state is State.CLAIMED and made.to is State.QUEUED:
                assert made.lease_over, event


def test_only_a_queued_one_is_claimed() -> None:
    for facts in every_facts():
        assert (step(Event.CLAIM, facts).to is State.CLAIMED) is (facts.state is State.QUEUED)


@pytest.mark.parametrize(
    ("event", "facts", "expected"),
    [
        (Event.START, Facts(State.CLAIMED, gate="yes"), Step(State.RUNNING)),
        (Event.START, Facts(State.CLAIMED, gate="no"), Step(State.QUEUED, lease_over=True)),
        (Event.START, Facts(State.CLAIMED, gate="disagree"), Step(State.QUEUED, lease_over=True, ready=True)),
        (Event.START, Facts(State.CLAIMED, gate="refused"), Step(State.REJECTED, lease_over=True)),
        (Event.START, RUNNING, Step()),
        (Event.START, LOST, Step()),
        (Event.START, QUEUED, Step(error="lease_over")),
        (Event.START, ENDED, Step(error="lease_over")),
        (Event.START, DEAD, Step(error="declared_dead")),
        (Event.HOLD, CLAIMED, Step(State.QUEUED, lease_over=True)),
        (Event.HOLD, Facts(State.CLAIMED, newer_events=True), Step(State.QUEUED, lease_over=True, ready=True)),
        (Event.HOLD, RUNNING, Step(error="conflict")),
        (Event.HOLD, DEAD, Step(error="lease_over")),
        (Event.REJECT, CLAIMED, Step(State.REJECTED, lease_over=True)),
        (Event.REJECT, Facts(State.CLAIMED, gate="disagree"), Step(State.QUEUED, lease_over=True, ready=True)),
        (Event.BEAT, DEAD, Step(error="declared_dead")),
        (Event.LOG, ENDED, Step()),
        (Event.LOG, DEAD, Step(error="declared_dead")),
        (Event.LOG, QUEUED, Step(error="lease_over")),
        (Event.OTHER_LEASE, ENDED, Step(error="lease_over")),
        (Event.OTHER_LEASE, DEAD, Step(error="declared_dead")),
        (Event.CLAIM_AGAIN, QUEUED, Step(error="claim_over")),
        (Event.CLAIM_AGAIN, LOST, Step()),
        (Event.CANCEL, QUEUED, Step(State.CANCELLED)),
        (Event.CANCEL, CLAIMED, Step(State.CANCELLED, lease_over=True)),
        (Event.CANCEL, RUNNING, Step()),
        (Event.CANCEL, ENDED, Step(error="too_late")),
        (Event.DECLARE_DEAD, LOST, Step(State.ERRORED)),
        (Event.DECLARE_DEAD, RUNNING, Step(error="conflict")),
        (Event.FORCE, RUNNING, Step(error="conflict")),
        (Event.SILENT, CLAIMED, Step(State.QUEUED, lease_over=True, ready=True)),
        (Event.SILENT, RUNNING, Step()),
        (Event.UNCONFIRMED, CLAIMED, Step(State.QUEUED, lease_over=True, ready=True)),
        (Event.CHECKS_TIMEOUT, QUEUED, Step(State.REJECTED)),
        (Event.CHECKS_TIMEOUT, CLAIMED, Step()),
    ],
)
def test_steps(event: Event, facts: Facts, expected: Step) -> None:
    assert step(event, facts) == expected


@pytest.mark.parametrize("made_ready", [Event.UNLOCK, Event.FORCE, Event.CHECK_EVENT, Event.SLOW_NET])
def test_ready_at_once(made_ready: Event) -> None:
    """Rule 3."""
    assert step(made_ready, QUEUED) == Step(ready=True)
    assert not step(made_ready, CLAIMED).ready


@pytest.mark.parametrize(
    ("ended_by", "facts", "expected"),
    [
        (EndedBy.EXIT, Facts(State.RUNNING, exit_code=0), State.SUCCEEDED),
        (EndedBy.EXIT, Facts(State.RUNNING, exit_code=0, cancel_requested=True), State.SUCCEEDED),
        (EndedBy.EXIT, Facts(State.RUNNING, exit_code=1), State.FAILED),
        (EndedBy.EXIT, Facts(State.RUNNING, exit_code=None), State.FAILED),
        (EndedBy.EXIT, Facts(State.RUNNING, lost=True, exit_code=0), State.SUCCEEDED),
        (EndedBy.TIMEOUT, RUNNING, State.FAILED),
        (EndedBy.SILENCE, RUNNING, State.FAILED),
        (EndedBy.CANCEL, Facts(State.RUNNING, cancel_requested=True), State.CANCELLED),
        (EndedBy.CANCEL, RUNNING, State.ERRORED),
        (EndedBy.CANCEL, LOST, State.CANCELLED),
        (EndedBy.ERROR, RUNNING, State.ERRORED),
        (EndedBy.ERROR, CLAIMED, State.ERRORED),
    ],
)
def test_how_it_ends(ended_by: EndedBy, facts: Facts, expected: State) -> None:
    assert step(FINISH_EVENT[ended_by], facts) == Step(expected)


@pytest.mark.parametrize("ended_by", EndedBy)
def test_an_end_told_again(ended_by: EndedBy) -> None:
    event = FINISH_EVENT[ended_by]
    assert step(event, Facts(State.FAILED, same_again=True)) == Step()
    assert step(event, Facts(State.FAILED)) == Step(error="too_late")
    assert step(event, Facts(State.ERRORED, declared_dead=True, same_again=True)) == Step(error="declared_dead")
    assert step(event, QUEUED) == Step(error="lease_over")
    if ended_by is not EndedBy.ERROR:
        assert step(event, CLAIMED) == Step(error="conflict")


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_any_run_of_events_runs_it_once_and_ends_it_once(events: list[Event]) -> None:
    """I1, I5: whatever happens in whatever order."""
    state, path = State.QUEUED, [State.QUEUED]
    for event in events:
        made = step(event, Facts(state, gate="yes", exit_code=0))
        if made.to not in {None, state}:
            state = made.to or state
            path.append(state)
    assert path.count(State.RUNNING) <= 1
    assert all(not before.terminal for before in path[:-1])


def test_every_state_has_a_status_and_terminal_ones_have_final_ones() -> None:
    assert set(STATUS_OF) == set(State)
    assert {STATUS_OF[state] for state in State if state.terminal} == {"success", "failure", "error"}
    assert {STATUS_OF[state] for state in LIVE} == {"queued", "pending", "in_progress"}

"""The complete state × event table: what any event does to a deploy in any state. `step` is its only reader."""

from dataclasses import dataclass
from enum import StrEnum

from ghapp.core.values import EndedBy, State


class Event(StrEnum):
    """Everything that can happen to a deploy. The values are the row titles of the table."""

    ASKED_AGAIN = "asked again, same request"
    CLAIM = "claim"
    CLAIM_AGAIN = "claim, known claim_id"
    OTHER_LEASE = "call with another lease"
    BEAT = "beat"
    HOLD = "hold"
    REJECT = "reject"
    START = "start"
    FINISH_ERROR = "finish(error)"
    FINISH_EXIT = "finish(exit)"
    FINISH_LIMIT = "finish(timeout, silence)"
    FINISH_CANCEL = "finish(cancel)"
    LOG = "log(offset)"
    UNCONFIRMED = "not confirmed in 5 s"
    SILENT = "60 s without a call"
    CANCEL = "cancel, superseded"
    DECLARE_DEAD = "declare-dead"
    LOCK = "lock"
    UNLOCK = "unlock, until passed"
    FORCE = "force"
    CHECK_EVENT = "check event for its sha"
    SLOW_NET = "slow net"
    CHECKS_TIMEOUT = "checks_timeout"
    GRANT_OVER = "grant over, unconfirmed"
    RUNNER_NEVER_STARTED = "runner restarts: `starting`, no `started`"
    RUNNER_STARTED = "runner restarts: `started`"
    OTHER_BOOT = "another boot id"
    APP_RESTART = "app restarts"


FINISH_EVENT = {
    EndedBy.ERROR: Event.FINISH_ERROR,
    EndedBy.EXIT: Event.FINISH_EXIT,
    EndedBy.TIMEOUT: Event.FINISH_LIMIT,
    EndedBy.SILENCE: Event.FINISH_LIMIT,
    EndedBy.CANCEL: Event.FINISH_CANCEL,
}


class Cell(StrEnum):
    """What an event does; the values are the cells of the table."""

    SAME = "="
    NEVER = "–"
    OVER = "over"
    OVER_OR_DEAD = "over (410)"
    OTHER_OVER_OR_DEAD = "over (410 if declared dead)"
    CONFLICT = "conflict"
    SAME_DEPLOY = "same deploy"
    CLAIMED = "claimed, new lease, confirm in 5 s"
    NOT_OFFERED = "not offered"
    CLAIM_OVER = "claim_over"
    SAME_JOB = "same job"
    CONFIRMED = "confirmed, +60 s"
    RENEWED = "+60 s, tells cancel"
    HEALS = "heals"
    HELD = "queued, lease over; ready if newer events"
    REJECTED = "rejected; or queued and ready on newer events that disagree"
    STARTS = "yes → running, or no → queued with blockers, or refused → rejected"
    YES_AGAIN = "yes again, with cancel_requested"
    YES_AGAIN_HEALS = "yes again, heals"
    ERRORED = "errored"
    REPEATED = "the same again: same answer; else `too_late`; 410"
    AS_ABOVE = "as above"
    EXITED = "0 → succeeded, else failed"
    EXITED_HEALS = "same, heals"
    FAILED = "failed"
    CANCELLED_IF_ASKED = "cancelled if requested, else errored"
    CANCELLED = "cancelled"
    STORED = "stored"
    STORED_HEALS = "stored, heals"
    STORED_TO_END = "stored until its end; 410"
    BACK = "queued, lease over"
    LOST = "lost_since"
    CANCELLED_LEASE = "cancelled, lease over"
    CANCEL_REQUESTED = "cancel_requested"
    TOO_LATE = "too late: it …"
    DEAD = "errored, lease answers 410"
    BLOCKER = "blocker"
    START_DECIDES = "= (start decides)"
    READY = "ready"
    FRONT = "front, ready"
    FORCED = "forced_by, start passes"
    COUNT_READY = "counter + 1, ready"
    COUNT = "counter + 1"
    TIMED_OUT = "rejected"
    HOLD_DECIDES = "= (decided at hold)"
    OUTBOX = "outbox writes"
    FOLLOW = "follow; gone: sweep, errored"
    KILL = "410: kill, clean up"
    NO_EXPIRY = "no expiry for 60 s"
    NO_STATUS = "no status sent for 30 s where one was under way"


COLUMNS = ("queued", "claimed", "running", "running, lost", "terminal")

C = Cell  # the table is read by people: short names keep a row on a line
TABLE: dict[Event, tuple[Cell, Cell, Cell, Cell, Cell]] = {
    Event.ASKED_AGAIN: (C.SAME_DEPLOY, C.SAME, C.SAME, C.SAME, C.SAME),
    Event.CLAIM: (C.CLAIMED, C.NOT_OFFERED, C.NOT_OFFERED, C.NOT_OFFERED, C.NOT_OFFERED),
    Event.CLAIM_AGAIN: (C.CLAIM_OVER, C.SAME_JOB, C.SAME_JOB, C.SAME_JOB, C.CLAIM_OVER),
    Event.OTHER_LEASE: (C.OVER, C.OVER, C.OVER, C.OVER, C.OTHER_OVER_OR_DEAD),
    Event.BEAT: (C.OVER, C.CONFIRMED, C.RENEWED, C.HEALS, C.OVER_OR_DEAD),
    Event.HOLD: (C.OVER, C.HELD, C.CONFLICT, C.CONFLICT, C.OVER),
    Event.REJECT: (C.OVER, C.REJECTED, C.CONFLICT, C.CONFLICT, C.OVER),
    Event.START: (C.OVER, C.STARTS, C.YES_AGAIN, C.YES_AGAIN_HEALS, C.OVER_OR_DEAD),
    Event.FINISH_ERROR: (C.OVER, C.ERRORED, C.ERRORED, C.ERRORED, C.REPEATED),
    Event.FINISH_EXIT: (C.OVER, C.CONFLICT, C.EXITED, C.EXITED_HEALS, C.AS_ABOVE),
    Event.FINISH_LIMIT: (C.OVER, C.CONFLICT, C.FAILED, C.FAILED, C.AS_ABOVE),
    Event.FINISH_CANCEL: (C.OVER, C.CONFLICT, C.CANCELLED_IF_ASKED, C.CANCELLED, C.AS_ABOVE),
    Event.LOG: (C.OVER, C.STORED, C.STORED, C.STORED_HEALS, C.STORED_TO_END),
    Event.UNCONFIRMED: (C.NEVER, C.BACK, C.NEVER, C.NEVER, C.NEVER),
    Event.SILENT: (C.NEVER, C.BACK, C.LOST, C.SAME, C.NEVER),
    Event.CANCEL: (C.CANCELLED, C.CANCELLED_LEASE, C.CANCEL_REQUESTED, C.CANCEL_REQUESTED, C.TOO_LATE),
    Event.DECLARE_DEAD: (C.CONFLICT, C.CONFLICT, C.CONFLICT, C.DEAD, C.CONFLICT),
    Event.LOCK: (C.BLOCKER, C.START_DECIDES, C.SAME, C.SAME, C.SAME),
    Event.UNLOCK: (C.READY, C.SAME, C.SAME, C.SAME, C.SAME),
    Event.FORCE: (C.FRONT, C.FORCED, C.CONFLICT, C.CONFLICT, C.CONFLICT),
    Event.CHECK_EVENT: (C.COUNT_READY, C.COUNT, C.COUNT, C.SAME, C.SAME),
    Event.SLOW_NET: (C.READY, C.SAME, C.SAME, C.SAME, C.SAME),
    Event.CHECKS_TIMEOUT: (C.TIMED_OUT, C.HOLD_DECIDES, C.SAME, C.SAME, C.SAME),
    Event.GRANT_OVER: (C.NEVER, C.NEVER, C.OUTBOX, C.OUTBOX, C.OUTBOX),
    Event.RUNNER_NEVER_STARTED: (C.NEVER, C.ERRORED, C.ERRORED, C.ERRORED, C.SAME),
    Event.RUNNER_STARTED: (C.NEVER, C.NEVER, C.FOLLOW, C.EXITED_HEALS, C.KILL),
    Event.OTHER_BOOT: (C.NEVER, C.ERRORED, C.ERRORED, C.ERRORED, C.SAME),
    Event.APP_RESTART: (C.SAME, C.NO_EXPIRY, C.NO_EXPIRY, C.SAME, C.NO_STATUS),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a cell may depend on beside the state.

    ``gate``: for START the verdict ``yes``, ``no`` or ``refused``; for REJECT ``disagree`` if newer events
    disagree. ``same_again``: a FINISH that says what the first one said.
    """

    state: State
    lost: bool = False
    declared_dead: bool = False
    cancel_requested: bool = False
    newer_events: bool = False
    gate: str = ""
    exit_code: int | None = None
    same_again: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of the deploy: its next state (None: it stays), or the ``error`` that is answered instead."""

    to: State | None = None
    error: str | None = None
    lease_over: bool = False
    ready: bool = False


def cell(event: Event, facts: Facts) -> Cell:
    """The cell of the table that an event meets."""
    column = COLUMNS.index(_column(facts))
    found = TABLE[event][column]
    return Cell.REPEATED if found is Cell.AS_ABOVE else found


def _column(facts: Facts) -> str:
    if facts.state.terminal:
        return "terminal"
    return "running, lost" if facts.state is State.RUNNING and facts.lost else facts.state.value


def step(event: Event, facts: Facts) -> Step:
    """What the event does to the deploy: the table, read."""
    found = cell(event, facts)
    if found in _PLAIN:
        return _PLAIN[found]
    return _dependent(found, facts)


def _dependent(found: Cell, facts: Facts) -> Step:
    if found in {C.OVER_OR_DEAD, C.OTHER_OVER_OR_DEAD, C.STORED_TO_END, C.REPEATED} and facts.declared_dead:
        return Step(error="declared_dead")
    match found:
        case C.OVER_OR_DEAD | C.OTHER_OVER_OR_DEAD:
            return Step(error="lease_over")
        case C.REPEATED:
            return Step() if facts.same_again else Step(error="too_late")
        case C.HELD:
            return Step(State.QUEUED, lease_over=True, ready=facts.newer_events)
        case C.REJECTED:
            disagree = facts.gate == "disagree"
            return Step(State.QUEUED if disagree else State.REJECTED, lease_over=True, ready=disagree)
        case C.STARTS:
            return _STARTS[facts.gate]
        case C.EXITED | C.EXITED_HEALS:
            return Step(State.SUCCEEDED if facts.exit_code == 0 else State.FAILED)
        case C.CANCELLED_IF_ASKED:
            return Step(State.CANCELLED if facts.cancel_requested else State.ERRORED)
        case _:
            return Step()


#: A start that is not answered yes leaves the deploy in line; ready only where newer events spoke against it.
_STARTS = {
    "yes": Step(State.RUNNING),
    "no": Step(State.QUEUED, lease_over=True),
    "disagree": Step(State.QUEUED, lease_over=True, ready=True),
    "refused": Step(State.REJECTED, lease_over=True),
}

_PLAIN = {
    C.OVER: Step(error="lease_over"),
    C.CONFLICT: Step(error="conflict"),
    C.CLAIMED: Step(State.CLAIMED),
    C.CLAIM_OVER: Step(error="claim_over"),
    C.NOT_OFFERED: Step(error="conflict"),
    C.ERRORED: Step(State.ERRORED),
    C.FAILED: Step(State.FAILED),
    C.CANCELLED: Step(State.CANCELLED),
    C.BACK: Step(State.QUEUED, lease_over=True, ready=True),
    C.CANCELLED_LEASE: Step(State.CANCELLED, lease_over=True),
    C.TOO_LATE: Step(error="too_late"),
    C.DEAD: Step(State.ERRORED),
    C.READY: Step(ready=True),
    C.FRONT: Step(ready=True),
    C.COUNT_READY: Step(ready=True),
    C.TIMED_OUT: Step(State.REJECTED),
}

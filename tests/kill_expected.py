"""Where runner and supervisor are killed, and what the protocol says that comes of it."""

from dataclasses import dataclass

KILLS = ("runner", "supervisor", "both")

Outcome = tuple[str, int]  # the deploy's state, how often its command was executed
ONCE: Outcome = ("succeeded", 1)
NEVER: Outcome = ("errored", 0)
BROKEN: Outcome = ("errored", 1)
CANCELLED: Outcome = ("cancelled", 1)


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the way of a deploy. ``place`` is where a process stops (`kill_points.install`), or the call of which
    the app's answer is lost, or nothing; ``phase`` decides what is expected."""

    name: str
    phase: str
    who: str
    place: str = ""
    command: str = "plain"


POINTS = (
    Point("claimed, answer lost", "unwritten", "app", "claim"),
    Point("claimed, not written down", "unwritten", "runner", "before runner.journal:Journal.create"),
    Point("claimed", "before", "runner", "after runner.journal:Journal.create"),
    Point("gating", "before", "runner", "before runner.checks:ask"),
    Point("cloning", "before", "git"),
    Point("command written", "before", "runner", "after runner.journal:Entry.write_command"),
    Point("start about to be asked", "asked", "runner", "after runner.journal:Entry.write_starting"),
    Point("start asked, answer lost", "asked", "app", "start"),
    Point("start answered yes", "yes", "runner", "before runner.processes:launch"),
    Point("supervisor begins", "launched", "supervisor", "before runner.journal:Entry.reserve_result"),
    Point("exit record reserved", "reserved", "supervisor", "after runner.journal:Entry.reserve_result"),
    Point("about to take `started`", "reserved", "supervisor", "before runner.journal:Entry.claim_started"),
    Point("`started` taken", "taken", "supervisor", "after runner.journal:Entry.claim_started"),
    Point("executed", "runs", "supervisor", "after runner.supervise:spawn"),
    Point("mid-output", "runs", "command"),
    Point("cancel requested", "cancel", "runner", "after runner.journal:Entry.request_cancel", "stubborn"),
    Point("cancel seen, no TERM yet", "cancel", "supervisor", "before runner.watch:Watch._signal", "stubborn"),
    Point("TERM sent", "cancel", "supervisor", "after runner.watch:Watch._signal", "stubborn"),
    Point("about to KILL", "cancel", "supervisor", "before runner.watch:Watch._kill", "stubborn"),
    Point("ended, no result yet", "unwritten result", "supervisor", "before runner.journal:write_result"),
    Point("result written", "result", "supervisor", "after runner.journal:write_result"),
    Point("serving a daemon", "result", "supervisor", "before runner.spool:Spool.discard", "daemon"),
    Point("ended but unreported", "result", "runner", "before runner.follow:_tell", "daemon"),
    Point("log closed", "result", "runner", "after runner.outgoing:OutgoingLog.close"),
    Point("finishing, answer lost", "result", "app", "finish"),
    Point("finish accepted, not noted", "result", "runner", "before runner.journal:Entry.write_finished"),
    Point("status granted, unwritten", "result", "runner", "after runner.journal:Entry.write_finished"),
    Point("status unconfirmed", "result", "runner", "before runner.follow:_confirm"),
    Point("finished, journal half removed", "result", "runner", "before runner.journal:_delete"),
)

SUPERVISED = ("launched", "reserved", "taken", "runs", "cancel", "unwritten result", "result")


def expected(point: Point, event: str) -> set[Outcome] | None:
    """What may come of it; None where there is nothing to kill.

    Killed before anything was asked the deploy goes on (or, never confirmed, back into the line); between the asking
    and `started` it ends without having run; afterwards a living supervisor brings it to its end, and one that died
    without a result leaves an error.
    """
    usual = CANCELLED if point.phase == "cancel" else ONCE
    if event in ("supervisor", "both"):
        if point.phase not in SUPERVISED or _retired(point):
            return None
        if point.phase in ("runs", "cancel", "unwritten result"):
            return {BROKEN}
        return {usual} if point.phase == "result" else {NEVER}
    if event == "runner":
        return {NEVER} if point.phase in ("asked", "yes", "launched", "reserved") else {usual}
    if event == "full disk":
        if point.phase == "before":  # git finds no room, or finds it again before it is needed
            return {NEVER, ONCE}
        return {NEVER} if point.phase in ("asked", "yes", "launched", "reserved") else {usual}
    if event == "suspended":  # a yes is good for 30 s, suspended or not
        return {NEVER} if point.phase in ("yes", "launched", "reserved", "taken") else {usual}
    return {usual}


def _retired(point: Point) -> bool:
    """Without a daemon the supervisor has left by then."""
    return point.phase == "result" and point.who != "supervisor" and point.command != "daemon"

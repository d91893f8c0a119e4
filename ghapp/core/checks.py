"""Are the checks of a sha green? Statuses and check runs alike, latest of each, our own left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    SUCCESS = "success"
    PENDING = "pending"
    FAILURE = "failure"


_LATER = (CheckState.PENDING, CheckState.SUCCESS, CheckState.FAILURE)


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one check on a sha at one moment.

    ``key`` tells checks of the same name apart (``status/ci``, ``run/APP/build``, ``suite/APP``). Of a check run
    there may be several at once, told apart by ``serial``: the same job for a push and for its pull request.
    ``at`` is the provider's time in ms; ``serial`` (the provider's id) orders what has the same time.
    """

    key: str
    name: str
    state: CheckState
    at: int = 0
    serial: int = 0
    url: str | None = None
    detail: str = ""

    def order(self) -> tuple[int, int, int]:
        """By the provider's time, then by its id; of one run at one time the completed state is the later one, and
        of two completed ones the red one counts."""
        return (self.at, self.serial, _LATER.index(self.state))

    def newer_than(self, other: "Check") -> bool:
        """Did the provider record this after the other? Provider times are whole seconds, ids break ties,
        and of one check run at one time the completed state is the later one."""
        return self.order() > other.order()


@dataclass(frozen=True, slots=True)
class Policy:
    """Which checks must be green: ``names`` None = every one that exists, empty = none.

    ``own`` are key prefixes of what Kedge itself writes; ``automatic`` deploys want at least one check.
    """

    names: tuple[str, ...] | None = None
    own: tuple[str, ...] = ()
    automatic: bool = False

    def counts(self, check: Check) -> bool:
        """Does this check have a say? Suites only where every check must be green."""
        if check.key.startswith(self.own):
            return False
        if self.names is None:
            return True
        return check.name in self.names and not check.key.startswith("suite/")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The counted checks by outcome. ``missing`` are named ones that do not exist yet;
    ``stale`` those of which an event told something newer than the fetch shows."""

    failed: tuple[Check, ...] = ()
    pending: tuple[Check, ...] = ()
    missing: tuple[str, ...] = ()
    stale: tuple[Check, ...] = ()
    none_at_all: bool = False

    @property
    def green(self) -> bool:
        return not (self.failed or self.pending or self.missing or self.stale or self.none_at_all)


def latest(checks: Iterable[Check]) -> dict[str, Check]:
    """The newest of each key."""
    newest: dict[str, Check] = {}
    for check in checks:
        known = newest.get(check.key)
        if known is None or check.newer_than(known):
            newest[check.key] = check
    return newest


def current(checks: Iterable[Check]) -> list[Check]:
    """Those that have a say: the newest of each key, and the check runs beside it that it does not supersede.

    A provider lists runs of one App and name from several suites side by side. A run that was made later (its id is
    higher) and is not older supersedes one that had ended: it was run again. One that still runs, or that ended
    only after a younger one, ran beside it, and must be green as well.
    """
    newest = {(check.key, check.serial): check for check in sorted(checks, key=Check.order)}
    return [one for one in newest.values() if not any(_supersedes(other, one) for other in newest.values())]


def _supersedes(other: Check, one: Check) -> bool:
    if other.key != one.key or not other.newer_than(one):
        return False
    run = one.key.startswith("run/")
    return not run or (other.serial > one.serial and one.state is not CheckState.PENDING)


def evaluate(fetched: Iterable[Check], policy: Policy, events: Iterable[Check] = ()) -> Evaluation:
    """Judge what was fetched, against what events have told since.

    An event newer than the fetch makes its check stale: neither green nor red may be concluded from it.
    """
    if policy.names == ():
        return Evaluation()
    counted = [check for check in current(fetched) if policy.counts(check)]
    stale = tuple(event for event in latest(events).values() if policy.counts(event) and _overtakes(event, counted))
    stale_keys = {event.key for event in stale}
    settled = [check for check in counted if check.key not in stale_keys]
    known_names = {check.name for check in counted} | {event.name for event in stale}
    return Evaluation(
        failed=tuple(check for check in settled if check.state is CheckState.FAILURE),
        pending=tuple(check for check in settled if check.state is CheckState.PENDING),
        missing=tuple(name for name in policy.names or () if name not in known_names),
        stale=stale,
        none_at_all=policy.automatic and policy.names is None and not counted and not stale,
    )


def _overtakes(event: Check, fetched: Iterable[Check]) -> bool:
    """Is the event newer than what the fetch shows of that check, and another state?"""
    shown = [check for check in fetched if check.key == event.key]
    same = [check for check in shown if check.serial == event.serial] or shown
    newest = max(same, key=Check.order, default=None)
    return newest is None or (event.state is not newest.state and event.newer_than(newest))


def agree(fetched: Iterable[Check], newer: Iterable[Check], policy: Policy) -> Evaluation:
    """Judge a sha by the fetch with the newer events put in its place (protocol rule 15)."""
    return evaluate([*fetched, *newer], policy)

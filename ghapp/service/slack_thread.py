"""What the thread of a deploy's message in Slack tells, each step once and in order, and when there is more to say."""

import msgspec

from ghapp.core import estimates, sentences, timeline
from ghapp.core.values import Blocker, BlockerKind, State
from ghapp.notify.slack import Step
from ghapp.service.told import Standing

#: Between two updates of one message, but for the last: https://docs.slack.dev/apis/web-api/rate-limits has about 50 a
#: minute for all messages together.
UPDATE_EVERY_MS = 10_000
#: Who has waited so long for something that takes a person is called.
WAITS_MS = 10 * 60_000

#: What it waits for is not recorded; it is told by its blockers.
_TOLD = frozenset(
    {
        *("asked", "started", "cancel_requested", "forced", "lost", "healed", "rolled_back"),
        *(state.value for state in State if state.terminal),
    }
)
_CALLED_FOR = frozenset({"lost", State.FAILED.value, State.ERRORED.value, State.REJECTED.value})
#: These pass by themselves, or with checks that everybody sees.
_NOBODY_NEEDED = frozenset({BlockerKind.TURN, BlockerKind.CHECKS, BlockerKind.REGISTERING})


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a message: where it is, a hash of what it shows, and how far its thread is. ``through`` is the
    newest event that was told there, ``waits`` the kinds of blockers, ``called``: who asked, for having waited long.
    ``rewrite_at``: it is to be written once more then. ``after`` is the deploy that this one tries again."""

    room: str = ""
    ts: str = ""
    shows: str = ""
    through: int = 0
    waits: str = ""
    called: bool = False
    rewrite_at: int = 0
    after: str | None = None


def steps(kept: Kept, one: Standing) -> list[Step]:
    """What the thread does not tell yet."""
    about = one.deploy.name if kept.after else None
    found = [
        Step(timeline.told(event.kind, event.who, event.data), about, calls=event.kind in _CALLED_FOR)
        for event in one.recorded
        if event.id > kept.through and event.kind in _TOLD
    ]
    why = " ".join(blocker.message for blocker in _waits_for(one))
    if _too_long(kept, one):
        waited_s = (one.now - one.deploy.asked_at) / 1000
        found.append(Step(f"{sentences.waited(waited_s)} {why}", about, calls=True))
    elif why and _kinds(one) != kept.waits:
        found.append(Step(why, about))
    return found


def told(kept: Kept, one: Standing) -> Kept:
    """After the thread has told these steps."""
    return msgspec.structs.replace(
        kept,
        through=max((event.id for event in one.recorded), default=kept.through),
        waits=_kinds(one),
        called=kept.called or _too_long(kept, one),
    )


def again_at(kept: Kept, one: Standing) -> int | None:
    """When (ms) time alone will bring more to say."""
    deploy, usual_ms, found = one.deploy, one.facts.usual_ms, []
    if deploy.state is State.RUNNING and deploy.started_at and usual_ms and not deploy.lost_since:
        tenth_at = estimates.next_tenth_at(one.now, deploy.started_at, usual_ms)
        found += [max(tenth_at, one.now + UPDATE_EVERY_MS)] if tenth_at else []
    if _needs_somebody(one) and not kept.called:
        found.append(max(deploy.asked_at + WAITS_MS, one.now + 1_000))
    if kept.rewrite_at:
        found.append(kept.rewrite_at)
    return min(found, default=None)


def _too_long(kept: Kept, one: Standing) -> bool:
    return _needs_somebody(one) and not kept.called and one.now >= one.deploy.asked_at + WAITS_MS


def _needs_somebody(one: Standing) -> bool:
    return any(blocker.kind not in _NOBODY_NEEDED for blocker in _waits_for(one))


def _waits_for(one: Standing) -> list[Blocker]:
    """Nothing but a runner's next look is nothing to wait for."""
    if one.facts.state is not State.QUEUED:
        return []
    passing = {sentences.ready(), sentences.registering()}
    return [blocker for blocker in one.facts.blockers if blocker.message not in passing]


def _kinds(one: Standing) -> str:
    return " ".join(sorted({blocker.kind.value for blocker in _waits_for(one)}))

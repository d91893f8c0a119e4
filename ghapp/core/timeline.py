"""What happened to a deploy, in words: one sentence for each kind of event that is recorded."""

from collections.abc import Mapping, Sequence

from ghapp.core import sentences
from ghapp.core.values import Door, State

_DOORS = {
    Door.API: "through the API",
    Door.DEPLOYMENT: "as a GitHub deployment",
    Door.COMMENT: "in a comment",
    Door.CHAT: "in a chat",
    Door.PAGE: "on the page",
    Door.COMMAND_LINE: "on the command line",
    Door.AUTOMATIC: "automatically",
}
_ENDS = frozenset(state.value for state in State if state.terminal)


def told(kind: str, who: str | None, data: Mapping[str, object]) -> str:
    """The sentence for an event. A kind that is not known here is told by its name."""
    somebody = who or "Somebody"
    if kind in _ENDS:
        return sentences.ended(State(kind), None, _text(data, "reason"))
    match kind:
        case "asked" if data.get("door") == Door.AUTOMATIC:
            return f"{somebody} pushed it; it is deployed automatically."
        case "asked":
            return f"{somebody} asked for it {_door(_text(data, 'door'))}."
        case "registered":
            return "The provider knows it as a deployment."
        case "in_line":
            return "It may go out, and takes its place in the line."
        case "passed_over":
            return _text(data, "message")
        case "claimed":
            return f"Runner {somebody} took it, to ask the checks and to prepare."
        case "held":
            return f"Back in line. {_messages(data)}".rstrip()
        case "started":
            return f"The command started on runner {somebody}."
        case "cancel_requested":
            return f"{somebody} asked to cancel it."
        case "forced":
            return f"{somebody} forced it past {_forced(data)}."
        case "rolled_back":
            return f"Automatic deploys wait from here on: {somebody} rolls back from {_text(data, 'before')}."
        case "lease_expired":
            return f"Runner {somebody} was not heard again before it started; back in line."
        case "lost":
            return f"Runner {somebody} is not heard any more; the environment stays held."
        case "healed":
            return f"Runner {somebody} is heard again."
        case "status_refused":
            return f"The provider did not take the status: {_text(data, 'why')}"
        case "status_put_right":
            return "The provider showed an older state; it was put right."
        case "message_refused":
            where = " ".join(part for part in (_text(data, "channel"), _text(data, "target")) if part)
            return f"It cannot be told on {where}: {_text(data, 'why')}"
        case "superseded":
            return f"{_text(data, 'by')} took its place."
        case "supersedes":
            return f"It took the place of {_text(data, 'before')}."
        case "config_taken":
            return f"What its repository defines at {sentences.short(_text(data, 'sha'))} is in force."
        case "config_withdrawn":
            return f"What its repository defines is not in force any more: {_text(data, 'why')}"
        case _ if "lock" in kind:
            return _lock(kind, somebody, data)
        case _:
            words = kind.replace("_", " ")
            return f"{words} by {who}." if who else f"{words}."


def _lock(kind: str, somebody: str, data: Mapping[str, object]) -> str:
    """``owner`` is whose lock it is, or was before it was taken over or released."""
    app, environment = _text(data, "app"), _text(data, "environment")
    what = f"{environment} of {app}" if environment else app or "everything"
    owner, until = _text(data, "owner"), data.get("until")
    when = f" until {sentences.clock(until)}" if isinstance(until, int) else ""
    match kind:
        case "locked":
            return f"{somebody} locked {what}{when}: {_text(data, 'reason')}"
        case "lock_changed":
            return f"{somebody} changed the lock on {what}, which holds{when or ' until it is released'}: " + (
                _text(data, "reason")
            )
        case "lock_taken_over":
            return f"{somebody} took over the lock on {what} from {owner}."
        case "unlocked":
            return f"{somebody} released the lock{'' if owner == somebody else f' of {owner}'} on {what}."
        case "lock_expiring":
            return f"The lock of {owner} on {what} holds only{when}; change it to hold longer."
        case _:
            return f"The lock of {owner} on {what} ended by itself."


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _door(name: str) -> str:
    return _DOORS[Door(name)] if name in set(Door) else f"by way of {name}"


def _items(data: Mapping[str, object], name: str) -> Sequence[object]:
    value = data.get(name)
    return value if isinstance(value, list | tuple) else ()


def _messages(data: Mapping[str, object]) -> str:
    found = (item.get("message") for item in _items(data, "blockers") if isinstance(item, Mapping))
    return " ".join(message for message in found if isinstance(message, str))


def _forced(data: Mapping[str, object]) -> str:
    what = [str(item) for item in _items(data, "what")]
    return "everything that can be forced" if "all" in what else sentences.joined(f"the {item}" for item in what)

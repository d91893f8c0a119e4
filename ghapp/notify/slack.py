"""What Kedge says in Slack, as Block Kit. Pure: facts in, blocks out.

Slack's limits are kept here, because its library does not: https://docs.slack.dev/reference/block-kit/blocks. Every
text of others goes through `mrkdwn`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ghapp.core import estimates, sentences
from ghapp.core.answers import Action
from ghapp.core.values import Commit, State
from ghapp.notify.facts import SIGNS, Progress, Shipped
from ghapp.notify.mrkdwn import bold, code, link, mention, text, time

#: https://docs.slack.dev/reference/block-kit/blocks/section-block
SECTION_LIMIT = 3000
#: More is advised against: https://docs.slack.dev/reference/methods/chat.postMessage
TEXT_LIMIT = 4000
#: Commits that are listed; more are counted. Slack folds what is long.
COMMITS = 5

#: action_id of a button is this and the `Action`; its value says what about: ``app#number``, ``app/environment``.
BUTTON = "kedge:"

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A message: blocks, and the text of its notification."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, for the thread: ``about`` names the deploy where the thread tells of several. ``calls``:
    who asked should look."""

    text: str
    about: str | None = None
    calls: bool = False


def progress(of: Progress, now: int, *, buttons: bool, after: str | None = None) -> Body:
    """The message of a deploy, as it is now. ``after`` names the one that it tries again."""
    again = f", again after {text(after)}" if after else ""
    doing = "" if of.task == "deploy" else f"{text(of.task, 70)}: "
    where = f" ({code(of.ref)})" if of.ref != of.sha else ""
    title = (
        f"{SIGNS[of.state]} *{link(text(of.name), of.page)}* {doing}{code(sentences.short(of.sha))}{where} to "
        f"{bold(of.environment)}, asked for by {text(of.user)}{again}"
    )
    links = [link("Log", of.page), *([link("Environment", of.environment_url)] if of.environment_url else [])]
    blocks = [
        section([title, *_standing(of, now)]),
        *([section(shipped)] if (shipped := _shipped(of.shipped)) else []),
        {"type": "context", "elements": [_mrkdwn(" · ".join(links))]},
        *([_buttons(of)] if buttons and of.actions else []),
    ]
    summary = f"{SIGNS[of.state]} {of.name} to {of.environment}: {of.sentence}"
    return Body(text(summary, TEXT_LIMIT // 5), tuple(blocks))


def thread(steps: Sequence[Step], user_id: str | None) -> Body:
    """A reply that tells what happened since the last one. ``user_id``: who asked, in Slack."""
    lines = [f"{bold(step.about)}: {text(step.text)}" if step.about else text(step.text) for step in steps]
    called = next((place for place, step in enumerate(steps) if step.calls), None)
    if called is not None:
        lines[called] = f"{mention(user_id)} {lines[called]}".strip()
    summary = " ".join(lines)
    return Body(summary if len(summary) <= TEXT_LIMIT else lines[called or 0], (section(lines),))


def lock(kind: str, sentence: str, scope: tuple[str, str] | None) -> Body:
    """What happened to a lock. ``scope``: the app and environment that can be unlocked with a press."""
    sign = {"unlocked": "🔓", "lock_expired": "🔓", "lock_expiring": "⏰"}.get(kind, "🔒")
    line = f"{sign} {text(sentence)}"
    held = kind not in {"unlocked", "lock_expired"}
    pressed = [_button(Action.UNLOCK, "/".join(scope))] if scope and held else []
    blocks = [section([line]), *([{"type": "actions", "elements": pressed}] if pressed else [])]
    return Body(line, tuple(blocks))


def _standing(of: Progress, now: int) -> list[str]:
    if of.state is State.REJECTED:
        return [text(of.sentence), *(f"• {link(text(one.message), one.url)}" for one in of.blockers if one.url)]
    if of.blockers:
        place = [f"Number {of.position} in line."] if of.position and of.position > 1 else []
        return [*place, *(f"• {link(text(one.message), one.url)}" for one in of.blockers)]
    if of.state is not State.RUNNING or of.started_at is None:
        return [text(of.sentence)]
    since = f"{text(of.sentence)} Since {time(of.started_at, sentences.clock(of.started_at))}."
    if not of.usual_ms:
        return [since]
    over = estimates.tenths(now, of.started_at, of.usual_ms)
    usual = sentences.duration(of.usual_ms / 1000)
    said = f"longer than the usual {usual}" if over == 10 else f"usually {usual}"
    return [since, f"{'▓' * over}{'░' * (10 - over)} {said}"]


def _shipped(of: Shipped) -> list[str]:
    if of.note or not of.count:
        return [text(of.note)] if of.note else []
    counted = f"{of.count} commit{'s' if of.count != 1 else ''} since {text(of.since)}"
    shown = of.commits[:COMMITS]
    more = [f"• … and {of.count - len(shown)} more"] if of.count > len(shown) else []
    return [f"Ships {link(counted, of.url)}:", *map(_commit, shown), *more]


def _commit(one: Commit) -> str:
    return f"• {link(code(sentences.short(one.sha)), one.url)} {text(one.message, 150)} ({text(one.author, 60)})"


def section(lines: Sequence[str]) -> Block:
    """Whole lines, as many as fit. Each fits by itself: see `mrkdwn.LONGEST`."""
    shown, room = [], SECTION_LIMIT - len("\n…")
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            shown.append("…")
            break
        shown.append(line)
    return {"type": "section", "text": _mrkdwn("\n".join(shown))}


def _mrkdwn(value: str) -> Block:
    return {"type": "mrkdwn", "text": value, "verbatim": True}


def _plain(value: str) -> Block:
    return {"type": "plain_text", "text": value}


# Buttons: https://docs.slack.dev/reference/block-kit/block-elements/button-element

_LABELS = {
    Action.CANCEL: "Cancel",
    Action.RETRY: "Retry",
    Action.ROLLBACK: "Roll back",
    Action.FORCE: "Force",
    Action.UNLOCK: "Unlock",
}
#: What cannot be undone by pressing another one is asked twice.
_SURE = {
    Action.CANCEL: "End {what}?",
    Action.ROLLBACK: "Roll {where} back to what was live before {what}?",
    Action.FORCE: "Let {what} pass what holds it, to {where}?",
}


def _buttons(of: Progress) -> Block:
    app = of.name.rpartition("#")[0]
    return {
        "type": "actions",
        "elements": [
            _button(action, f"{app}/{of.environment}" if action is Action.UNLOCK else of.name, of)
            for action in map(Action, of.actions)
        ],
    }


def _button(action: Action, value: str, of: Progress | None = None) -> Block:
    made: Block = {
        "type": "button",
        "text": _plain(_LABELS[action]),
        "action_id": f"{BUTTON}{action}",
        "value": value,
    }
    if of and action in _SURE:
        question = _SURE[action].format(what=of.name, where=of.environment)
        made["confirm"] = {
            "title": _plain(_LABELS[action]),
            "text": _plain(question),
            "confirm": _plain(_LABELS[action]),
            "deny": _plain("Leave it"),
        }
    if action in {Action.FORCE, Action.ROLLBACK}:
        made["style"] = "danger"
    return made

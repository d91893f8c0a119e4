"""What the creator of a deployment sent along: hubot-deploy's payload, and what else says the same."""

from collections.abc import Mapping
from dataclasses import fields

from ghapp.core.values import Chat

#: Long enough for any name and id of a chat.
_LONGEST = 200


def chat_of(payload: Mapping[str, object]) -> Chat | None:
    """``payload.notify``: where it was asked for. None where it was not asked for in a chat."""
    notify = payload.get("notify")
    if not isinstance(notify, dict):
        return None
    said = {field.name: _text(notify.get(field.name)) for field in fields(Chat)}
    return Chat(**said) if any(said.values()) else None


def asked_by(chat: Chat | None) -> str | None:
    """Who asked the bot; shown as "for alice"."""
    return (chat.user_name or chat.user) if chat else None


def task_named(task: str, known: tuple[str, ...]) -> str:
    """``deploy:x`` of chat is the task x, unless there is one of that whole name."""
    return task if task in known else task.removeprefix("deploy:") or task


def _text(value: object) -> str | None:
    """Ids are numbers in some chats. What cannot be shown or stored is left out."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return "".join(filter(str.isprintable, str(value)[:_LONGEST])).strip() or None

"""What Slack demands of a message, and its library does not check.

https://docs.slack.dev/reference/block-kit/blocks, block-elements and composition-objects.
"""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

#: Type of a block or element -> the keys it may have, the most elements or characters where there is a limit.
BLOCKS: dict[str, set[str]] = {
    "section": {"type", "block_id", "text", "fields", "accessory", "expand"},
    "context": {"type", "block_id", "elements"},
    "actions": {"type", "block_id", "elements"},
    "header": {"type", "block_id", "text"},
    "divider": {"type", "block_id"},
}
BUTTON = {"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"}
MOST = {"context": 10, "actions": 25}
_MENTION = re.compile(r"<([^>]*)>")
_MEANS = re.compile(r"https?://[^|]+(\|.*)?|@[UW][A-Z0-9]+|!date\^\d+\^[^|]+\|.+|#C[A-Z0-9]+")


def flaws(message: Json) -> Iterator[str]:
    """Everything that Slack would refuse or show otherwise than meant."""
    text = message.get("text")
    if not isinstance(text, str) or not text.strip():
        yield "no text: notifications would be empty"
    elif len(text) > 4000:
        yield f"text has {len(text)} characters"
    yield from _meanings(text or "")
    blocks = message.get("blocks")
    if not isinstance(blocks, list) or not 0 < len(blocks) <= 50:
        yield "blocks must be a list of 1 to 50"
        return
    for block in blocks:
        yield from _block(block)


def _block(block: Json) -> Iterator[str]:
    kind = str(block.get("type"))
    if kind not in BLOCKS:
        yield f"unknown block {kind}"
        return
    if unknown := block.keys() - BLOCKS[kind]:
        yield f"{kind} has unknown keys {sorted(unknown)}"
    if kind == "section":
        yield from _text(block.get("text"), 3000)
        if len(block.get("fields", ())) > 10:
            yield "more than 10 fields"
        for field in block.get("fields", ()):
            yield from _text(field, 2000)
    if kind == "header":
        yield from _text(block.get("text"), 150, plain=True)
    if kind in MOST:
        elements = block.get("elements")
        if not isinstance(elements, list) or not 0 < len(elements) <= MOST[kind]:
            yield f"{kind} has not 1 to {MOST[kind]} elements"
            return
        for element in elements:
            yield from _text(element, 3000) if kind == "context" else _button(element)
        ids = [element.get("action_id") for element in elements]
        if kind == "actions" and len(set(ids)) != len(ids):
            yield "an action_id stands twice in one block"


def _button(button: Json) -> Iterator[str]:
    if button.get("type") != "button" or (unknown := button.keys() - BUTTON):
        yield f"no button, or unknown keys: {button}"
        return
    yield from _text(button.get("text"), 75, plain=True)
    for name, most in (("action_id", 255), ("value", 2000)):
        if not 0 < len(str(button.get(name, ""))) <= most:
            yield f"{name} of a button must have 1 to {most} characters"
    if button.get("style") not in {None, "primary", "danger"}:
        yield f"a button has the style {button['style']}"
    if confirm := button.get("confirm"):
        if unknown := confirm.keys() - {"title", "text", "confirm", "deny", "style"}:
            yield f"confirm has unknown keys {sorted(unknown)}"
        for name, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            yield from _text(confirm.get(name), most, plain=name != "text")


def _text(text: Any, most: int, *, plain: bool = False) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in {"plain_text", "mrkdwn"}:
        yield f"no text object: {text}"
        return
    kind, value = text["type"], str(text.get("text", ""))
    if plain and kind != "plain_text":
        yield f"mrkdwn where only plain text may stand: {value[:40]}"
    if unknown := text.keys() - {"type", "text", "verbatim" if kind == "mrkdwn" else "emoji"}:
        yield f"{kind} has unknown keys {sorted(unknown)}"
    if not 0 < len(value) <= most:
        yield f"a text has {len(value)} characters, 1 to {most} may be"
    if kind == "mrkdwn":
        yield from _meanings(value)


def _meanings(text: str) -> Iterator[str]:
    """What stands in angle brackets is a link, a person or a date; never a whole channel."""
    for found in _MENTION.finditer(text):
        if not _MEANS.fullmatch(found[1]):
            yield f"{found[0]} means something else than was meant"
    if re.search(r"&(?!amp;|lt;|gt;)", text):
        yield f"an ampersand is not escaped: {text[:60]}"

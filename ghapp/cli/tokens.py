"""``token``: create, list and revoke tokens."""

import argparse
from collections.abc import Iterator
from datetime import datetime

import msgspec
from rich.console import RenderableType
from rich.text import Text

from ghapp.cli import show, times
from ghapp.cli.client import decoded, path
from ghapp.cli.errors import EXIT_OK
from ghapp.cli.terminal import Kit
from ghapp.core.sentences import joined

#: Most that one answer holds.
PAGE = "200"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """As the API gives it; ``token`` is there once, when it is created."""

    id: int
    name: str
    owner: str
    scopes: tuple[str, ...]
    apps: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    token: str = ""


class Tokens(msgspec.Struct, frozen=True):
    items: tuple[Token, ...]
    next: str | None = None


def token(arguments: argparse.Namespace, kit: Kit) -> int:
    """One of its own commands."""
    return {"create": _create, "list": _list, "revoke": _revoke}[arguments.action](arguments, kit)


def _create(arguments: argparse.Namespace, kit: Kit) -> int:
    names = ("name", "owner", "scopes", "apps", "environments", "labels", "expires")
    body = kit.client.send("POST", path("tokens"), {name: getattr(arguments, name) for name in names})
    kit.terminal.result(body, lambda: [Text(decoded(body, Token).token)])
    kit.terminal.note("Keep it now: it is not shown again.", "yellow")
    return EXIT_OK


def _list(_: argparse.Namespace, kit: Kit) -> int:
    raw: list[object] = []
    cursor: str | None = None
    while True:
        body = kit.client.get(path("tokens"), {"limit": PAGE, "cursor": cursor})
        raw += msgspec.json.decode(body)["items"]
        cursor = decoded(body, Tokens).next
        if cursor is None:
            break
    whole = msgspec.json.encode({"items": raw, "next": None})
    kit.terminal.result(whole, lambda: _shown(decoded(whole, Tokens).items, datetime.now().astimezone()))
    return EXIT_OK


def _revoke(arguments: argparse.Namespace, kit: Kit) -> int:
    kit.client.send("DELETE", path("tokens", arguments.id))
    kit.terminal.result(b"null", lambda: [Text(f"Token {arguments.id} is revoked.")])
    return EXIT_OK


def _shown(tokens: tuple[Token, ...], now: datetime) -> Iterator[RenderableType]:
    if not tokens:
        yield Text("There are no tokens yet.")
        return
    made = show.table("", "Name", "Owner", "May", "Only for", "Used", "Ends")
    for one in tokens:
        used = times.ago(one.last_used_at, now) if one.last_used_at else "never"
        made.add_row(f"{one.id}", one.name, one.owner, joined(one.scopes), _only(one), used, _ends(one, now))
    yield made


def _only(token: Token) -> str:
    parts = (("", token.apps), ("in ", token.environments), ("with label ", token.labels))
    return " ".join(f"{word}{joined(values, 8)}" for word, values in parts if values is not None)


def _ends(token: Token, now: datetime) -> Text:
    if token.revoked_at:
        return Text("revoked", style="magenta")
    if token.expires_at is None:
        return Text("never", style="dim")
    over = times.at(token.expires_at) <= now
    return Text("expired" if over else token.expires_at[:10], style="red" if over else "")

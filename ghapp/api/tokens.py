"""Tokens: who may act through Kedge, with what, until when. For admins; anybody may revoke the token they use."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters
from ghapp.api.common import ACTOR, CONTEXT, json_response
from ghapp.api.params import Name, NoParams
from ghapp.api.routing import Route, Sent
from ghapp.core.times import rfc3339
from ghapp.service import tokens
from ghapp.service.problems import Problem
from ghapp.store.tokens import Token as TokenRow

#: None is given by leaving it out: a token for nothing would be of no use.
Names = Annotated[list[Name], Meta(min_length=1, max_length=100)]


class ListParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``cursor`` is the ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class TokenParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``owner`` is who acts with it; ``apps`` and ``environments`` narrow it; ``expires`` is a duration (``90d``),
    without it the token does not expire. ``labels`` are those of the runners that present it."""

    name: Annotated[Name, Meta(examples=["ci"])]
    owner: Annotated[Name, Meta(examples=["ana"])]
    scopes: Annotated[Names, Meta(examples=[["read", "deploy"]])]
    apps: Names | None = None
    environments: Names | None = None
    labels: Names | None = None
    expires: Annotated[str, Meta(max_length=16, examples=["90d"])] | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """``apps`` and ``environments`` null: every one; ``labels`` null: those that a runner names itself."""

    id: int
    name: str
    owner: str
    scopes: list[str]
    apps: list[str] | None
    environments: list[str] | None
    labels: list[str] | None
    created_at: str | None
    created_by: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class NewToken(Token, frozen=True, kw_only=True):
    """``token`` is the secret, which is shown this once."""

    token: str


class TokenPage(msgspec.Struct, frozen=True):
    items: list[Token]
    next: str | None


async def create(request: web.Request, given: TokenParams) -> web.Response:
    """201 with the token and its secret."""
    new = tokens.NewToken(**msgspec.structs.asdict(given))
    created = await tokens.create(request.app[CONTEXT], request[ACTOR], new)
    response = json_response(NewToken(token=created.secret, **_fields(created.token)), 201)  # type: ignore[arg-type]
    response.headers["Cache-Control"] = "no-store"
    return response


async def list_tokens(request: web.Request, given: ListParams) -> web.Response:
    """Newest first; those that have ended, too."""
    before = parameters.below(given.cursor)
    found, below = await tokens.listed(request.app[CONTEXT], request[ACTOR], before=before, limit=given.limit)
    items = [Token(**_fields(one)) for one in found]  # type: ignore[arg-type]
    return json_response(TokenPage(items, parameters.as_cursor(below)))


async def revoke(request: web.Request, _: NoParams) -> web.Response:
    """204; the token is good for nothing from then on."""
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem("not_found", f"There is no token {text}; tokens have numbers.")
    await tokens.revoke(request.app[CONTEXT], request[ACTOR], int(text))
    return web.Response(status=204)


def _fields(token: TokenRow) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "owner": token.owner,
        "scopes": list(token.scopes),
        "apps": _list(token.apps),
        "environments": _list(token.environments),
        "labels": _list(token.labels),
        "created_at": rfc3339(token.created_at),
        "created_by": token.created_by,
        "expires_at": rfc3339(token.expires_at),
        "last_used_at": rfc3339(token.last_used_at),
        "revoked_at": rfc3339(token.revoked_at),
    }


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


ROUTES = (
    Route(
        method="GET",
        path="/api/0/tokens",
        handler=list_tokens,
        summary="Tokens, newest first, without their secrets.",
        takes=ListParams,
        answers={200: TokenPage},
        scope="admin",
    ),
    Route(
        method="POST",
        path="/api/0/tokens",
        handler=create,
        summary="Create a token. Its secret is shown this once.",
        takes=TokenParams,
        sent=Sent.FIELDS,
        answers={201: NewToken},
        scope="admin",
    ),
    Route(
        method="DELETE",
        path="/api/0/tokens/{id}",
        handler=revoke,
        summary="Revoke a token: an admin any, everybody else the one they use.",
        takes=NoParams,
        answers={204: None},
        scope="token",
    ),
)

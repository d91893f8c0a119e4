"""Tokens: created by admins, presented by people, scripts and runners, revoked by admins or by who holds them."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ghapp.core import durations, sentences
from ghapp.core.actors import SCOPES, Actor
from ghapp.core.config import LABEL
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import events, tokens
from ghapp.store.base import Tx
from ghapp.store.tokens import Token

#: Makes a token recognizable where it should not be, in a log or a repository.
PREFIX = "kedge_"
#: Of the secret, in bytes. https://docs.python.org/3/library/secrets.html#how-many-bytes-should-tokens-use
RANDOM = 32
DAY_S = 86_400
LONGEST_S = 3650 * DAY_S
#: A use is written at most so often for each token (ms).
KEEP_USES_MS = 60_000

# A login, also of managed users (octo_acme) and bots: https://docs.github.com/en/rest/users/users
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,98}(\[bot\])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What a token shall be. ``expires``: a duration such as ``90d``, None for a token that does not expire."""

    name: str
    owner: str
    scopes: Sequence[str]
    apps: Sequence[str] | None = None
    environments: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A token and its secret, which nobody can tell again."""

    token: Token
    secret: str = field(repr=False)


def secret_hash(secret: str) -> str:
    """What is kept of a secret. A fast hash is enough: nobody can try out 256 random bits, which is what slow hashes
    make expensive for passwords, and looking it up by its hash tells nothing by how long it takes.

    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    """
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


async def create(ctx: Context, actor: Actor, new: NewToken) -> Created:
    """Make a token. Raises Problem ``unauthorized``, ``forbidden`` for who is no admin, ``invalid`` naming the
    field."""
    _require_admin(actor)
    lifetime_s = _checked(ctx, new)
    secret = PREFIX + secrets.token_urlsafe(RANDOM)
    now = ctx.now()

    async def work(tx: Tx) -> Token:
        made = await tokens.insert(
            tx,
            secret_hash(secret),
            name=new.name,
            owner=new.owner,
            scopes=[scope for scope in SCOPES if scope in new.scopes],
            apps=_once(new.apps),
            environments=_once(new.environments),
            labels=_once(new.labels),
            created_at=now,
            created_by=actor.name,
            expires_at=None if lifetime_s is None else now + lifetime_s * 1000,
        )
        await _record(tx, now, "token_created", actor, made)
        return made

    return Created(await ctx.stores.main.write(work), secret)


async def listed(ctx: Context, actor: Actor, *, before: int | None, limit: int) -> tuple[list[Token], int | None]:
    """Newest first, and the id to go on below. Raises Problem ``unauthorized`` or ``forbidden``."""
    _require_admin(actor)
    found = await ctx.stores.main.read(lambda tx: tokens.newest(tx, before=before, limit=limit + 1))
    shown = [replace(one, last_used_at=ctx.token_uses.get(one.id, one.last_used_at)) for one in found[:limit]]
    return shown, shown[-1].id if len(found) > limit else None


async def revoke(ctx: Context, actor: Actor, token_id: int) -> None:
    """End a token at once; one that has ended stays so. Raises Problem ``unauthorized``, ``forbidden`` unless it is
    an admin or the token itself that asks, ``not_found``."""
    if actor.token != token_id:
        _require_admin(actor)
    now = ctx.now()

    async def work(tx: Tx) -> None:
        token = await tokens.get(tx, token_id)
        if token is None:
            raise Problem("not_found", f"There is no token {token_id}.")
        if await tokens.revoke(tx, token_id, now):
            await _record(tx, now, "token_revoked", actor, token)

    await ctx.stores.main.write(work)


async def presented(ctx: Context, secret: str) -> Token:
    """The token of this secret, which is good now. Raises Problem ``unauthorized`` with why it is not."""
    token = None
    if secret.startswith(PREFIX):
        token = await ctx.stores.main.read(lambda tx: tokens.by_hash(tx, secret_hash(secret)))
    if token is None:
        raise Problem("unauthorized", "This token is not known.")
    return _good(ctx, token)


async def remembered(ctx: Context, token_id: int) -> Token:
    """The token that a session was begun with. Raises Problem ``unauthorized`` if it is not good any more."""
    token = await ctx.stores.main.read(lambda tx: tokens.get(tx, token_id))
    if token is None:
        raise Problem("unauthorized", "This token is not known.")
    return _good(ctx, token)


def actor_of(token: Token) -> Actor:
    """Who acts with the token: its owner."""
    return Actor(token.owner, frozenset(token.scopes), token.apps, token.environments, token.id)


async def keep_uses(ctx: Context) -> None:
    """Save when tokens were last used. It was noted in memory, so that no request waits for a write."""
    uses = dict(ctx.token_uses)
    if not uses:
        return

    async def work(tx: Tx) -> None:
        for token_id, at in uses.items():
            await tokens.keep_use(tx, token_id, at)

    await ctx.stores.main.write(work)
    for token_id, at in uses.items():
        if ctx.token_uses.get(token_id) == at:
            del ctx.token_uses[token_id]


async def _record(tx: Tx, now: int, kind: str, actor: Actor, token: Token) -> None:
    await events.record(
        tx, now, kind, who=actor.name, token=token.id, name=token.name, owner=token.owner, scopes=token.scopes
    )


def _good(ctx: Context, token: Token) -> Token:
    now = ctx.now()
    if token.revoked_at is not None:
        raise Problem("unauthorized", f"This token was revoked on {sentences.clock(token.revoked_at)}.")
    if token.expires_at is not None and token.expires_at <= now:
        raise Problem("unauthorized", f"This token expired on {sentences.clock(token.expires_at)}.")
    ctx.token_uses[token.id] = now
    return token


def _require_admin(actor: Actor) -> None:
    """A narrowed token could make itself a wider one, so it counts as none here."""
    if not actor.signed_in:
        raise Problem("unauthorized", "A token is needed: Authorization: Bearer TOKEN.")
    if not actor.can("admin"):
        raise Problem("forbidden", sentences.small_token("admin"))
    if not actor.admin:
        raise Problem("forbidden", sentences.not_covered(actor))


def _once(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(dict.fromkeys(values))


# What a new token may be


def _checked(ctx: Context, new: NewToken) -> int | None:
    """Its lifetime in seconds. Raises Problem ``invalid`` naming the field."""
    if not _OWNER.fullmatch(new.owner):
        raise _wrong("owner", "owner must be a login, such as ana or renovate[bot].")
    for scope in new.scopes:
        if scope not in SCOPES:
            raise _wrong("scopes", f"There is no scope {scope}.{sentences.nearest(scope, SCOPES)}")
    _check_places(ctx, new)
    if new.labels is not None and "runner" not in new.scopes:
        raise _wrong("labels", "labels are for tokens with the scope runner.")
    for label in new.labels or ():
        if not LABEL.fullmatch(label):
            raise _wrong("labels", f"{label} is no label; labels are letters, digits and ._- only.")
    return _lifetime(new.expires)


def _check_places(ctx: Context, new: NewToken) -> None:
    """A name that is misspelt would make a token for nothing, or, later, for something else."""
    configs = ctx.apps.configs
    for app in new.apps or ():
        repository = "runner" in new.scopes and _REPOSITORY.fullmatch(app)
        if app not in configs and not repository:
            raise _wrong("apps", f"There is no app {app}.{sentences.nearest(app, list(configs))}")
    named = [configs[app] for app in new.apps or () if app in configs] or list(configs.values())
    names = list(dict.fromkeys(environment.name for app in named for environment in app.environments))
    for environment in new.environments or ():
        if environment not in names:
            raise _wrong("environments", sentences.unknown_environment(environment, names))


def _lifetime(text: str | None) -> int | None:
    if text is None:
        return None
    lifetime_s = durations.seconds(text)
    if lifetime_s is None or lifetime_s > LONGEST_S:
        raise _wrong("expires", f"expires must be a duration such as 12h, 90d or 52w, at most {LONGEST_S // DAY_S}d.")
    return lifetime_s


def _wrong(field_name: str, message: str) -> Problem:
    return Problem("invalid", message, field=field_name)

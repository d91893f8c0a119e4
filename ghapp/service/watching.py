"""Events as they may be seen: as they happen, and the audit of what happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.core.actors import Actor
from ghapp.service import seeing
from ghapp.service.context import Context
from ghapp.store import events
from ghapp.store.base import Tx
from ghapp.store.events import Recorded

BATCH = 200
#: On PostgreSQL a transaction that began earlier may end later, with a lower id. Where one is missing, those behind
#: it wait for it; after this time there was none (its transaction was undone).
GAP_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which events of the audit; None is any. ``before``: only those with a lower id."""

    app: str | None = None
    who: str | None = None
    kind: str | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the audit, newest first; ``next`` is the id to go on below."""

    items: tuple[Recorded, ...]
    next: int | None


def settled(found: Sequence[Recorded], after: int, now: int) -> list[Recorded]:
    """Those of which it is certain that no other will come before them: no id is missing since ``after``, or it has
    been missing for too long."""
    certain: list[Recorded] = []
    for one in found:
        if one.id != after + 1 and one.at > now - GAP_MS:
            break
        certain.append(one)
        after = one.id
    return certain


async def since(ctx: Context, after: int) -> list[Recorded]:
    """The next events after that id, in order; more may follow."""
    found = await ctx.stores.main.read(lambda tx: events.after(tx, after, BATCH))
    return settled(found, after, ctx.now())


async def newest_id(ctx: Context) -> int:
    return await ctx.stores.main.read(events.newest_id)


def visible(event: Recorded, actor: Actor) -> bool:
    """May the actor hear of it? What concerns everything is heard by all who see anything; tokens are for admins."""
    if event.kind.startswith("token_"):
        return actor.admin
    return actor.sees_anything if event.app is None else actor.sees(event.app, event.environment)


async def audit(ctx: Context, actor: Actor, search: Search) -> Page:
    """Newest first, of what the actor's token covers. Raises Problem ``not_found`` for an unknown app."""

    async def work(tx: Tx) -> list[Recorded]:
        if search.app is not None:
            await seeing.known_app(tx, ctx, search.app)
        return await events.newest(
            tx,
            app=search.app,
            who=search.who,
            kind=search.kind,
            within=(actor.apps, actor.environments),
            before=search.before,
            limit=search.limit + 1,
        )

    found = await ctx.stores.main.read(work)
    shown = tuple(found[: search.limit])
    return Page(shown, shown[-1].id if len(found) > search.limit else None)

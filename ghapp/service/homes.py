"""Which repositories of a provider have an app, and since when they count: told by their ids alone."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ghapp.core.config import AppConfig
from ghapp.core.remote import RateLimited, RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service import accounts
from ghapp.service.context import Context
from ghapp.store import places, reconciled

#: A repository may be installed, renamed or made anew without anybody being told.
KEPT_MS = 60_000
#: Asked for at a time, so that many apps do not hold up reading.
AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Home:
    """A repository with an app; what happened there before ``since`` (ms) is history."""

    repository: Repository
    since: int


@dataclass(slots=True)
class Homes:
    """What was found last, by the provider's ids of the repositories."""

    provider: str
    known: dict[int, Home] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)
    _asked_at: int = 0
    _configs: Mapping[str, AppConfig] = field(default_factory=dict)

    async def look(self, ctx: Context, seen: set[int], begun_at: int) -> dict[int, Home]:
        """`known`, asked anew where the config has changed, a repository was seen that nobody knows, or time has
        passed. Raises RemoteError where it cannot be asked now."""
        fresh = ctx.apps.configs is self._configs and ctx.now() < self._asked_at + KEPT_MS
        if not fresh or not seen <= self.known.keys() | self._strangers:
            asked_at, configs = ctx.now(), ctx.apps.configs
            self.known = await self._find(ctx, configs, begun_at)
            self._strangers |= seen
            self._asked_at, self._configs = asked_at, configs
        return self.known

    async def _find(self, ctx: Context, configs: Mapping[str, AppConfig], begun_at: int) -> dict[int, Home]:
        since = await ctx.stores.main.read(reconciled.sources)
        apps = [app for app in configs.values() if app.via == self.provider]
        few = asyncio.Semaphore(AT_ONCE)

        async def one(app: AppConfig) -> list[Repository]:
            async with few:
                return await self._of(ctx, app)

        found: dict[int, Home] = {}
        for app, repositories in zip(apps, await asyncio.gather(*map(one, apps)), strict=True):
            for repository in repositories:
                counts = since.get(app.name, begun_at)
                earlier = found.get(repository.id)
                found[repository.id] = Home(repository, min(counts, earlier.since) if earlier else counts)
        return found

    async def _of(self, ctx: Context, app: AppConfig) -> list[Repository]:
        """The only repository of the name, and the one that the app is bound to, which may have another name now."""
        bound = await ctx.stores.main.read(lambda tx: places.repository_of_app(tx, app.name))
        try:
            named = await accounts.named(ctx, self.provider, app.repository or app.name)
        except (RateLimited, Unavailable):
            raise
        except RemoteError:  # it may not be used now, so nothing comes from there
            named = []
        return ([bound] if bound else []) + (named if len(named) == 1 else [])

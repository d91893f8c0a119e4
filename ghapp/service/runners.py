"""Runners as the app knows them: what they may take, when they were seen, what they run."""

from dataclasses import dataclass

from ghapp.core.actors import Actor, Grant
from ghapp.service import lines
from ghapp.service.context import Context
from ghapp.store import deploys, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import Runner


@dataclass(frozen=True, slots=True)
class SeenRunner:
    """``apps`` and ``environments`` are what it may take; None: every one. ``here``: it was heard of just now.
    ``deploys`` are what it prepares and runs, of those that the reader sees."""

    runner: Runner
    apps: tuple[str, ...] | None
    environments: tuple[str, ...] | None
    here: bool
    deploys: tuple[Deploy, ...]


async def seen(ctx: Context, reader: Actor) -> list[SeenRunner]:
    """All that ever came, by name."""
    now = ctx.now()

    async def work(tx: Tx) -> list[SeenRunner]:
        running = await deploys.active_in(tx, [one.id for one in await places.environments(tx)])
        active = [one for one in running.values() if reader.sees(one.app, one.environment)]
        return [
            SeenRunner(
                runner,
                _apps(runner.apps, runner.grant),
                runner.grant.environments,
                runner.seen_at >= now - lines.RUNNER_SEEN_MS,
                tuple(one for one in active if one.runner == runner.name),
            )
            for runner in await places.runners(tx)
        ]

    return await ctx.stores.main.read(work)


def _apps(wished: tuple[str, ...] | None, grant: Grant) -> tuple[str, ...] | None:
    if wished is None or grant.apps is None:
        return grant.apps if wished is None else wished
    granted = {app.casefold() for app in grant.apps}
    return tuple(app for app in wished if app.casefold() in granted)

"""The operator's config in force: read again when its file changes; a broken one keeps the old and says so."""

import asyncio
from collections.abc import Callable

import structlog

from ghapp.apps import parse
from ghapp.core.config import AppConfig
from ghapp.core.settings import SettingsError
from ghapp.service import own_configs
from ghapp.service.apps import keep_all
from ghapp.service.context import Apps, Context
from ghapp.store import places, reconciled
from ghapp.store.base import Tx

log = structlog.get_logger(__name__)

EVERY_S = 2.0

#: Reads the text of the config as it is now. Raises an exception whose text says why it cannot.
Reader = Callable[[], str]
#: What apps need and the settings lack, as sentences.
Unmet = Callable[[tuple[AppConfig, ...]], list[str]]


async def put_in_force(ctx: Context, text: str, unmet: Unmet | None = None) -> None:
    """Take a config; or keep the present one and remember why the new one is not taken."""
    parsed = parse(text)
    problems = [str(problem) for problem in parsed.problems]
    if not problems and unmet:
        problems = unmet(parsed.apps)
    if problems:
        await _keep(ctx, "; ".join(problems))
        log.error("the changed config is not taken, the one before stays in force", problems=problems)
        return

    for via in dict.fromkeys(app.via for app in parsed.apps):
        if ctx.open_provider and via not in ctx.providers:
            ctx.providers[via] = ctx.open_provider(via)

    async def work(tx: Tx) -> None:
        await own_configs.yield_names(tx, ctx, parsed.apps)
        await keep_all(tx, parsed.apps, ctx.now())
        own = [row.name for row in await places.apps(tx) if row.defined_by is not None and not row.withdrawn]
        await reconciled.leave(tx, [*own, *(app.name for app in parsed.apps)])

    async with ctx.configuring:
        await ctx.decide(work)
        await own_configs.put_in_force(ctx, parsed.apps)


async def _keep(ctx: Context, problem: str) -> None:
    async with ctx.configuring:
        ctx.apps = Apps(ctx.apps.configs, problem)


async def watch_forever(ctx: Context, read: Reader, unmet: Unmet) -> None:
    """Look at the text every 2 s and put it in force when it has changed, until cancelled."""
    known: str | None = None
    while True:
        try:
            text = read()
            if known is not None and text != known:
                await put_in_force(ctx, text, unmet)
            known = text
        except Exception as error:
            if ctx.apps.problem != str(error):
                expected = isinstance(error, SettingsError)
                log.error(
                    "the config cannot be read, the one before stays in force", why=str(error), exc_info=not expected
                )
            await _keep(ctx, str(error))
            known = ""
        await asyncio.sleep(EVERY_S)

"""What repositories define themselves: judged, put in force beside the operator's apps, and withdrawn.

The operator's names come first, then who was there first; a name stays its repository's, by id, for as long as
anything was deployed under it. What is not in force any more holds its waiting deploys.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

import structlog

from ghapp.apps import Home, Parsed, parse
from ghapp.core import own_config
from ghapp.core.config import AppConfig, Problem
from ghapp.core.values import CommitStatus
from ghapp.service import lines
from ghapp.service.apps import keep_all
from ghapp.service.context import Apps, Context
from ghapp.store import events, outbox, places
from ghapp.store import own_configs as stored
from ghapp.store.base import Tx
from ghapp.store.own_configs import OwnConfig
from ghapp.store.places import App

log = structlog.get_logger(__name__)

parsed_once = lru_cache(1024)(parse)


async def put_in_force(ctx: Context, operators: Iterable[AppConfig], problem: str | None = None) -> None:
    """These of the operator, and beside them what the repositories define. Whoever calls it holds
    ``ctx.configuring``."""
    configs = {app.name: app for app in operators}

    async def own(tx: Tx) -> tuple[list[OwnConfig], dict[str, App]]:
        return await stored.in_force(tx), {row.name: row for row in await places.apps(tx)}

    defining, rows = await ctx.stores.main.read(own)
    for one in defining:
        for app in (await asyncio.to_thread(_parsed, one)).apps:
            row = rows.get(app.name)
            if app.name not in configs and row and row.defined_by == one.repository_id and not row.withdrawn:
                configs[app.name] = app.defined_by(one.provider, one.repository)
    ctx.apps = Apps(configs, problem)
    log.info("config in force", apps=sorted(configs))


def _parsed(one: OwnConfig) -> Parsed:
    """What is in force, which was judged by the rules of its time."""
    found = parsed_once(one.text or "")
    if found.problems:
        log.error("own config not taken", repository=one.repository.full_name, problems=found.problems)
        return Parsed((), found.problems, ())
    return found


def operators(ctx: Context) -> Mapping[str, AppConfig]:
    """The operator's own apps in force."""
    return {name: app for name, app in ctx.apps.configs.items() if app.own_id is None}


async def yield_names(tx: Tx, ctx: Context, apps: Iterable[AppConfig]) -> None:
    """The operator's config takes these names, whoever had them; names that it gave up may be free."""
    wanted = {app.name for app in apps}
    rows = [row for row in await places.apps(tx) if row.name in wanted and row.defined_by is not None]
    await _hold(tx, rows)
    for row in rows:
        await stored.yield_name(tx, row.id)
        await events.record(tx, ctx.now(), "config_withdrawn", app=row.name, why=own_config.operators_name(row.name))
    await _settle(tx, ctx, rows)
    await stored.look_again(tx, ctx.now())
    losers = {row.defined_by for row in rows}
    for one in await stored.in_force(tx) if losers else ():
        if one.repository_id in losers:
            clashes = own_config.names_taken(_parsed(one).apps, wanted, ())
            await stored.judged(tx, one, one.repository_id, one.judged_sha, own_config.told([*map(str, clashes)]))


async def judge(ctx: Context, one: OwnConfig, sha: str | None, file: bytes | Problem | None) -> None:
    """What the file says at ``sha``, the newest commit that touched it, is put in force or answered with why not.
    ``file`` is None where there is none."""
    read = await asyncio.to_thread(_read, one, file)  # a file made for it takes seconds
    async with ctx.configuring:
        await ctx.decide(lambda tx: _judge(tx, ctx, one, sha, read))
        await put_in_force(ctx, operators(ctx).values(), ctx.apps.problem)


async def keep_name(ctx: Context, one: OwnConfig) -> None:
    """The repository may be called otherwise than before; what it defines is the same."""
    if one.repository_id is None:
        return
    known = await ctx.stores.main.read(lambda tx: places.repository(tx, one.repository_id or 0))
    if known == (one.provider, one.repository):
        return
    async with ctx.configuring:
        await ctx.stores.main.write(lambda tx: places.keep_repository(tx, one.provider, one.repository))
        await put_in_force(ctx, operators(ctx).values(), ctx.apps.problem)


async def _judge(tx: Tx, ctx: Context, one: OwnConfig, sha: str | None, read: tuple[str, Parsed] | None) -> None:
    known = await stored.get(tx, one.provider, one.repository.id)
    if known is None:  # uninstalled meanwhile
        return
    repository_id = known.repository_id
    if read is not None:
        repository_id = await places.keep_repository(tx, one.provider, one.repository)
    if read is None or sha is None or repository_id is None:
        await _withdraw_all(tx, ctx, known, own_config.removed(one.repository.full_name, sha))
        await stored.judged(tx, one, repository_id, sha, ())
        return
    text, parsed = read
    said = await _problems(tx, ctx, parsed, repository_id)
    await stored.judged(tx, one, repository_id, sha, own_config.told(said))
    if not said:
        await _take(tx, ctx, one, repository_id, sha, text, parsed.apps)
    if (said and sha != known.judged_sha) or (known.problems and not said):
        await _show(tx, ctx, one, repository_id, sha, said, parsed.apps)


def _read(one: OwnConfig, file: bytes | Problem | None) -> tuple[str, Parsed] | None:
    """The text and what it says; None where there is no file."""
    if file is None:
        return None
    if isinstance(file, Problem):
        return "", Parsed((), (file,), ())
    try:
        text = file.decode()
    except UnicodeDecodeError:
        return "", Parsed((), (own_config.not_text(),), ())
    return text, parse(text, Home(one.provider, one.repository.full_name))


async def _problems(tx: Tx, ctx: Context, parsed: Parsed, repository_id: int) -> tuple[str, ...]:
    """All that is wrong, names that are taken too."""
    named = {app.name for app in parsed.apps}
    rows = [row for row in await places.apps(tx) if row.name in named]
    others = {row.name for row in rows if await _owners(tx, row) - {repository_id}}
    clashes = own_config.names_taken(parsed.apps, operators(ctx), others)
    return tuple(map(str, sorted([*parsed.problems, *clashes], key=lambda problem: problem.line)))


async def _owners(tx: Tx, app: App) -> set[int]:
    """The repositories whose the name is; where the operator gave it up, the one that was deployed under it last."""
    owners = {app.defined_by, app.repository_id} - {None}
    return {one for one in owners or {await stored.deployed_last(tx, app.id)} if one is not None}


async def _take(
    tx: Tx, ctx: Context, one: OwnConfig, repository_id: int, sha: str, text: str, apps: tuple[AppConfig, ...]
) -> None:
    await stored.take(tx, one, sha, text)
    await keep_all(tx, (app.defined_by(one.provider, one.repository) for app in apps), ctx.now())
    named = [await places.keep_app(tx, app.name) for app in apps]
    ids = {row.id for row in named}
    gone = [row for row in await places.apps(tx) if row.defined_by == repository_id and row.id not in ids]
    back = [row for row in named if row.defined_by != repository_id or row.withdrawn]
    await _hold(tx, [*gone, *back])
    for row in named:
        await stored.take_name(tx, row.id, repository_id)
        await events.record(tx, ctx.now(), "config_taken", app=row.name, sha=sha)
    await _withdraw(tx, ctx, [(row, own_config.left_out(row.name, one.repository.full_name, sha)) for row in gone])
    await _settle(tx, ctx, [*gone, *back])


async def withdraw(ctx: Context, provider: str, provider_id: int) -> None:
    """Kedge may not use the repository any more: what it defined is not in force."""

    async def work(tx: Tx) -> None:
        if known := await stored.get(tx, provider, provider_id):
            await _withdraw_all(tx, ctx, known, own_config.not_usable(known.repository.full_name))
            await stored.forget(tx, provider, provider_id)

    async with ctx.configuring:
        await ctx.decide(work)
        await put_in_force(ctx, operators(ctx).values(), ctx.apps.problem)


async def _withdraw_all(tx: Tx, ctx: Context, one: OwnConfig, why: str) -> None:
    await stored.take(tx, one, None, None)
    if one.repository_id is None:
        return
    rows = [row for row in await places.apps(tx) if row.defined_by == one.repository_id]
    await _hold(tx, rows)
    await _withdraw(tx, ctx, [(row, why) for row in rows])
    await _settle(tx, ctx, rows)


async def _withdraw(tx: Tx, ctx: Context, gone: Sequence[tuple[App, str]]) -> None:
    """These apps, each with why. Their names may be free now, for who was refused them."""
    for row, why in gone:
        await stored.withdraw(tx, row.id, why)
        await events.record(tx, ctx.now(), "config_withdrawn", app=row.name, why=why)
    if gone:
        await stored.look_again(tx, ctx.now())


async def _environment_ids(tx: Tx, rows: Iterable[App]) -> list[int]:
    ids = {row.id for row in rows}
    return [one.id for one in await places.environments(tx) if one.app_id in ids]


async def _hold(tx: Tx, rows: Iterable[App]) -> None:
    """Protocol rule 1, in id order."""
    for environment_id in await _environment_ids(tx, rows):
        await places.hold_environment(tx, environment_id)


async def _settle(tx: Tx, ctx: Context, rows: Iterable[App]) -> None:
    for environment_id in await _environment_ids(tx, rows):
        await lines.settle(tx, ctx, environment_id, whole=True)


async def _show(
    tx: Tx,
    ctx: Context,
    one: OwnConfig,
    repository_id: int,
    sha: str,
    problems: tuple[str, ...],
    apps: tuple[AppConfig, ...],
) -> None:
    """The commit that broke it shows what is wrong, and the one that mends it that all is well."""
    own = [row.name for row in await places.apps(tx) if row.defined_by == repository_id]
    page = f"{ctx.url.rstrip('/')}/{quote(own[0], safe='')}" if own else ctx.url
    if problems:
        status = CommitStatus(sha, "error", own_config.CONTEXT, own_config.described(problems), page)
    else:
        said = own_config.taken([app.name for app in apps])
        status = CommitStatus(sha, "success", own_config.CONTEXT, own_config.described([said]), page)
    now = ctx.now()
    await outbox.put(
        tx,
        channel=outbox.COMMIT,
        deploy_id=None,
        repository_id=repository_id,
        deployment_id=0,
        wanted=status,
        final=True,
        now=now,
        next_at=now,
    )

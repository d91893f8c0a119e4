"""Which repositories define apps themselves: listed, and looked at where anything may have changed.

A push makes its repository due at once, in the transaction of its delivery. The listing is the slow net: it tells of
each repository when it was last pushed to, so that of those at rest nothing is asked.
"""

from functools import partial

import structlog

from ghapp.core import own_config
from ghapp.core.config import Problem
from ghapp.core.remote import NotFound, RateLimited, Refused, RemoteError
from ghapp.core.values import Repository
from ghapp.service import accounts, own_configs, workers
from ghapp.service.attempts import retry_ms
from ghapp.service.context import Context, Signals
from ghapp.store import own_configs as stored
from ghapp.store.base import Tx
from ghapp.store.own_configs import OwnConfig
from ghapp.vcs.events import PushEvent

log = structlog.get_logger(__name__)

#: How often everything is listed: beside what webhooks tell, and where none arrive.
BESIDE_MS = 600_000
ALONE_MS = 60_000
#: After a listing that failed.
AGAIN_MS = 30_000
BATCH = 20
#: Provider clients speak to one host; a few at a time keeps within its secondary limits.
AT_ONCE = 4
LONGEST_WAIT_S = 5.0
#: So many calls of the hour are left to deploys.
RESERVED_CALLS = 1_000
RESERVED_WAIT_MS = 60_000

#: Wakes the looks; sent after each delivery that was worked on.
HEARD = "heard"
#: Asks for a listing: what Kedge may use has changed.
INSTALLATIONS = "installations"


def concerns(event: PushEvent) -> bool:
    """May the push have changed the file on the default branch? Of one that was created or forced the provider does
    not list every commit."""
    unknown = event.created or event.forced or not event.paths
    return event.branch == event.repository.default_branch and (unknown or own_config.PATH in event.paths)


async def heard(tx: Tx, ctx: Context, provider: str, event: PushEvent) -> bool:
    """A push: look at its repository if it may define anything. Was it any of this one's business?"""
    if not concerns(event):
        return False
    await stored.look_at(tx, provider, event.repository, ctx.now())
    return True


async def discover(ctx: Context) -> None:
    """List what Kedge may use: look at what is new or was pushed to, withdraw what is gone. Raises RemoteError
    where not all could be listed; then nothing is taken for gone."""
    for provider, client in ctx.providers.items():
        counted = await accounts.counted(ctx, provider)
        # First, so that what is heard of during the listing is not taken for gone.
        known = await ctx.stores.main.read(lambda tx, p=provider: stored.repositories(tx, p))  # type: ignore[misc]
        listed = {one.id: one for one in await client.installed() if accounts.counts(accounts.of(one), counted)}
        changed = [one for one in listed.values() if _changed(known.get(one.id), one)]

        async def work(tx: Tx, provider: str = provider, changed: list[Repository] = changed) -> None:
            for one in changed:
                await stored.look_at(tx, provider, one, ctx.now())

        if changed:
            await ctx.stores.main.write(work)
        for provider_id in sorted(known.keys() - listed.keys()):
            await own_configs.withdraw(ctx, provider, provider_id)


def _changed(known: Repository | None, listed: Repository) -> bool:
    return known is None or known != listed or known.pushed_at < listed.pushed_at


async def look_due(ctx: Context) -> int:
    """Look at the files of the repositories that are due; how many those were."""
    now = ctx.now()
    due = await ctx.stores.main.read(lambda tx: stored.due(tx, now, BATCH))
    await workers.beside(due, partial(_look, ctx), AT_ONCE)
    return len(due)


async def _look(ctx: Context, one: OwnConfig) -> None:
    until = max(ctx.quiet_until.get(_account(one), 0), _spared(ctx, one.provider))
    if until > ctx.now():
        await ctx.stores.main.write(lambda tx: stored.put_off(tx, one, until, None))
        return
    try:
        await _read(ctx, one)
    except Exception as error:
        trouble, wait_ms = _trouble(ctx, one, error)
        await ctx.stores.main.write(lambda tx: stored.put_off(tx, one, ctx.now() + wait_ms, trouble))
        return
    await ctx.stores.main.write(lambda tx: stored.looked(tx, one))


def _trouble(ctx: Context, one: OwnConfig, error: Exception) -> tuple[str, int]:
    """What is told of a look that failed, and in how many ms it is tried again."""
    wait_ms = retry_ms(one.attempts)
    if not isinstance(error, RemoteError):
        log.error("own config not judged", repository=one.repository.full_name, exc_info=error)
        return own_config.failed(), wait_ms
    if isinstance(error, RateLimited):
        wait_ms = int(error.retry_after_s * 1000)
        ctx.quiet_until[_account(one)] = ctx.now() + wait_ms
    if isinstance(error, NotFound):
        ctx.signals.send(INSTALLATIONS)
    log.warning("own config not read", repository=one.repository.full_name, why=error.message, in_s=wait_ms // 1000)
    return own_config.unreadable(error.message), wait_ms


def _account(one: OwnConfig) -> tuple[str, str]:
    return one.provider, accounts.of(one.repository)


def _spared(ctx: Context, provider: str) -> int:
    """Until when the calls that are left are for deploys alone."""
    return ctx.now() + RESERVED_WAIT_MS if ctx.providers[provider].spares(RESERVED_CALLS) else 0


async def _read(ctx: Context, one: OwnConfig) -> None:
    """Read the newest and judge it, if it is another one than before. Raises RemoteError."""
    client = ctx.providers[one.provider]
    repository = await _by_id(ctx, one)
    files = client.files(repository)
    if files is None:
        return
    if not accounts.counts(accounts.of(repository), await accounts.counted(ctx, one.provider)):
        await own_configs.withdraw(ctx, one.provider, repository.id)
        return
    branch = repository.default_branch or await client.code(repository).default_branch()
    sha = await files.newest_change(own_config.PATH, branch)
    now = one.called(repository)
    if sha == one.judged_sha and not one.problems:
        await own_configs.keep_name(ctx, now)
        return
    file: bytes | Problem | None = None
    if sha:
        try:
            file = await files.read_file(own_config.PATH, sha)
        except Refused as error:
            file = own_config.no_file(error.message)
    await own_configs.judge(ctx, now, sha, file)


async def _by_id(ctx: Context, one: OwnConfig) -> Repository:
    """The repository as it is now. Under its old name there may be another one."""
    found = await ctx.providers[one.provider].find_repository(one.repository.full_name)
    if [each.id for each in found] != [one.repository.id]:
        raise NotFound(f"{one.repository.full_name} is not there any more; Kedge looks for its new name.")
    return found[0]


async def look_forever(ctx: Context, list_ms: int) -> None:
    """List every ``list_ms``, and look, until cancelled. A failure is told and tried again."""
    list_at = 0
    changed = ctx.signals.watch(INSTALLATIONS)
    while True:
        woken, looked = ctx.signals.watch(HEARD), 0
        if changed.is_set() or ctx.now() >= list_at:
            changed = ctx.signals.watch(INSTALLATIONS)
            list_at = ctx.now() + (await _listed(ctx) or list_ms)
        try:
            looked = await look_due(ctx)
        except Exception:
            log.exception("looking for own configs failed")
        if not looked:
            await Signals.wait(woken, LONGEST_WAIT_S)


async def _listed(ctx: Context) -> int | None:
    """In how many ms to try again, where it failed."""
    try:
        await discover(ctx)
    except RateLimited as error:
        return int(error.retry_after_s * 1000)
    except RemoteError as error:
        log.warning("repositories not listed", why=error.message)
        return AGAIN_MS
    except Exception:
        log.exception("listing repositories failed")
        return AGAIN_MS
    return None

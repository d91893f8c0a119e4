"""Whose events count, and whose repositories: those of KEDGE_ACCOUNTS, else of the account that owns the App.

A public App can be installed by anybody, and an installation can outlive what brought it about.
"""

from collections.abc import Sequence

from ghapp.core import sentences
from ghapp.core.values import Repository
from ghapp.service.context import Context
from ghapp.vcs.events import Event, InstallationEvent


async def counted(ctx: Context, provider: str) -> Sequence[str]:
    """The accounts; none where everything counts: a host that tells nothing by itself is only asked about what the
    config names, and an App that belongs to no account (but to an enterprise) can be installed within that alone.
    Raises RemoteError where the owner is not known and cannot be asked for.
    """
    host = ctx.providers[provider]
    if host.webhooks is None and host.record is None:
        return ()
    if ctx.accounts:
        return ctx.accounts
    owner = await host.owner()
    return (owner,) if owner else ()


def of(repository: Repository) -> str:
    return repository.full_name.partition("/")[0]


async def named(ctx: Context, provider: str, name: str) -> list[Repository]:
    """The installed repositories that a config can mean by ``name``. Without an account it means none of an account
    that does not count: whoever installs the App on a repository of that name would be taken for the app's own.
    Raises RemoteError."""
    found = await ctx.providers[provider].find_repository(name)
    if "/" in name or not found:
        return found
    accounts = await counted(ctx, provider)
    return [one for one in found if counts(of(one), accounts)]


def counts(account: str, accounts: Sequence[str]) -> bool:
    return not accounts or account.casefold() in map(str.casefold, accounts)


async def foreign(ctx: Context, provider: str, event: Event) -> str | None:
    """Why an event of another account does not count; None where it does. Raises RemoteError as `counted` does: then
    nobody can tell yet."""
    accounts = await counted(ctx, provider)
    account = event.account if isinstance(event, InstallationEvent) else of(event.repository)
    return None if counts(account, accounts) else sentences.foreign_account(account, accounts)

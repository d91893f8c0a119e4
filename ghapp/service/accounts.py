"""Whose events count: those of the accounts that KEDGE_ACCOUNTS names, else of the account that owns the App.

A public App can be installed by anybody, and an installation can outlive what brought it about.
"""

from ghapp.core import sentences
from ghapp.service.context import Context
from ghapp.vcs.base import Event, InstallationEvent


async def foreign(ctx: Context, provider: str, event: Event) -> str | None:
    """Why an event of another account does not count; None where it does. An App that belongs to no account (but to an
    enterprise) is installed within that alone, and everything counts.

    Raises ProviderError where the owner is not known and cannot be asked for: then nobody can tell yet.
    """
    counted = ctx.accounts
    if not counted:
        owner = await ctx.providers[provider].owner()
        if owner is None:
            return None
        counted = (owner,)
    account = event.account if isinstance(event, InstallationEvent) else event.repository.full_name.partition("/")[0]
    if account.casefold() in map(str.casefold, counted):
        return None
    return sentences.foreign_account(account, counted)

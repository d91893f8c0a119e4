"""People who signed in at a provider: what they see and may follows from the repositories they can read and push to.

The provider is asked as the app, at each request and remembered briefly; nothing of theirs is kept that could ask.
"""

import asyncio
from collections.abc import Iterable

import structlog

from ghapp.core.actors import ADMIN, PERSON_SCOPES, Actor
from ghapp.core.config import AppConfig
from ghapp.core.remote import RemoteError
from ghapp.service import permits
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.vcs.base import Person

log = structlog.get_logger(__name__)

#: A page is not held up for longer by a provider that does not answer.
PATIENCE_S = 5.0
#: So many calls of the hour are left to deploys: anybody with an account at the provider may sign in.
RESERVED_CALLS = 300


def check_name(person: Person) -> None:
    """Whoever has the operator's name would pass for the operator in locks and in the audit. Raises Problem
    ``forbidden``."""
    if person.login.casefold() == ADMIN.name:
        raise Problem(
            "forbidden",
            f"{person.login} is the name of who runs Kedge, so that no account can sign in under it.",
            hint="Sign in with a token.",
        )


async def actor_of(ctx: Context, provider: str, person: Person, names: Iterable[str]) -> Actor:
    """The person, who sees those of the named apps whose repositories they can read."""
    seen, unasked = await _seen(ctx, provider, person, names)
    return Actor(person.login, PERSON_SCOPES, seen, provider=provider, unasked=unasked)


async def _seen(ctx: Context, provider: str, person: Person, names: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    configs = [ctx.apps.configs[name] for name in names if name in ctx.apps.configs]
    there = [config for config in configs if config.via == provider]
    roles = await asyncio.gather(*(_role(ctx, person, config) for config in there))
    seen = tuple(config.name for config, role in zip(there, roles, strict=True) if role not in {"none", None})
    return seen, None in roles


async def _role(ctx: Context, person: Person, app: AppConfig) -> str | None:
    """What the person is in the app's repository; None where that could not be asked."""

    async def ask() -> str | None:
        if ctx.providers[app.via].spares(RESERVED_CALLS):
            log.warning("nobody is asked about, what is left of the rate limit is for deploys", app=app.name)
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                repository = await permits.repository_of(ctx, app)
                people = ctx.providers[app.via].people(repository)
                return await people.access(person) if people else "none"
        except (Problem, RemoteError) as error:
            if isinstance(error, Problem) and error.code == "invalid":
                return "none"  # there is no such repository, for nobody
            reason = error.message
        except TimeoutError:
            reason = f"no answer within {PATIENCE_S:g} s"
        log.warning("cannot be asked who can read the repository of an app", app=app.name, reason=reason)
        return None

    try:
        async with asyncio.timeout(PATIENCE_S):  # its turn to be asked may come later
            return await ctx.permissions.access(app, person, ask)
    except TimeoutError:
        return None

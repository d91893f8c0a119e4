"""The providers by name. A new one is a file and a line here; a third party's is named ``package.module:Class``."""

from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, cast

import aiohttp

from ghapp.vcs.base import RepositoryClient
from ghapp.vcs.github import GitHubRepository


class RepositoryClientClass(Protocol):
    """How a provider's class for one repository is called."""

    def __call__(
        self, session: aiohttp.ClientSession, api_url: str, full_name: str, token: Callable[[], Awaitable[str]]
    ) -> RepositoryClient: ...


PROVIDERS: dict[str, RepositoryClientClass] = {
    "github": GitHubRepository,
}


def provider(name: str) -> RepositoryClientClass:
    """The class behind ``via``. Raises ValueError with a sentence where there is none.

    A name with a colon is imported, that is, executed: take it from the operator's config only.
    """
    known = PROVIDERS.get(name)
    if known is not None:
        return known
    if ":" not in name:
        near = get_close_matches(name, PROVIDERS) or sorted(PROVIDERS)
        raise ValueError(
            f"There is no provider {name!r}. Use {' or '.join(near)}, or name one as package.module:Class."
        )
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"The provider {name!r} cannot be loaded: {error}.") from error
    if not isinstance(found, type):
        raise ValueError(f"The provider {name!r} is no class.")
    return cast(RepositoryClientClass, found)


def repository_client(
    name: str,
    *,
    session: aiohttp.ClientSession,
    api_url: str,
    full_name: str,
    token: Callable[[], Awaitable[str]],
) -> RepositoryClient:
    """A client for one repository of the provider called ``name``. Raises ValueError as `provider` does."""
    return provider(name)(session, api_url, full_name, token)

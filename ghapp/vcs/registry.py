"""The providers by name. A new one is a file and a line here; a third party's is named ``package.module:Class``."""

from difflib import get_close_matches
from importlib import import_module

from ghapp.vcs.git import PlainGit
from ghapp.vcs.github_runner import GitHub
from ghapp.vcs.provider import Provider

#: As runners open them. The app opens GitHub with its App's key instead (`app.py`).
PROVIDERS: dict[str, type[Provider]] = {
    "github": GitHub,
    "git": PlainGit,
}


def provider(name: str) -> type[Provider]:
    """The class behind ``via``, to be called with an `Opening`. Raises ValueError with a sentence where there is none.

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
    except Exception as error:  # whatever a module of others does when it is imported
        raise ValueError(f"The provider {name!r} cannot be loaded: {type(error).__name__}: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Provider)):
        raise ValueError(f"The provider {name!r} is no class that extends ghapp.vcs.provider.Provider.")
    return found

"""Which commits contain which: asked of the provider once, because it never changes."""

from cachetools import LRUCache

from ghapp.core.values import Repository
from ghapp.vcs.base import RepositoryClient

#: Pairs of commits; a few hundred bytes each.
REMEMBERED = 16_384


class Ancestry:
    """What the provider told of pairs of whole shas."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, int, str, str], bool] = LRUCache(maxsize=REMEMBERED)

    async def contains(
        self, provider: str, client: RepositoryClient, repository: Repository, sha: str, commit: str
    ) -> bool:
        """Does ``sha`` contain ``commit``? Raises ProviderError."""
        if sha == commit:
            return True
        key = (provider, repository.id, sha, commit)
        if key not in self._known:
            self._known[key] = (await client.compare(commit, sha)).status in {"ahead", "identical"}
        return self._known[key]

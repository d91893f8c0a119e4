"""Which commits contain which: asked of the provider once, because it never changes. What is on a branch does."""

from cachetools import LRUCache

from ghapp.core.remote import NotFound
from ghapp.core.values import Repository
from ghapp.vcs.provider import Code

#: Pairs of commits; a few hundred bytes each.
REMEMBERED = 16_384


class Ancestry:
    """What the provider told of pairs of whole shas."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, int, str, str], bool] = LRUCache(maxsize=REMEMBERED)

    async def contains(self, provider: str, client: Code, repository: Repository, sha: str, commit: str) -> bool:
        """Does ``sha`` contain ``commit``? Raises RemoteError, NotFound where the provider has one of them not."""
        if sha == commit:
            return True
        key = (provider, repository.id, sha, commit)
        if key not in self._known:
            self._known[key] = (await client.compare(commit, sha)).status in {"ahead", "identical"}
        return self._known[key]

    async def has(self, provider: str, client: Code, repository: Repository, sha: str, commit: str) -> bool:
        """As `contains`; what the provider does not have (any more) neither contains nor is contained."""
        try:
            return await self.contains(provider, client, repository, sha, commit)
        except NotFound:
            return False


async def on_branch(client: Code, sha: str, branch: str) -> bool:
    """Is the commit on the branch now? Raises RemoteError, also where nothing of the repository can be seen: that
    looks as if the branch was gone."""
    if await client.reachable(sha, (branch,)):
        return True
    await client.default_branch()
    return False

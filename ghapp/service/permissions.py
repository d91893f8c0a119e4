"""What a provider says of people, remembered briefly."""

from cachetools import TTLCache

from ghapp.core.values import Repository
from ghapp.vcs.base import RepositoryClient

#: Who has just been let in or out notices within this time.
REMEMBER_S = 30


class Permissions:
    """What the provider says of people, remembered briefly."""

    def __init__(self) -> None:
        self._known: TTLCache[tuple[object, ...], object] = TTLCache(maxsize=4096, ttl=REMEMBER_S)

    async def role(self, client: RepositoryClient, repository: Repository, user: str) -> str:
        key = ("role", repository.id, user)
        if key not in self._known:
            self._known[key] = await client.permission(user)
        return str(self._known[key])

    async def in_team(self, client: RepositoryClient, repository: Repository, team: str, user: str) -> bool:
        key = ("team", repository.id, team, user)
        if key not in self._known:
            self._known[key] = await client.in_team(team, user)
        return bool(self._known[key])

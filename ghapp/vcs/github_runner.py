"""GitHub as a runner sees it: one API base, and the token that came with the job."""

from ghapp.core.remote import NotFound, Unauthorized
from ghapp.core.values import Repository
from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.github_shapes import RepositoryShape, repository_of
from ghapp.vcs.github_transport import Authorized, GitHubTransport
from ghapp.vcs.provider import Opening, Provider


class GitHub(Provider):
    """See `Provider`. Only runners open it; the app has `GitHubApp`."""

    title = "GitHub"

    def __init__(self, opening: Opening) -> None:
        self.api_url = opening.api_url or "https://api.github.com"
        self._api = Authorized(GitHubTransport(opening.session, self.api_url), opening.token or _no_token)

    async def find_repository(self, name: str) -> list[Repository]:
        owner, _, repo = name.partition("/")
        try:
            shape = await self._api.item("/repos/{owner}/{repo}", RepositoryShape, owner=owner, repo=repo)
        except NotFound:
            return []
        return [repository_of(shape)]

    def code(self, repository: Repository) -> GitHubRepository:
        return GitHubRepository(repository.full_name, self._api)

    def checks(self, repository: Repository) -> GitHubRepository:
        return GitHubRepository(repository.full_name, self._api)

    def deployments(self, repository: Repository) -> GitHubRepository:
        return GitHubRepository(repository.full_name, self._api)

    def people(self, repository: Repository) -> GitHubRepository:
        return GitHubRepository(repository.full_name, self._api)


async def _no_token() -> str:
    raise Unauthorized("The app has sent no token for GitHub.")

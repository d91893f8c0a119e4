"""Pull requests, comments and reactions of one repository at GitHub.

https://docs.github.com/en/rest/issues/comments and https://docs.github.com/en/rest/pulls/pulls
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from ghapp.vcs.conversation import PullRequest
from ghapp.vcs.github_shapes import Id, Moment, SuiteShape, moment
from ghapp.vcs.github_transport import Authorized

#: A comment on a pull request takes the one, on an issue the other, whatever the address says; checks are read to tell
#: since when a commit is known:
#: https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps
PERMISSIONS = {"pull_requests": "write", "issues": "write", "checks": "read"}


class _RepositoryId(msgspec.Struct, kw_only=True):
    id: Id


class _End(msgspec.Struct, kw_only=True):
    sha: str
    ref: str
    repo: _RepositoryId | None = None


class _PullRequest(msgspec.Struct, kw_only=True):
    number: int
    state: str
    head: _End
    base: _End
    html_url: str | None = None


class _User(msgspec.Struct, kw_only=True):
    login: str | None = None


class _Comment(msgspec.Struct, kw_only=True):
    id: Id
    body: str | None = None
    user: _User | None = None
    created_at: Moment = None


class GitHubConversation:
    """See `Conversation`. ``login`` tells under which name Kedge writes."""

    def __init__(self, api: Authorized, full_name: str, login: Callable[[], Awaitable[str]]) -> None:
        self._api = api
        self._owner, _, self._name = full_name.partition("/")
        self._login = login

    async def pull_request(self, number: int) -> PullRequest:
        found = await self._api.item(self._path("/pulls/{number}"), _PullRequest, **self._variables(number=str(number)))
        return _pull_request(found)

    async def pull_requests_at(self, sha: str) -> list[PullRequest]:
        path = self._path("/commits/{sha}/pulls?per_page=100")
        found = await self._api.items(path, _PullRequest, **self._variables(sha=sha))
        return [_pull_request(one) for one in found if one.state == "open" and one.head.sha == sha]

    async def heard_of_at(self, sha: str) -> int | None:
        """The earliest check suite: GitHub makes one for every App that checks, at the push."""
        path = self._path("/commits/{sha}/check-suites?per_page=100")
        suites = await self._api.items(path, SuiteShape, within="check_suites", **self._variables(sha=sha))
        return min((moment(suite.created_at) for suite in suites if suite.created_at), default=None)

    async def react(self, comment_id: int, reaction: str) -> None:
        path = self._path("/issues/comments/{id}/reactions")
        await self._api.post(path, {"content": reaction}, object, **self._variables(id=str(comment_id)))

    async def comment(self, number: int, text: str) -> int:
        path = self._path("/issues/{number}/comments")
        return (await self._api.post(path, {"body": text}, _Comment, **self._variables(number=str(number)))).id

    async def edit(self, comment_id: int, text: str) -> None:
        path = self._path("/issues/comments/{id}")
        await self._api.patch(path, {"body": text}, object, **self._variables(id=str(comment_id)))

    async def find(self, number: int, marker: str, since: int) -> int | None:
        """Anybody can copy a marker into a comment of theirs, so that only Kedge's own count."""
        path = self._path("/issues/{number}/comments?since={since}&per_page=100")
        begin = datetime.fromtimestamp(since / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        listed = await self._api.items(path, _Comment, **self._variables(number=str(number), since=begin))
        own = await self._login()
        mine = (one for one in listed if one.user and one.user.login == own)
        return next((one.id for one in mine if marker in (one.body or "")), None)

    def _path(self, rest: str) -> str:
        return "/repos/{owner}/{repo}" + rest

    def _variables(self, **more: str) -> dict[str, str]:
        return {"owner": self._owner, "repo": self._name, **more}


def _pull_request(shape: _PullRequest) -> PullRequest:
    head, base = shape.head, shape.base
    from_fork = head.repo is None or base.repo is None or head.repo.id != base.repo.id
    return PullRequest(shape.number, shape.state == "open", head.sha, head.ref, from_fork, shape.html_url)

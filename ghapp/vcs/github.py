"""One repository at GitHub, seen with a token for it. Used by the app and by the runner."""

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from ghapp.core.checks import Check
from ghapp.core.remote import NotFound, Refused
from ghapp.core.values import DESCRIPTION_LIMIT, Commit, DeploymentStatus
from ghapp.vcs.base import Comparison, NewDeployment, Person, Registered, ShownStatus
from ghapp.vcs.github_shapes import (
    Id,
    Moment,
    RepositoryShape,
    RunShape,
    StatusShape,
    SuiteShape,
    check_of_run,
    check_of_status,
    check_of_suite,
    moment,
    request_of,
)
from ghapp.vcs.github_transport import Authorized

_ROLES = ("admin", "maintain", "write", "triage", "read", "none")
_PATTERN_CHARACTERS = "*?["


class _ShownShape(msgspec.Struct, kw_only=True):
    state: str
    description: str | None = None
    created_at: Moment = None
    log_url: str | None = None
    target_url: str | None = None


class _AccountShape(msgspec.Struct, kw_only=True):
    id: Id


class _PermissionShape(msgspec.Struct, kw_only=True):
    permission: str = "none"
    role_name: str | None = None
    user: _AccountShape | None = None

    @property
    def role(self) -> str:
        return next((role for role in (self.role_name, self.permission) if role in _ROLES), "none")


class _StateShape(msgspec.Struct, kw_only=True):
    state: str


class _PersonShape(msgspec.Struct, kw_only=True):
    name: str | None = None
    date: Moment = None


class _GitCommitShape(msgspec.Struct, kw_only=True):
    message: str = ""
    author: _PersonShape | None = None
    committer: _PersonShape | None = None


class _LoginShape(msgspec.Struct, kw_only=True):
    login: str | None = None


class _CommitShape(msgspec.Struct, kw_only=True):
    sha: str
    commit: _GitCommitShape
    author: _LoginShape | None = None
    html_url: str | None = None


class _ComparisonShape(msgspec.Struct, kw_only=True):
    status: str
    ahead_by: int = 0
    behind_by: int = 0
    commits: list[_CommitShape] = []
    html_url: str | None = None


class _DeploymentShape(msgspec.Struct, kw_only=True):
    id: int
    created_at: Moment = None
    payload: object = None


class _BranchShape(msgspec.Struct, kw_only=True):
    default_branch: str


class _RefShape(msgspec.Struct, kw_only=True):
    ref: str


class GitHubRepository:
    """`Code`, `Checks`, `Deployments` and `People` of the repository ``full_name`` (``owner/name``).

    Raises ValueError where ``full_name`` is not of that form.
    """

    def __init__(self, full_name: str, api: Authorized) -> None:
        self._owner, slash, self._name = full_name.partition("/")
        if not (self._owner and slash and self._name):
            raise ValueError(f"{full_name!r} is no GitHub repository: write it as owner/name.")
        self._api = api

    async def checks(self, sha: str) -> Sequence[Check]:
        statuses, runs = await asyncio.gather(self._statuses(sha), self._runs(sha))
        return [*statuses, *runs]

    async def _statuses(self, sha: str) -> list[Check]:
        path = "/commits/{sha}/status?per_page=100"
        return [check_of_status(status) for status in await self._items(path, StatusShape, within="statuses", sha=sha)]

    async def _runs(self, sha: str) -> list[Check]:
        """Suites first: a suite seen completed has all its runs in what is read after it."""
        path = "/commits/{sha}/check-suites?per_page=100"
        suites = await self._items(path, SuiteShape, within="check_suites", sha=sha)
        path = "/commits/{sha}/check-runs?filter=latest&per_page=100"
        runs = await self._items(path, RunShape, within="check_runs", sha=sha)
        unfinished = [check for suite in suites if (check := check_of_suite(suite))]
        return [check_of_run(run) for run in runs] + unfinished

    async def create_status(self, deployment_id: int, status: DeploymentStatus) -> None:
        links = {"log_url": status.log_url, "environment_url": status.environment_url}
        data: dict[str, object] = {
            "state": status.state,
            "description": _shortened(status.description),
            "auto_inactive": False,
            **{name: url for name, url in links.items() if url},
        }
        path = self._path("/deployments/{id}/statuses")
        await self._api.post(path, data, object, **self._variables(id=str(deployment_id)))

    async def newest_status(self, deployment_id: int) -> ShownStatus | None:
        """GitHub lists the newest first."""
        path = self._path("/deployments/{id}/statuses?per_page=1")
        page = await self._api.item(path, list[_ShownShape], **self._variables(id=str(deployment_id)))
        if not page:
            return None
        return ShownStatus(
            state=page[0].state,
            description=page[0].description or "",
            created_at=moment(page[0].created_at),
            log_url=page[0].log_url or page[0].target_url or None,
        )

    async def permission(self, user: str) -> str:
        """A custom role counts as the base permission that GitHub gives with it.

        https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        """
        return (await self._permission(user)).role

    async def access(self, person: Person) -> str:
        found = await self._permission(person.login)
        if found.user is None or found.user.id != person.id:
            return "none"
        if found.role == "read" and not await self._is_let_in(person.login):
            return "none"
        return found.role

    async def _permission(self, user: str) -> _PermissionShape:
        path = self._path("/collaborators/{user}/permission")
        try:
            return await self._api.item(path, _PermissionShape, **self._variables(user=user))
        except NotFound:
            return _PermissionShape()

    async def _is_let_in(self, user: str) -> bool:
        """Everybody can read what is public. Whom an organization or a team lets in counts as a collaborator.

        https://docs.github.com/en/rest/collaborators/collaborators#check-if-a-user-is-a-repository-collaborator
        """
        if (await self._api.item(self._path(""), RepositoryShape, **self._variables())).private:
            return True
        try:
            await self._api.item(self._path("/collaborators/{user}"), object, **self._variables(user=user))
        except NotFound:
            return False
        return True

    async def in_team(self, team: str, user: str) -> bool:
        org, slash, slug = team.partition("/")
        if not slash:
            org, slug = self._owner, team
        path = "/orgs/{org}/teams/{slug}/memberships/{user}"
        try:
            membership = await self._api.item(path, _StateShape, org=org, slug=slug, user=user)
        except NotFound:
            return False
        return membership.state == "active"

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        for ref in refs:
            for branch in await self._branches(ref):
                if await self._contains(branch, sha):
                    return True
        return False

    async def _branches(self, ref: str) -> list[str]:
        """The branches that a name or an fnmatch pattern stands for."""
        start = next((index for index, letter in enumerate(ref) if letter in _PATTERN_CHARACTERS), None)
        if start is None:
            return [ref]
        heads = "refs/heads/"
        path = self._path("/git/matching-refs/heads/{prefix}?per_page=100")
        found = await self._api.items(path, _RefShape, **self._variables(prefix=ref[:start]))
        names = [item.ref.removeprefix(heads) for item in found if item.ref.startswith(heads)]
        return [name for name in names if fnmatchcase(name, ref)]

    async def _contains(self, branch: str, sha: str) -> bool:
        """Seen from the branch, a commit that it contains is behind it. Said in full, for a tag may have the branch's
        name, which anybody may push.

        https://docs.github.com/en/rest/commits/commits#compare-two-commits
        """
        path = self._path("/compare/{branch}...{sha}?per_page=1")
        try:
            comparison = await self._api.item(
                path, _ComparisonShape, **self._variables(branch=f"refs/heads/{branch}", sha=sha)
            )
        except NotFound:
            return False
        return comparison.status in ("behind", "identical")

    async def commit(self, ref: str) -> Commit:
        """GitHub answers 422 for a ref that names no commit: https://docs.github.com/en/rest/commits/commits"""
        try:
            found = await self._api.item(self._path("/commits/{ref}"), _CommitShape, **self._variables(ref=ref))
        except Refused as error:
            raise NotFound(f"There is no commit {ref}.", status=error.status) from error
        return _commit(found)

    async def default_branch(self) -> str:
        found = await self._api.item(self._path(""), _BranchShape, **self._variables())
        return found.default_branch

    async def compare(self, base: str, head: str) -> Comparison:
        path = self._path("/compare/{base}...{head}?per_page=100")
        found = await self._api.item(path, _ComparisonShape, **self._variables(base=base, head=head))
        commits = tuple(_commit(one) for one in found.commits)
        return Comparison(found.status, found.ahead_by, found.behind_by, commits, found.html_url)

    async def create_deployment(self, new: NewDeployment) -> Registered:
        """The ref is the sha, so that no push in between can change what is deployed; an empty list of contexts,
        because checks were asked for already: https://docs.github.com/en/rest/deployments/deployments"""
        data: dict[str, object] = {
            "ref": new.sha,
            "task": new.task,
            "environment": new.environment,
            "description": _shortened(f"{new.ref} for {new.user}"),
            "payload": {"kedge": {"request": new.request, "ref": new.ref, "user": new.user}},
            "auto_merge": False,
            "required_contexts": [],
            "production_environment": new.production,
            "transient_environment": False,
        }
        made = await self._api.post(self._path("/deployments"), data, _DeploymentShape, **self._variables())
        return Registered(made.id, moment(made.created_at))

    async def find_deployment(self, new: NewDeployment) -> Registered | None:
        path = self._path("/deployments?sha={sha}&environment={environment}&per_page=100")
        listed = await self._api.items(
            path, _DeploymentShape, **self._variables(sha=new.sha, environment=new.environment)
        )
        for one in listed:
            if request_of(one.payload) == new.request:
                return Registered(one.id, moment(one.created_at))
        return None

    async def _items(self, path: str, shape: type[Any], *, within: str, sha: str) -> list[Any]:
        return await self._api.items(self._path(path), shape, within=within, **self._variables(sha=sha))

    def _path(self, rest: str) -> str:
        return "/repos/{owner}/{repo}" + rest

    def _variables(self, **more: str) -> dict[str, str]:
        return {"owner": self._owner, "repo": self._name, **more}


def _commit(shape: _CommitShape) -> Commit:
    git = shape.commit
    who = (shape.author.login if shape.author else None) or (git.author.name if git.author else None)
    when = git.committer or git.author
    lines = git.message.splitlines()
    return Commit(shape.sha, lines[0] if lines else "", who or "", moment(when.date if when else None), shape.html_url)


def _shortened(description: str) -> str:
    if len(description) <= DESCRIPTION_LIMIT:
        return description
    return description[: DESCRIPTION_LIMIT - 1] + "…"

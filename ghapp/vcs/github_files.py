"""Files and commit statuses of one repository at GitHub, as the app itself reads and writes them."""

import binascii
from base64 import b64decode

import msgspec

from ghapp.core.remote import NotFound, Refused
from ghapp.core.values import CommitStatus
from ghapp.vcs.github_transport import Authorized

#: What GitHub answers where there is no commit yet: https://docs.github.com/en/rest/commits/commits#list-commits
_EMPTY = 409


class _CommitShape(msgspec.Struct, kw_only=True):
    sha: str


class _FileShape(msgspec.Struct, kw_only=True):
    type: str
    size: int = 0
    encoding: str | None = None
    content: str | None = None


class GitHubFiles:
    """See `RepositoryFiles`. Every GET is revalidated by its ETag, so that asking for what has not changed costs
    nothing of the rate limit."""

    def __init__(self, api: Authorized, full_name: str) -> None:
        self._api = api
        self._full_name = full_name

    async def newest_change(self, path: str, branch: str) -> str | None:
        """Said in full, for a tag may have the branch's name: https://git-scm.com/docs/gitrevisions

        https://docs.github.com/en/rest/commits/commits#list-commits
        """
        url = "/repos/{owner}/{repo}/commits?sha={branch}&path={file}&per_page=1"
        try:
            found = await self._api.item(
                url, list[_CommitShape], **self._variables(branch=f"refs/heads/{branch}", file=path)
            )
        except Refused as error:
            if error.status != _EMPTY:
                raise
            return None
        return found[0].sha if found else None

    async def read_file(self, path: str, sha: str) -> bytes | None:
        """GitHub gives files of at most 1 MB: https://docs.github.com/en/rest/repos/contents#get-repository-content"""
        url = "/repos/{owner}/{repo}/contents/{+file}?ref={sha}"
        try:
            found = await self._api.item(url, _FileShape | list[object], **self._variables(file=path, sha=sha))  # type: ignore[arg-type]
        except NotFound:
            return None
        if not isinstance(found, _FileShape) or found.type != "file":
            raise Refused(f"{path} is not a file.")
        if found.encoding != "base64" or found.content is None:
            raise Refused(f"{path} is larger than 1 MB, so GitHub does not give it out.")
        try:
            return b64decode(found.content)
        except binascii.Error as error:
            raise Refused(f"GitHub's answer about {path} is no base64.") from error

    async def create_commit_status(self, status: CommitStatus) -> None:
        """https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""
        said = {
            "state": status.state,
            "context": status.context,
            "description": status.description,
            "target_url": status.target_url,
        }
        await self._api.post("/repos/{owner}/{repo}/statuses/{sha}", said, object, **self._variables(sha=status.sha))

    def _variables(self, **more: str) -> dict[str, str]:
        owner, _, repo = self._full_name.partition("/")
        return {"owner": owner, "repo": repo, **more}

"""What Kedge asks of a VCS host whose repositories may configure themselves. A provider may do without."""

from typing import Protocol

from ghapp.core.values import CommitStatus


class RepositoryFiles(Protocol):
    """Files and commits of one repository. Every method raises `RemoteError` in one of its kinds and nothing else."""

    async def newest_change(self, path: str, branch: str) -> str | None:
        """Sha of the newest commit of the branch that touched the path; None where none ever did. A tag of the same
        name is never meant."""
        ...

    async def read_file(self, path: str, sha: str) -> bytes | None:
        """The file as that commit left it; None where there is none. Raises `Refused` for what is no file, or is
        larger than the provider gives out."""
        ...

    async def create_commit_status(self, status: CommitStatus) -> None:
        """Show something at a commit; shown twice it counts once."""
        ...

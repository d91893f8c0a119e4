"""What a provider may be able to do beside code: pull requests, and talking there. An ability, asked for by name."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PullRequest:
    """``head_ref`` is a branch of the repository, or of another one (``from_fork``; also where that is gone)."""

    number: int
    open: bool
    head_sha: str
    head_ref: str
    from_fork: bool
    url: str | None = None


class Conversation(Protocol):
    """What is said about one repository. Every method raises `RemoteError` in one of its kinds and nothing else."""

    async def pull_request(self, number: int) -> PullRequest: ...

    async def pull_requests_at(self, sha: str) -> list[PullRequest]:
        """The open ones whose head it is."""
        ...

    async def heard_of_at(self, sha: str) -> int | None:
        """When (ms) the provider first asked anybody to check the commit, which is when it was pushed; None where it
        asked nobody."""
        ...

    async def react(self, comment_id: int, reaction: str) -> None:
        """``eyes``, ``rocket`` or ``confused``; repeated it changes nothing."""
        ...

    async def comment(self, number: int, text: str) -> int:
        """Write a comment; its id."""
        ...

    async def edit(self, comment_id: int, text: str) -> None: ...

    async def find(self, number: int, marker: str, since: int) -> int | None:
        """The id of Kedge's own comment that holds the marker and was written or changed since (ms)."""
        ...

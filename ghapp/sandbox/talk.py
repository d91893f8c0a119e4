"""What the sandbox remembers of issues, pull requests and what people write there. No I/O, no clock."""

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state import Account, Repository

# https://docs.github.com/en/rest/reactions/reactions#about-reactions
REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


@dataclass(frozen=True, slots=True)
class Issue:
    """Pull requests are issues too, and share their numbers."""

    id: int
    repository_id: int
    number: int
    title: str
    author: "Account"
    created_at: int
    updated_at: int
    closed_at: int | None = None
    locked: bool = False

    @property
    def state(self) -> str:
        return "open" if self.closed_at is None else "closed"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """`head_repository_id` is None once the fork was deleted."""

    id: int
    repository_id: int
    number: int
    head_repository_id: int | None
    head_owner: "Account"
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str


@dataclass(frozen=True, slots=True)
class Comment:
    """`app_id` is the App that wrote it, None for a person's."""

    id: int
    repository_id: int
    number: int
    body: str
    author: "Account"
    app_id: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Reaction:
    id: int
    comment_id: int
    content: str
    author: "Account"
    created_at: int


@dataclass(slots=True)
class Talk:
    issues: dict[tuple[int, int], Issue] = field(default_factory=dict)  # (repository, number)
    pulls: dict[tuple[int, int], PullRequest] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    reactions: list[Reaction] = field(default_factory=list)
    issue_ids: "count[int]" = field(default_factory=lambda: count(2_500_000_001))
    pull_ids: "count[int]" = field(default_factory=lambda: count(2_200_000_001))
    comment_ids: "count[int]" = field(default_factory=lambda: count(3_600_000_001))
    reaction_ids: "count[int]" = field(default_factory=lambda: count(280_000_001))

    def next_number(self, repo: "Repository") -> int:
        return 1 + max((number for owner, number in self.issues if owner == repo.id), default=0)

    def comments_of(self, repo: "Repository", number: int) -> list[Comment]:
        """Oldest first."""
        return [c for c in self.comments.values() if (c.repository_id, c.number) == (repo.id, number)]

    def reactions_to(self, comment_id: int) -> list[Reaction]:
        return [r for r in self.reactions if r.comment_id == comment_id]

    def heads_at(self, repo: "Repository", branch: str) -> list[PullRequest]:
        """Open pull requests that come from this branch of this repository."""
        found = (p for p in self.pulls.values() if (p.head_repository_id, p.head_ref) == (repo.id, branch))
        return [p for p in found if self.issues[p.repository_id, p.number].closed_at is None]

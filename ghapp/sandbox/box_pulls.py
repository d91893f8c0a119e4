"""What tests and people may do to the sandbox, without HTTP: forks, pull requests, comments."""

from . import accounts, pulls
from .state import Repository
from .talk import Comment, Issue, PullRequest
from .world import Unknown, World


class Conversations:
    """A part of `Box`. Whoever acts is made if new, and not asked for permission."""

    world: World

    def fork(self, repository: str, owner: str) -> Repository:
        return pulls.fork(self.world, self.world.repository(repository), accounts.add_person(self.world, owner))

    def open_issue(self, repository: str, *, by: str = "ana", title: str = "An issue") -> Issue:
        return pulls.open_issue(
            self.world, self.world.repository(repository), accounts.add_person(self.world, by), title
        )

    def open_pull_request(
        self,
        repository: str,
        head: str,
        *,
        base: str = "main",
        fork: str | None = None,
        by: str = "ana",
        title: str = "Change something",
    ) -> PullRequest:
        """From a branch of the repository, or of its ``fork``."""
        into = self.world.repository(repository)
        source = self.world.repository(fork) if fork else into
        author = accounts.add_person(self.world, by)
        return pulls.open_pull_request(self.world, into, source, head, base, author, title)

    def pull_request(self, repository: str, number: int) -> PullRequest:
        found = self.world.talk.pulls.get((self.world.repository(repository).id, number))
        if found is None:
            raise Unknown(f"no pull request {number} in {repository}")
        return found

    def close_pull_request(self, repository: str, number: int, *, by: str = "ana") -> None:
        pulls.close(self.world, self.world.repository(repository), number, accounts.add_person(self.world, by))

    def lock_conversation(self, repository: str, number: int) -> None:
        pulls.lock_conversation(self.world, self.world.repository(repository), number)

    def comment(self, repository: str, number: int, body: str, *, by: str = "ana") -> Comment:
        repo = self.world.repository(repository)
        return pulls.comment(self.world, repo, number, body, accounts.add_person(self.world, by))

    def edit_comment(self, comment_id: int, body: str, *, by: str = "ana") -> None:
        shown = self._comment(comment_id)
        repo = self.world.state.repositories[shown.repository_id]
        pulls.edit_comment(self.world, repo, shown, body, accounts.add_person(self.world, by))

    def delete_comment(self, comment_id: int, *, by: str = "ana") -> None:
        shown = self._comment(comment_id)
        repo = self.world.state.repositories[shown.repository_id]
        pulls.delete_comment(self.world, repo, shown, accounts.add_person(self.world, by))

    def comments(self, repository: str, number: int) -> list[Comment]:
        """Oldest first."""
        return self.world.talk.comments_of(self.world.repository(repository), number)

    def reactions(self, comment_id: int) -> list[str]:
        """Oldest first."""
        return [one.content for one in self.world.talk.reactions_to(comment_id)]

    def _comment(self, comment_id: int) -> Comment:
        found = self.world.talk.comments.get(comment_id)
        if found is None:
            raise Unknown(f"no comment {comment_id}")
        return found

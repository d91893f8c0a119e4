"""A provider in memory that knows commits and what they descend from; it can be away."""

from dataclasses import dataclass, field

from ghapp.core.checks import Check
from ghapp.core.remote import NotFound, RemoteError, Unavailable
from ghapp.core.values import Commit, Repository
from ghapp.vcs.base import Comparison
from tests.integration.kedge_world import NOON, Provider


def sha(letter: str) -> str:
    """The sha of a commit that the tests call by a letter from a to f."""
    return letter * 40


@dataclass
class Commits(Provider):
    """``parents`` by sha, ``refs`` by name. ``asked`` counts the comparisons; while ``away`` every call fails."""

    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    reachable_refs: bool = True
    away: RemoteError | None = None
    asked: int = 0
    committed_at: int = NOON - 60_000

    def grow(self, letters: str, *, base: str = "", branch: str = "main") -> None:
        """Commits one after the other on a branch, from ``base`` on."""
        before = base
        for letter in letters:
            self.parents[sha(letter)] = (sha(before),) if before else ()
            before = letter
        self.refs[branch] = sha(before)

    async def find_repository(self, name: str) -> list[Repository]:
        self._present()
        return [Repository(7, "acme/shop", "https://github.com/acme/shop.git")]

    async def default_branch(self) -> str:
        self._present()
        return "main"

    async def permission(self, user: str) -> str:
        return "write"

    async def reachable(self, sha: str, refs: object) -> bool:
        self._present()
        return self.reachable_refs

    async def checks_of(self, sha: str) -> list[Check]:
        raise AssertionError("nobody is to ask for checks here")

    async def commit(self, ref: str) -> Commit:
        self._present()
        found = self._resolved(ref)
        return Commit(
            found, f"Change {found[0]}", "bob", self.committed_at, f"https://github.com/acme/shop/commit/{found}"
        )

    async def compare(self, base: str, head: str) -> Comparison:
        self._present()
        self.asked += 1
        ours, theirs = self._history(self._resolved(head)), self._history(self._resolved(base))
        ahead = [one for one in ours if one not in theirs]
        behind = [one for one in theirs if one not in ours]
        status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
        commits = tuple([await self.commit(one) for one in reversed(ahead)])
        url = f"https://github.com/acme/shop/compare/{base}...{head}"
        shown = status.get((bool(ahead), bool(behind)), "identical")
        return Comparison(shown, len(ahead), len(behind), commits, url)

    def _present(self) -> None:
        if self.away:
            raise self.away

    def _resolved(self, ref: str) -> str:
        found = self.refs.get(ref) or next((one for one in self.parents if one.startswith(ref.lower())), None)
        if found is None:
            raise NotFound(f"There is no commit {ref}.", status=404)
        return found

    def _history(self, commit: str) -> list[str]:
        """The commit and what it descends from, newest first."""
        found, waiting = [], [commit]
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found.append(one)
                waiting += self.parents[one]
        return found


AWAY = Unavailable("GitHub cannot be reached: connection refused.")

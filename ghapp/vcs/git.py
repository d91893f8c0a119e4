"""Plain git: any remote that git can reach. It tells nothing by itself, so its branches are looked at; it keeps no
checks, deployments, people or conversations, so Kedge's page is the record.

Everything else is asked of git itself, in a mirror of commits and trees (`ghapp.vcs.git_mirror`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from ghapp.core.remote import NotFound, Refused
from ghapp.core.values import Commit, Repository
from ghapp.vcs.base import Comparison
from ghapp.vcs.events import PushEvent
from ghapp.vcs.git_address import Address, BadAddress, address_of
from ghapp.vcs.git_mirror import WHOLE, Mirror
from ghapp.vcs.git_process import Git, clean_environment, lines, own_credentials
from ghapp.vcs.provider import Opening, Provider

#: So many commits of a comparison are listed, and so many of a push looked through for the files they touch.
MOST_COMMITS = 250
_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")
_LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())
_FORMAT = "--format=%H%n%ct%n%an%n%s"
# https://git-scm.com/docs/git-check-ref-format
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|^[-/]|[/.]$|^@?$")


class PlainGit(Provider):
    """``repository`` in the config is an address: https, ssh, ``user@host:path``, file, or an absolute path."""

    title = "git"

    def __init__(self, opening: Opening) -> None:
        self._folder = opening.folder
        self._git = Git(clean_environment(opening.environ))
        self._credentials = own_credentials(opening.environ)
        self._mirrors: dict[int, Mirror] = {}

    @classmethod
    def wrong_with(cls, repository: str | None) -> str | None:
        if repository is None:
            return "via git needs `repository`, its address, such as https://HOST/OWNER/REPOSITORY.git or git@HOST:PATH"
        try:
            address_of(repository)
        except BadAddress as error:
            return str(error)
        return None

    async def find_repository(self, name: str) -> list[Repository]:
        """The one at this address; whether there is one is seen when it is used. Raises Refused for no address."""
        address = _address(name)
        return [Repository(address.id, address.name, address.url)]

    def code(self, repository: Repository) -> "GitCode":
        return GitCode(self._mirror(repository))

    def branches(self, repository: Repository) -> "GitBranches":
        return GitBranches(repository, self._mirror(repository))

    def _mirror(self, repository: Repository) -> Mirror:
        """One for all that ask of the same repository, for it holds the lock."""
        mirror = self._mirrors.get(repository.id)
        if mirror is None:
            address, folder = _address(repository.clone_url), self._folder / f"{repository.id}.git"
            mirror = self._mirrors[repository.id] = Mirror(folder, address, self._git, self._credentials)
        return mirror


def _address(text: str) -> Address:
    try:
        return address_of(text)
    except BadAddress as error:
        raise Refused(str(error)) from None


def _time(said: str) -> int:
    """Milliseconds; 0 where what the commit says is no time, or later than a date can be: anyone may write anything
    there."""
    seconds = int(said or "0")
    return seconds * 1000 if seconds <= _LAST_SECOND else 0


@dataclass(frozen=True, slots=True)
class GitCode:
    """The commits of one repository."""

    mirror: Mirror

    async def commit(self, ref: str) -> Commit:
        """A branch goes before a tag of the same name, and both before an abbreviated sha."""
        sha = await self._resolved(ref)
        [commit] = await self._log("-1", sha)
        return commit

    async def default_branch(self) -> str:
        return await self.mirror.default_branch()

    async def compare(self, base: str, head: str) -> Comparison:
        """The newest `MOST_COMMITS` commits are listed."""
        old, new = await self._resolved(base), await self._resolved(head)
        counted = await self.mirror.ask("rev-list", "--left-right", "--count", f"{old}...{new}", "--")
        behind, ahead = map(int, counted.split())
        status = {(0, 0): "identical", (0, 1): "ahead", (1, 0): "behind"}.get(
            (min(behind, 1), min(ahead, 1)), "diverged"
        )
        commits = await self._log(f"--max-count={MOST_COMMITS}", "--topo-order", f"{old}..{new}") if ahead else []
        return Comparison(status, ahead, behind, tuple(reversed(commits)))

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        await self.mirror.refresh()
        if not WHOLE.fullmatch(sha):
            return False
        try:
            await self.mirror.need(sha)
        except NotFound:
            return False
        said = await self.mirror.ask("for-each-ref", f"--contains={sha}", "--format=%(refname:lstrip=2)", "refs/heads/")
        return any(fnmatchcase(branch, ref) for branch in lines(said) for ref in refs)

    async def _log(self, *args: str) -> list[Commit]:
        said = await self.mirror.ask("log", "-z", _FORMAT, *args, "--")
        records = (record.split("\n", 3) for record in said.split("\0") if record)
        return [Commit(sha, subject, author, _time(at)) for sha, at, author, subject in records]

    async def _resolved(self, ref: str) -> str:
        """The whole sha of a commit that is here."""
        if WHOLE.fullmatch(ref.lower()):
            await self.mirror.need(ref.lower())
            return ref.lower()
        if _NO_REF.search(ref):
            raise NotFound(f"{ref!r} can be the name of no branch or tag.")
        await self.mirror.refresh()
        found = await self._named(ref) or await self._abbreviated(ref.lower())
        if found is None:
            raise NotFound(f"There is no branch, tag or commit {ref} in {self.mirror.address.url}.")
        return found

    async def _named(self, ref: str) -> str | None:
        short = ref.removeprefix("refs/")
        full = [f"refs/{short}"] if short.startswith(("heads/", "tags/")) else []
        names = [*full, f"refs/heads/{ref}", f"refs/tags/{ref}"]
        form = "--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        found: dict[str, str] = {}
        for line in lines(await self.mirror.ask("for-each-ref", form, *names)):
            name, *pairs = line.split(" ")
            for kind, sha in zip(pairs[::2], pairs[1::2], strict=True):
                if kind == "commit":  # the branch, the tag, or what an annotated tag is of
                    found[name] = sha
        return next((found[name] for name in names if name in found), None)

    async def _abbreviated(self, ref: str) -> str | None:
        if not _ABBREVIATED.fullmatch(ref):
            return None
        objects = (await self.mirror.ask("rev-parse", f"--disambiguate={ref}")).split()
        commits = [sha for sha in objects if await self.mirror.has(sha)]
        if len(commits) > 1:
            raise Refused(f"{ref} begins the shas of {len(commits)} commits; give more digits.")
        return commits[0] if commits else None


@dataclass(frozen=True, slots=True)
class GitBranches:
    """Where the branches of one repository are."""

    repository: Repository
    mirror: Mirror

    async def heads(self) -> Mapping[str, str]:
        return await self.mirror.heads()

    async def moved(self, branch: str, before: str | None, after: str | None) -> PushEvent:
        """Who pushed is not known to git: it is told whose commit the branch ends with, by their e-mail address. What
        the branch held before may be gone: then it was forced."""
        if after is None:
            return self._event(branch, before, None)
        await self.mirror.need(after)
        said = await self.mirror.ask("log", "-1", "--format=%ae%n%an%n%B", after, "--")
        address, name, message = said.split("\n", 2)
        event = self._event(branch, before, after, message=message.strip(), pusher=address or name)
        if before is None or not await self.mirror.has(before):
            return event
        forced = not await self.mirror.contains(after, before)
        return replace(event, forced=forced, paths=await self._paths(before, after))

    def _event(
        self, branch: str, before: str | None, after: str | None, *, message: str = "", pusher: str = ""
    ) -> PushEvent:
        return PushEvent(
            repository=self.repository,
            installation_id=None,
            branch=branch,
            before=before,
            after=after,
            forced=before is not None and after is not None,
            message=message,
            pusher=pusher,
        )

    async def _paths(self, before: str, after: str) -> frozenset[str]:
        most = f"--max-count={MOST_COMMITS}"
        said = await self.mirror.ask(
            "log", "-z", "--format=", "--name-only", "--no-renames", most, f"{before}..{after}"
        )
        return frozenset(path for path in said.split("\0") if path)

"""The bare mirror of one repository: what was fetched once is never fetched again."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ghapp.vcs.git_errors import refuses_sha
from ghapp.vcs.git_process import Askpass, Git, GitFailed, sweep
from runner.concurrency import in_thread
from runner.tree import new_trash, remove

_TAGS = "+refs/tags/*:refs/tags/*"
MANY_PACKS = 20
_PULL = re.compile(r"refs/(pull|merge-requests|pull-requests)/\d+/(head|merge|from)")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to fetch from, and how to get in."""

    url: str
    ref: str
    askpass: Askpass
    protocols: str
    report: Callable[[str], None]


def write_gitdir(path: Path, *, sha: str, head: str, settings: str = "") -> None:
    """Writes the skeleton of a repository: what makes git take the folder for one, and nothing else.

    By hand rather than by ``git init``, which would keep what is there. ``settings`` is added to the config.
    """
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    wide = len(sha) == 64
    version = "\trepositoryformatversion = 1\n" if wide else "\trepositoryformatversion = 0\n"
    extension = "[extensions]\n\tobjectformat = sha256\n" if wide else ""
    (path / "config").write_text(f"{extension}[core]\n{version}{settings}")
    (path / "HEAD").write_text(head + "\n")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A bare repository with the tags of the remote, and every commit that was ever deployed from it."""

    path: Path
    git: Git

    async def has(self, sha: str) -> bool:
        """Whether the commit is here with all that it needs: the question ``git fetch`` asks itself."""
        if not (self.path / "HEAD").is_file():
            return False
        try:
            if not await self._is_commit(sha):
                return False
            await self._git("rev-list", "--objects", "--quiet", sha, "--not", "--all", "--")
        except GitFailed as error:
            if error.timed_out:
                raise
            return False
        return True

    def names(self, sha: str) -> bool:
        """Whether the commit was fetched by itself, and since :meth:`has` was asked perhaps by somebody else."""
        return (self.path / _ref(sha)).exists()

    async def fetch(self, sha: str, remote: Remote) -> bool:
        """Fetches one commit with its history, and the tags. False if the remote does not have it.

        A server that serves no bare sha is asked for its branches, then for its pull requests.

        Raises:
            GitFailed: anything else went wrong.
        """
        self._set_up(sha)
        found = await self._fetch_sha(sha, remote) or await self._fetch_wider(sha, remote)
        if found:
            await self._tidy(sha)
        return found

    async def packed_tags(self) -> bytes:
        """The tags as the text of a ``packed-refs`` file (https://git-scm.com/docs/gitrepository-layout)."""
        form = "%(objectname) %(refname) %(*objectname)"
        lines = [b"# pack-refs with: peeled fully-peeled sorted "]
        for line in (await self._git("for-each-ref", f"--format={form}", "refs/tags/")).splitlines():
            sha, ref, peeled = line.split(b" ")
            lines += [sha + b" " + ref, b"^" + peeled] if peeled else [sha + b" " + ref]
        return b"\n".join(lines) + b"\n"

    async def delete(self) -> None:
        """Removes the mirror; the next fetch makes it anew."""

        def work(stop: threading.Event) -> None:
            trash = new_trash(self.path.with_suffix(".trash"), stop=stop)
            remove(self.path, trash=trash, stop=stop)

        await in_thread(work)

    async def _fetch_sha(self, sha: str, remote: Remote) -> bool:
        """Whether it came, which ``git fetch`` has then looked at as :meth:`has` does."""
        try:
            await self._fetch(remote, f"+{sha}:{_ref(sha)}", _TAGS)
        except GitFailed as error:
            if refuses_sha(error.stderr):
                return False
            raise
        return await self._is_commit(sha)

    async def _fetch_wider(self, sha: str, remote: Remote) -> bool:
        for refspecs in _wider(remote.ref):
            await self._fetch(remote, *refspecs)
            if await self.has(sha):
                await self._git("update-ref", _ref(sha), sha)
                return True
        return False

    async def _is_commit(self, sha: str) -> bool:
        return await self._git("cat-file", "-t", sha) == b"commit\n"

    async def _fetch(self, remote: Remote, *refspecs: str) -> None:
        """One fetch. Tags are forced and pruned: where they point is read from the remote, not remembered."""
        options = ("--progress", "--no-write-fetch-head", "--no-tags", "--prune", "--force")
        await self.git.run(
            f"--git-dir={self.path}",
            "fetch",
            *options,
            "--",
            remote.url,
            *refspecs,
            askpass=remote.askpass,
            protocols=remote.protocols,
            report=remote.report,
        )

    async def _tidy(self, sha: str) -> None:
        """Keeps refs and packs few. What ``sha`` contains needs no ref of its own.

        The geometric repack joins small packs and leaves large ones alone, so checkouts, which copy packs,
        seldom copy much (https://git-scm.com/docs/git-repack). It keeps unreachable objects, too.
        """
        packs = self.path / "objects" / "pack"
        if len(list(packs.glob("*.pack"))) <= MANY_PACKS:
            return
        listed = await self._git("for-each-ref", "--format=%(refname)", f"--merged={sha}", "refs/kedge/")
        for ref in listed.decode().split():
            if ref != _ref(sha):
                await self._git("update-ref", "-d", ref)
        await self._git("pack-refs", "--all")
        await self._git("repack", "-d", "-q", "--geometric=2")

    def _set_up(self, sha: str) -> None:
        """Makes the mirror if need be, and sweeps away what a killed git left in it."""
        write_gitdir(self.path, sha=sha, head="ref: refs/heads/none", settings="\tbare = true\n")
        sweep(self.path)

    async def _git(self, *args: str) -> bytes:
        return await self.git.run(f"--git-dir={self.path}", *args)


def _ref(sha: str) -> str:
    """What keeps a commit that was deployed, whatever becomes of its branch."""
    return f"refs/kedge/{sha}"


def _wider(ref: str) -> tuple[tuple[str, ...], ...]:
    """What to ask for, in turn, when a server does not serve the bare sha.

    A full ref name that was asked for is taken as the place to look among pull requests; else all of them.
    """
    hint = f"+{ref}:{ref}" if _PULL.fullmatch(ref) else "+refs/pull/*/head:refs/pull/*/head"
    return (("+refs/heads/*:refs/heads/*", _TAGS), (hint,))

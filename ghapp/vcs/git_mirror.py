"""The app's bare mirror of one repository: commits and trees of all branches and tags, and files only where the
remote cannot leave them out."""

import asyncio
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ghapp.core.remote import NotFound, RemoteError, Unavailable
from ghapp.vcs.git_address import Address, protocols_of
from ghapp.vcs.git_errors import explain, is_disk_full, last_lines, refuses_sha
from ghapp.vcs.git_process import Askpass, Git, GitFailed, lines, sweep

log = structlog.get_logger()

WHOLE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MANY_PACKS = 30
#: A mirror that was not used for so long is deleted when another one is made.
UNUSED_S = 30 * 86_400.0
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_ASK_S = 30.0


@dataclass(slots=True)
class Mirror:
    """``folder`` is the mirror's own, and made when it is first needed. ``credentials`` let git in.

    Whatever is asked raises `RemoteError` in one of its kinds.
    """

    folder: Path
    address: Address
    git: Git
    credentials: Askpass
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _fresh_as_of: float = 0.0

    async def heads(self) -> dict[str, str]:
        """Branch -> sha, as the remote says now."""
        said = await self._listed("--heads")
        pairs = (line.split("\t", 1) for line in lines(said))
        return {name.removeprefix("refs/heads/"): sha for sha, name in pairs}

    async def default_branch(self) -> str:
        said = await self._listed("--symref", "HEAD")
        found = re.search(r"^ref: refs/heads/(.+)\tHEAD$", said, re.MULTILINE)
        if found is None:
            raise NotFound(f"{self.address.url} names no default branch. Name the branch that is to be deployed.")
        return found[1]

    async def refresh(self) -> None:
        """Bring every branch and tag to where it is now, or was at some moment since this was called."""
        asked = time.monotonic()
        async with self._lock:
            if self._fresh_as_of < asked:
                begun = time.monotonic()
                await self._fetch_soundly(*_EVERYTHING)
                self._fresh_as_of = begun

    async def need(self, sha: str) -> None:
        """See that the commit with this whole sha is here. Raises NotFound where the remote does not have it either."""
        if await self.has(sha):
            return
        await self.refresh()
        if await self.has(sha):
            return
        await self.ask("rev-list", "--count", "--all", "--")  # where it is missing from what is damaged
        async with self._lock:
            try:  # of no branch or tag any more, perhaps
                await self._fetch(sha)
            except GitFailed as error:
                told = self._told(error)
                if isinstance(told, NotFound):
                    told = NotFound(f"There is no commit {sha} in {self.address.url}.")
                raise told from error

    async def has(self, sha: str) -> bool:
        try:
            await self._local("cat-file", "-e", f"{sha}^{{commit}}")
        except GitFailed as error:
            if error.timed_out:
                raise self._told(error) from error
            return False
        return True

    async def ask(self, *args: str) -> str:
        """What a git command that only reads says of what is here. It is one that does not fail in a mirror that is in
        order: where it does, the mirror is made anew, once."""
        try:
            return await self._local(*args)
        except GitFailed as error:
            if error.timed_out or is_disk_full(error.stderr):
                raise self._told(error) from error
        async with self._lock:
            await self._make_anew()
        try:
            return await self._local(*args)
        except GitFailed as error:
            raise self._told(error) from error

    async def contains(self, sha: str, commit: str) -> bool:
        """Of two commits that are here: is the second one, or one of its ancestors, the first?"""
        return (await self.ask("rev-list", "--count", commit, f"^{sha}", "--")).strip() == "0"

    async def _local(self, *args: str) -> str:
        said = await self.git.run(f"--git-dir={self.folder}", *args)
        return said.decode(errors="replace")

    async def _listed(self, option: str, *patterns: str) -> str:
        try:
            async with asyncio.timeout(_ASK_S):
                said = await self._remote("ls-remote", option, "--", self.address.url, *patterns)
        except GitFailed as error:
            raise self._told(error) from error
        except TimeoutError:
            raise Unavailable(f"{self.address.host} did not answer git within {_ASK_S:.0f} s.") from None
        return said.decode(errors="replace")

    async def _remote(self, *args: str) -> bytes:
        return await self.git.run(*args, askpass=self.credentials, protocols=protocols_of(self.address.url))

    async def _fetch_soundly(self, *wanted: str) -> None:
        """With a mirror that is made anew, once, where nobody elsewhere is to blame that it fails. The lock is held."""
        try:
            await self._fetch(*wanted)
            return
        except GitFailed as error:
            self._raise_if_known(error)
        await self._make_anew()
        try:
            await self._fetch(*wanted)
        except GitFailed as error:
            raise self._told(error) from error

    async def _make_anew(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            await self._fetch(*_EVERYTHING)
        except GitFailed as error:
            raise self._told(error) from error

    async def _fetch(self, *wanted: str) -> None:
        await self._set_up()
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--force", "--prune")
        await self._remote(f"--git-dir={self.folder}", "fetch", *options, "origin", *wanted)
        if len(list((self.folder / "objects" / "pack").glob("*.pack"))) > MANY_PACKS:
            await self._repack()

    async def _repack(self) -> None:
        """What left its branch is kept: it may be what is live. https://git-scm.com/docs/git-repack"""
        try:
            await self._local("repack", "-a", "-d", "-k", "-q")
        except GitFailed as error:
            if not (error.timed_out or is_disk_full(error.stderr)):
                raise  # it cannot read what is here
            log.warning("mirror not repacked", url=self.address.url, reason=self._told(error).message)

    async def _set_up(self) -> None:
        """Make it where it is not there, say where it is from, and sweep what a killed git has left in it."""
        if not (self.folder / "HEAD").is_file():
            wide = any(len(sha) == 64 for sha in (await self.heads()).values())
            form = f"--object-format={'sha256' if wide else 'sha1'}"
            await asyncio.to_thread(_forget_unused, self.folder.parent)
            self.folder.mkdir(parents=True, exist_ok=True)
            await self.git.run("init", "--quiet", "--bare", "--template=", form, "--", str(self.folder))
        sweep(self.folder)
        await self._local("config", "remote.origin.url", self.address.url)
        os.utime(self.folder)

    def _raise_if_known(self, error: GitFailed) -> None:
        """Where making it anew would not help."""
        if known := self._known(error):
            raise known from error

    def _known(self, error: GitFailed) -> RemoteError | None:
        if error.timed_out:
            return Unavailable(f"git {error.command} of {self.address.url} took too long and was stopped.")
        if refuses_sha(error.stderr) and not is_disk_full(error.stderr):
            return NotFound(f"{self.address.url} does not have it.")
        return explain(error.stderr, host=self.address.host, url=self.address.url, who="the app")

    def _told(self, error: GitFailed) -> RemoteError:
        said = last_lines(error.stderr, 2)
        return self._known(error) or Unavailable(f"git {error.command} of {self.address.url} failed: {said}")


def _forget_unused(folder: Path) -> None:
    before = time.time() - UNUSED_S
    for mirror in folder.glob("*.git"):
        if mirror.stat().st_mtime < before:
            shutil.rmtree(mirror, ignore_errors=True)

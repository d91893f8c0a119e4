"""Workspaces: for each app and environment a kept checkout, brought exactly to a commit and exactly clean.

    FOLDER/mirrors/REPOSITORY.git        one bare mirror per repository, shared by its environments
    FOLDER/checkouts/APP/ENVIRONMENT     what deploy commands run in
    FOLDER/state/APP/ENVIRONMENT         what is remembered about that checkout, out of their way

A checkout is complete in itself and shares no file with another one or with the mirror. Whatever is doubtful is
deleted and made anew, once: first the checkout, then the mirror.
"""

import errno
import hashlib
import os
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ghapp.vcs.git_address import BadAddress, host_of, protocols_of
from ghapp.vcs.git_errors import explain, is_disk_full, last_lines
from ghapp.vcs.git_process import LIMIT_S, Askpass, Git, GitFailed, clean_environment, own_credentials
from runner import extras
from runner.askpass import offered
from runner.checkout import Checkout, Mismatch
from runner.concurrency import locked, together
from runner.git_index import BadIndex
from runner.mirror import Mirror, Remote
from runner.tree import Mounted

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_DISK_FULL = "The runner's disk is full. Free some space under its work folder, then deploy again."
_NEXT = {"checkout": ("checkout", "mirror"), "mirror": ("mirror",)}


@dataclass(frozen=True, slots=True)
class Source:
    """What to fetch.

    ``key`` is the stable id of the repository, such as ``github.com/123``: by the provider's id, so that a
    renamed one keeps its mirror. ``clone_url`` is https, ssh, file, or http on loopback, and never contains
    credentials. ``sha`` has 40 or 64 hexadecimal digits. ``ref`` is a hint for servers that refuse bare shas.
    ``username`` is who git says to be with the token.
    """

    key: str
    clone_url: str
    sha: str
    ref: str
    username: str = "git"


class WorkspaceError(Exception):
    """The workspace could not be made ready. ``message`` is for the deploy page, with what to do next."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Doubt(Exception):
    """The ``mirror`` or the ``checkout`` is not to be trusted."""

    def __init__(self, about: str, reason: str) -> None:
        super().__init__(reason)
        self.about = about
        self.reason = reason


class Workspaces:
    """The mirrors and checkouts under one folder.

    ``environ`` is the runner's own environment, of which git sees little
    (:func:`ghapp.vcs.git_process.clean_environment`); ``limit_s`` is the time one git process may take, in seconds.
    """

    def __init__(self, folder: Path, *, environ: Mapping[str, str], limit_s: float = LIMIT_S) -> None:
        self.folder = folder.absolute()
        self._git = Git(clean_environment(environ), limit_s)
        self._own = own_credentials(environ)

    async def prepare(
        self,
        source: Source,
        *,
        app: str,
        environment: str,
        token: Callable[[], str | None],
        progress: Callable[[str], None],
    ) -> Path:
        """Brings the checkout of ``app`` in ``environment`` to the commit, clean and verified.

        ``token`` is asked right before the network is used, and only then; where there is none, git uses what the
        runner's user has (:func:`ghapp.vcs.git_process.own_credentials`). ``progress`` is called with lines for the
        deploy's log. Cancelled, it leaves no process and no lock behind.

        Raises:
            WorkspaceError: it did not work.
        """
        job = self._job(source, Path(folder_name(app), folder_name(environment)), token, progress)
        busy = "Waiting for another deploy that uses the same checkout."
        try:
            async with locked(job.checkout.state / "lock", waiting=lambda: progress(busy)):
                await job.run()
                job.note_use()
        except OSError as error:
            raise WorkspaceError(unusable(error)) from error
        return job.checkout.tree

    def _job(
        self, source: Source, place: Path, token: Callable[[], str | None], progress: Callable[[str], None]
    ) -> "_Job":
        try:
            host = host_of(source.clone_url)
        except BadAddress as error:
            raise WorkspaceError(str(error)) from error
        if shutil.which("git", path=self._git.env.get("PATH")) is None:
            raise WorkspaceError("git is not in the PATH of the runner. Install git 2.34 or newer there.")
        if not _SHA.fullmatch(source.sha):
            raise WorkspaceError(f"{source.sha!r} is no full commit id. Ask for the deploy with all its digits.")
        mirror = Mirror(self.folder / "mirrors" / f"{folder_name(source.key)}.git", self._git)
        checkout = Checkout(self.folder / "checkouts" / place, self.folder / "state" / place, self._git)
        return _Job(source, host, self.folder, self._git, mirror, checkout, token, self._own, progress)


@dataclass(frozen=True, slots=True)
class _Job:
    source: Source
    host: str
    folder: Path
    git: Git
    mirror: Mirror
    checkout: Checkout
    token: Callable[[], str | None]
    own: Askpass
    progress: Callable[[str], None]

    async def run(self) -> None:
        """Tries, and makes anew what turns out doubtful, each part at most once."""
        left = ["checkout", "mirror"]
        while True:
            try:
                await self._try()
                return
            except _Doubt as doubt:
                part = next((part for part in _NEXT[doubt.about] if part in left), None)
                if part is None:
                    raise WorkspaceError(
                        f"The checkout could not be made ready, not even anew: {doubt.reason}\n"
                        "Look at the disk and the log of the runner, then deploy again."
                    ) from doubt
                self.progress(f"The kept {part} is not in order and is made anew: {doubt.reason}")
                left.remove(part)
                await self._delete(part)

    def note_use(self) -> None:
        """For :mod:`runner.housekeeping`, which deletes what is not used for long."""
        for lock in (self.checkout.state / "lock", self._mirror_lock):
            os.utime(lock)

    async def _try(self) -> None:
        if await self._there():
            await self._clean()
        else:  # in this order: what cleans keeps a thread busy, and git shall be at work by then
            await together(self._fetch(), self._clean())
        async with self._lock(shared=True):
            with self._local("checkout"):
                await self.checkout.bring_to(self.source.sha, self.mirror, self.source.clone_url)
            await self._add_extras()

    async def _clean(self) -> None:
        with self._local("checkout"):
            await self.checkout.clean(self.source.sha, self.mirror.path / "objects")

    async def _there(self) -> bool:
        async with self._lock(shared=True):
            os.utime(self._mirror_lock)  # the next step takes it anew: nobody shall delete the mirror in between
            with self._local("mirror"):
                return await self.mirror.has(self.source.sha)

    async def _fetch(self) -> None:
        async with self._lock(shared=False):
            with self._network("mirror"):
                if self.mirror.names(self.source.sha) and await self.mirror.has(self.source.sha):
                    return  # another environment has fetched it meanwhile
                self.progress(f"Fetching {self.source.sha[:12]} from {self.source.clone_url}")
                with self._remote() as remote:
                    found = await self.mirror.fetch(self.source.sha, remote)
        if not found:
            raise WorkspaceError(
                f"The commit {self.source.sha} is not in {self.source.clone_url}, or no longer: a force-push may"
                f" have removed it. Deploy a commit that is on a branch, such as the newest of {self.source.ref!r}."
            )

    async def _add_extras(self) -> None:
        tree = self.checkout.tree
        if extras.has_submodules(tree):
            self.progress("Fetching submodules")
            with self._network("checkout"), self._remote() as remote:
                await extras.update_submodules(self.git, tree, remote)
        with self._local("checkout"):
            uses_lfs = await extras.uses_lfs(self.git, tree)
        if not uses_lfs:
            return
        if not await extras.has_lfs(self.git):
            self.progress("Git LFS is not installed on the runner: files kept in it are pointers in this checkout.")
            return
        self.progress("Fetching files from Git LFS")
        with self._network("checkout"), self._remote() as remote:
            await extras.pull_lfs(self.git, tree, self.mirror.path / "lfs", remote)

    async def _delete(self, part: str) -> None:
        try:
            if part == "mirror":
                async with self._lock(shared=False):
                    await self.mirror.delete()
            else:
                await self.checkout.delete()
        except OSError as error:
            raise WorkspaceError(
                f"The {part} is not in order and could not be deleted: {error}. Delete it by hand, then deploy again."
            ) from error

    def _lock(self, *, shared: bool) -> AbstractAsyncContextManager[None]:
        busy = "Waiting for another deploy that updates the mirror of the same repository."
        return locked(self._mirror_lock, shared=shared, waiting=lambda: self.progress(busy))

    @property
    def _mirror_lock(self) -> Path:
        return self.mirror.path.with_suffix(".lock")

    @contextmanager
    def _remote(self) -> Iterator[Remote]:
        url, token = self.source.clone_url, self.token()
        with offered(self.folder, url, token, self.source.username) if token else nullcontext(self.own) as askpass:
            yield Remote(url, self.source.ref, askpass, protocols_of(url), self.progress)

    @contextmanager
    def _local(self, about: str) -> Iterator[None]:
        """Turns failures of work on the disk into doubt, save where making anew would not help."""
        try:
            yield
        except GitFailed as error:
            _raise_if_hopeless(error)
            raise _Doubt(about, _told(error)) from error
        except (Mismatch, BadIndex) as error:
            raise _Doubt("checkout", str(error)) from error
        except Mounted as error:
            raise WorkspaceError(str(error)) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorkspaceError(f"{_DISK_FULL}\n{error}") from error
            raise _Doubt(about, str(error)) from error

    @contextmanager
    def _network(self, about: str) -> Iterator[None]:
        """Turns failures of fetching into sentences; what no sentence is known for may be the disk's fault."""
        with self._local(about):
            try:
                yield
            except GitFailed as error:
                _raise_if_hopeless(error)
                known = explain(error.stderr, host=self.host, url=self.source.clone_url, who="the runner")
                if known is None:
                    raise
                raise WorkspaceError(f"{known.message}\n{_told(error)}") from error


def unusable(error: OSError) -> str:
    return f"The work folder of the runner cannot be used: {error}. See that the runner may write to it."


def _raise_if_hopeless(error: GitFailed) -> None:
    """Raises WorkspaceError where deleting and trying again could only make it worse."""
    if error.timed_out:
        raise WorkspaceError(
            f"git {error.command} took too long and was stopped. Deploy again; if it happens again, look at the"
            f" network and the disk of the runner.\n{last_lines(error.stderr)}"
        ) from error
    if is_disk_full(error.stderr):
        raise WorkspaceError(f"{_DISK_FULL}\n{last_lines(error.stderr)}") from error


def _told(error: GitFailed) -> str:
    return f"git {error.command}: {last_lines(error.stderr)}"


def folder_name(name: str) -> str:
    """A folder name for any text, a different one for each: percent-encoded, and cut with a hash if long."""
    quoted = urllib.parse.quote(name, safe="").replace("~", "%7E")
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) <= 100:
        return quoted or "~"
    return f"{quoted[:80]}~{hashlib.sha256(name.encode()).hexdigest()[:24]}"

"""The kept checkout of one app in one environment.

Commands run inside the checkout and may do anything there, to ``.git`` as well. So nothing in it is believed:
the repository that this module works with (``trusted``: its config, index and HEAD) lies outside the checkout,
and the ``.git`` that commands see is written anew for each deploy from it. What is kept between deploys are
files whose stat, change time included, is what it was when they were written. A folder is read again only if its
own stat has changed, or a file in it may have without git noticing. That is what makes it fast.
"""

import json
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ghapp.vcs.git_process import Git
from runner import record
from runner.concurrency import in_thread, together
from runner.git_index import Index, read_index
from runner.mirror import Mirror, write_gitdir
from runner.record import Record
from runner.tree import Layout, Stopped, layout, new_trash, remove, stat_of, sweep

_PACK_SUFFIXES = (".pack", ".idx", ".rev")


class Mismatch(Exception):
    """The checkout is not what it should be after all was done to make it so."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """``tree`` is what commands see, ``state`` the folder outside of it with what the runner remembers."""

    tree: Path
    state: Path
    git: Git

    @property
    def trusted(self) -> Path:
        return self.state / "git"

    async def clean(self, sha: str, objects: Path) -> None:
        """Removes from the checkout all that was not there, or not so, at the end of its last use.

        Of ``.git`` only the packs stay. ``sha`` is the commit that :meth:`bring_to` will be asked for, and
        ``objects`` the folder of the objects, which need not be there yet.

        Raises:
            OSError: something in it resists.
            BadIndex: what is remembered about it is damaged.
        """
        await in_thread(lambda stop: self._clean(sha, objects, stop))

    async def bring_to(self, sha: str, mirror: Mirror, url: str) -> None:
        """Brings the cleaned checkout exactly to ``sha``, and checks that it is, and that nothing else is there.

        Raises:
            GitFailed, OSError: something in it, or in the mirror, resists.
            Mismatch: it went well, but the result is not right.
        """
        await self._git("checkout", "--quiet", "--force", "--detach", sha)
        await together(self._verify(sha), self._make_dot_git(sha, mirror, url))

    async def delete(self) -> None:
        """Removes the checkout and what is remembered about it; the next use makes it anew."""

        def work(stop: threading.Event) -> None:
            trash = new_trash(self.state / "trash", stop=stop)
            for path in (self.tree, self.trusted, self._record):
                remove(path, trash=trash, stop=stop)

        await in_thread(work)

    @property
    def _record(self) -> Path:
        return self.state / "record"

    @property
    def _packs(self) -> Path:
        return self.tree / ".git" / "objects" / "pack"

    def _clean(self, sha: str, objects: Path, stop: threading.Event) -> None:
        self._set_up(sha, objects)
        known = record.read(self._record) if (self.trusted / "index").exists() else Record()
        index = self._index(sha, known.swept_s)
        allowed: Layout = layout(index.files, index.submodules) | {
            b".git": {},
            b".git/objects": {},
            b".git/objects/pack": known.packs,
        }
        trash = new_trash(self.state / "trash", stop=stop)
        swept_s = trash.lstat().st_ctime_ns // 1_000_000_000
        seen = sweep(self.tree, allowed, known.seen, trash=trash, stop=stop)
        record.write(self._record, Record(swept_s, known.packs, seen))

    def _set_up(self, sha: str, objects: Path) -> None:
        """Writes the trusted repository anew, all but its index, whose stat data is what makes this fast."""
        for path in self.trusted.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "index":
                path.unlink()
        write_gitdir(self.trusted, sha=sha, head=sha, settings="\tbare = false\n")
        (self.trusted / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        if self.tree.is_symlink() or self.tree.is_file():
            self.tree.unlink()
        self.tree.mkdir(parents=True, exist_ok=True)

    async def _verify(self, sha: str) -> None:
        """Raises Mismatch if git, asked how everything differs from the commit, has something to say.

        Save about files that a repository keeps in a form that its own ``.gitattributes`` would not, such as CRLF
        under ``text``: git calls them modified although it has just written them
        (https://git-scm.com/docs/gitattributes). Their stat tells that nobody else has.
        """
        options = ("--porcelain", "-z", "--no-renames", "--ignored", "--untracked-files=all")
        said = await self._git("status", *options, "--ignore-submodules=all")
        entries = said.split(b"\0")[:-1]
        written = self._index(sha).files if entries else {}
        for entry in entries:
            path = entry[3:]
            kept = written.get(path) if entry.startswith(b" M ") else None
            if kept is None or stat_of((self.tree / os.fsdecode(path)).lstat()) != kept:
                raise Mismatch(f"{len(entries)} files are not as they should be, such as {os.fsdecode(path)!r}")

    def _index(self, sha: str, settled_s: int = 0) -> Index:
        """With the stats of files that changed in this second or later.

        git compares change times in whole seconds (https://git-scm.com/docs/racy-git), so it cannot miss what is
        done from then on to an older file.
        """
        file = self.trusted / "index"
        if not file.exists():
            return Index({})
        return read_index(file.read_bytes(), sha256=len(sha) == 64, settled_s=settled_s)

    async def _make_dot_git(self, sha: str, mirror: Mirror, url: str) -> None:
        tags = await mirror.packed_tags()
        await in_thread(lambda stop: self._write_dot_git(sha, mirror, url, tags, stop))
        await self._verify_dot_git(sha)

    def _write_dot_git(self, sha: str, mirror: Mirror, url: str, tags: bytes, stop: threading.Event) -> None:
        """Writes the ``.git`` for commands: complete in itself, so that no file is shared with anybody."""
        dot_git = self.tree / ".git"
        settings = "\tbare = false\n\tlogallrefupdates = true\n" + _remote_section(url)
        write_gitdir(dot_git, sha=sha, head=sha, settings=settings)
        (dot_git / "packed-refs").write_bytes(tags)
        shutil.copyfile(self.trusted / "index", dot_git / "index")
        self._bring_packs(mirror.path / "objects" / "pack", stop)

    def _bring_packs(self, source: Path, stop: threading.Event) -> None:
        """Those that were there when the checkout was cleaned stay, with the stat that they had then: somebody may
        have written to them since. The others are copied."""
        known = record.read(self._record)
        wanted = {os.fsencode(path.name): path for path in source.iterdir() if path.suffix in _PACK_SUFFIXES}
        there = {os.fsencode(path.name): path for path in self._packs.iterdir()}
        packs = {name: known.packs[name] for name in there.keys() & wanted.keys() & known.packs.keys()}
        for name in there.keys() - packs.keys():
            there[name].unlink()
        for name in wanted.keys() - packs.keys():
            if stop.is_set():
                raise Stopped
            copy = self._packs / wanted[name].name
            shutil.copyfile(wanted[name], copy)
            packs[name] = stat_of(copy.lstat())
        record.write(self._record, msgspec.structs.replace(known, packs=packs))

    async def _verify_dot_git(self, sha: str) -> None:
        """Raises Mismatch unless commands in the checkout are told that they are at ``sha``."""
        git_dir = f"--git-dir={self.tree / '.git'}"
        head = (await self.git.run(git_dir, "rev-parse", "--verify", "HEAD^{commit}")).decode().strip()
        if head != sha:
            raise Mismatch(f"HEAD is {head}")

    async def _git(self, *args: str) -> bytes:
        return await self.git.run(f"--git-dir={self.trusted}", f"--work-tree={self.tree}", *args, cwd=self.tree.parent)


def _remote_section(url: str) -> str:
    quoted = json.dumps(url, ensure_ascii=False)
    return f'[remote "origin"]\n\turl = {quoted}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'

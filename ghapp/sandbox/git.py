"""Bare repositories on disk, read and changed by git's plumbing.

Every call is a short synchronous process: a request handler that never awaits between reading and
writing is a transaction without a lock, and a sandbox has few clients.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ZERO = "0" * 40
_FIELDS = "%H%x1f%T%x1f%P%x1f%an%x1f%ae%x1f%aI%x1f%cn%x1f%ce%x1f%cI%x1f%B%x1e"
# Revision syntax that git understands and that is no name (git-check-ref-format(1)).
_NOT_A_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-")


class GitError(Exception):
    """git refused; the message is its own."""


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    email: str
    date: str  # RFC 3339


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder of a commit; `size` in bytes, None for folders."""

    mode: str
    kind: str
    sha: str
    size: int | None
    path: str


def environment(home: Path) -> dict[str, str]:
    """What git sees: nothing of the machine's or the user's configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


class Git:
    """The repositories below one folder, each at `owner/name.git`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._commits: dict[tuple[str, str], Commit] = {}  # seen once; commits do not change
        root.mkdir(parents=True, exist_ok=True)

    def path(self, full_name: str) -> Path:
        return self.root / f"{full_name}.git"

    def create(self, full_name: str, branch: str) -> None:
        path = self.path(full_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._call(["init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(path)])
        # GitHub serves any reachable commit by its sha, and partial clones.
        self.run(full_name, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.run(full_name, "config", "uploadpack.allowFilter", "true")

    def run(self, full_name: str, *args: str, stdin: bytes = b"") -> bytes:
        """Raises GitError when git exits with another code than 0."""
        return self._call([f"--git-dir={self.path(full_name)}", *args], stdin)

    def _call(self, args: list[str], stdin: bytes = b"") -> bytes:
        env = environment(self.root)
        done = subprocess.run(["git", *args], input=stdin, capture_output=True, env=env, check=False)
        if done.returncode:
            raise GitError(done.stderr.decode(errors="replace").strip() or f"git exit {done.returncode}")
        return done.stdout

    def resolve(self, full_name: str, ref: str) -> str | None:
        """The commit that a branch, tag or (shortened) sha names, None when there is none."""
        if (full_name, ref) in self._commits:
            return ref
        if not ref or _NOT_A_NAME.search(ref):
            return None
        for name in (ref, f"heads/{ref}"):
            try:
                args = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
                return self.run(full_name, *args).decode().split()[-1]
            except GitError:
                continue
        return None

    def refs(self, full_name: str, prefix: str = "refs/") -> dict[str, str]:
        """Full names and what they point to, by name; a prefix ends at any character."""
        out = self.run(full_name, "for-each-ref", "--format=%(objectname) %(refname)")
        pairs = (line.decode().split(" ", 1) for line in out.splitlines())
        return {name: sha for sha, name in pairs if name.startswith(prefix)}

    def branches(self, full_name: str) -> dict[str, str]:
        heads = "refs/heads/"
        return {name.removeprefix(heads): sha for name, sha in self.refs(full_name, heads).items()}

    def branches_with(self, full_name: str, sha: str) -> dict[str, str]:
        """Branches that contain the commit, with their heads."""
        form = "--format=%(objectname) %(refname:lstrip=2)"
        out = self.run(full_name, "for-each-ref", f"--contains={sha}", form, "refs/heads/")
        pairs = (line.decode().split(" ", 1) for line in out.splitlines())
        return {name: head for head, name in pairs}

    def kind(self, full_name: str, sha: str) -> str:
        return self.run(full_name, "cat-file", "-t", sha).decode().strip()

    def log(self, full_name: str, revision: str, *options: str, path: str = "") -> list[Commit]:
        """Newest first. `revision` is a sha or a range of shas; `path`: only those that touched it."""
        spec = ("--", f":(literal){path}") if path else ("--",)
        out = self.run(full_name, "log", f"--format={_FIELDS}", *options, "--end-of-options", revision, *spec)
        return [_commit(record) for record in out.decode(errors="replace").split("\x1e") if record.strip()]

    def commit(self, full_name: str, sha: str) -> Commit:
        """A commit by its whole sha."""
        key = full_name, sha
        if key not in self._commits:
            self._commits[key] = self.log(full_name, sha, "-1")[0]
        return self._commits[key]

    def touched(self, full_name: str, sha: str) -> dict[str, list[str]]:
        """Paths a commit added, removed and modified, by these words."""
        args = ("diff-tree", "--root", "--no-commit-id", "--name-status", "--no-renames", "-r", "-z", sha)
        words = self.run(full_name, *args).decode(errors="replace").split("\0")
        found: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
        for letter, path in zip(words[::2], words[1::2], strict=False):
            found[{"A": "added", "D": "removed"}.get(letter, "modified")].append(path)
        return found

    def merge_base(self, full_name: str, one: str, other: str) -> str | None:
        try:
            return self.run(full_name, "merge-base", one, other).decode().strip()
        except GitError:
            return None

    def ahead_behind(self, full_name: str, base: str, head: str) -> tuple[int, int]:
        """How many commits `head` has that `base` has not, and the other way round."""
        out = self.run(full_name, "rev-list", "--left-right", "--count", f"{base}...{head}").split()
        return int(out[1]), int(out[0])

    def tree(self, full_name: str, sha: str, path: str) -> list[Entry]:
        """The entry at `path`, or what is in it where `path` ends in "/" or is empty."""
        spec = ("--", path) if path else ()
        out = self.run(full_name, "ls-tree", "-l", "-z", "--full-tree", sha, *spec).decode(errors="replace")
        return [_entry(line) for line in out.split("\0") if line]

    def blob(self, full_name: str, sha: str) -> bytes:
        return self.run(full_name, "cat-file", "blob", sha)

    def set_ref(self, full_name: str, ref: str, sha: str | None) -> None:
        args = ("update-ref", ref, sha) if sha else ("update-ref", "-d", ref)
        self.run(full_name, *args)

    def fetch(self, full_name: str, source: str, refspec: str) -> None:
        """Take refs of another repository over."""
        self.run(full_name, "fetch", "--quiet", "--no-tags", str(self.path(source)), refspec)

    def write(
        self,
        full_name: str,
        branch: str,
        files: Mapping[str, bytes | None],
        *,
        message: str,
        author: tuple[str, str],
        at_s: int,
    ) -> str:
        """Make a commit on a branch (None removes a file) and return its sha. A new branch starts at
        the default one. Contents that begin with "#!" are executable."""
        heads = self.branches(full_name)
        start = heads.get(branch) or self.resolve(full_name, "HEAD")
        lines = [f"commit refs/heads/{branch}", f"committer {author[0]} <{author[1]}> {at_s} +0000"]
        stream = "\n".join(lines).encode() + b"\n" + _data(message.encode())
        stream += f"from {start}\n".encode() if start else b""
        for path, content in files.items():
            stream += _change(path, content)
        self.run(full_name, "fast-import", "--quiet", stdin=stream + b"\n")
        return self.branches(full_name)[branch]

    def merge(self, full_name: str, branch: str, other: str, message: str, author: tuple[str, str]) -> str:
        """Merge the commit `other` into a branch and return the new head. Raises GitError on a conflict."""
        head = self.branches(full_name)[branch]
        tree = self.run(full_name, "merge-tree", "--write-tree", head, other).decode().split()[0]
        who = ("-c", f"user.name={author[0]}", "-c", f"user.email={author[1]}")
        args = (*who, "commit-tree", tree, "-p", head, "-p", other, "-m", message)
        sha = self.run(full_name, *args).decode().strip()
        self.set_ref(full_name, f"refs/heads/{branch}", sha)
        return sha


def _commit(record: str) -> Commit:
    sha, tree, parents, an, ae, at, cn, ce, ct, message = record.lstrip("\n").split("\x1f")
    author, committer = Signature(an, ae, at), Signature(cn, ce, ct)
    return Commit(sha, tree, tuple(parents.split()), author, committer, message.rstrip("\n"))


def _entry(line: str) -> Entry:
    about, path = line.split("\t", 1)
    mode, kind, sha, size = about.split()
    return Entry(mode, kind, sha, None if size == "-" else int(size), path)


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


def _change(path: str, content: bytes | None) -> bytes:
    """One file of a commit, as git-fast-import(1) reads it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if content is None:
        return f'D "{escaped}"\n'.encode()
    mode = "100755" if content.startswith(b"#!") else "100644"
    return f'M {mode} inline "{escaped}"\n'.encode() + _data(content)

"""What a deploy command can do to its checkout."""

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.integration.workspace.repositories import git

Mess = Callable[[Path], object]


def _plant(tree: Path, name: str) -> str:
    """A program beside the work folder that leaves a mark when somebody runs it."""
    program = tree.parents[3] / name
    program.write_text(f"#!/bin/sh\necho ran >> '{tree.parents[3]}/pwned'\ncat\n")
    program.chmod(0o755)
    return str(program)


def untracked(tree: Path) -> None:
    (tree / "new").write_text("x")
    (tree / "lib/new/er").mkdir(parents=True)
    (tree / "lib/new/er/file").write_text("x")
    (tree / "empty/emptier").mkdir(parents=True)


def ignored(tree: Path) -> None:
    (tree / "cache.tmp").write_text("x")
    (tree / "build").mkdir()
    (tree / "build/out").write_text("x")


def read_only(tree: Path) -> None:
    (tree / "lib/ro/deep").mkdir(parents=True)
    (tree / "lib/ro/deep/file").write_text("x")
    for path in (tree / "lib/ro/deep/file", tree / "lib/a.py"):
        path.chmod(0o400)
    for path in (tree / "lib/ro/deep", tree / "lib/ro", tree / "lib"):
        path.chmod(0o500)


def without_any_right(tree: Path) -> None:
    (tree / "closed/in").mkdir(parents=True)
    for path in (tree / "closed/in", tree / "closed", tree / "lib"):
        path.chmod(0)


def modes(tree: Path) -> None:
    (tree / "lib").chmod(0o2777)
    (tree / "lib/a.py").chmod(0o666)
    (tree / "app.py").chmod(0o4755)
    tree.chmod(0o1777)


def attributes_of_folders(tree: Path) -> None:
    for path in (tree, tree / "lib"):
        with suppress(OSError):  # a file system without them
            os.setxattr(path, "user.left", b"x")


def pipes_and_sockets(tree: Path) -> None:
    os.mkfifo(tree / "lib/fifo")
    (tree / "app.py").unlink()
    os.mkfifo(tree / "app.py")
    folder = os.open(tree, os.O_RDONLY)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"/proc/self/fd/{folder}/socket")
    os.close(folder)


def nested_repositories(tree: Path) -> None:
    for name in ("vendor", "lib/inner", "build/inner"):
        (tree / name).mkdir(parents=True)
        git(tree / name, "init", "-q")
        (tree / name / "file").write_text("x")
        git(tree / name, "add", "-A")
        git(tree / name, "commit", "-qm", "nested")


def deep(tree: Path) -> None:
    here = Path.cwd()
    os.chdir(tree)
    for _ in range(1200):  # deeper than a recursive function, longer than a path may be
        Path("a" * 20).mkdir()
        os.chdir("a" * 20)
    Path("file").write_text("x")
    os.chdir(here)


def odd_names(tree: Path) -> None:
    for name in (b"-rf", b"new\nline", b"\xff\xfe", b" ", b".git ", b"..."):
        (tree / os.fsdecode(name)).write_text("x")


def deleted(tree: Path) -> None:
    shutil.rmtree(tree / "lib")
    (tree / "app.py").unlink()


def same_size_and_time(tree: Path) -> None:
    before = (tree / "app.py").stat()
    (tree / "app.py").write_text("evil\n")
    os.utime(tree / "app.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def folder_for_file(tree: Path) -> None:
    (tree / "app.py").unlink()
    (tree / "app.py/x").mkdir(parents=True)
    shutil.rmtree(tree / "lib")
    (tree / "lib").write_text("x")


def links_to_elsewhere(tree: Path) -> None:
    outside = tree.parents[3] / "outside"
    shutil.copytree(tree / "lib", outside)
    shutil.rmtree(tree / "lib")
    (tree / "lib").symlink_to(outside)
    (tree / "app.py").rename(outside / "app.py")
    (tree / "app.py").symlink_to(outside / "app.py")
    (tree / "more").symlink_to(outside)


def hard_links(tree: Path) -> None:
    os.link(tree / "app.py", tree.parents[3] / "linked")
    os.link(tree / "app.py", tree / "linked")


def index_flags(tree: Path) -> None:
    git(tree, "update-index", "--assume-unchanged", "app.py")
    git(tree, "update-index", "--skip-worktree", "lib/a.py")
    (tree / "app.py").write_text("hidden")
    (tree / "lib/a.py").unlink()


def excludes(tree: Path) -> None:
    for folder in (tree / ".git/info", tree.parents[3] / "home/.config/git"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "exclude").write_text("*\n")
        (folder / "ignore").write_text("*\n")
    (tree / "hidden").write_text("x")


def attributes(tree: Path) -> None:
    program = _plant(tree, "filter")
    for folder in (tree / ".git/info", tree.parents[3] / "home/.config/git"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "attributes").write_text("* filter=evil text eol=crlf ident\n")
    for config in (tree / ".git/config", tree.parents[3] / "home/.gitconfig"):
        with config.open("a") as file:
            file.write(f'[filter "evil"]\n\tsmudge = {program}\n\tclean = {program}\n\trequired = true\n')
    (tree / "app.py").unlink()


def hooks(tree: Path) -> None:
    program = _plant(tree, "hook")
    (tree / ".git/hooks").mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction", "post-merge", "pre-commit"):
        (tree / ".git/hooks" / name).symlink_to(program)


def config(tree: Path) -> None:
    program = _plant(tree, "program")
    settings = f"""[core]
\thooksPath = {tree.parents[3]}
\tfsmonitor = {program}
\tsshCommand = {program}
\tworktree = {tree.parents[3]}
\texcludesFile = {program}
[credential]
\thelper = {program}
[url "file:///nowhere"]
\tinsteadOf = file://
[include]
\tpath = {tree.parents[3]}/more
"""
    for file in (tree / ".git/config", tree.parents[3] / "home/.gitconfig"):
        with file.open("a") as stream:
            stream.write(settings)


def refs_and_objects(tree: Path) -> None:
    (tree / "app.py").write_text("mine")
    git(tree, "commit", "-qam", "mine")
    git(tree, "tag", "-f", "v1")
    git(tree, "branch", "mine")
    git(tree, "replace", "HEAD~1", "HEAD")
    git(tree, "stash", "create")
    git(tree, "gc", "-q")


def git_operations_under_way(tree: Path) -> None:
    git(tree, "worktree", "add", "-q", str(tree / "other"))
    git(tree, "bisect", "start")
    git(tree, "sparse-checkout", "set", "lib")
    (tree / ".git/MERGE_HEAD").write_text(git(tree, "rev-parse", "HEAD"))
    (tree / ".git/index.lock").touch()
    (tree / ".git/shallow").write_text(git(tree, "rev-parse", "HEAD"))


def objects_from_elsewhere(tree: Path) -> None:
    (tree / ".git/objects/info/alternates").write_text(str(tree.parents[3] / "nowhere") + "\n")


def damaged_git(tree: Path) -> None:
    for pack in (tree / ".git/objects/pack").iterdir():
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])
    (tree / ".git/index").write_text("garbage")
    (tree / ".git/HEAD").write_text("garbage")


def altered_pack(tree: Path) -> None:
    """In the last file in it, before its checksum of 20 bytes: git, asked for HEAD, does not notice."""
    for pack in (tree / ".git/objects/pack").glob("*.pack"):
        data = pack.read_bytes()
        pack.write_bytes(data[:-21] + bytes([data[-21] ^ 1]) + data[-20:])


def no_git(tree: Path) -> None:
    shutil.rmtree(tree / ".git")


def git_is_a_file(tree: Path) -> None:
    (tree / ".git").rename(tree.parents[3] / "gitdir")
    (tree / ".git").write_text(f"gitdir: {tree.parents[3]}/gitdir\n")


def git_is_a_link(tree: Path) -> None:
    (tree / ".git").rename(tree.parents[3] / "gitdir")
    (tree / ".git").symlink_to(tree.parents[3] / "gitdir")


def packs_are_a_link(tree: Path) -> None:
    (tree / ".git/objects/pack").rename(tree.parents[3] / "pack")
    (tree / ".git/objects/pack").symlink_to(tree.parents[3] / "pack")


def nothing_left(tree: Path) -> None:
    shutil.rmtree(tree)


def checkout_is_a_link(tree: Path) -> None:
    tree.rename(tree.parents[3] / "moved")
    tree.symlink_to(tree.parents[3] / "moved")


def checkout_is_a_file(tree: Path) -> None:
    shutil.rmtree(tree)
    tree.write_text("x")


def checkout_is_another(tree: Path) -> None:
    shutil.rmtree(tree)
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "app.py").write_text("other")


MESSES: list[Mess] = [
    untracked,
    ignored,
    read_only,
    without_any_right,
    modes,
    attributes_of_folders,
    pipes_and_sockets,
    nested_repositories,
    deep,
    odd_names,
    deleted,
    same_size_and_time,
    folder_for_file,
    links_to_elsewhere,
    hard_links,
    index_flags,
    excludes,
    attributes,
    hooks,
    config,
    refs_and_objects,
    git_operations_under_way,
    objects_from_elsewhere,
    damaged_git,
    altered_pack,
    no_git,
    git_is_a_file,
    git_is_a_link,
    packs_are_a_link,
    nothing_left,
    checkout_is_a_link,
    checkout_is_a_file,
    checkout_is_another,
]

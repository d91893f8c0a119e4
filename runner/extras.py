"""Submodules and Git LFS: what a plain checkout leaves out. Both use git's own commands.

They run in the checkout, with the ``.git`` that was just written, after everything else was verified.
"""

import os
from pathlib import Path

from ghapp.vcs.git_process import Git, GitFailed
from runner.checkout import Mismatch
from runner.mirror import Remote

# What `git lfs install` would write: https://github.com/git-lfs/git-lfs/blob/main/docs/man/git-lfs-install.adoc
_LFS_FILTER = """[filter "lfs"]
\tclean = git-lfs clean -- %f
\tsmudge = git-lfs smudge -- %f
\tprocess = git-lfs filter-process
\trequired = true
"""


def has_submodules(tree: Path) -> bool:
    """Whether the checkout says where submodules come from."""
    return (tree / ".gitmodules").is_file()


async def uses_lfs(git: Git, tree: Path) -> bool:
    """Whether some ``.gitattributes`` of the checkout keeps files in Git LFS."""
    if b".gitattributes" not in (tree / ".git" / "index").read_bytes():  # its entries are spelt out, in version 2
        return False
    names = await git.run("ls-files", "-z", "--", ":(glob)**/.gitattributes", cwd=tree)
    paths = [tree / os.fsdecode(name) for name in names.split(b"\0")[:-1]]
    return any(not path.is_symlink() and b"filter=lfs" in path.read_bytes() for path in paths)


async def has_lfs(git: Git) -> bool:
    """Whether ``git lfs`` is installed here."""
    try:
        await git.run("lfs", "version")
    except GitFailed:
        return False
    return True


async def update_submodules(git: Git, tree: Path, remote: Remote) -> None:
    """Checks out all submodules, from the network each time: what an earlier deploy left is gone already.

    Raises:
        GitFailed: one could not be fetched.
        Mismatch: one is not at the commit it should be at.
    """
    access = (remote.askpass, remote.protocols, remote.report)
    await git.run("submodule", "sync", "--recursive", "--quiet", cwd=tree)
    update = ("submodule", "update", "--init", "--recursive", "--force", "--progress")
    await git.run(*update, cwd=tree, askpass=access[0], protocols=access[1], report=access[2])
    for line in (await git.run("submodule", "status", "--recursive", cwd=tree)).splitlines():
        if not line.startswith(b" "):
            raise Mismatch(f"submodule {line.decode(errors='replace')!r} is not as it should be")


async def pull_lfs(git: Git, tree: Path, storage: Path, remote: Remote) -> None:
    """Replaces the LFS pointers by the files. Downloads are kept in ``storage``, which all checkouts share."""
    with (tree / ".git" / "config").open("a") as config:
        config.write(_LFS_FILTER)
    pull = ("-c", f"lfs.storage={storage}", "lfs", "pull")
    await git.run(*pull, cwd=tree, askpass=remote.askpass, protocols=remote.protocols, report=remote.report)

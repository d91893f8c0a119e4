"""Workspaces of hosts that git cannot clone: the files of the commit, written anew into an empty folder each time."""

import os
from collections.abc import Callable
from pathlib import Path

from ghapp.core.remote import RemoteError
from ghapp.vcs.provider import Tree
from runner.concurrency import in_thread, locked
from runner.tree import new_trash, remove
from runner.workspace import WorkspaceError, folder_name, unusable


async def export(
    tree: Tree, sha: str, workdir: Path, *, app: str, environment: str, progress: Callable[[str], None]
) -> Path:
    """The folder with exactly the files of the commit, in the place of a checkout (`runner.workspace`).

    Raises WorkspaceError.
    """
    place = Path(folder_name(app), folder_name(environment))
    folder, state = workdir / "checkouts" / place, workdir / "state" / place
    lock = state / "lock"
    try:
        async with locked(lock, waiting=lambda: progress("Waiting for another deploy that uses the same folder.")):
            trash = await in_thread(lambda stop: new_trash(state / "trash", stop=stop))
            await in_thread(lambda stop: remove(folder, trash=trash, stop=stop))
            folder.mkdir(parents=True)
            progress(f"Fetching {sha[:12]}")
            await tree.export(sha, folder)
            os.utime(lock)  # for `runner.housekeeping`
    except RemoteError as error:
        raise WorkspaceError(error.message) from error
    except OSError as error:
        raise WorkspaceError(unusable(error)) from error
    return folder

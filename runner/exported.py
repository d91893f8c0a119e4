"""Workspaces of hosts that git cannot clone: the files of the commit, written anew each time.

They are written beside the place of the checkout and moved there when they are complete: an export that was cancelled
may go on writing, for a thread cannot be stopped, and must not meet the next one.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

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
    lock, incoming = state / "lock", state / "incoming" / secrets.token_hex(8)
    try:
        async with locked(lock, waiting=lambda: progress("Waiting for another deploy that uses the same folder.")):
            await in_thread(lambda stop: _make_room(folder, state, stop))
            incoming.mkdir()
            progress(f"Fetching {sha[:12]}")
            await tree.export(sha, incoming)
            folder.parent.mkdir(parents=True, exist_ok=True)
            incoming.rename(folder)
            os.utime(lock)  # for `runner.housekeeping`
    except RemoteError as error:
        raise WorkspaceError(error.message) from error
    except OSError as error:
        raise WorkspaceError(unusable(error)) from error
    return folder


def _make_room(folder: Path, state: Path, stop: Event) -> None:
    remove(folder, trash=new_trash(state / "trash", stop=stop), stop=stop)
    with suppress(OSError):  # somebody still writes there: it goes another time
        new_trash(state / "incoming", stop=stop)

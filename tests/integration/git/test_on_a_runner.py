"""A runner brings credentials of its own where no token comes with the job: by every kind of remote."""

import os

import pytest

from runner.workspace import Source, WorkspaceError, Workspaces
from tests.integration.git.remotes import Remote


def workspaces(remote: Remote, **environ: str) -> Workspaces:
    home = remote.folder / "runner-home"
    home.mkdir(exist_ok=True)
    return Workspaces(remote.folder / "work", environ={"PATH": os.environ["PATH"], "HOME": str(home), **environ})


async def test_a_checkout_by_the_runners_own_credentials(any_remote: Remote) -> None:
    sha = any_remote.repo.commit({"a": "1"})
    repository = await any_remote.repository()
    source = Source(f"git/{repository.id}", repository.clone_url, sha, "main")
    said: list[str] = []
    made = workspaces(any_remote, **any_remote.environ)
    tree = await made.prepare(source, app="a", environment="e", token=lambda: None, progress=said.append)
    assert (tree / "a").read_text() == "1"


async def test_without_any_it_says_what_is_missing(by_http: Remote) -> None:
    sha = by_http.repo.commit({"a": "1"})
    repository = await by_http.repository()
    source = Source(f"git/{repository.id}", repository.clone_url, sha, "main")
    with pytest.raises(WorkspaceError, match="GIT_ASKPASS of the runner"):
        await workspaces(by_http).prepare(source, app="a", environment="e", token=lambda: None, progress=print)

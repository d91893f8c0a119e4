"""Fetching: credentials, what servers refuse, time limits, cancellation."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import ghapp.vcs.git_process
from runner.workspace import WorkspaceError, Workspaces
from tests.integration.workspace.repositories import TOKEN, GitServer, git, processes_about, serving
from tests.integration.workspace.tools import NOT_FOR_GIT, Desk, files_with

WAIT_S = 20.0


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110, processes raise no event
            await asyncio.sleep(0.01)


def _free(lock: Path) -> bool:
    """Whether nobody holds this lock, seen from another process."""
    return os.system(f"flock -n '{lock}' true") == 0


async def test_the_token_goes_to_the_server_and_nowhere_else(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.hold = True
    preparing = asyncio.create_task(remote_shop.prepare(sha))
    await asyncio.wait_for(server.holding.wait(), WAIT_S)

    seen = dict(processes_about(server.host))
    assert seen, "git was looked at while it ran"
    assert not [text for text in seen.values() if TOKEN in text or NOT_FOR_GIT in text]
    assert files_with(TOKEN, remote_shop.folder) == []
    server.released.set()
    tree = await preparing

    assert git(tree, "rev-parse", "HEAD") == sha
    assert set(server.passwords) == {TOKEN}
    assert files_with(TOKEN, remote_shop.folder.parent / "home") == files_with(TOKEN, remote_shop.folder) == []
    assert not any(TOKEN in line for line in remote_shop.said)
    assert git(tree, "remote", "get-url", "origin") == remote_shop.url


async def test_the_token_is_asked_for_only_when_the_network_is_needed(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    asked: list[str] = []

    def token() -> str:
        asked.append("asked")
        return TOKEN

    remote_shop.token = token
    await remote_shop.prepare(sha)
    requests = len(server.requests)

    await remote_shop.prepare(sha)
    await remote_shop.prepare(sha, environment="staging")

    assert asked == ["asked"]
    assert len(server.requests) == requests


@pytest.mark.parametrize("token", ["wrong", "", "with 'quotes' $(id) \\ %41 ü", None])
async def test_a_refused_token_is_said_but_not_shown(remote_shop: Desk, token: str | None) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    remote_shop.token = lambda: token

    with pytest.raises(WorkspaceError) as caught:
        await remote_shop.prepare(sha)

    assert "installed for this repository" in caught.value.message or "refused the credentials" in caught.value.message
    assert not token or token not in caught.value.message


async def test_a_token_in_an_answer_is_masked(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.echo_password = True

    with pytest.raises(WorkspaceError) as caught:
        await remote_shop.prepare(sha)

    assert "does not please me" in caught.value.message
    assert TOKEN not in caught.value.message
    assert "***" in caught.value.message


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "refused the credentials"),
        (404, "no repository at"),
        (500, "could not be reached"),
        (429, "could not be reached"),
        (502, "could not be reached"),
    ],
)
async def test_answers_of_the_server_in_words(remote_shop: Desk, server: GitServer, status: int, words: str) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.answer = status

    with pytest.raises(WorkspaceError, match=words):
        await remote_shop.prepare(sha)

    assert not any("made anew" in line for line in remote_shop.said), "nothing on the disk was to blame"


async def test_nobody_there(remote_shop: Desk) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    remote_shop.url = "http://127.0.0.1:1/shop.git"

    with pytest.raises(WorkspaceError, match="could not be reached"):
        await remote_shop.prepare(sha)


async def test_a_redirect_to_another_host_gets_no_token(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    async with serving(server.root) as other:
        server.redirect_to = other.host

        with pytest.raises(WorkspaceError, match="credentials"):
            await remote_shop.prepare(sha)

        assert other.requests
        assert other.passwords == []


@pytest.mark.parametrize(
    "branch", ["x;touch${IFS}pwned", "$(touch${IFS}pwned)", "-x", "--upload-pack=touch${IFS}pwned", "`id`"]
)
async def test_branch_names_are_only_names(
    remote_shop: Desk, server: GitServer, branch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    sha = remote_shop.repo.commit({"a": "1"})
    remote_shop.repo.git("update-ref", f"refs/heads/{branch}", sha)
    remote_shop.repo.git("update-ref", f"refs/tags/{branch}", sha)
    tip = remote_shop.repo.commit({"a": "2"})
    server.old_protocol = True

    for ref in (branch, f"refs/heads/{branch}", "main:refs/heads/main", "+*:*"):
        assert git(await remote_shop.prepare(sha, ref=ref, environment=ref), "rev-parse", "HEAD") == sha
    tree = await remote_shop.prepare(tip, ref=branch, environment=branch)

    assert git(tree, "rev-parse", "HEAD") == tip
    assert list(here.iterdir()) == []
    assert not [path for path in tmp_path.rglob("pwned") if path.is_file()]


async def test_a_server_that_refuses_bare_shas(remote_shop: Desk, server: GitServer) -> None:
    server.old_protocol = True
    inside = remote_shop.repo.commit({"a": "1"})
    tip = remote_shop.repo.commit({"a": "2"})
    remote_shop.repo.git("checkout", "-q", "-b", "other", inside)
    pull = remote_shop.repo.commit({"a": "3"})
    remote_shop.repo.git("update-ref", "refs/pull/7/head", pull)
    merge = remote_shop.repo.commit({"a": "4"})
    remote_shop.repo.git("update-ref", "refs/pull/7/merge", merge)
    remote_shop.repo.git("checkout", "-q", "main")
    remote_shop.repo.git("branch", "-D", "other")

    for sha, ref in ((inside, "main"), (pull, "topic"), (tip, "main"), (merge, "refs/pull/7/merge")):
        tree = await remote_shop.prepare(sha, ref=ref)
        assert git(tree, "rev-parse", "HEAD") == sha
    with pytest.raises(WorkspaceError, match="not in http"):
        await remote_shop.prepare("2" * 40)


async def test_branches_that_become_folders(remote_shop: Desk, server: GitServer) -> None:
    server.old_protocol = True
    first = remote_shop.repo.commit({"a": "1"})
    remote_shop.repo.git("branch", "topic")
    second = remote_shop.repo.commit({"a": "2"})
    await remote_shop.prepare(first)
    remote_shop.repo.git("branch", "-D", "topic")
    remote_shop.repo.git("branch", "topic/more")
    third = remote_shop.repo.commit({"a": "3"})

    for sha in (second, third):
        assert git(await remote_shop.prepare(sha), "rev-parse", "HEAD") == sha
    assert not any("made anew" in line for line in remote_shop.said)


async def test_cancelling_leaves_no_process_and_no_lock(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.hold = True
    preparing = asyncio.create_task(remote_shop.prepare(sha))
    await asyncio.wait_for(server.holding.wait(), WAIT_S)
    waiting = asyncio.create_task(remote_shop.prepare(sha, environment="staging"))
    await _until(lambda: any("updates the mirror" in line for line in remote_shop.said))
    locks = list(remote_shop.folder.rglob("*lock"))
    assert len(locks) == 3
    assert not any(_free(lock) for lock in locks)

    for task in (waiting, preparing):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert all(_free(lock) for lock in locks)
    await _until(lambda: not dict(processes_about(server.host)))
    server.hold = False
    assert git(await remote_shop.prepare(sha), "rev-parse", "HEAD") == sha


async def test_cancelling_at_any_moment(remote_shop: Desk) -> None:
    shas = [remote_shop.repo.commit({f"f{number}": str(number) for number in range(50 * part)}) for part in (1, 2)]
    for step in range(25):
        preparing = asyncio.create_task(remote_shop.prepare(shas[step % 2]))
        for _ in range(step * 3):
            if not preparing.done():
                await asyncio.sleep(0.001 * step)
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
        assert not dict(processes_about(str(remote_shop.folder)))
        assert all(_free(lock) for lock in remote_shop.folder.rglob("*lock") if ".git" not in str(lock))

    tree = await remote_shop.prepare(shas[1])
    assert git(tree, "rev-parse", "HEAD") == shas[1]
    assert git(tree, "status", "--porcelain", "--ignored") == ""
    assert git(tree, "fsck", "--full") == ""


async def test_a_killed_git_is_an_error_or_repaired(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.hold = True
    preparing = asyncio.create_task(remote_shop.prepare(sha))
    await asyncio.wait_for(server.holding.wait(), WAIT_S)
    for pid in dict(processes_about("fetch")):
        with suppress(ProcessLookupError, FileNotFoundError):  # that of another test may have ended
            if os.getpgid(pid) == pid and server.host in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
    server.released.set()

    assert git(await preparing, "rev-parse", "HEAD") == sha


async def test_a_long_fetch_says_how_far_it_is(
    remote_shop: Desk, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ghapp.vcs.git_process, "REPORT_S", 0.05)
    sha = remote_shop.repo.commit({"a": "1"})
    server.hold = True
    preparing = asyncio.create_task(remote_shop.prepare(sha))

    await _until(lambda: any(line.startswith("git fetch, ") for line in remote_shop.said))

    server.released.set()
    await preparing


async def test_a_fetch_that_takes_too_long(remote_shop: Desk, server: GitServer) -> None:
    sha = remote_shop.repo.commit({"a": "1"})
    server.hold = True
    hasty = Workspaces(remote_shop.folder, environ={"PATH": os.environ["PATH"]}, limit_s=2)
    remote_shop.workspaces = hasty

    with pytest.raises(WorkspaceError, match="took too long"):
        await remote_shop.prepare(sha)

    await _until(lambda: not dict(processes_about(server.host)))

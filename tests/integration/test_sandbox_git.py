"""Git against the sandbox: who may clone and push; the sandbox as a process of its own; its sample."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from ghapp.sandbox.box import SAMPLE

from .sandbox_rig import REPO, Rig, opened


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path / "gh") as made:
        yield made


class Client:
    """git as a runner uses it: the token comes through askpass."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.askpass = folder / "askpass"
        self.askpass.write_text('#!/bin/sh\ncase "$1" in User*) echo "$GIT_USER";; *) echo "$GIT_TOKEN";; esac\n')
        self.askpass.chmod(0o700)

    async def __call__(self, *args: str, token: str = "", user: str = "x-access-token") -> tuple[int, str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_ASKPASS": str(self.askpass) if token else "true",
            "GIT_USER": user,
            "GIT_TOKEN": token,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Ana",
            "GIT_AUTHOR_EMAIL": "ana@users.noreply.github.com",
            "GIT_COMMITTER_NAME": "Ana",
            "GIT_COMMITTER_EMAIL": "ana@users.noreply.github.com",
        }
        process = await asyncio.create_subprocess_exec(
            "git", *args, cwd=self.folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode()


@pytest.fixture
def git(tmp_path: Path) -> Client:
    return Client(tmp_path)


def url(rig: Rig, repository: str = REPO) -> str:
    return f"{rig.gh.git_url}/{repository}.git"


async def test_clone_with_a_token(rig: Rig, git: Client, tmp_path: Path) -> None:
    code, out = await git("clone", url(rig), "copy", token=await rig.token(permissions={"contents": "read"}))
    assert code == 0, out
    assert (tmp_path / "copy" / "site" / "index.html").read_bytes() == (SAMPLE / "site" / "index.html").read_bytes()
    assert os.access(tmp_path / "copy" / "deploy.sh", os.X_OK)
    assert (await git("-C", "copy", "rev-parse", "HEAD"))[1].strip() == rig.gh.sha(REPO)


async def test_clone_without_one_or_with_a_wrong_one(rig: Rig, git: Client) -> None:
    other = rig.gh.add_repository("acme/other", private=True)
    rig.gh.install(rig.app.id, ["acme/other"])
    narrow = await rig.token(repository_ids=[other.id])
    no_contents = await rig.token(permissions={"deployments": "write"})
    live = await rig.token()
    wrong = {
        "none": await git("clone", url(rig), "1"),
        "unknown": await git("clone", url(rig), "2", token="ghs_x"),
        "for another repository": await git("clone", url(rig), "3", token=narrow),
        "without contents:read": await git("clone", url(rig), "4", token=no_contents),
        "under another name": await git("clone", url(rig), "5", token=live, user="ana"),
        "no such repository": await git("clone", url(rig, "acme/none"), "6", token=live),
    }
    rig.gh.expire_tokens()
    wrong["expired"] = await git("clone", url(rig), "7", token=live)
    assert {why: code for why, (code, _) in wrong.items()} == dict.fromkeys(wrong, 128)
    assert "not found" in wrong["for another repository"][1].lower()
    assert (await git("clone", url(rig, "acme/other"), "8", token=rig.gh.personal_token("acme"), user="acme"))[0] == 0


async def test_public_repositories_are_open(rig: Rig, git: Client) -> None:
    rig.gh.add_repository("acme/open")
    assert (await git("clone", url(rig, "acme/open"), "copy"))[0] == 0


async def test_fetch_by_sha_and_partial_clone(rig: Rig, git: Client) -> None:
    old, token = rig.gh.sha(REPO), await rig.token()
    rig.gh.commit(REPO, "main", {"x": "1"})
    await git("init", "-q", "one")
    code, out = await git("-C", "one", "fetch", "--depth=1", url(rig), old, token=token)
    assert code == 0, out
    code, out = await git("clone", "--filter=blob:none", "--bare", url(rig), "two", token=token)
    assert (code, "filtering not recognized" in out) == (0, False)


async def test_push_is_announced(rig: Rig, git: Client, tmp_path: Path) -> None:
    ana, bob = rig.gh.personal_token("ana"), rig.gh.personal_token("bob")
    await git("clone", url(rig), "copy", token=ana, user="ana")
    # Over a megabyte git sends the pack in chunks of unknown length.
    (tmp_path / "copy" / "big").write_bytes(os.urandom(2 * 1024**2))
    await git("-C", "copy", "add", "big")
    await git("-C", "copy", "commit", "-qm", "Add something big")
    refused = await git("-C", "copy", "push", "origin", "HEAD:topic", token=bob, user="bob")
    by_app = await git("-C", "copy", "push", "origin", "HEAD:topic", token=await rig.token())
    assert (refused[0], by_app[0]) == (128, 128)
    code, out = await git("-C", "copy", "push", "origin", "HEAD:topic", token=ana, user="ana")
    assert code == 0, out
    await rig.gh.settled()
    [push] = rig.receiver.of("push")
    head = (await git("-C", "copy", "rev-parse", "HEAD"))[1].strip()
    assert (push.body["ref"], push.body["after"], push.body["sender"]["login"]) == ("refs/heads/topic", head, "ana")
    assert push.body["head_commit"]["added"] == ["big"]
    shown = await rig.call("GET", f"/repos/{REPO}/commits/topic", ana)
    assert shown.body["author"]["login"] == "ana"


async def test_faults_reach_git(rig: Rig, git: Client) -> None:
    token = await rig.token()
    rig.gh.faults.answer("POST", r".*/git-upload-pack", 500)
    assert (await git("clone", url(rig), "1", token=token))[0] == 128
    assert (await git("clone", url(rig), "2", token=token))[0] == 0


async def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ghapp.sandbox", "--folder", str(tmp_path), "--private"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        about = json.loads(line)
        secrets = [Path(about[name]) for name in about if name.endswith("_file")]
        assert [path.stat().st_mode & 0o777 for path in secrets] == [0o600] * 3
        assert not any(path.read_text() in line.decode() for path in secrets)
        token = Path(about["user_token_file"]).read_text()
        headers = {"Authorization": f"token {token}", "User-Agent": "tests"}
        body = {"ref": "main", "environment": "staging"}
        async with aiohttp.ClientSession(headers=headers) as http:
            async with http.post(f"{about['api_url']}/repos/{about['repository']}/deployments", json=body) as made:
                assert made.status == 201
            async with http.get(f"{about['control_url']}/repos/{about['repository']}/deployments") as listed:
                assert [one["environment"] for one in await listed.json()] == ["staging"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def deploy(target: str | None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"]} | ({"DEPLOY_TARGET": target} if target else {})
    command = [str(SAMPLE / "deploy.sh"), "staging", "abc123"]
    return subprocess.run(command, cwd=SAMPLE, env=env, capture_output=True, text=True, check=False)


def test_the_sample_really_deploys(tmp_path: Path) -> None:
    for _ in range(2):
        done = deploy(str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert 8 <= len(done.stdout.splitlines()) <= 10
    live = tmp_path / "staging" / "current"
    assert live.readlink() == Path("releases/abc123")
    assert (live / "index.html").read_bytes() == (SAMPLE / "site" / "index.html").read_bytes()


def test_the_sample_says_what_is_missing(tmp_path: Path) -> None:
    unset, absent = deploy(None), deploy(str(tmp_path / "none"))
    assert (unset.returncode, absent.returncode) == (1, 1)
    assert "DEPLOY_TARGET is not set" in unset.stderr
    assert f"{tmp_path}/none does not exist" in absent.stderr

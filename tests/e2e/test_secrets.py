"""Whose secret is seen where: not in the command, not in logs, not in files, not in what processes show."""

import re
from pathlib import Path

import aiohttp

from tests.e2e import processes
from tests.e2e.people import ADMIN
from tests.e2e.rig import HELD, RUNNER, World

NOSY = f"""
env
git config --list --show-origin || true
cat .git/config 2>/dev/null || true
cat /proc/$PPID/environ 2>&1 | tr '\\0' '\\n'
{HELD}
"""


def _secrets(world: World) -> dict[str, str]:
    """What must not be seen, by a name that may."""
    tokens = {f"token {number}": value for number, value in enumerate(world.github.world.state.tokens, 1)}
    key = world.settings["GITHUB_PRIVATE_KEY"].splitlines()[2]
    hook = world.settings["GITHUB_WEBHOOK_SECRET"]
    client = world.settings["GITHUB_CLIENT_SECRET"]
    tokens |= {"client secret": client}
    return {**tokens, "private key": key, "webhook secret": hook, "admin token": ADMIN, "runner token": RUNNER}


def _found(secrets: dict[str, str], content: bytes) -> list[str]:
    return [name for name, value in secrets.items() if value.encode() in content]


def _files(world: World) -> list[Path]:
    theirs = world.folder / "github"
    return [path for path in world.folder.rglob("*") if path.is_file() and not path.is_relative_to(theirs)]


async def _sign_in(world: World) -> list[str]:
    """As ana, with GitHub, by what a browser would follow; the secrets that were on the way."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{world.url}/auth/github", params={"next": "/hello"}) as asked:
            fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', await asked.text()))
        url = f"{world.github.url}/login/oauth/authorize"
        async with browser.post(url, data={**fields, "login": "ana"}) as back:
            html = await back.text()
            assert back.status == 200 and back.url.path == "/hello" and "Signed in as ana" in html, html
            return [
                asked.url.query["state"],
                *(one.url.query["code"] for one in back.history if "code" in one.url.query),
            ]


async def test_no_secret_is_seen(small: World) -> None:
    """The command prints all it can find; then every file, every log and every process is searched."""
    small.script(NOSY)
    deployment = small.deploy()
    await small.command_pid(1)
    on_the_way = await _sign_in(small)
    assert len(on_the_way) == 2
    for pid in processes.naming(small.folder):
        assert _found(_secrets(small), processes.arguments(pid).encode()) == [], processes.arguments(pid)
    for path in _files(small):
        if _found(_secrets(small), path.read_bytes()):  # what a restarted runner needs; its own alone
            assert path.stat().st_mode & 0o077 == 0, path
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"
    await small.shows(deployment, "success")
    await small.told()
    log = await small.log(1)
    assert "KEDGE_LOG_URL=" in log and "PYTHONUNBUFFERED=1" in log and "KEDGE_SHA=" in log
    assert "KEDGE_RUNNER_TOKEN" not in log and "KEDGE_URL=" not in log
    assert len(_secrets(small)) >= 6
    assert _found(_secrets(small), log.encode()) == []
    assert small.runner
    await small.runner.stop(patience_s=10)
    for path in _files(small):
        assert _found(_secrets(small), path.read_bytes()) == [], path
        assert not [one for one in on_the_way if one.encode() in path.read_bytes()], path
    git = [one for one in small.github.requests if ".git/" in one.path]
    assert git and all("@" not in one.path for one in git)

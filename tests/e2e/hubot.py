"""A real Hubot of today with Kedge's script, spoken to through its shell."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ghapp.sandbox.children import INHERITED
from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import AS_ADMIN, WITHIN_S
from tests.e2e.rig import World

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "tests/hubot/node_modules/hubot/bin/Hubot.mjs"
SCRIPTS = ROOT / "manifests/hubot"
#: The shell shows a prompt first when all scripts are loaded, and what is said in bold.
_PROMPT = re.compile(rb"bot> ")
_REPLY = re.compile(rb"\x1b\[1malice: (.*?)\x1b\[22m\n", re.DOTALL)


def node() -> str:
    """The path of node; skips where Hubot cannot run."""
    found = shutil.which("node")
    if found is None or not INSTALLED.exists():
        pytest.skip("Hubot is not installed here: `make hubot` does it, with node and npm")
    return found


class Hubot:
    """A running one. Who speaks is ``alice``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said = b""

    async def told(self, text: str) -> str:
        """What it replies to a line."""
        assert self._process.stdin
        self._process.stdin.write(f"bot {text}\n".encode())
        return (await self.until(_REPLY, text))[1].decode()

    async def until(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """Read on until it has said this."""
        assert self._process.stdout
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (found := pattern.search(self._said)):
                    more = await self._process.stdout.read(1 << 16)
                    assert more, "it ended"
                    self._said += more
        except (TimeoutError, AssertionError) as error:
            raise AssertionError(f"no reply to {what!r} ({error}): {self._said.decode()}") from error
        self._said = self._said[found.end() :]
        return found


@asynccontextmanager
async def running(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Hubot]:
    """A Hubot with these settings of the script."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    shell = {"HUBOT_SHELL_USER_NAME": "alice", "HUBOT_LOG_LEVEL": "fatal"}
    folder.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(node(), str(INSTALLED), "-a", "Shell", "-n", "bot", "-d", "-r", str(SCRIPTS)),
        cwd=folder,
        env={**inherited, **shell, **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        hubot = Hubot(process)
        await hubot.until(_PROMPT, "the start")
        yield hubot
    finally:
        process.kill()
        await process.communicate()


async def settings_of(world: World) -> dict[str, str]:
    """Deploys as the account ``hubot``, and asks Kedge with a token of its own."""
    node()
    world.github.set_permission(REPOSITORY, "hubot", "write")
    wanted = {"name": "hubot", "owner": "hubot", "scopes": ["read", "lock"]}
    async with world.session.post(f"{world.url}/api/0/tokens", json=wanted, headers=AS_ADMIN) as response:
        assert response.status == 201, await response.text()
        token = (await response.json())["token"]
    return {
        "KEDGE_URL": world.url,
        "KEDGE_TOKEN": token,
        "HUBOT_GITHUB_TOKEN": world.github.personal_token("hubot"),
        "GITHUB_API_URL": world.github.api_url,
    }

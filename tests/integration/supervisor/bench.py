"""A bench for supervisors: real commands, and what is left of them."""

import asyncio
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner import journal, processes, procfs
from runner.journal import Command, Entry, Journal, Result, shell_argv

PYTHON = f"{sys.executable} -I -S -c"
FOR_EVER_S = 600.0

IGNORING = "trap '' TERM INT HUP;"
HARD_TO_KILL = {
    "ignores TERM": f"{IGNORING} touch ready; while :; do sleep 600; done",
    "double fork": f"{IGNORING} (sh -c '(touch ready; exec sleep 600) &' &) ; sleep 600",
    "own sessions": f"{IGNORING} for i in 1 2 3 4 5 6 7 8 9; do setsid sleep 600 & done; touch ready; sleep 600",
    "two hundred": f"""{IGNORING} for i in $(seq 200); do setsid sh -c '(sleep 600 &)' & done; wait
touch ready; sleep 600""",
    "no environment": f"{IGNORING} setsid env -i sleep 600 >/dev/null & env -i sleep 600 & touch ready; wait",
    "forks in a loop": f"{IGNORING} touch ready; while :; do setsid sh -c '(sleep 600 &)' & sleep 0.01; done",
    "forks and exits": f"""{IGNORING} {PYTHON} 'import os
while True:
    if os.fork():
        os._exit(0)' & touch ready; while :; do sleep 600; done""",
    "forks, leaves, exits": f"""{IGNORING} {PYTHON} 'import os
while True:
    if os.fork():
        os._exit(0)
    os.setsid()' & touch ready; while :; do sleep 600; done""",
}


async def until(condition: Callable[[], Any], what: str, limit_s: float = 60.0) -> None:
    """Wait for a condition; fail with what it was."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():  # noqa: ASYNC110  other processes set no asyncio.Event
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {limit_s:g} s: {what}")


def living(deploy_id: str) -> list[procfs.Process]:
    """Every process that carries the deploy's id."""
    mark = f"KEDGE_DEPLOY_ID={deploy_id}".encode()
    return [p for p in procfs.table().values() if p.alive and mark in procfs.environ(p.pid)]


@dataclass
class Bench:
    """Starts commands under supervisors; `folder` is their working directory."""

    folder: Path
    journal: Journal
    begun: list[Entry] = field(default_factory=list)

    def prepare(self, command: str | list[str], *, good_for_s: float = 30, **settings: Any) -> Entry:
        deploy_id = uuid.uuid4().hex
        entry = self.journal.create(deploy_id, uuid.uuid4().hex, b"{}")
        values: dict[str, Any] = {
            "deploy_id": deploy_id,
            "argv": shell_argv(command) if isinstance(command, str) else tuple(command),
            "cwd": str(self.folder),
            "env": {"PATH": os.environ["PATH"]},
            "timeout_s": FOR_EVER_S,
            "silence_s": None,
            "grace_s": FOR_EVER_S,
        }
        entry.write_command(Command(**values | settings))
        entry.write_starting(journal.boot_id(), journal.boottime_ns() + int(good_for_s * 1e9))
        self.begun.append(entry)
        return entry

    async def start(self, command: str | list[str], **settings: Any) -> Entry:
        entry = self.prepare(command, **settings)
        await processes.launch(entry)
        return entry

    async def start_ready(self, command: str, **settings: Any) -> Entry:
        """Start a command, and wait until it has made the file `ready`."""
        entry = await self.start(command, **settings)
        await until((self.folder / "ready").exists, f"ready: {said(entry)!r} {entry.read_result()}")
        return entry

    async def run(self, command: str | list[str], **settings: Any) -> tuple[Result, str]:
        entry = await self.start(command, **settings)
        return await ended(entry), said(entry)


async def ended(entry: Entry) -> Result:
    async with asyncio.timeout(60):
        result = await processes.wait(entry)
    assert result is not None, (entry.path / "supervisor.log").read_text()
    return result


def said(entry: Entry) -> str:
    return entry.output.read_text() if entry.output.exists() else ""


def deploy_id_of(entry: Entry) -> str:
    return entry.read_command().deploy_id


def supervisor_of(entry: Entry) -> int:
    started = entry.read_started()
    assert started is not None
    assert started.pid
    return started.pid

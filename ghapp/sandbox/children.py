"""The processes of the demo: started on loopback, watched, and ended without leaving anything behind."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

#: What a child gets of the environment it is started from; settings of another Kedge must not leak in.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """A Python module that runs as its own process, in a session of its own; its output goes to a file.

    ``folder`` is where it runs, and where modules are looked for first.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: list[str],
        settings: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._folder = folder
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {key: os.environ[key] for key in INHERITED if key in os.environ} | dict(settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is the demo's to hear, which ends its children in order
            )

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.returncode if self._process else None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return await self._process.wait()

    async def stop(self, patience_s: float) -> None:
        """Ask it to end, ask again, then make it end."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                return
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await process.wait()

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

"""Checks as a command of the operator's tells them, where the host knows of none or of the wrong ones.

It prints a line for each check: ``name state``, or ``name state url``.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ghapp.core.checks import Check, CheckState
from ghapp.core.commands import BASE
from ghapp.core.remote import Unavailable

WITHIN_S = 30.0
MOST_BYTES = 1 << 20
REAPED_WITHIN_S = 2.0
#: As GitHub's: https://docs.github.com/en/rest/checks/runs
_STATES = {
    "success": CheckState.SUCCESS,
    "neutral": CheckState.SUCCESS,
    "skipped": CheckState.SUCCESS,
    "pending": CheckState.PENDING,
    "failure": CheckState.FAILURE,
}


def parse(output: str) -> list[Check]:
    """Pure. Raises ValueError, a sentence that shows the line that is none; of one name the last line counts."""
    found: dict[str, Check] = {}
    for line in filter(str.strip, output.splitlines()):
        name, *rest = line.split()
        if len(rest) not in {1, 2} or rest[0] not in _STATES:
            raise ValueError(f"checks_command printed {line[:100]!r}; a line is: name {'|'.join(_STATES)} [url].")
        found[name] = Check(f"command/{name}", name, _STATES[rest[0]], url=rest[1] if len(rest) > 1 else None)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class ChecksCommand:
    """See `ghapp.vcs.provider.Checks`. ``command`` is for /bin/sh, its variables replaced; ``variables`` are those that
    stand in its environment."""

    command: str
    variables: dict[str, str] = field(default_factory=dict)

    async def checks(self, sha: str) -> Sequence[Check]:
        """Raises Unavailable, whatever is wrong: the gate stays closed and says so, and it is asked again."""
        try:
            return parse((await self._output()).decode())
        except ValueError as error:  # not UTF-8 is one
            raise Unavailable(str(error)) from None

    async def _output(self) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**{name: os.environ[name] for name in BASE if name in os.environ}, **self.variables},
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"checks_command could not be run: {error}.") from error
        try:
            async with asyncio.timeout(WITHIN_S):
                output = await _read(process)
                code = await process.wait()
        except TimeoutError:
            raise Unavailable(f"checks_command did not end within {WITHIN_S:g} s.") from None
        finally:
            with suppress(ProcessLookupError):  # nothing of it is left, whatever it started
                os.killpg(process.pid, signal.SIGKILL)
            await _reaped(process)
        if code:
            raise Unavailable(f"checks_command ended with exit code {code}.")
        return output


async def _reaped(process: asyncio.subprocess.Process) -> None:
    """asyncio takes note of an end only when the pipe is at its end, so that what is still in it has to be read. What
    left the process group can keep it open."""
    assert process.stdout  # noqa: S101  it was asked for
    with suppress(TimeoutError):
        async with asyncio.timeout(REAPED_WITHIN_S):
            while await process.stdout.read(1 << 16):
                pass
            await process.wait()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout  # noqa: S101  it was asked for
    output = b""
    while part := await process.stdout.read(1 << 16):
        output += part
        if len(output) > MOST_BYTES:
            raise Unavailable(f"checks_command printed more than {MOST_BYTES} bytes.")
    return output

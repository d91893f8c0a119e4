"""Runs git, for the app and for a runner: nothing inherited from the machine or the user but what lets it in, a time
limit, and output without secrets."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

LIMIT_S = 600.0
REPORT_S = 10.0
_TAIL_BYTES = 16_384
#: So long git's end is followed by that of its stderr at most, where others hold it still.
_STDERR_S = 1.0
_LEFTOVERS = (
    "*.lock",
    "refs/**/*.lock",
    "objects/pack/tmp_*",
    "objects/pack/.tmp-*",
    "objects/tmp_*",
    "objects/??/tmp_*",
)
_TAKEN_OVER = (
    "PATH",
    "HOME",
    "LANG",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "NO_PROXY",
    "no_proxy",
)

# How git is let in where Kedge brings no token: https://git-scm.com/docs/git#_git
_OWN = ("GIT_ASKPASS", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK")

# Given to every git on its command level, which is stronger than any file: whatever an earlier deploy wrote
# into a config does not reach the commands the runner trusts. https://git-scm.com/docs/git-config
_CONFIG = {
    "credential.helper": "",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",  # else ~/.config/git/attributes, whatever GIT_CONFIG_GLOBAL says
    "core.excludesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.checkStat": "default",
    "core.trustCtime": "true",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "index.version": "2",  # the one that git_index reads, with its checksum
    "index.skipHash": "false",
    "feature.manyFiles": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # one pack per fetch, never loose objects: packs are what checkouts copy
    "gc.auto": "0",
    "maintenance.auto": "false",
}


@dataclass(frozen=True, slots=True)
class Askpass:
    """What a git process is given to be let in: variables, inherited descriptors, and the texts to mask in its
    output."""

    env: Mapping[str, str]
    fds: tuple[int, ...] = ()
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Askpass(fds={self.fds})"


#: Whatever git asks is answered with a refusal.
NOBODY = Askpass(MappingProxyType({"GIT_ASKPASS": "/bin/false"}))


def own_credentials(environ: Mapping[str, str]) -> Askpass:
    """Those of this process's user, in git's own terms: a program that answers its questions, ssh's agent, how ssh is
    called. ssh's default keys need no word."""
    return Askpass({**NOBODY.env, **{name: environ[name] for name in _OWN if name in environ}})


class GitFailed(Exception):
    """git ended with an error, or ran into its time limit, then without ``code``. ``stderr`` is masked and cut to its
    end."""

    def __init__(self, command: str, stderr: str, *, code: int | None = None, timed_out: bool = False) -> None:
        super().__init__(f"git {command} failed")
        self.command = command
        self.stderr = stderr
        self.code = code
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Git:
    """The git of this machine, with a known environment.

    ``env`` comes from :func:`clean_environment`; ``limit_s`` is how many seconds one process may take.
    """

    env: Mapping[str, str]
    limit_s: float = LIMIT_S

    async def run(
        self,
        *args: str,
        cwd: Path | None = None,
        askpass: Askpass = NOBODY,
        protocols: str = "",
        report: Callable[[str], None] | None = None,
    ) -> bytes:
        """Runs one git command and returns its stdout.

        ``protocols`` are those it may use, separated by colons (``GIT_ALLOW_PROTOCOL``); ``report`` is called
        every ten seconds with a line about how far it is. Cancelled, the command and all that it started are
        killed before this returns.

        Raises:
            GitFailed: it failed, or took longer than ``limit_s``.
        """
        running = _Running(_command_of(args), askpass.secrets)
        await asyncio.get_running_loop().subprocess_exec(
            lambda: running,
            "git",
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=cwd,
            env={**self.env, **askpass.env, **_reach(protocols)},
            pass_fds=askpass.fds,
            start_new_session=True,
        )
        try:
            return await running.result(self.limit_s, report)
        finally:
            await running.end()


@dataclass(slots=True, eq=False)
class _Running(asyncio.SubprocessProtocol):
    """`asyncio.subprocess.Process` would not know of git's end before all pipes are at theirs, and what git has started
    may keep stderr open: ssh's master, say."""

    command: str
    secrets: tuple[str, ...]
    process: asyncio.SubprocessTransport = field(init=False)
    stdout: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    at_end: dict[int, asyncio.Event] = field(default_factory=lambda: {1: asyncio.Event(), 2: asyncio.Event()})
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)  # noqa: S101, so says subprocess_exec
        self.process = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.stdout += data
            return
        self.tail += data
        del self.tail[:-_TAIL_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.at_end[fd].set()

    def process_exited(self) -> None:
        self.exited.set()

    async def result(self, limit_s: float, report: Callable[[str], None] | None) -> bytes:
        work = asyncio.ensure_future(self._output())
        try:
            await self._watch(work, limit_s, report)
        finally:
            work.cancel()
        self.ended = True
        if code := self.process.get_returncode():
            raise GitFailed(self.command, self._said(), code=code)
        return bytes(self.stdout)

    async def _watch(self, work: asyncio.Future[None], limit_s: float, report: Callable[[str], None] | None) -> None:
        waited_s = 0.0
        while not work.done():
            if waited_s >= limit_s:
                raise GitFailed(self.command, self._said(), timed_out=True)
            step_s = min(REPORT_S, limit_s - waited_s)
            await asyncio.wait({work}, timeout=step_s)
            waited_s += step_s
            if report and not work.done():
                newest = re.split(r"[\r\n]+", self._said().strip())[-1]
                report(f"git {self.command}, {waited_s:.0f} s so far: {newest}".rstrip(": "))

    async def _output(self) -> None:
        await self.at_end[1].wait()
        await self.exited.wait()
        await self._let_go()

    async def _let_go(self) -> None:
        """Until nothing that was started holds stderr, if that is soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STDERR_S):
                await self.at_end[2].wait()

    def _said(self) -> str:
        return mask(self.tail.decode(errors="replace"), self.secrets)

    async def end(self) -> None:
        """Kills the process group if git did not come to its own end.

        KILL and not TERM: what git leaves half done (lock files, temporary packs) is swept away before the
        next use in any case, and nothing needs to be waited for.
        """
        if not self.ended:
            with suppress(ProcessLookupError):
                os.killpg(self.process.get_pid(), signal.SIGKILL)
            await self.exited.wait()
            await self._let_go()
        self.process.close()


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every git process, from that of this one.

    Only the search path, the home (ssh looks there), the language, proxies and the file of certificate
    authorities are taken over.
    """
    taken = {name: environ[name] for name in _TAKEN_OVER if name in environ}
    if "SSL_CERT_FILE" in environ:
        taken["GIT_SSL_CAINFO"] = environ["SSL_CERT_FILE"]
    fixed = {
        "LC_ALL": "C",  # the messages are matched, see git_errors
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    }
    return taken | fixed | _config_variables(_CONFIG)


def sweep(repository: Path) -> None:
    """Deletes what a killed git has left in a bare repository. No other may be at work there."""
    for pattern in _LEFTOVERS:
        for path in repository.glob(pattern):
            path.unlink(missing_ok=True)


def lines(said: str) -> list[str]:
    """What git printed, split at its newlines only: the name of a ref may contain U+2028 and its like, which end a line
    for Python too."""
    return [line for line in said.split("\n") if line]


def mask(text: str, secrets: tuple[str, ...]) -> str:
    """``text`` with every secret replaced by asterisks."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _config_variables(config: Mapping[str, str]) -> dict[str, str]:
    """Config as variables, which reach the git processes that git itself starts, for submodules too."""
    variables = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _reach(protocols: str) -> dict[str, str]:
    """What is to stay on this machine does not ask the remote of a partial clone for what is missing either: git would
    start itself again and again. https://git-scm.com/docs/git#Documentation/git.txt-codeGITNOLAZYFETCHcode"""
    return {"GIT_ALLOW_PROTOCOL": protocols} if protocols else {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}


def _command_of(args: tuple[str, ...]) -> str:
    return next((arg for arg in args if not arg.startswith("-") and "=" not in arg), "")

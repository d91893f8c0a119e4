"""``kedge`` in this process, as a process of its own, or on a terminal; and an API that answers as scripted."""

import asyncio
import contextlib
import fcntl
import io
import os
import pty
import re
import signal
import struct
import sys
import termios
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ghapp.__main__ import main

WITHIN_S = 60.0
TOKEN = "token-of-ana-0123456789abcdef"


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


def environment(url: str | None, **variables: str) -> dict[str, str]:
    """Nothing of the surrounding one but what a program needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    where = {"KEDGE_URL": url, "KEDGE_TOKEN": TOKEN} if url else {}
    return {"HOME": "/nonexistent", "COLUMNS": "160", **kept, **where, **variables}


async def kedge(url: str | None, *words: str, stdin: str = "", **variables: str) -> Done:
    """Run it in a thread of this process, which is quick."""
    return await asyncio.to_thread(_call, words, stdin, environment(url, **variables))


class _Captured(io.TextIOWrapper):
    """What this thread writes; what others write (the app logs in its own) goes where it went before."""

    def __init__(self, before: TextIO) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)
        self._before = before
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        return super().write(text) if threading.get_ident() == self._thread else self._before.write(text)

    def written(self) -> str:
        self.flush()
        self.seek(0)
        return self.read()


def _call(words: Sequence[str], stdin: str, variables: Mapping[str, str]) -> Done:
    out, err = _Captured(sys.stdout), _Captured(sys.stderr)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in set(os.environ) - set(variables):
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.written(), err.written())


async def kedge_process(url: str | None, *words: str, stdin: str = "", **variables: str) -> Done:
    """Run it as a process of its own, to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ghapp", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(url, **variables),
    )
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(errors="replace"), err.decode())


@dataclass
class Running:
    """A command that goes on; ``screen`` is all that it has written, escape sequences too, ``text`` is without."""

    process: asyncio.subprocess.Process
    screen: str = ""
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def feed(self, data: bytes) -> None:
        self.screen += data.decode(errors="replace")
        self._more.set()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen)

    async def shows(self, text: str) -> None:
        """Wait until it has written that."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while text not in self.text:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} is not on the screen: {self.text[-2000:]}") from None

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def ends(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()


def _hears_ctrl_c() -> None:
    """As in a shell, whatever started the tests: what runs in the background ignores it, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@asynccontextmanager
async def on_terminal(url: str, *words: str, **variables: str) -> AsyncIterator[Running]:
    """Run it on a pseudo-terminal of 100 × 30."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    kept = environment(url, TERM="xterm-256color", **variables)
    del kept["COLUMNS"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ghapp", *words),
        stdin=its,
        stdout=its,
        stderr=its,
        env=kept,
        preexec_fn=_hears_ctrl_c,
    )
    os.close(its)
    running = Running(process)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # the other side is closed: https://man7.org/linux/man-pages/man4/pts.4.html
            data = b""
        if data:
            running.feed(data)
        else:
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        with contextlib.suppress(ValueError):
            loop.remove_reader(ours)
        os.close(ours)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeKedge:
    """Answers each call as scripted, the last answer again and again. A call that is not scripted is a breach."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    _answers: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))

    def on(self, call: str, *answers: Answer, only: bool = False) -> None:
        """``call`` is ``GET /api/0/apps``. ``only``: instead of what was scripted before."""
        if only:
            self._answers[call].clear()
        self._answers[call].extend(answers)

    def calls(self, call: str) -> list[Asked]:
        return [one for one in self.asked if f"{one.method} {one.path}" == call]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        sent = msgspec.json.decode(body) if body else None
        self.asked.append(Asked(request.method, request.path_qs, dict(request.headers), sent))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.breaches.append(f"{request.path} without the token")
        answers = self._answers.get(f"{request.method} {request.path_qs}")
        if not answers:
            self.breaches.append(f"{request.method} {request.path_qs} is not expected")
            return web.Response(status=500)
        return await (answers.popleft() if len(answers) > 1 else answers[0])(request)


@asynccontextmanager
async def fake_kedge() -> AsyncIterator[FakeKedge]:
    fake = FakeKedge()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/")).rstrip("/")
        yield fake
    assert not fake.breaches


def says(value: object, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""

    async def answer(_: web.Request) -> web.Response:
        body = msgspec.json.encode(value)
        return web.Response(body=body, status=status, content_type="application/json", headers=headers)

    return answer


def refuses(status: int, code: str, message: str, hint: str | None = None, **facts: object) -> Answer:
    """An error in Kedge's shape."""
    headers = {"Retry-After": "7"} if status == 429 else {}
    return says({"error": {"code": code, "message": message, "hint": hint, **facts}}, status, **headers)


def html(status: int, **headers: str) -> Answer:
    """As something before Kedge answers."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>", status=status, content_type="text/html", headers=headers)

    return answer


def cut() -> Answer:
    """The connection is closed instead of an answer."""

    async def answer(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    return answer


def streams(*pieces: str, then: Callable[[], Awaitable[object]] | None = None) -> Answer:
    """Server-sent events as written here; the connection then ends, or when ``then`` has."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece.encode())
        if then:
            await then()
        if request.transport:
            request.transport.abort()
        return response

    return answer

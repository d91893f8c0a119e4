"""Repositories to deploy from, and a server for them that wants a token; for tests."""

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "ghs_Secret0123456789abcdef"
_AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def git(folder: Path, *args: str, check: bool = True) -> str:
    """Runs the git of this machine in a folder, without its user's configuration."""
    clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(["git", *args], cwd=folder, env=clean | _AUTHOR, check=check, capture_output=True)
    return done.stdout.decode(errors="surrogateescape").strip()


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository with a work tree; ``commit`` makes its files exactly what it is given, and more."""

    path: Path

    @classmethod
    def create(cls, path: Path, *options: str) -> "Repo":
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "main", *options)
        return cls(path)

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *args: str) -> str:
        return git(self.path, *args)

    def commit(self, files: dict[str, str | None], message: str = "change") -> str:
        """Writes the files (``None`` removes one), commits, and returns the sha."""
        for name, text in files.items():
            path = self.path / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@dataclass(slots=True)
class GitServer:
    """``git http-backend`` behind a token. ``answer`` is the status that is sent instead of everything, ``hold`` stops
    downloads."""

    root: Path
    port: int = 0
    old_protocol: bool = False
    answer: int | None = None
    echo_password: bool = False
    redirect_to: str | None = None
    hold: bool = False
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    passwords: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, repo: Repo) -> str:
        return f"{self.host}/{repo.path.relative_to(self.root)}/.git"

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        password = _password(request)
        self.passwords += [password] if password else []
        if self.redirect_to:
            raise web.HTTPFound(self.redirect_to + request.path_qs)
        if self.answer:
            return web.Response(status=self.answer)
        if password and self.echo_password:
            return web.Response(status=403, text=f"the password {password} does not please me\n")
        if password != TOKEN:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        if self.hold and request.method == "POST":
            self.holding.set()
            await self.released.wait()
        return await self._backend(request)

    async def _backend(self, request: web.Request) -> web.Response:
        body = await request.read()
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": "",
            "REMOTE_USER": "x-access-token",
        }
        if not self.old_protocol:
            variables["GIT_PROTOCOL"] = request.headers.get("Git-Protocol", "")
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=variables
        )
        output, _ = await process.communicate(body)
        head, _, content = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=content)


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[GitServer]:
    """Serves all repositories below ``root`` on loopback."""
    server = GitServer(root)
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", server.serve)
    async with TestServer(app, host="127.0.0.1") as http:
        assert http.port
        server.port = http.port
        yield server
        server.released.set()


def processes_about(text: str) -> Iterator[tuple[int, str]]:
    """Processes whose arguments contain the text, with all their arguments and environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace")
            if text in arguments:
                yield int(folder.name), arguments + (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue


def _password(request: web.Request) -> str | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return base64.b64decode(value).decode().partition(":")[2] if kind == "Basic" else None

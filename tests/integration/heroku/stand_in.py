"""Heroku's Platform API on loopback: as strict as its reference, and with the failures that a test asks for.

https://devcenter.heroku.com/articles/platform-api-reference
"""

import asyncio
import hashlib
import io
import tarfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

KEY = "HRKU-0123456789abcdef"
APP = "hello-production"
WHEN = "2026-11-23T12:00:00Z"


def _id() -> str:
    return str(uuid.uuid4())


@dataclass
class StandIn:
    """``violations`` are requests that Heroku would have refused, or that say too much; a test wants none.

    ``cut`` counts requests, by kind, whose connections are still to be cut; ``limited`` those of paths with
    ``limited_at`` that are still to meet the rate limit; ``answering`` holds back the answer to who asks for a build.
    """

    url: str = ""
    build_fails: bool = False
    release_fails: bool = False
    limited: int = 0
    limited_at: str = ""
    retry_after: str | None = None
    held: asyncio.Event | None = None
    answering: asyncio.Event | None = None
    cut: Counter[str] = field(default_factory=Counter)
    uploads: dict[str, bytes] = field(default_factory=dict)
    builds: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    building: asyncio.Event = field(default_factory=asyncio.Event)

    def files(self, build: int) -> dict[str, str]:
        """What was uploaded for a build."""
        archive = self.uploads[self.builds[build]["source_blob"]["url"].rpartition("/")[2]]
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            read = {one.name: tar.extractfile(one) for one in tar.getmembers() if one.isfile()}
            return {name: file.read().decode() for name, file in read.items() if file}

    async def sources(self, _: web.Request) -> web.Response:
        name = _id()
        self.uploads[name] = b""
        blob = {"put_url": f"{self.url}/upload/{name}", "get_url": f"{self.url}/download/{name}"}
        return web.json_response({"source_blob": blob}, status=201)

    async def upload(self, request: web.Request) -> web.Response:
        if "Authorization" in request.headers or request.headers.get("Content-Type"):
            self.violations.append("an upload with Authorization or a Content-Type: the signed address does not fit")
            return web.Response(status=403)
        self.uploads[request.match_info["name"]] = await request.read()
        return web.Response(status=200)

    async def build(self, request: web.Request) -> web.Response:
        asked = await request.json()
        blob = asked.get("source_blob", {})
        data = self.uploads.get(str(blob.get("url")).rpartition("/")[2], b"")
        if set(asked) != {"source_blob"} or set(blob) != {"url", "checksum", "version"} or not data:
            self.violations.append(f"a build with {asked}")
            return error(422, "invalid_params", "Invalid source_blob.")
        if blob["checksum"] != f"SHA256:{hashlib.sha256(data).hexdigest()}":
            return error(422, "invalid_params", "Checksum does not match.")
        made = {
            "app": {"id": _id()},
            "buildpacks": None,
            "created_at": WHEN.replace("00Z", f"{len(self.builds):02}Z"),
            "id": _id(),
            "output_stream_url": f"{self.url}/streams/build-{len(self.builds)}",
            "release": None,
            "slug": None,
            "source_blob": {"url": blob["url"], "version": blob["version"], "checksum": blob["checksum"]},
            "stack": "heroku-24",
            "status": "pending",
            "updated_at": WHEN,
            "user": {"id": _id(), "email": "ana@example.com"},
        }
        self.builds.append(made)
        self.asked.set()
        if self.answering:
            await self.answering.wait()
        return web.json_response(made, status=201)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """It ends when what it tells of has ended. Range is not heeded."""
        kind, _, number = request.match_info["name"].partition("-")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        if kind == "build":
            await response.write(b"-----> Building on the Heroku-24 stack\n")
            if self.cuts(request, "stream"):
                return response
            self.building.set()
            if self.held:
                await self.held.wait()
            self._built(self.builds[int(number)])
            await response.write(b"-----> Compressing...\n")
        else:
            await response.write(b"Running migrations\n")
            self.releases[int(number)]["status"] = "failed" if self.release_fails else "succeeded"
        return response

    def _built(self, build: dict[str, Any]) -> None:
        if build["status"] == "pending":
            build["status"] = "failed" if self.build_fails else "succeeded"
        if build["status"] == "succeeded":
            build["slug"] = {"id": _id()}
            build["release"] = {"id": self._release(build["slug"], phase=True)["id"]}

    def _release(self, slug: Any, *, phase: bool) -> dict[str, Any]:
        number = len(self.releases)
        made = {
            "addon_plan_names": [],
            "app": {"name": APP, "id": _id()},
            "created_at": WHEN,
            "current": False,
            "description": "Deploy",
            "id": _id(),
            "output_stream_url": f"{self.url}/streams/release-{number}" if phase else None,
            "slug": slug,
            "status": "pending" if phase else "succeeded",
            "updated_at": WHEN,
            "user": {"id": _id(), "email": "ana@example.com"},
            "version": number + 1,
        }
        self.releases.append(made)
        return made

    async def one_build(self, request: web.Request) -> web.Response:
        return found(self.builds, request)

    async def all_builds(self, request: web.Request) -> web.Response:
        """Two pages, so that who lists has to go on."""
        first = "Range" not in request.headers
        if first and len(self.builds) > 1:
            headers = {"Next-Range": "id ]x..; max=1000", "Content-Range": "id a..x"}
            return web.json_response(self.builds[:1], status=206, headers=headers)
        return web.json_response(self.builds[0 if first else 1 :])

    def cuts(self, request: web.Request, kind: str) -> bool:
        if not self.cut[kind]:
            return False
        self.cut[kind] -= 1
        assert request.transport is not None
        request.transport.close()
        return True

    async def cancel_build(self, request: web.Request) -> web.Response:
        if not request.headers["Accept"].endswith(".cancel-build"):
            return error(404, "not_found", "The requested API endpoint was not found.")
        for build in self.builds:
            if build["id"] == request.match_info["id"]:
                build["status"] = "failed"
                self.cancelled.append(build["id"])
        return found(self.builds, request)

    async def one_release(self, request: web.Request) -> web.Response:
        return found(self.releases, request)

    async def roll_back(self, request: web.Request) -> web.Response:
        asked = await request.json()
        earlier = next((one for one in self.releases if one["id"] == asked.get("release")), None)
        if set(asked) != {"release"} or earlier is None:
            self.violations.append(f"a release with {asked}")
            return error(422, "invalid_params", "Invalid release.")
        return web.json_response(self._release(earlier["slug"], phase=False), status=201)


def error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"id": code, "message": message}, status=status)


def found(items: list[dict[str, Any]], request: web.Request) -> web.Response:
    for one in items:
        if one["id"] == request.match_info["id"]:
            return web.json_response(one)
    return error(404, "not_found", "Couldn't find that build.")


@asynccontextmanager
async def serving() -> AsyncIterator[StandIn]:
    heroku = StandIn()

    @web.middleware
    async def let_in(request: web.Request, handler: Any) -> web.StreamResponse:
        if heroku.cuts(request, request.method):
            return web.Response()
        if request.path.startswith(("/upload/", "/streams/")):
            return await handler(request)  # type: ignore[no-any-return]
        if heroku.limited and heroku.limited_at in request.path:
            heroku.limited -= 1
            answer = error(429, "rate_limit", "Your account reached the API rate limit.")
            if heroku.retry_after is not None:
                answer.headers["Retry-After"] = heroku.retry_after
            return answer
        accepted = request.headers.get("Accept", "").removesuffix(".cancel-build")
        if accepted != "application/vnd.heroku+json; version=3":
            heroku.violations.append(f"{request.path} without the version in Accept")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return error(401, "unauthorized", "Invalid credentials provided.")
        if request.match_info.get("app") != APP:
            return error(404, "not_found", "Couldn't find that app.")
        return await handler(request)  # type: ignore[no-any-return]

    app = web.Application(middlewares=[let_in])
    app.add_routes(
        [
            web.post("/apps/{app}/sources", heroku.sources),
            web.put("/upload/{name}", heroku.upload),
            web.post("/apps/{app}/builds", heroku.build),
            web.get("/apps/{app}/builds", heroku.all_builds),
            web.get("/apps/{app}/builds/{id}", heroku.one_build),
            web.delete("/apps/{app}/builds/{id}", heroku.cancel_build),
            web.get("/apps/{app}/releases/{id}", heroku.one_release),
            web.post("/apps/{app}/releases", heroku.roll_back),
            web.get("/streams/{name}", heroku.stream),
        ]
    )
    server = TestServer(app)
    await server.start_server()
    heroku.url = str(server.make_url("")).rstrip("/")
    try:
        yield heroku
    finally:
        if heroku.held:
            heroku.held.set()
        await server.close()

"""Runners: what each may take, when it was last seen, what it runs."""

import msgspec
from aiohttp import web

from ghapp.api import shapes
from ghapp.api.common import CONTEXT, READER, json_response
from ghapp.api.params import NoParams
from ghapp.api.routing import Route
from ghapp.core.times import rfc3339
from ghapp.service import runners
from ghapp.service.runners import SeenRunner
from ghapp.service.seeing import Seen


class Runner(msgspec.Struct, frozen=True, kw_only=True):
    """``apps`` and ``environments`` are what it may take, null: every one. ``here``: it was heard of within the last
    minute. ``deploys`` are what it prepares and runs."""

    name: str
    labels: list[str]
    apps: list[str] | None
    environments: list[str] | None
    version: str
    last_seen: str | None
    here: bool
    deploys: list[shapes.Deploy]


class RunnerPage(msgspec.Struct, frozen=True):
    items: list[Runner]
    next: str | None


async def list_runners(request: web.Request, _: NoParams) -> web.Response:
    ctx = request.app[CONTEXT]
    found = await runners.seen(ctx, request[READER])
    return json_response(RunnerPage([_runner(ctx.url, one) for one in found], None))


def _runner(base_url: str, seen: SeenRunner) -> Runner:
    return Runner(
        name=seen.runner.name,
        labels=list(seen.runner.labels),
        apps=None if seen.apps is None else list(seen.apps),
        environments=None if seen.environments is None else list(seen.environments),
        version=seen.runner.version,
        last_seen=rfc3339(seen.runner.seen_at),
        here=seen.here,
        deploys=[shapes.deploy(base_url, Seen(one)) for one in seen.deploys],
    )


ROUTES = (
    Route(
        method="GET",
        path="/api/0/runners",
        handler=list_runners,
        summary="Runners, what they may take, when they were last seen and what they run.",
        takes=NoParams,
        answers={200: RunnerPage},
    ),
)

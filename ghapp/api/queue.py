"""The line of each environment, in order, with positions and estimates."""

from itertools import islice
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, shapes
from ghapp.api.common import CONTEXT, READER, json_response
from ghapp.api.params import PRODUCTION, Name
from ghapp.api.routing import Route
from ghapp.core import estimates
from ghapp.core.times import rfc3339
from ghapp.service import queueing


class QueueParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``cursor`` is the ``next`` of the page before; the line may have moved since."""

    env: Annotated[Name, PRODUCTION] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class Estimate(msgspec.Struct, frozen=True):
    """By the median of what the same task took there before."""

    starts_at: str | None
    ends_at: str | None


class QueuedDeploy(shapes.Deploy, frozen=True, kw_only=True):
    """``position`` is null for what is claimed or runs, or is out of the line. ``estimate`` is null where nobody can
    know."""

    estimate: Estimate | None


class QueuePage(msgspec.Struct, frozen=True):
    """One environment after the other; in each what is claimed or runs, the line in order, and what is out of it."""

    items: list[QueuedDeploy]
    next: str | None


async def get_queue(request: web.Request, given: QueueParams) -> web.Response:
    ctx, reader, app = request.app[CONTEXT], request[READER], request.match_info["app"]
    start = parameters.below(given.cursor) or 0
    stop = start + given.limit
    found = await ctx.stores.main.read(lambda tx: queueing.queue(tx, ctx, app, stop + 1, given.env, reader))
    items = [_queued(ctx.url, one) for one in islice(found, start, stop)]
    return json_response(QueuePage(items, parameters.as_cursor(stop) if stop < len(found) else None))


def _queued(base_url: str, one: queueing.InLine) -> QueuedDeploy:
    shown = msgspec.structs.asdict(shapes.deploy(base_url, one.seen))
    return QueuedDeploy(**shown, estimate=_estimate(one.estimate) if one.estimate else None)


def _estimate(one: estimates.Estimate) -> Estimate:
    return Estimate(rfc3339(one.starts_at), rfc3339(one.ends_at))


ROUTES = (
    Route(
        method="GET",
        path="/api/0/{app}/queue",
        handler=get_queue,
        summary="What runs and the line of each environment, in order, with positions and estimates.",
        takes=QueueParams,
        answers={200: QueuePage},
        narrowed=True,
    ),
)

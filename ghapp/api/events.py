"""Live events, and the audit: who did what, when, from where, by which door."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, streaming
from ghapp.api.common import ACTOR, CONTEXT, READER, json_response
from ghapp.api.params import Name
from ghapp.api.routing import Route, Text
from ghapp.api.streaming import Stream
from ghapp.core import timeline
from ghapp.core.times import rfc3339
from ghapp.service import seeing, watching
from ghapp.service.watching import Search
from ghapp.store.events import Recorded


class EventParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``after`` is the id of the last event that is known already, as is the header Last-Event-ID; without either it
    begins now."""

    app: Name | None = None
    after: Annotated[int, Meta(ge=0, le=parameters.MOST)] | None = None


class AuditParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters; ``cursor`` is the ``next`` of the page before."""

    app: Name | None = None
    who: Name | None = None
    kind: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``deploy`` is its number. Without an ``app`` it concerns everything; ``message`` says in words what happened."""

    id: int
    at: str | None
    kind: str
    who: str | None
    app: str | None
    environment: str | None
    deploy: int | None
    message: str


class AuditEvent(LiveEvent, frozen=True, kw_only=True):
    """``door`` is null for what Kedge did by itself, ``address`` is the client's. ``data`` is what was recorded."""

    door: str | None
    address: str | None
    data: dict[str, Any]


class AuditPage(msgspec.Struct, frozen=True):
    items: list[AuditEvent]
    next: str | None


async def follow_events(request: web.Request, given: EventParams) -> web.StreamResponse:
    ctx = request.app[CONTEXT]
    if given.app is not None:
        wanted = given.app
        seeing.check_sees(request[READER], wanted)
        await ctx.stores.main.read(lambda tx: seeing.known_app(tx, ctx, wanted))
    start = await watching.newest_id(ctx) if given.after is None else given.after
    follower = _Follower(request, given.app, streaming.resumed(request, start))
    return await streaming.follow(request, ("changes",), follower.look)


async def list_audit(request: web.Request, given: AuditParams) -> web.Response:
    search = Search(
        app=given.app, who=given.who, kind=given.kind, before=parameters.below(given.cursor), limit=given.limit
    )
    page = await watching.audit(request.app[CONTEXT], request[ACTOR], search)
    return json_response(AuditPage([_audited(one) for one in page.items], parameters.as_cursor(page.next)))


class _Follower:
    """Follows all events and sends those that its client wants and may see at the moment."""

    def __init__(self, request: web.Request, app: str | None, after: int) -> None:
        self._request = request
        self._app = app
        self._after = after

    async def look(self, stream: Stream) -> bool:
        """Send what is new. There is always more to come."""
        ctx, whoever = self._request.app[CONTEXT], (self._request[READER], self._request[ACTOR])
        while found := await watching.since(ctx, self._after):
            for event in found:
                if self._app in {None, event.app} and any(watching.visible(event, one) for one in whoever):
                    await stream.event(msgspec.json.encode(_live(event)).decode(), id=event.id)
                self._after = event.id
        return False


def _told(event: Recorded) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "who": event.who,
        "app": event.app,
        "environment": event.environment,
        "deploy": event.number,
        "message": timeline.told(event.kind, event.who, event.data),
    }


def _live(event: Recorded) -> LiveEvent:
    return LiveEvent(**_told(event))


def _audited(event: Recorded) -> AuditEvent:
    return AuditEvent(**_told(event), door=event.door, address=event.address, data=event.data)


ROUTES = (
    Route(
        method="GET",
        path="/api/0/events",
        handler=follow_events,
        summary="What happens, as server-sent events: the id is the event's, the data a LiveEvent as JSON.",
        takes=EventParams,
        answers={200: Text(("text/event-stream",))},
        narrowed=True,
        refusals=("not_found",),
        headers=("Last-Event-ID",),
    ),
    Route(
        method="GET",
        path="/api/0/audit",
        handler=list_audit,
        summary="Who did what, when, from where, by which door; newest first.",
        takes=AuditParams,
        answers={200: AuditPage},
        scope="admin",
        refusals=("not_found",),
    ),
)

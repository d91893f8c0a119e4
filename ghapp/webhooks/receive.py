"""``POST /webhooks/{provider}``: verify, dedupe, store, answer. Nothing is parsed and no work is done before."""

from aiohttp import web

from ghapp.api.common import CONTEXT, error_response
from ghapp.service.problems import Problem
from ghapp.store import inbox
from ghapp.vcs.provider import Unsigned

#: GitHub caps payloads at 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads
SIZE_LIMIT = 25 * 1024 * 1024


async def receive(request: web.Request) -> web.Response:
    """202 stored, 200 already known, 401 bad signature, 404 no such provider, 413 too large."""
    ctx = request.app[CONTEXT]
    sender = request.match_info["provider"]
    try:
        provider = ctx.providers.get(sender)
        if provider is None or provider.webhooks is None:
            raise Problem("not_found", "Kedge takes no deliveries here.")
        if (request.content_length or 0) > SIZE_LIMIT:
            raise Problem("too_large", f"A delivery is at most {SIZE_LIMIT} bytes.")
        body = await _read(request)
        received = provider.webhooks.receive(request.headers, body)
    except Problem as problem:
        return error_response(problem)
    except Unsigned as unsigned:
        return error_response(Problem("unauthorized", unsigned.message, hint=unsigned.hint))
    except ValueError as error:
        return error_response(Problem("bad_request", str(error)))
    now = ctx.now()
    new = await ctx.stores.main.write(lambda tx: inbox.store(tx, sender, received.guid, received.event, body, now))
    if not new:
        return web.Response(status=200, text="already known\n")
    ctx.signals.send("inbox")
    return web.Response(status=202, text="stored\n")


async def _read(request: web.Request) -> bytes:
    """The raw body, refused as soon as it grows too large."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_chunked(1 << 16):
        size += len(part)
        if size > SIZE_LIMIT:
            raise Problem("too_large", f"A delivery is at most {SIZE_LIMIT} bytes.")
        parts.append(part)
    return b"".join(parts)


def routes() -> list[web.RouteDef]:
    return [web.post("/webhooks/{provider}", receive)]

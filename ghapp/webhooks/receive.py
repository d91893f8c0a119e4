"""``POST /webhooks/github``: verify, dedupe, store, answer. Nothing is parsed and no work is done before."""

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web

from ghapp.api.common import CONTEXT, SETTINGS, error_response
from ghapp.service.problems import Problem
from ghapp.store import inbox

#: GitHub caps payloads at 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads
SIZE_LIMIT = 25 * 1024 * 1024
NAME_LIMIT = 100


def signed_by(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Is ``sha256=HEX`` the HMAC of the raw body by any of the secrets? Every secret is tried, in constant time.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    given = signature.encode(errors="surrogateescape")
    digests = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    matches = [hmac.compare_digest(f"sha256={digest}".encode(), given) for digest in digests]
    return any(matches)


async def receive(request: web.Request) -> web.Response:
    """202 stored, 200 already known, 401 bad signature, 413 too large."""
    settings, ctx = request.app[SETTINGS], request.app[CONTEXT]
    secrets = settings.github.webhook_secrets if settings.github else ()
    guid, event = request.headers.get("X-GitHub-Delivery", ""), request.headers.get("X-GitHub-Event", "")
    try:
        if (request.content_length or 0) > SIZE_LIMIT:
            raise Problem("too_large", f"A delivery is at most {SIZE_LIMIT} bytes.")
        body = await _read(request)
        if not signed_by(body, request.headers.get("X-Hub-Signature-256", ""), secrets):
            hint = "The webhook secret of the GitHub App must be in GITHUB_WEBHOOK_SECRET."
            raise Problem("unauthorized", "The signature X-Hub-Signature-256 does not fit.", hint=hint)
        if not guid or not event or len(guid) > NAME_LIMIT or len(event) > NAME_LIMIT:
            raise Problem("bad_request", "The headers X-GitHub-Delivery and X-GitHub-Event are needed.")
    except Problem as problem:
        return error_response(problem)
    now = ctx.now()
    new = await ctx.stores.main.write(lambda tx: inbox.store(tx, "github", guid, event, body, now))
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
    return [web.post("/webhooks/github", receive)]

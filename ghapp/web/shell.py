"""What every page shares: the templates, the headers, and how a refusal looks."""

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ghapp.api.common import ACTOR, CONTEXT, READER, SETTINGS, Handler, headers_of
from ghapp.api.sessions import SESSION, csrf_token
from ghapp.core import own_config, sentences, timeline
from ghapp.core.actors import NOBODY
from ghapp.core.times import rfc3339
from ghapp.service import seeing
from ghapp.service.problems import CODES, Problem
from ghapp.store.base import Unavailable

log = structlog.get_logger(__name__)

#: Nothing inline, nothing from elsewhere: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
#: Their callers are programs and get the one error shape, or plain text.
NO_PAGES = ("/api/", "/webhooks/", "/healthz", "/readyz", "/metrics")
_CODE = re.compile(r"`+([^`]+)`+")


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``: every answer carries the headers. What is static may be kept."""
    for name, value in _HEADERS.items():
        if name != "Cache-Control" or not request.path.startswith("/static/"):
            response.headers.setdefault(name, value)


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A refusal of a page is a page, with the sentence that says why."""
    if request.path.startswith(NO_PAGES):
        return await handler(request)
    try:
        return await handler(request)
    except Problem as problem:
        response = refusal(request, CODES[problem.code], problem.message, problem.hint)
        response.headers.update(headers_of(problem))
        return response
    except Unavailable:
        log.exception("database unavailable", path=request.path)
        return refusal(request, 503, "The database cannot be reached now.", "Try again in a moment.")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        message = {404: "There is no such page.", 405: "This page cannot be asked for in that way."}
        response = refusal(request, error.status, message.get(error.status, f"{error.reason}."))
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
        return response
    except Exception:
        log.exception("page failed", method=request.method, path=request.path)
        return refusal(request, 500, "Kedge failed to show this page; its log says why.")


def refusal(request: web.Request, status: int, message: str, hint: str | None = None) -> web.Response:
    return page(request, "refusal.html", status, message=message, hint=hint)


def page(request: web.Request, template: str, status: int = 200, **values: object) -> web.Response:
    """Render a template. It also gets who looks (``actor``), ``csrf``, ``now`` (ms) and ``config_problem``."""
    ctx, session = request.app[CONTEXT], request.get(SESSION)
    actor = request.get(ACTOR, NOBODY)
    text = (
        _templates()
        .get_template(template)
        .render(
            actor=actor,
            csrf=csrf_token(request.app[SETTINGS], session) if session else "",
            now=ctx.now(),
            config_problem=seeing.config_problem(ctx, request.get(READER, NOBODY)),
            **values,
        )
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def part(template: str, **values: object) -> Markup:
    """Something that a page may hold, rendered by itself."""
    return Markup(_templates().get_template(template).render(**values))  # noqa: S704


def link(*parts: object) -> str:
    """A path of which every part is percent-encoded."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def outside(url: str | None) -> str | None:
    """An address that came from elsewhere, if it may be linked: ``javascript:`` may not."""
    try:
        return url if url and urlsplit(url).scheme in {"http", "https"} else None
    except ValueError:
        return None


def size(count: int) -> str:
    """``120 bytes``, ``3.4 MiB``."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def marked(text: str) -> Markup:
    """Text in which a name stands between backticks, as in the code that it comes from."""
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(one) if at % 2 else escape(one) for at, one in enumerate(_CODE.split(text)))


@lru_cache(1)
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("ghapp", "web/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        clock=sentences.clock,
        duration=sentences.duration,
        short=sentences.short,
        rfc3339=rfc3339,
        outside=outside,
        size=size,
        marked=marked,
    )
    found.globals.update(
        own_config_path=own_config.PATH, link=link, told=timeline.told, ended=sentences.ended, ready=sentences.ready
    )
    return found

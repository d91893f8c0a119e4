"""The route table of the pages."""

from pathlib import Path

from aiohttp import web

from ghapp.web import docs, pages, sign_in

STATIC = Path(__file__).parent / "static"


def routes() -> list[web.AbstractRouteDef]:
    return [web.static("/static", STATIC), *sign_in.ROUTES, *docs.routes(), *pages.ROUTES]

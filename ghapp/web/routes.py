"""The route table of the pages."""

from pathlib import Path

from aiohttp import web

from ghapp.web import docs, pages, provider_sign_in, setup, sign_in

STATIC = Path(__file__).parent / "static"


def routes() -> list[web.AbstractRouteDef]:
    static = web.static("/static", STATIC)
    return [static, *sign_in.ROUTES, *provider_sign_in.ROUTES, *setup.ROUTES, *docs.routes(), *pages.ROUTES]

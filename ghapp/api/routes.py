"""The route table of the API, without the runner's calls."""

from aiohttp import web

from ghapp.api import apps, deploys, health, log


def routes() -> list[web.RouteDef]:
    return [*health.ROUTES, *apps.ROUTES, *deploys.ROUTES, *log.ROUTES]

"""The route table of the API, without the runner's calls."""

from aiohttp import web

from ghapp.api import acting, apps, deploys, health, log, releases


def routes() -> list[web.RouteDef]:
    return [*health.ROUTES, *apps.ROUTES, *deploys.ROUTES, *acting.ROUTES, *log.ROUTES, *releases.ROUTES]

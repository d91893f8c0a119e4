"""The route table of the API, without the runner's calls."""

from aiohttp import web

from ghapp.api import acting, apps, deploys, health, locks, log, releases, tokens


def routes() -> list[web.RouteDef]:
    tables = (health, apps, deploys, acting, locks, releases, tokens, log)
    return [route for table in tables for route in table.ROUTES]

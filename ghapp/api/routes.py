"""The route table of the API: what is served, who may, what is checked and what is documented."""

from typing import Any

from aiohttp import web

from ghapp.api import (
    acting,
    apps,
    deploys,
    docs,
    events,
    health,
    locks,
    log,
    metrics,
    openapi,
    queue,
    releases,
    rollback,
    runner,
    runners,
    tokens,
)
from ghapp.api.routing import Route

#: Every row. Each is written in the module of its noun, beside the types that it checks and answers with.
ROUTES: tuple[Route[Any], ...] = (
    *apps.ROUTES,
    *deploys.ROUTES,
    *log.ROUTES,
    *acting.ROUTES,
    *rollback.ROUTES,
    *queue.ROUTES,
    *locks.ROUTES,
    *releases.ROUTES,
    *events.ROUTES,
    *runners.ROUTES,
    *tokens.ROUTES,
    *runner.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *docs.ROUTES,
)


def install(app: web.Application) -> None:
    """Serve the table, and the document that is made from it."""
    app[docs.DOCUMENT] = openapi.document(ROUTES)
    app.add_routes([route.definition() for route in ROUTES])

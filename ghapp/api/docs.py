"""The OpenAPI document, as it is served."""

from typing import Any

from aiohttp import web

from ghapp.api.common import json_response
from ghapp.api.params import AnyParams
from ghapp.api.routing import Document, Route

#: The document of the table that the application serves.
DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("document", dict)


async def get_document(request: web.Request, _: AnyParams) -> web.Response:
    return json_response(request.app[DOCUMENT])


ROUTES = (
    Route(
        method="GET",
        path="/api/0/openapi.json",
        handler=get_document,
        summary="This document.",
        takes=AnyParams,
        answers={200: Document()},
        scope=None,
    ),
)

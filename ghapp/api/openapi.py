"""The OpenAPI document, made from the route table and the types that check requests. Pure.

https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ghapp.api.routing import Route, Text

_VARIABLE = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{name}"

#: What the variables of paths stand for.
VARIABLES: dict[str, dict[str, Any]] = {
    "app": {"type": "string", "description": "The app's name."},
    "number": {"type": "integer", "minimum": 1, "description": "The deploy's number within its app."},
    "env": {"type": "string", "description": "The environment's name or an alias of it."},
    "sha": {"type": "string", "description": "A commit's sha, also abbreviated, or a ref."},
    "id": {"type": "integer", "minimum": 1},
}

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What went wrong, as a sentence."},
                "hint": {"type": ["string", "null"], "description": "What to do next."},
            },
        }
    },
}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document. ``version`` is the program's."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.1",
        "info": {"title": "Kedge", "version": version, "description": "Times are RFC 3339 UTC."},
        "paths": paths,
        "components": {
            "schemas": {**components, "ErrorBody": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    types: dict[type, None] = {}
    for route in routes:
        answered = (one for one in route.answers.values() if isinstance(one, type))
        types.update(dict.fromkeys(one for one in (route.params, route.body, *answered) if one))
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(zip(types, found, strict=True)), components


def _operation(route: Route, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, schemas),
        "security": [{"token": []}] if route.scope else [],
    }
    if route.body:
        content = {"schema": schemas[route.body]}
        kinds = ("application/json", "application/x-www-form-urlencoded")
        operation["requestBody"] = {"required": False, "content": dict.fromkeys(kinds, content)}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": VARIABLES[name]}
        for name in _VARIABLE.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.params is None:
        return []
    (schema,), components = msgspec.json.schema_components([route.params], ref_template=_REF)
    shape = components[schema["$ref"].rpartition("/")[2]]
    return [
        {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": _plain(given)}
        for name, given in shape["properties"].items()
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is optional may be left out."""
    choices: list[dict[str, Any]] = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        return choices[0]
    return {key: value for key, value in schema.items() if key != "default" or value is not None}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in route.headers]


def _responses(route: Route, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, answer in route.answers.items():
        responses[str(status)] = {"description": route.summary, **_content(answer, schemas)}
    needs = (401, 403, 429) if route.scope else ()
    named = (404,) if _VARIABLE.search(route.path) else ()
    checked = (400, 413, 422) if route.params or route.body else ()
    error = {"application/json": {"schema": {"$ref": _REF.format(name="ErrorBody")}}}
    for status in sorted({*needs, *named, *checked, *route.refusals, 503}):
        responses.setdefault(str(status), {"description": "Refused; the sentence says why.", "content": error})
    return responses


def _content(answer: type | Text | None, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if answer is None:
        return {}
    if isinstance(answer, Text):
        return {"content": {media: {"schema": {"type": "string"}} for media in answer.media}}
    return {"content": {"application/json": {"schema": schemas[answer]}}}

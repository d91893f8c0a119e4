"""The OpenAPI document, made from the route table and the types that check requests. Pure.

https://spec.openapis.org/oas/v3.1.1.html; the role that a token needs stands where its section on security
requirements says (4.8.30).
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ghapp.api.routing import NAME_LIMIT, Answer, Document, Route, Sent, Text
from ghapp.service.problems import CODES

_VARIABLE = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{name}"
_OBJECTS = ("application/json", "application/x-www-form-urlencoded")


def _variable(description: str, example: str | int, **schema: object) -> dict[str, Any]:
    return {**schema, "description": description, "examples": [example]}


#: What the variables of paths stand for.
VARIABLES: dict[str, dict[str, Any]] = {
    "app": _variable("The app's name.", "shop", type="string", minLength=1, maxLength=NAME_LIMIT),
    "number": _variable("The deploy's number within its app.", 42, type="integer", minimum=1),
    "env": _variable("The environment's name or an alias of it.", "production", type="string", minLength=1),
    "sha": _variable("A commit's sha, also abbreviated, or a ref.", "6dcb09b", type="string", minLength=1),
    "id": _variable("As a listing or a claim told it.", 7, type="integer", minimum=1),
}

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {
                "code": {"type": "string", "enum": [*CODES, "method_not_allowed"]},
                "message": {"type": "string", "description": "What went wrong, as a sentence."},
                "hint": {"type": ["string", "null"], "description": "What to do next."},
                "field": {"type": ["string", "null"], "description": "The parameter that it is about."},
            },
        }
    },
}

_TOKEN_OF = {
    None: "Open to everybody.",
    "token": "Takes any token.",
    "lease": "Takes the lease of the deploy in place of a token.",
}


#: https://html.spec.whatwg.org/multipage/server-sent-events.html: one event of the stream.
_TEXTS: dict[str, dict[str, Any]] = {
    "text/event-stream": {
        "type": "object",
        "required": ["data"],
        "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    }
}

#: Of the API, as its paths begin.
VERSION = "0"


def document(routes: Sequence[Route[Any]]) -> dict[str, Any]:
    """The whole document."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Kedge",
            "version": VERSION,
            "description": "Times are RFC 3339 UTC. Lists are pages: `next` is the `cursor` of the next one.",
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "ErrorBody": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(routes: Iterable[Route[Any]]) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    types: dict[type, None] = {}
    for route in routes:
        types.update(dict.fromkeys(one for one in route.answers.values() if isinstance(one, type)))
        if route.sent in {Sent.FIELDS, Sent.JSON}:
            types[route.takes] = None
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(zip(types, found, strict=True)), components


def _operation(route: Route[Any], schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    token = _TOKEN_OF.get(route.scope) or f"Takes a token with the scope {route.scope}."
    takes = inspect.cleandoc(route.takes.__doc__ or "") if msgspec.structs.fields(route.takes) else ""
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "summary": route.summary,
        "description": f"{token} {takes}".strip(),
        "tags": [_tag(route)],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, schemas),
        "security": [{"token": [route.scope]}] if route.scope else [],
    }
    if body := _body(route, schemas):
        operation["requestBody"] = body
    return operation


def _tag(route: Route[Any]) -> str:
    """By which the docs page groups: the noun of the path."""
    if route.scope in {"runner", "lease"}:
        return "runner"
    words = [word for word in route.path.removeprefix("/api/0").split("/") if word and not word.startswith("{")]
    return words[0] if words else "apps"


def _body(route: Route[Any], schemas: dict[type, dict[str, Any]]) -> dict[str, Any] | None:
    if route.sent is Sent.JSON:
        return {"required": True, "content": {"application/json": {"schema": schemas[route.takes]}}}
    if route.sent is Sent.BYTES:
        return {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    if route.sent is Sent.FIELDS and msgspec.structs.fields(route.takes):
        return {"required": False, "content": {kind: {"schema": schemas[route.takes]} for kind in _OBJECTS}}
    return None


def _path_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": VARIABLES[name]}
        for name in _VARIABLE.findall(route.path)
    ]


def _query_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    """What a body may give as well is not required in the query."""
    if route.sent is Sent.JSON:
        return []
    (schema,), components = msgspec.json.schema_components([route.takes], ref_template=_REF)
    shape = components[schema["$ref"].rpartition("/")[2]]
    required = shape.get("required", ()) if route.sent is not Sent.FIELDS else ()
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(given, components)}
        for name, given in shape["properties"].items()
    ]


def _without_null(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is optional may be left out. Its enumerations stand in place."""
    if "$ref" in schema:
        return _without_null(components[schema["$ref"].rpartition("/")[2]], components)
    rest = {key: value for key, value in schema.items() if key != "default" or value is not None}
    if "anyOf" not in rest:
        return rest
    choices = [_without_null(one, components) for one in rest.pop("anyOf") if one != {"type": "null"}]
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}


def _header_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": name, "in": "header", "required": False, "schema": schema} for name in route.headers]


def refusals(route: Route[Any]) -> list[str]:
    """The codes of all refusals of a route."""
    codes = {"unavailable", *route.refusals}
    if route.scope:
        codes |= {"unauthorized", "forbidden", "rate_limited"}
    if route.scope in {"read", "deploy", "lock", "admin"} and "{app}" in route.path:
        codes |= {"provider"}  # of a session: who can read the app's repository is asked there
    if _VARIABLE.search(route.path):
        codes |= {"not_found"}
    if msgspec.structs.fields(route.takes) or route.takes.__struct_config__.forbid_unknown_fields:
        codes |= {"invalid"}
    if route.sent is not Sent.QUERY:
        codes |= {"bad_request", "too_large", "invalid"}
    return [code for code in CODES if code in codes]


def _responses(route: Route[Any], schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {"description": route.summary, **_content(answer, schemas)}
        for status, answer in route.answers.items()
    }
    error = {"application/json": {"schema": {"$ref": _REF.format(name="ErrorBody")}}}
    by_status: dict[int, list[str]] = {}
    for code in refusals(route):
        by_status.setdefault(CODES[code], []).append(f"`{code}`")
    for status, codes in sorted(by_status.items()):
        responses.setdefault(str(status), {"description": f"Refused: {', '.join(codes)}.", "content": error})
    return responses


def _content(answer: Answer, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if answer is None:
        return {}
    if isinstance(answer, Text):
        return {"content": {media: {"schema": _TEXTS.get(media, {"type": "string"})} for media in answer.media}}
    schema = {"type": "object"} if isinstance(answer, Document) else schemas[answer]
    return {"content": {"application/json": {"schema": schema}}}

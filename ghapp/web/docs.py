"""The API for people: the OpenAPI document as a page."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from markupsafe import Markup

from ghapp.api.common import CONTEXT
from ghapp.api.docs import DOCUMENT
from ghapp.web.shell import page, part

Schema = Mapping[str, Any]

#: Scope -> the variable of the shell that holds what is sent in Authorization; else KEDGE_TOKEN.
_VARIABLES = {"runner": "KEDGE_RUNNER_TOKEN", "lease": "LEASE"}
_BYTES = "application/octet-stream"
_JSON = "application/json"
_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Parameter:
    """``where``: path, query, header, body; ``query or body`` where either may give it."""

    name: str
    where: str
    required: bool
    schema: Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, as the page shows it. ``scope``: what a token must be good for, empty where none is needed.
    ``media``: how a body may be sent. ``responses`` are those of the document, by status."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    scope: str
    parameters: tuple[Parameter, ...]
    media: tuple[str, ...]
    responses: Mapping[str, Any]
    curl: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The calls about one noun."""

    name: str
    operations: tuple[Operation, ...]


class Docs:
    """The page. What it says of the document is rendered once: neither changes while the app runs."""

    def __init__(self) -> None:
        self._calls: Markup | None = None

    async def show(self, request: web.Request) -> web.Response:
        if self._calls is None:
            document, url = request.app[DOCUMENT], request.app[CONTEXT].url
            self._calls = part("calls.html", groups=groups(document, url), document=document)
        return page(request, "docs.html", calls=self._calls)


def groups(document: Schema, url: str) -> tuple[Group, ...]:
    """All operations by their tag, in the order of the document. ``url``: where the API is, for the examples."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, given in methods.items():
            found.setdefault(given["tags"][0], []).append(_operation(document, url, path, method.upper(), given))
    return tuple(Group(tag, tuple(operations)) for tag, operations in found.items())


def _operation(document: Schema, url: str, path: str, method: str, given: Schema) -> Operation:
    made = Operation(
        anchor=given["operationId"],
        method=method,
        path=path,
        summary=given["summary"],
        description=given["description"],
        scope="".join(role for one in given["security"] for role in one["token"]),
        parameters=tuple(_parameters(document, given)),
        media=tuple(given.get("requestBody", {}).get("content", ())),
        responses=given["responses"],
    )
    return replace(made, curl=_curl(made, url.rstrip("/")))


def _parameters(document: Schema, given: Schema) -> Iterable[Parameter]:
    """What stands in the query and may stand in the body as well is one parameter; the body says if it is required."""
    body = _body(document, given)
    fields = body.get("properties", {})
    for one in given["parameters"]:
        if one["name"] not in fields:
            yield Parameter(one["name"], one["in"], one["required"], one["schema"])
    query = {one["name"] for one in given["parameters"] if one["in"] == "query"}
    for name, schema in fields.items():
        where = "query or body" if name in query else "body"
        yield Parameter(name, where, name in body.get("required", ()), schema)


def _body(document: Schema, given: Schema) -> Schema:
    """The type of the fields of the body; empty where it is none or has none."""
    for content in given.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        found: Schema = document["components"]["schemas"].get(name, {})
        return found
    return {}


def _curl(one: Operation, url: str) -> str:
    """A call of it that can be pasted into a shell, with what is required and what has an example."""
    given = [(each.where, each.name, _example(each)) for each in one.parameters if each.required or _examples(each)]
    path = one.path.format_map({name: quote(str(value), safe="") for where, name, value in given if where == "path"})
    query = urlencode({name: value for where, name, value in given if where == "query"})
    words = ["curl", shlex.quote(f"{url}{path}?{query}" if query else f"{url}{path}")]
    if one.method != "GET":
        words.append(f"-X {one.method}")
    if one.scope:
        words.append(f'-H "Authorization: Bearer ${_VARIABLES.get(one.scope, "KEDGE_TOKEN")}"')
    if any(tuple(answer.get("content", ())) == (_STREAM,) for answer in one.responses.values()):
        words.append("-N")
    return " \\\n  ".join(
        [" ".join(words), *_data(one, {name: value for where, name, value in given if "body" in where})]
    )


def _data(one: Operation, fields: dict[str, Any]) -> list[str]:
    """Where only JSON is taken, a body without fields is sent as well."""
    if _BYTES in one.media:
        return ["--data-binary @chunk"]
    if not fields and one.media != (_JSON,):
        return []
    return [f"-H 'Content-Type: {_JSON}' -d {shlex.quote(json.dumps(fields, ensure_ascii=False))}"]


def _examples(parameter: Parameter) -> list[Any]:
    """Those that its type gives, or one of those that it may be."""
    schemas = (parameter.schema, *parameter.schema.get("anyOf", ()))
    return [found for schema in schemas for found in schema.get("examples", ())]


def _example(one: Parameter) -> Any:
    schema = one.schema
    if found := _examples(one) or schema.get("enum"):
        return found[0]
    kinds: dict[str, Any] = {"integer": schema.get("minimum", 0), "array": [], "boolean": True}
    return kinds.get(schema.get("type", ""), one.name)


def routes() -> tuple[web.AbstractRouteDef, ...]:
    return (web.get("/docs", Docs().show),)

"""The parameters of a call that acts: from the query, a form or a JSON body, checked against one type."""

import re
from enum import Enum
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api.auth import form
from ghapp.core import sentences
from ghapp.service.problems import Problem

T = TypeVar("T", bound=msgspec.Struct)

#: The name of an app, an environment, a task, a person.
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class NoParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """None are taken."""


_AT = re.compile(r"\$\.(\w+)")
_MISSING = re.compile(r"missing required field `(\w+)`")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.S)


async def params_of(request: web.Request, kind: type[T]) -> T:
    """What was given, as that type; the body's values win over the query's.

    Raises Problem ``invalid`` naming the field, ``bad_request`` for a body that cannot be read.
    """
    given: dict[str, Any] = {**request.query, **await form(request), **await _json(request)}
    try:
        values = msgspec.convert(given, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind, given) from error
    for name in given:
        _check_text(name, getattr(values, name, None))
    return values


async def _json(request: web.Request) -> dict[str, Any]:
    if not request.body_exists or request.content_type == "application/x-www-form-urlencoded":
        return {}
    body = await _read(request)
    if not body.strip():
        return {}
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_request", "The body is neither JSON nor a form.") from error
    if not isinstance(sent, dict):
        raise Problem("bad_request", "The body must be a JSON object.")
    return sent


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Problem("too_large", "The body is too large.") from error


def _check_text(name: str, value: object) -> None:
    """What a database, a log line and a terminal can hold."""
    if isinstance(value, str) and not all(letter.isprintable() for letter in value):
        raise Problem("invalid", f"{name} must be one line of printable text.", field=name)


def _invalid(message: str, kind: type[msgspec.Struct], given: dict[str, Any]) -> Problem:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    if unknown := _UNKNOWN.search(message):
        name = unknown[1]
        return Problem("invalid", f"There is no parameter {name}.{sentences.nearest(name, names)}", field=name)
    if missing := _MISSING.search(message):
        return Problem("invalid", f"{missing[1]} must be given.", field=missing[1])
    place = _AT.search(message)
    field = place[1] if place else None
    said = message.partition(" - at ")[0]
    if field and message.startswith("Invalid enum value"):
        known = _values(kind, field)
        return Problem(
            "invalid", f"There is no {field} {given[field]}.{sentences.nearest(given[field], known)}", field=field
        )
    return Problem("invalid", f"{field}: {said}." if field else f"{said}.", field=field)


def _values(kind: type[msgspec.Struct], field: str) -> list[str]:
    """What an enumerated parameter may be."""
    annotation = next(one.type for one in msgspec.structs.fields(kind) if one.encode_name == field)
    choices = (annotation, *getattr(annotation, "__args__", ()))
    return [str(value) for one in choices if isinstance(one, type) and issubclass(one, Enum) for value in one]

"""The parameters of a call: from the query, a form or a JSON body, checked against one type."""

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from aiohttp import web
from msgspec import Meta
from msgspec.structs import FieldInfo

from ghapp.api.common import read
from ghapp.core import sentences
from ghapp.service.problems import Problem

T = TypeVar("T", bound=msgspec.Struct)

#: The name of an app, an environment, a task, a person.
Name = Annotated[str, Meta(min_length=1, max_length=100)]
PRODUCTION = Meta(examples=["production"])


class NoParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """None are taken."""


class AnyParams(msgspec.Struct, kw_only=True):
    """None count."""


async def form(request: web.Request) -> dict[str, str]:
    """The text fields of a form that was sent; empty where the body is none. Raises Problem ``bad_request``."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = await request.post()
    except (ValueError, LookupError) as error:
        raise Problem("bad_request", "The form cannot be read; it must be UTF-8.") from error
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def query_of(request: web.Request, kind: type[T]) -> T:
    """What the query gives, as that type. Raises Problem ``invalid`` naming the field."""
    return _checked(kind, _texts(request.query.items(), kind))


async def params_of(request: web.Request, kind: type[T]) -> T:
    """What was given in the query, a form or a JSON object, as that type. Text stands for what it says where there is
    only text.

    Raises Problem ``invalid`` naming the field, ``bad_request`` or ``too_large`` for a body that cannot be read.
    """
    values = _texts(request.query.items(), kind)
    for name, value in (_texts((await form(request)).items(), kind) | await _json(request, kind)).items():
        if values.get(name, value) != value:
            said = f"{_short(name)} is given twice, in the address and in the body."
            raise Problem("invalid", said, field=_short(name))
        values[name] = value
    return _checked(kind, values)


def _texts(given: Iterable[tuple[str, str]], kind: type[T]) -> dict[str, Any]:
    """What takes a list may be given several times."""
    texts: dict[str, list[str]] = {}
    for name, text in given:
        texts.setdefault(name, []).append(text)
    fields, values = _fields(kind), dict[str, Any]()
    for name, several in texts.items():
        listed = name in fields and _takes_list(fields[name].type)
        if len(several) > 1 and not listed:
            raise Problem("invalid", f"{_short(name)} is given twice.", field=_short(name))
        values[name] = _converted(kind, name, several if listed else several[0], strict=False)
    return values


def _takes_list(kind: object) -> bool:
    return get_origin(kind) is list or any(_takes_list(one) for one in get_args(kind))


async def _json(request: web.Request, kind: type[T]) -> dict[str, Any]:
    if not request.body_exists or request.content_type == "application/x-www-form-urlencoded":
        return {}
    body = await read(request)
    if not body.strip():
        return {}
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_request", "The body is neither JSON nor a form.") from error
    if not isinstance(sent, dict):
        raise Problem("bad_request", "The body must be a JSON object.")
    return {name: _converted(kind, name, value, strict=True) for name, value in sent.items()}


def _short(given: object) -> str:
    """As it is repeated in an answer."""
    return str(given)[:100]


def _fields(kind: type[T]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _converted(kind: type[T], name: str, value: object, *, strict: bool) -> object:
    """The value as the type of that field. Raises Problem ``invalid`` naming it."""
    field = _fields(kind).get(name)
    if field is None:
        return value
    try:
        converted = msgspec.convert(value, field.type, strict=strict)
    except msgspec.ValidationError as error:
        if known := _values(field):
            given = _short(value)
            said = f"There is no {name} {given}.{sentences.nearest(given, known)}"
        else:
            said = f"{name}: {error}."
        raise Problem("invalid", said, field=name) from error
    _check_text(name, converted)
    return converted


def _check_text(name: str, value: object) -> None:
    """What a database, a log line and a terminal can hold."""
    texts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(text, str) and not text.isprintable() for text in texts):
        raise Problem("invalid", f"{name} must be one line of printable text.", field=name)


def _values(field: FieldInfo) -> list[str]:
    """What an enumerated parameter may be."""
    choices = (field.type, *getattr(field.type, "__args__", ()))
    return [str(value) for one in choices if isinstance(one, type) and issubclass(one, Enum) for value in one]


def _checked(kind: type[T], values: dict[str, Any]) -> T:
    fields = _fields(kind)
    unknown = [_short(name) for name in values if name not in fields]
    if unknown and kind.__struct_config__.forbid_unknown_fields:
        said = f"There is no parameter {unknown[0]}.{sentences.nearest(unknown[0], list(fields))}"
        raise Problem("invalid", said, field=unknown[0])
    for name, field in fields.items():
        if field.required and name not in values:
            raise Problem("invalid", f"{name} is missing.", field=name)
    return kind(**{field.name: values[name] for name, field in fields.items() if name in values})

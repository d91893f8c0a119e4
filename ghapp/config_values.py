"""Reads one value of the application config each: a node of its tree → a plain value, or None and a finding."""

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from ghapp.core.announcements import KINDS, useless
from ghapp.core.commands import COMMIT_VARIABLES, near_misses, used
from ghapp.core.config import LABEL, VARIABLE, Allow, Auto, SentryTarget, Webhook
from ghapp.marked_yaml import Findings, Listing, Node, Scalar, Table, segment

MAX_DURATION_S = 7 * 86_400
MAX_SIZE = 1 << 40
#: Most entries in a list or mapping of an app.
MAX_ITEMS = 200

Reader = Callable[[Node, Findings], Any]

_TASK = re.compile(r"[a-z][a-z0-9_:.-]{0,62}")
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZE = re.compile(r"([0-9]{1,15})([KMG]?i?B|)")
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# A login, also of managed users (octo_acme) and bots: https://docs.github.com/en/rest/users/users
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?")
_TEAM = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*/)?[A-Za-z0-9][A-Za-z0-9_.-]*")


def text(node: Node, findings: Findings, *, empty: bool = False) -> str | None:
    """Text that was meant as text. What YAML takes for something else is refused, not guessed at."""
    if not isinstance(node, Scalar):
        findings.wrong(node, f"must be text, not {node.kind}")
    elif node.kind == "nothing":
        findings.wrong(node, "has no value; give it one or leave the key out (text that begins with # needs quotes)")
    elif node.kind != "text":
        findings.wrong(node, f"must be text, but YAML reads it as {node.kind}; quote it")
    elif not empty and not node.text.strip():
        findings.wrong(node, "is empty; give it a value or leave the key out")
    else:
        return node.text
    return None


def matching(pattern: re.Pattern[str], what: str) -> Reader:
    """A reader of text that has a form; ``what`` says which, as the end of “must be …”."""

    def one(node: Node, findings: Findings) -> str | None:
        value = text(node, findings)
        if value is not None and not pattern.fullmatch(value):
            findings.wrong(node, f"“{segment(value)}” must be {what}")
            return None
        return value

    return one


def list_of(one: Reader) -> Reader:
    """A reader of a list of these, none twice."""

    def many(node: Node, findings: Findings) -> tuple[Any, ...] | None:
        if not isinstance(node, Listing):
            findings.wrong(node, f"must be a list such as [a, b], not {node.kind}")
            return None
        if len(node.items) > MAX_ITEMS:
            findings.wrong(node, f"has more than {MAX_ITEMS} entries")
        values: list[Any] = []
        for item in node.items[:MAX_ITEMS]:
            value = one(item, findings)
            if value in values:
                findings.wrong(item, f"“{segment(value)}” is listed twice")
            elif value is not None:
                values.append(value)
        return tuple(values)

    return many


def table_of(key_pattern: re.Pattern[str], what: str, one: Reader) -> Reader:
    """A reader of a mapping whose keys have a form and whose values are these."""

    def many(node: Node, findings: Findings) -> dict[str, Any] | None:
        values = {}
        for key, item in items_of(node, findings).items():
            if not key_pattern.fullmatch(key):
                findings.wrong(item, f"“{segment(key)}” must be {what}")
            value = one(item, findings)
            if value is not None:
                values[key] = value
        return values

    return many


def record(readers: dict[str, Reader], build: Callable[[Node, Findings, dict[str, Any]], Any]) -> Reader:
    """A reader of a mapping with these keys, of whose values something is built."""

    def one(node: Node, findings: Findings) -> Any:
        values = {}
        for key, item in items_of(node, findings).items():
            if reader := readers.get(key):
                value = reader(item, findings)
                if value is not None:
                    values[key] = value
            else:
                findings.wrong(item, unknown_key(key, readers))
        return build(node, findings, values)

    return one


def items_of(node: Node, findings: Findings) -> dict[str, Node]:
    """The items of a mapping; none, and a finding, where it is something else."""
    if not isinstance(node, Table):
        findings.wrong(node, f"must be a mapping (key: value), not {node.kind}")
        return {}
    if len(node.items) > MAX_ITEMS:
        findings.wrong(node, f"has more than {MAX_ITEMS} entries")
    return dict(islice(node.items.items(), MAX_ITEMS))


def unknown_key(key: str, known: Collection[str]) -> str:
    close = get_close_matches(key[:80].lower(), known, n=1)
    return f"unknown key; did you mean `{close[0]}`?" if close else f"unknown key; known are {', '.join(known)}"


def _tasks(node: Node, findings: Findings) -> Any:
    if isinstance(node, Table) and (deploy := node.items.get("deploy")):
        findings.wrong(deploy, "the task deploy is the key `deploy` beside `tasks`; write it there")
    return _TASKS(node, findings)


def _command(node: Node, findings: Findings) -> str | None:
    command = text(node, findings)
    for sentence in near_misses(command or ""):
        findings.doubtful(node, sentence)
    return command


def _checks_command(node: Node, findings: Findings) -> str | None:
    command = _command(node, findings)
    if others := sorted(used(command or "") - set(COMMIT_VARIABLES)):
        known = "} {".join(COMMIT_VARIABLES)
        findings.wrong(node, f"is run for a commit and knows {{{known}}} alone, not {{{others[0]}}}")
    return command


def _whole(node: Node, findings: Findings, form: re.Pattern[str], units: dict[str, int], example: str) -> int | None:
    """A number with a unit: an integer of the smallest one, or text like ``10m``."""
    if not isinstance(node, Scalar) or node.kind not in {"text", "a whole number"}:
        findings.wrong(node, f"must be {example}, not {node.kind}")
        return None
    match = form.fullmatch(node.text)
    if not match or (len(match[1]) > 1 and match[1].startswith("0")):
        findings.wrong(node, f"must be {example}")
        return None
    return int(match[1]) * units[match[2]]


def duration(node: Node, findings: Findings) -> int | None:
    """Seconds, from ``30s 10m 1h 2d`` or a number of seconds."""
    seconds = _whole(node, findings, _DURATION, _SECONDS, "a duration such as 30s, 10m, 1h, 2d or a number of seconds")
    if seconds is not None and not 0 < seconds <= MAX_DURATION_S:
        findings.wrong(node, "must be longer than 0s and at most 7d")
        return None
    return seconds


def _size(node: Node, findings: Findings) -> int | None:
    """Bytes, from ``1GiB 500MB 100KiB`` or a number of bytes."""
    size = _whole(node, findings, _SIZE, _BYTES, "a size such as 1GiB, 500MB, 100KiB or a number of bytes")
    if size is not None and not 0 < size <= MAX_SIZE:
        findings.wrong(node, "must be more than 0 and at most 1024GiB")
        return None
    return size


def _boolean(node: Node, findings: Findings) -> bool | None:
    if isinstance(node, Scalar) and node.kind == "a boolean":
        return node.text.lower() in {"true", "yes", "on"}
    findings.wrong(node, f"must be true or false, not {node.kind}")
    return None


def _after(node: Node, findings: Findings) -> str | None:
    value = text(node, findings)
    if value in {None, "push", "checks"}:
        return value
    findings.wrong(node, "must be push or checks")
    return None


def _web_address(node: Node, findings: Findings) -> str | None:
    value = text(node, findings)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and value.isprintable() and " " not in value
    except ValueError:
        fine = False
    if not fine:
        findings.wrong(node, "must be an address such as https://example.com")
        return None
    return value


def _auto(node: Node, findings: Findings, values: dict[str, Any]) -> Auto | None:
    if isinstance(node, Table) and "branch" not in node.items:
        findings.wrong(node, "names no branch; write auto: {branch: main}")
    return Auto(**values) if "branch" in values else None


def _heroku(node: Node, findings: Findings, values: dict[str, Any]) -> str | None:
    if isinstance(node, Table) and "app" not in node.items:
        findings.wrong(node, "names no app; write heroku: {app: NAME}")
    return values.get("app")


def _allow(node: Node, findings: Findings, values: dict[str, Any]) -> Allow | None:
    """Nobody at all is refused: it would stand for the default, which is everybody who may push."""
    listed = node.items.values() if isinstance(node, Table) else ()
    if isinstance(node, Table) and not any(not isinstance(item, Listing) or item.items for item in listed):
        findings.wrong(node, "names nobody; name users or teams, or leave `allow` out for whoever may push")
    return Allow(**values)


def _event(node: Node, findings: Findings) -> str | None:
    pattern = text(node, findings)
    if pattern and useless(pattern):
        findings.wrong(node, f"“{segment(pattern)}” is no kind of event; there are {', '.join(KINDS)}, and lock.*")
        return None
    return pattern


def _webhook(node: Node, findings: Findings, values: dict[str, Any]) -> Webhook | None:
    if "url" not in values:
        findings.wrong(node, "names no `url`")
        return None
    return Webhook(**values)


def _sentry(node: Node, findings: Findings, values: dict[str, Any]) -> SentryTarget | None:
    if "organization" not in values or not values.get("projects"):
        findings.wrong(node, "needs `organization` and `projects`, the slugs that Sentry shows in its addresses")
        return None
    return SentryTarget(**values)


def _timeout(node: Node, findings: Findings) -> int:
    """As if there were none where it is wrong, so that nothing else is found wrong because of it."""
    return duration(node, findings) or MAX_DURATION_S


def _one_or_several(node: Node, findings: Findings) -> str | tuple[str, ...] | None:
    found: str | tuple[str, ...] | None = (list_of(_line) if isinstance(node, Listing) else _line)(node, findings)
    return found


_line = matching(re.compile(r"[^\x00-\x1f\x7f]+"), "one line of text")
name = matching(LABEL, "made of letters, digits and ._- (at most 63, the first a letter or digit)")
names: Reader = list_of(name)
_TASKS = table_of(_TASK, "made of lower-case letters, digits and _:.- (the first a letter)", _command)
# https://devcenter.heroku.com/articles/platform-api-reference#app
_HEROKU_APP = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
_HEROKU_FORM = "the name of a Heroku app: 3 to 30 lower-case letters, digits and -"
_VARIABLE_FORM = "made of letters, digits and _, not beginning with a digit or with KEDGE_"

_SLUG = matching(re.compile(r"[a-z0-9][a-z0-9_-]{0,99}"), "a slug: lower-case letters, digits, - and _")

#: Keys that may stand in an app and in each of its environments.
READERS: dict[str, Reader] = {
    "deploy": lambda node, findings: _command(node, findings) or "",
    "heroku": record({"app": matching(_HEROKU_APP, _HEROKU_FORM)}, _heroku),
    "tasks": _tasks,
    "auto": record({"branch": _line, "after": _after}, _auto),
    "checks": list_of(_line),
    "checks_command": _checks_command,
    "checks_timeout": duration,
    "refs": list_of(_line),
    "allow": record(
        {
            "users": list_of(matching(_USER, "a login, without @")),
            "teams": list_of(matching(_TEAM, "a team's slug or organization/slug, without @")),
        },
        _allow,
    ),
    "timeout": _timeout,
    "silence": duration,
    "grace": duration,
    "log_limit": _size,
    "url": _web_address,
    "env": table_of(VARIABLE, _VARIABLE_FORM, lambda node, findings: text(node, findings, empty=True)),
    "secrets": list_of(matching(VARIABLE, _VARIABLE_FORM)),
    "runner": names,
    "token": _boolean,
    "notify": record(
        {
            "slack": _one_or_several,
            "pull_request": _boolean,
            "webhooks": list_of(record({"url": _web_address, "events": list_of(_event)}, _webhook)),
            "sentry": record({"organization": _SLUG, "projects": list_of(_SLUG), "environment": _line}, _sentry),
        },
        lambda _node, _findings, values: values,
    ),
}

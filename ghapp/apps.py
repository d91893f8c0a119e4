"""Application config: text → ``core.config`` values, every problem with its path and line. Pure, no I/O.

Every key of an app may also stand in one of its environments and overrides there. ``env``, ``tasks`` and
``notify`` are merged key by key, the environment's winning; every other key is replaced as a whole (an
environment's ``allow`` adds nobody to the app's, it replaces them). Only in the app: ``via``, ``repository``,
``environments``; only in an environment: ``aliases``.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ghapp.config_values import MAX_ITEMS, READERS, Reader, items_of, name, names, text, unknown_key
from ghapp.core.config import APP_NAME, AppConfig, EnvironmentConfig, Notify, Problem, cross_check
from ghapp.marked_yaml import Findings, Listing, Node, Scalar, Table, read, segment

# Account names hold no dot, repository names hold letters, digits and ._-
# https://docs.github.com/en/repositories/creating-and-managing-repositories/repository-limits
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+")
_OWNER_NAME = (_REPOSITORY, "must be owner/name, such as getsentry/sentry")
#: Provider names that mean something without a module path, each with the form of its repositories' names and what is
#: said of another one, where that can be told here. The first is meant where none is named.
PROVIDERS: dict[str, tuple[re.Pattern[str], str] | None] = {"github": _OWNER_NAME, "git": None}
_PROVIDER_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_APP_KEYS = ("via", "repository", "environments")
_ENVIRONMENT_READERS: dict[str, Reader] = {**READERS, "aliases": names}
_ELSEWHERE = {
    "aliases": "belongs into an environment, not to the app",
    **dict.fromkeys(_APP_KEYS, "belongs to the app, not into an environment"),
}
_MERGED = ("env", "tasks", "notify")
#: Environments of all apps that a repository defines itself: each is a row that everybody's overviews read.
MOST_OWN = 200
_DURATIONS = ("checks_timeout", "timeout", "silence", "grace")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text defines. With ``problems`` it must not be put in force: ``apps`` then holds what could be
    read, with defaults in the place of what is wrong."""

    apps: tuple[AppConfig, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """The repository whose own file a text is: it may define nothing for another one, nor by another provider."""

    provider: str
    full_name: str


def parse(text: str, home: Home | None = None) -> Parsed:
    """Read a whole config (YAML or JSON): the operator's, or that of the repository ``home``. Raises nothing:
    everything wrong is among ``problems``, all at once."""
    findings = Findings()
    root = read(text, findings)
    places: dict[tuple[str, str, str], tuple[str, int]] = {}
    apps: tuple[AppConfig, ...] = ()
    if isinstance(root, Table):
        some = islice(root.items.items(), MOST_OWN + 1 if home else None)
        apps = tuple(_App(key, node, findings, places, home).config() for key, node in some)
    elif root and root.kind != "nothing":
        findings.wrong(root, f"must be a mapping from app names to their config, not {root.kind}")
    problems = [*findings.problems, *cross_check(apps, places)]
    if home and sum(len(app.environments) for app in apps) > MOST_OWN:
        problems.append(Problem("", 1, f"defines more than {MOST_OWN} environments, of all its apps; leave some out"))
    if not apps and not problems:
        problems.append(Problem("", 1, "defines no app; the least there can be is `name: {deploy: COMMAND}`"))
    return Parsed(apps, _in_order(problems), _in_order(findings.warnings))


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))


@dataclass(frozen=True, slots=True)
class _App:
    """Reads one app: ``key`` and ``node`` as they stand in the text."""

    key: str
    node: Node
    findings: Findings
    places: dict[tuple[str, str, str], tuple[str, int]]
    home: Home | None

    def config(self) -> AppConfig:
        items = items_of(self.node, self.findings)
        name, via = self._name(), self._via(items.get("via"))
        shared = {key: node for key, node in items.items() if key not in _APP_KEYS}
        inherited = _values(shared, READERS, self.findings)
        environments = tuple(
            self._environment(name, environment, node, inherited, shared)
            for environment, node in self._environments(items.get("environments"))
        )
        said = ("deploy", "heroku")
        lacking = [one.name for one in environments if not any((name, one.name, key) in self.places for key in said)]
        if lacking and isinstance(self.node, Table):
            self.findings.wrong(self.node, f"no `deploy` for {', '.join(lacking)}; write deploy: COMMAND")
        return AppConfig(name, via, self._repository(items.get("repository"), via), environments, self.node.line)

    def _name(self) -> str:
        name = self.key.rpartition("/")[2]
        repository = _REPOSITORY.fullmatch(self.key)
        if not APP_NAME.fullmatch(name) or ("/" in self.key and not repository):
            lower = name.lower()
            way_on = f"; write {lower}: {{repository: {self.key}}}" if repository and APP_NAME.fullmatch(lower) else ""
            what = "an app is named [a-z0-9][a-z0-9._-]{0,62}, or owner/name after its repository"
            self.findings.wrong(self.node, what + way_on)
        return name

    def _via(self, node: Node | None) -> str:
        own = self.home.provider if self.home else None
        via = (text(node, self.findings) if node else None) or own or next(iter(PROVIDERS))
        if node and own and via != own:
            self.findings.wrong(node, f"a repository's own file defines apps via {own} only; leave `via` out")
        elif node and via not in PROVIDERS and not _PROVIDER_CLASS.fullmatch(via):
            known = ", ".join(PROVIDERS)
            message = f"“{segment(via)}” is no provider; known: {known}, or your own as package.module:Class"
            self.findings.wrong(node, message)
        return via

    def _repository(self, node: Node | None, via: str) -> str | None:
        own = self.key if "/" in self.key else None
        repository = text(node, self.findings) if node else own
        form = PROVIDERS.get(via)
        if node and repository and form and not form[0].fullmatch(repository):
            self.findings.wrong(node, form[1])
        if node and own and repository and repository != own:
            self.findings.wrong(node, f"the key already says {segment(own)}; leave one of the two")
        if self.home and repository and repository.casefold() != self.home.full_name.casefold():
            message = f"this file defines apps of {self.home.full_name} only; leave the other repository out"
            self.findings.wrong(node or self.node, message)
        return repository

    def _environments(self, node: Node | None) -> list[tuple[str, Node]]:
        """Names, each with what is said of it; production where nothing is."""
        if node is None:
            return [("production", Table(self.node.path, self.node.line, {}))]
        if isinstance(node, Listing):
            names(node, self.findings)
            listed = {item.text: item for item in node.items if isinstance(item, Scalar)}
            found: dict[str, Node] = {text: Table(item.path, item.line, {}) for text, item in listed.items()}
        else:
            found = items_of(node, self.findings)
            for text, item in found.items():
                name(Scalar(item.path, item.line, "text", text), self.findings)
        if isinstance(node, Listing | Table) and not node.items:
            self.findings.wrong(node, "names no environment; leave `environments` out for production alone")
        return list(found.items())[:MAX_ITEMS]

    def _environment(
        self, app: str, name: str, node: Node, inherited: dict[str, Any], shared: dict[str, Node]
    ) -> EnvironmentConfig:
        nothing_said = isinstance(node, Scalar) and node.kind == "nothing"
        items = {} if nothing_said else items_of(node, self.findings)
        if self.home:
            self._own_notices(items.get("notify"), shared.get("notify"))
        if self.home and "checks_command" in {**shared, **items}:
            message = "is run by Kedge itself, so that only its operator's config may say it; leave it out"
            self.findings.wrong({**shared, **items}["checks_command"], message)
        for table in (shared, items):
            if "deploy" in table and "heroku" in table:
                self.findings.wrong(table["heroku"], "stands beside `deploy`; one of the two deploys it, leave one")
        for key, place in {**shared, **items, "": node}.items():
            self.places[app, name, key] = (place.path, place.line)
        values = _overridden(inherited, _values(items, _ENVIRONMENT_READERS, self.findings))
        if values.get("secrets") and not values.get("refs"):
            message = "has secrets but no `refs`, so any branch may be deployed with them; name those that may"
            self.findings.doubtful(node, message)
        return _built(name, values)

    def _own_notices(self, *nodes: Node | None) -> None:
        """A repository neither spends the operator's token for Sentry, nor reaches into the operator's network."""
        for node in nodes:
            notify = node.items if isinstance(node, Table) else {}
            if "sentry" in notify:
                self.findings.wrong(notify["sentry"], "is told with the operator's token; only their config may say it")
            hooks = notify.get("webhooks")
            for hook in hooks.items if isinstance(hooks, Listing) else ():
                url = hook.items.get("url") if isinstance(hook, Table) else None
                if isinstance(url, Scalar) and not url.text.startswith("https://"):
                    self.findings.wrong(url, "must be https:// in a repository's own config")


def _values(items: dict[str, Node], readers: dict[str, Reader], findings: Findings) -> dict[str, Any]:
    """What the keys say. What is wrong is left out, as if it had not been said."""
    values = {}
    for key, node in items.items():
        if reader := readers.get(key):
            value = reader(node, findings)
            if value is not None:
                values[key] = value
        else:
            findings.wrong(node, _ELSEWHERE.get(key) or unknown_key(key, [*readers, *_APP_KEYS]))
    return values


def _overridden(inherited: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    for one, other in (("deploy", "heroku"), ("heroku", "deploy")):
        if one in own and other not in own:
            inherited = {key: value for key, value in inherited.items() if key != other}
    merged = {key: {**inherited[key], **own[key]} for key in _MERGED if key in inherited and key in own}
    return {**inherited, **own, **merged}


def _built(name: str, values: dict[str, Any]) -> EnvironmentConfig:
    given = {f"{key}_s" if key in _DURATIONS else key: value for key, value in values.items()}
    given["notify"] = Notify(**values.get("notify", {}))
    return EnvironmentConfig(name, **{"deploy": "", **given})

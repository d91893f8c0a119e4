"""Application config as values. ``ghapp.apps`` makes them from text; nothing here reads anything."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ghapp.core.values import Repository


@dataclass(frozen=True, slots=True)
class Allow:
    """Who may act on an environment. Both empty: whoever may push to the repository."""

    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Auto:
    """Deploy ``branch`` without being asked, after each ``push`` or once its ``checks`` are green."""

    branch: str
    after: str = "checks"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of events: of these kinds, or patterns of them (``lock.*``); of all where there are
    none."""

    url: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SentryTarget:
    """The projects in Sentry whose releases are the app's deploys. ``environment`` is what Sentry calls it."""

    organization: str
    projects: tuple[str, ...]
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    """Where people hear of deploys: one Slack channel or several, the pull request; and what other services do."""

    slack: str | tuple[str, ...] | None = None
    pull_request: bool = False
    webhooks: tuple[Webhook, ...] = ()
    sentry: SentryTarget | None = None

    @property
    def rooms(self) -> tuple[str, ...]:
        """The Slack channels."""
        return (self.slack,) if isinstance(self.slack, str) else self.slack or ()


@dataclass(frozen=True, slots=True)
class EnvironmentConfig:
    """One environment of one app, with everything that it inherits from the app filled in.

    ``heroku`` is the Heroku app that takes the place of a ``deploy`` command, which then is empty.
    ``checks`` is None where every check that exists must be green, and empty where none is asked for; they are those
    that the provider knows, or that ``checks_command`` tells of.
    Durations are seconds, ``log_limit`` is bytes. ``defined_in``: ``operator`` or ``repository``; it goes with the
    config into every deploy, whichever door it comes through.
    """

    name: str
    deploy: str
    heroku: str | None = None
    aliases: tuple[str, ...] = ()
    tasks: dict[str, str] = field(default_factory=dict)
    auto: Auto | None = None
    checks: tuple[str, ...] | None = None
    checks_command: str | None = None
    checks_timeout_s: int = 3600
    refs: tuple[str, ...] = ()
    allow: Allow = Allow()
    timeout_s: int = 1800
    silence_s: int | None = None
    grace_s: int = 30
    log_limit: int = 1 << 30
    url: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    token: bool = False
    notify: Notify = Notify()
    defined_in: str = "operator"

    def command(self, task: str) -> str | None:
        """The command template of a task, or None where the config names no such task. Empty: Heroku builds it."""
        return self.deploy if task == "deploy" else self.tasks.get(task)

    @property
    def default_ref(self) -> str | None:
        """The branch that is deployed where none is named; None: the repository's default branch."""
        return self.auto.branch if self.auto else None

    def for_rollback(self) -> "EnvironmentConfig":
        """As a rollback is run: by ``tasks.rollback``, else by the deploy command with the older sha. Its checks
        were asked when the sha went live, and are not asked again."""
        return replace(self, checks=(), tasks={"rollback": self.deploy, **self.tasks})

    @property
    def task_names(self) -> tuple[str, ...]:
        return ("deploy", *sorted(self.tasks))


@dataclass(frozen=True, slots=True)
class AppConfig:
    """One application. ``repository`` is ``owner/name``, or None where it is to be found by the name. ``own_id`` is the
    provider's id of the repository that defines the app itself; None: the operator does."""

    name: str
    via: str
    repository: str | None
    environments: tuple[EnvironmentConfig, ...]
    line: int = 0
    own_id: int | None = None

    @property
    def defined_in(self) -> str:
        """``operator`` or ``repository``, as its environments say."""
        return "operator" if self.own_id is None else "repository"

    def defined_by(self, provider: str, repository: Repository) -> "AppConfig":
        """As the app that this repository defines itself, which it is for that repository alone."""
        environments = tuple(replace(one, defined_in="repository") for one in self.environments)
        return AppConfig(self.name, provider, repository.full_name, environments, self.line, repository.id)

    def environment(self, name: str) -> EnvironmentConfig | None:
        """The environment of that name or alias; names are compared without case, as people type them."""
        wanted = name.casefold()
        for environment in self.environments:
            if wanted in {environment.name.casefold(), *map(str.casefold, environment.aliases)}:
                return environment
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a config, with its place: ``path`` like ``sentry.environments.staging.auto``."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.message}" if self.path else f"line {self.line}: {self.message}"


#: Names of apps: they are in addresses of pages and of the API.
APP_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
#: Names of environments, and labels: they go into commands and folder names.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: Names of variables that are not Kedge's own.
VARIABLE = re.compile(r"(?!KEDGE_)[A-Za-z_][A-Za-z0-9_]*")

#: Names that are paths of the HTTP API and the pages.
RESERVED_NAMES = frozenset(
    (
        "api",
        "apps",
        "runner",
        "runners",
        "events",
        "audit",
        "locks",
        "tokens",
        "openapi.json",
        "docs",
        "webhooks",
        "healthz",
        "readyz",
        "metrics",
        "static",
        "login",
        "logout",
        "auth",
        "setup",
    )
)

#: (app, environment, key) -> path and line where the value in force was written.
Places = Mapping[tuple[str, str, str], tuple[str, int]]


def cross_check(apps: tuple[AppConfig, ...], places: Places = MappingProxyType({})) -> list[Problem]:
    """What is wrong between values that are each well-formed: clashing names, impossible combinations."""
    problems: list[Problem] = []
    seen: dict[str, AppConfig] = {}
    for app in apps:
        if app.name in RESERVED_NAMES:
            problems.append(Problem(app.name, app.line, f"“{app.name}” is a reserved name; choose another"))
        first = seen.setdefault(app.name, app)
        if first is not app:
            problems.append(
                Problem(app.name, app.line, f"also defined on line {first.line}; names are unique, choose another")
            )
        problems += _names_clash(app, places)
        problems += [problem for environment in app.environments for problem in _impossible(app, environment, places)]
    return problems


def _names_clash(app: AppConfig, places: Places) -> list[Problem]:
    owner: dict[str, str] = {}
    problems = []
    for environment in app.environments:
        owner.setdefault(environment.name.casefold(), environment.name)
    for environment in app.environments:
        for key, name in (("", environment.name), *(("aliases", alias) for alias in environment.aliases)):
            other = owner.setdefault(name.casefold(), environment.name)
            if other != environment.name:
                message = f"the name “{name}” already stands for {other}; names are compared without case"
                problems.append(_problem(app, environment, key, message, places))
    return problems


def _impossible(app: AppConfig, environment: EnvironmentConfig, places: Places) -> Iterator[Problem]:
    if environment.auto and environment.auto.after == "checks" and environment.checks == ():
        message = "auto waits for checks, but `checks: []` asks for none; write `after: push` or name the checks"
        yield _problem(app, environment, "auto", message, places)
    if environment.silence_s and environment.silence_s > environment.timeout_s:
        message = "silence is longer than timeout, so it can never count; make it shorter"
        yield _problem(app, environment, "silence", message, places)
    for name in sorted(environment.env.keys() & set(environment.secrets)):
        message = f"{name} stands under `env` too; a variable has one value, leave one"
        yield _problem(app, environment, "secrets", message, places)


def _problem(app: AppConfig, environment: EnvironmentConfig, key: str, message: str, places: Places) -> Problem:
    path = f"{app.name}.environments.{environment.name}"
    path, line = places.get((app.name, environment.name, key), (f"{path}.{key}" if key else path, app.line))
    return Problem(path, line, message)

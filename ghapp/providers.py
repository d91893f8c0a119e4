"""The providers on the app's side: which class is behind ``via``, and what a config asks of it that it cannot do."""

from collections.abc import Iterable, Iterator

from ghapp.core.config import AppConfig, EnvironmentConfig, Problem
from ghapp.core.explaining import Host
from ghapp.vcs import registry
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.provider import Provider

#: What the app opens otherwise than a runner does: by settings of its own.
WITH_SETTINGS: dict[str, type[Provider]] = {"github": GitHubApp}


def class_of(name: str) -> type[Provider]:
    """Raises ValueError as `registry.provider` does."""
    return WITH_SETTINGS.get(name) or registry.provider(name)


def host_of(app: AppConfig) -> Host:
    """What the one that an app names can be asked. Raises ValueError as `registry.provider` does."""
    kind = class_of(app.via)
    return Host(people=kind.people is not Provider.people, checks=kind.checks is not Provider.checks)


def problems(apps: Iterable[AppConfig]) -> list[Problem]:
    """What apps ask of providers that cannot do it, or that there are not."""
    found: list[Problem] = []
    for app in apps:
        try:
            kind = class_of(app.via)
        except ValueError as error:
            found.append(Problem(f"{app.name}.via", app.line, str(error)))
            continue
        if wrong := kind.wrong_with(app.repository):
            found.append(Problem(f"{app.name}.repository", app.line, wrong))
        for environment in app.environments:
            where = f"{app.name}.environments.{environment.name}"
            found += [Problem(where, app.line, message) for message in _unable(kind, environment)]
    return found


def _unable(kind: type[Provider], environment: EnvironmentConfig) -> Iterator[str]:
    """A method that a class does not override is an ability that it does not have."""
    if kind.checks is Provider.checks and not environment.checks_command:
        if environment.checks:
            yield f"{kind.title} knows of no checks to be named; give a checks_command, or leave `checks` out"
        if environment.auto and environment.auto.after == "checks":
            yield f"{kind.title} knows of no checks that auto could await; write `after: push` or give a checks_command"
    if kind.people is Provider.people and environment.allow.teams:
        yield f"{kind.title} knows of no teams; name the users in `allow`"
    if kind.conversation is Provider.conversation and environment.notify.pull_request:
        yield f"{kind.title} knows of no pull requests; leave `notify.pull_request` out"

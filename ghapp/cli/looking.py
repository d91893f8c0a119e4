"""``status``, ``queue``, ``why``: what is there, and why it is not deployed yet."""

import argparse
from datetime import UTC, datetime

from rich.text import Text

from ghapp.cli import show
from ghapp.cli.client import decoded, path
from ghapp.cli.errors import EXIT_OK, EXIT_USAGE, CommandError
from ghapp.cli.shapes import App, Apps, Deploy, Environment, Line
from ghapp.cli.targets import one_deploy
from ghapp.cli.terminal import Kit
from ghapp.core import sentences


def status(arguments: argparse.Namespace, kit: Kit) -> int:
    """One app or all."""
    if arguments.app is None:
        body = kit.client.get(path("apps"))
        apps = decoded(body, Apps)
        found, problem = apps.items, apps.problem
    else:
        body = kit.client.get(path(arguments.app))
        app = decoded(body, App)
        found, problem = (app,), app.problem
    if problem:
        kit.terminal.note(problem, "yellow")
    kit.terminal.result(body, lambda: show.overview(found, datetime.now(UTC)))
    return EXIT_OK


def queue(arguments: argparse.Namespace, kit: Kit) -> int:
    """The line of one environment, or of all of an app."""
    body = kit.client.get(path(arguments.app, "queue"), {"env": arguments.env})
    line = decoded(body, Line)
    kit.terminal.result(body, lambda: show.line(line, datetime.now(UTC)))
    return EXIT_OK


def why(arguments: argparse.Namespace, kit: Kit) -> int:
    """One deploy, or the first in line of an environment."""
    if arguments.number is None and "#" not in arguments.app:
        app = decoded(kit.client.get(path(arguments.app)), App)
        environment = _environment(app, arguments.env)
        if not environment.queue:
            _nothing_waits(kit, app, environment)
            return EXIT_OK
        name, number = app.name, environment.queue[0].number
    elif arguments.env:
        raise CommandError("Say a number or --env, not both.", code=EXIT_USAGE)
    else:
        name, number = one_deploy(arguments)
    body = kit.client.get(path(name, "deploys", number))
    deploy = decoded(body, Deploy)
    kit.terminal.result(body, lambda: show.whole(deploy, datetime.now(UTC)))
    return EXIT_OK


def _nothing_waits(kit: Kit, app: App, environment: Environment) -> None:
    """What is there instead."""
    there = environment.running or environment.live
    body = b"null" if there is None else kit.client.get(path(app.name, "deploys", there.number))
    nothing = Text(f"Nothing waits in {environment.name} of {app.name}.")
    shown = [] if there is None else show.whole(decoded(body, Deploy), datetime.now(UTC))
    kit.terminal.result(body, lambda: [nothing, *shown])


def _environment(app: App, name: str | None) -> Environment:
    """By name or alias; without one the only one, else production, as when a deploy is asked for."""
    names = [one.name for one in app.environments]
    wanted = (name or ("production" if len(names) > 1 else "".join(names))).casefold()
    for one in app.environments:
        if wanted in {known.casefold() for known in (one.name, *one.aliases)}:
            return one
    if name is None:
        raise CommandError(f"Say which environment: {sentences.joined(names, 8)}.", hint="kedge why APP --env ENV")
    raise CommandError(sentences.unknown_environment(name, names))

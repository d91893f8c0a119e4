"""Which deploy, and what to lock, is meant by the words of a command."""

import argparse

from ghapp.cli.errors import EXIT_USAGE, CommandError


def one_deploy(arguments: argparse.Namespace) -> tuple[str, int]:
    """``APP NUMBER`` or ``APP#NUMBER``. Raises `CommandError`."""
    app, mark, digits = arguments.app.partition("#")
    if not mark and arguments.number is not None:
        return app, arguments.number
    if mark and arguments.number is None and app and digits.isascii() and digits.isdigit() and len(digits) <= 18:
        return app, int(digits)
    said = f"Which deploy? Say for example: kedge {arguments.command} {app or 'hello'} 12"
    raise CommandError(said, code=EXIT_USAGE)


def to_lock(arguments: argparse.Namespace) -> list[str]:
    """The parts of the lock's path: an environment's, an app's, or everything's. Raises `CommandError`."""
    match arguments.app, arguments.environment, arguments.all_environments, arguments.everything:
        case None, None, False, True:
            return ["locks"]
        case str() as app, None, True, False:
            return [app, "locks"]
        case str() as app, str() as environment, False, False:
            return [app, "locks", environment]
    said = f"Say APP and ENV, or APP --all-environments, or --everything: kedge {arguments.command} hello production"
    raise CommandError(said, code=EXIT_USAGE)

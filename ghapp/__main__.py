"""``kedge``: the command line. ``python -m ghapp`` is the same."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ghapp.cli import commands as api_commands
from ghapp.cli.errors import EXIT_USAGE
from ghapp.cli.parser import Parser
from ghapp.core.settings import SettingsError, help_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ghapp.config import Settings

# Each command imports what it needs when it is run: `kedge status` loads no database and no web server.


def _parser() -> Parser:
    parser = Parser(
        prog="kedge",
        description="Kedge deploys what GitHub deployments ask for, one line per application and environment.",
        epilog="Try everything on this machine: kedge demo\n"
        "Set up:                         kedge setup, then kedge serve\n"
        "Deploy:                         kedge login, then kedge deploy APP --env ENV --follow",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, does in (
        ("serve", "run the app: hear GitHub, keep the line, answer runners and people"),
        ("setup", "make the GitHub App, by a page that a one-time code opens, and run the app with it"),
        ("migrate", "bring the database up to date and end (serve does it too)"),
    ):
        commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.", late=_settings)
    check = commands.add_parser(
        "check-config",
        help="is an application config right, and what would be deployed where?",
        description="Explains a config: what is deployed where, by which command, who may, after which checks. Asks "
        "nobody. Exit code 2 where it is wrong.",
        epilog="example:\n  kedge check-config apps.yml",
    )
    check.add_argument("file", type=Path, nargs="?", help="default: KEDGE_APPS, ./apps.yml, ./.github/kedge.yml")
    api_commands.add_json(check)
    demo = commands.add_parser(
        "demo",
        help="try everything on this machine: a repository, the app, a runner, one real deploy",
        description="Starts a repository, the app on SQLite and a runner on loopback, and deploys once.",
    )
    demo.add_argument("--via", choices=("github", "git"), default="github", help="git: without a GitHub")
    demo.add_argument("--once", action="store_true", help="end after the first deploy; exit 0 only if it succeeded")
    demo.add_argument("--folder", type=Path, help="where everything is written (default: a new temporary folder)")
    api_commands.add_parsers(commands)
    return parser


def _settings() -> str:
    from ghapp.config import SETTINGS  # noqa: PLC0415

    return help_text(SETTINGS)


def _serve(*, setup: bool = False) -> int:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from ghapp import logs  # noqa: PLC0415
    from ghapp.app import serve  # noqa: PLC0415
    from ghapp.config import load, make_folder  # noqa: PLC0415

    settings = load(os.environ, setup=setup)
    make_folder(settings.database_url, settings.data)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    tell_code = _opener(settings) if setup else None

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(settings, stop, tell_code)

    logs.configure()
    asyncio.run(run())
    return 0


def _opener(settings: "Settings") -> "Callable[[str], None]":
    """What `kedge setup` does with the code: show it with the page's address, and the page where there is a desktop.

    Raises SettingsError where GitHub could not reach the Kedge that is set up.
    """
    import webbrowser  # noqa: PLC0415

    from ghapp.web.setup import obstacle  # noqa: PLC0415

    if sentence := obstacle(settings):
        raise SettingsError([sentence])
    page = f"{settings.url}/setup"

    def tell(code: str) -> None:
        print(f"Open {page} and enter the one-time code {code}", flush=True)
        if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
            webbrowser.open(page)

    return tell


def _migrate() -> int:
    import asyncio  # noqa: PLC0415

    from ghapp.config import database_of  # noqa: PLC0415
    from ghapp.store.stores import open_stores  # noqa: PLC0415

    url = database_of(os.environ)

    async def run() -> None:
        stores = await open_stores(url)
        await stores.close()

    asyncio.run(run())
    print("The database is up to date.")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from ghapp.sandbox.demo import demo  # noqa: PLC0415

    return demo(folder=arguments.folder, once=arguments.once, via=arguments.via)


def _check_config(arguments: argparse.Namespace) -> int:
    from ghapp.check_config import check_config  # noqa: PLC0415

    return check_config(arguments.file, os.environ, arguments.json)


def _ask(arguments: argparse.Namespace) -> int:
    from ghapp.cli.run import run  # noqa: PLC0415

    return run(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Settings that are wrong are all named at once, with exit code 2."""
    arguments = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    if arguments.command == "check-config":
        return _check_config(arguments)
    if arguments.command not in {"serve", "setup", "migrate", "demo"}:
        return _ask(arguments)
    from ghapp.credentials import CredentialsError  # noqa: PLC0415
    from ghapp.store.base import StoreError  # noqa: PLC0415

    try:
        if arguments.command == "demo":
            return _demo(arguments)
        return _migrate() if arguments.command == "migrate" else _serve(setup=arguments.command == "setup")
    except SettingsError as error:
        print("kedge cannot start with these settings:", file=sys.stderr)
        for problem in error.problems:
            print(f"  - {problem}", file=sys.stderr)
        print(f"kedge {arguments.command} --help lists every setting.", file=sys.stderr)
        return EXIT_USAGE
    except (StoreError, CredentialsError, OSError) as error:
        print(f"kedge: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

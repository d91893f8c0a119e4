"""Runs a command that talks to the API; every failure is a sentence and an exit code."""

import argparse
import http.client
import io
import os
import sys
from collections.abc import Callable

from ghapp.cli import access, deploying, following, locking, looking, tokens
from ghapp.cli.client import Client
from ghapp.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, CommandError
from ghapp.cli.login import login
from ghapp.cli.terminal import Kit, Terminal

COMMANDS: dict[str, Callable[[argparse.Namespace, Kit], int]] = {
    "status": looking.status,
    "queue": looking.queue,
    "why": looking.why,
    "log": following.log,
    "deploy": deploying.deploy,
    "retry": deploying.retry,
    "rollback": deploying.rollback,
    "cancel": deploying.cancel,
    "force": deploying.force,
    "declare-dead": deploying.declare_dead,
    "resume": deploying.resume,
    "lock": locking.lock,
    "unlock": locking.unlock,
    "token": tokens.token,
}


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that know few characters
    terminal = Terminal(getattr(arguments, "json", False))
    try:
        code = _run(arguments, terminal)
        sys.stdout.flush()
    except CommandError as error:
        terminal.error(error)
        return error.code
    except KeyboardInterrupt:
        terminal.note("Interrupted.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; Python would complain again at its end:
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (OSError, http.client.HTTPException) as error:
        terminal.error(CommandError(f"It broke off: {error}.", hint="Try again."))
        return EXIT_FAILED
    return code


def _run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    if arguments.command == "login":
        return login(arguments, terminal)
    return COMMANDS[arguments.command](arguments, Kit(Client(access.load(os.environ)), terminal))

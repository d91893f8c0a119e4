"""``login``: store where Kedge is and the token, which is typed without echo or read from stdin, never an argument."""

import argparse
import getpass
import os
import sys

from ghapp.cli import access
from ghapp.cli.access import Access
from ghapp.cli.client import Client, path
from ghapp.cli.errors import EXIT_OK, EXIT_USAGE, CommandError
from ghapp.cli.terminal import Terminal
from ghapp.core.settings import Environment, in_clear


def login(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Try the token before it is kept."""
    url = _url(arguments.url)
    if in_clear(url):
        terminal.note("This is http://, so the token crosses the network unencrypted; use https://.", "yellow")
    file = access.login_file(os.environ)
    chosen = Access(url, _token(url), "login")
    Client(chosen).get(path("apps"))
    access.save(chosen, file)
    terminal.note(f"Logged in at {url}; stored in {file}.")
    if os.environ.get("KEDGE_TOKEN"):
        terminal.note("KEDGE_TOKEN is set and goes before what is stored.", "yellow")
    return EXIT_OK


def _url(given: str | None) -> str:
    """What is given, else the setting, else what was stored."""
    if given is None:
        return access.load(os.environ).url
    env = Environment({"URL": given})
    url = env.base_url("URL")
    if url is None:
        raise CommandError(" ".join(env.problems) or "The URL is empty.", code=EXIT_USAGE)
    return url


def _token(url: str) -> str:
    asked = sys.stdin.isatty()
    token = (getpass.getpass(f"Token for {url}: ") if asked else sys.stdin.readline()).strip()
    if not token:
        raise CommandError("No token was given.", hint="Type it, or pipe it into stdin.", code=EXIT_USAGE)
    env = Environment({})
    env.judge_secret("The token", token, 1)
    if env.problems:
        raise CommandError(" ".join(env.problems), code=EXIT_USAGE)
    return token

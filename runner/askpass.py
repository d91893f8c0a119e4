"""Hands a repository token to git without writing it anywhere.

git asks for credentials by running the program named in ``GIT_ASKPASS`` with the prompt as its argument
(https://git-scm.com/docs/gitcredentials). The token waits in a memfd that only this git and what it starts
inherit; the program, six lines of shell without a secret in them, reads it from there. So it is in no URL,
argument, environment, configuration, log or file. An environment variable would do for git, but every program
git starts would carry it, and ``GIT_TRACE`` prints it; a pipe can be read once, and git asks again for each
submodule. The program answers for exactly one ``scheme://host``: a redirect or a submodule elsewhere gets
nothing.
"""

import base64
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ghapp.vcs.git_process import Askpass

_SCRIPT = """#!/bin/sh
# Run by git with its prompt as the only argument; made by the runner, see runner/askpass.py.
case "$1" in
"Username for '$KEDGE_ASKPASS_SITE': ") echo "$KEDGE_ASKPASS_USERNAME" ;;
"Password for '$KEDGE_ASKPASS_USER_AT_SITE': ") cat "/proc/self/fd/$KEDGE_ASKPASS_FD" ;;
*) exit 1 ;;
esac
"""


@contextmanager
def offered(folder: Path, url: str, token: str, username: str) -> Iterator[Askpass]:
    """Offers ``token`` of ``username`` to git processes for the site of ``url``, as long as the block lasts.

    Where the URL is not http(s), git's question is answered with a refusal.
    """
    program = {"GIT_ASKPASS": str(_install(folder))}
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        yield Askpass(program)
        return
    fd = os.memfd_create("token")
    try:
        os.write(fd, token.encode())
        site = f"{parts.scheme}://{parts.netloc}"
        variables = {
            "KEDGE_ASKPASS_SITE": site,
            "KEDGE_ASKPASS_USERNAME": username,
            "KEDGE_ASKPASS_USER_AT_SITE": f"{parts.scheme}://{username}@{parts.netloc}",
            "KEDGE_ASKPASS_FD": str(fd),
        }
        yield Askpass(program | variables, (fd,), _forms(username, token))
    finally:
        os.close(fd)


def _install(folder: Path) -> Path:
    """The program under ``folder``, written anew unless it is exactly right."""
    path = folder / "askpass"
    if not (path.is_file() and not path.is_symlink() and path.read_text() == _SCRIPT and os.access(path, os.X_OK)):
        fresh = folder / f"askpass.{os.getpid()}"
        fresh.write_text(_SCRIPT)
        fresh.chmod(0o700)
        fresh.replace(path)
    return path


def _forms(username: str, token: str) -> tuple[str, ...]:
    """The forms in which a token could appear in output: plain, in a URL, in a Basic header."""
    basic = base64.b64encode(f"{username}:{token}".encode()).decode()
    return (token, urllib.parse.quote(token, safe=""), basic)

"""Where Kedge is and who asks: ``KEDGE_URL`` and ``KEDGE_TOKEN``, or what ``kedge login`` has stored."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ghapp.cli.errors import EXIT_USAGE, CommandError
from ghapp.core.settings import Environment

LOG_IN = "Run `kedge login`, or set KEDGE_URL and KEDGE_TOKEN."


@dataclass(frozen=True, slots=True)
class Access:
    """``url`` has no slash at its end. Without a token only what anybody may read is answered.

    ``source`` says where the token is from, for sentences about it.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    source: str = ""


def login_file(variables: Mapping[str, str]) -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/"""
    base = variables.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(variables.get("HOME") or Path.home()) / ".config"
    return folder / "kedge" / "login.json"


def load(variables: Mapping[str, str]) -> Access:
    """Variables win over what is stored. A stored token goes to no other URL than the one it was stored with.

    Raises `CommandError` with exit code 2.
    """
    env = Environment(variables)
    path = login_file(variables)
    stored = _read(path)
    url = env.base_url("KEDGE_URL") or (stored.url if stored and not env.text("KEDGE_URL") else None)
    token, source = env.text("KEDGE_TOKEN"), "KEDGE_TOKEN"
    if token:
        env.judge_secret(source, token, 1)
    elif stored and stored.url == url:
        token, source = stored.token, str(path)
    if env.problems:
        raise CommandError(" ".join(env.problems), code=EXIT_USAGE)
    if url is None:
        raise CommandError("It is not known where Kedge is.", hint=LOG_IN, code=EXIT_USAGE)
    return Access(url, token, source if token else "")


def save(access: Access, path: Path) -> None:
    """Store it for nobody else's eyes. Raises `CommandError`."""
    text = json.dumps({"url": access.url, "token": access.token})
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes it 0600 before anything is in it: https://docs.python.org/3/library/tempfile.html
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=".login-")
        try:
            with os.fdopen(number, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error


def _read(path: Path) -> Access | None:
    try:
        match json.loads(path.read_text()):
            case {"url": str() as url, "token": str() as token}:
                return Access(url, token)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read.", hint="Run `kedge login` again.", code=EXIT_USAGE) from error
    raise CommandError(f"{path} is not what `kedge login` writes.", hint="Run it again.", code=EXIT_USAGE)

"""Environment variables → one frozen `Settings` for the runner. Nothing else of the runner reads them."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ghapp.core.config import LABEL, VARIABLE
from ghapp.core.settings import (
    NETWORK_SETTINGS,
    SHORTEST_TOKEN,
    Environment,
    Network,
    Setting,
    SettingsError,
    in_clear,
)
from runner import secrets
from runner.masking import SHORTEST
from runner.secrets import Bindings

SETTINGS = (
    Setting("KEDGE_URL", "required", "Base URL of the app."),
    Setting("KEDGE_RUNNER_TOKEN", "required", "The runner token that the app was given; at least 24 characters."),
    Setting("KEDGE_RUNNER_TOKEN_FILE", "none", "File that holds the runner token, instead of KEDGE_RUNNER_TOKEN."),
    Setting("KEDGE_RUNNER_NAME", "the host name", "Name that pages and blockers call it by."),
    Setting("KEDGE_RUNNER_LABELS", "none", "Labels that environments may ask for, comma-separated."),
    Setting(
        "KEDGE_RUNNER_APPS",
        "every app of the app's KEDGE_APPS",
        "Apps and owner/repo that it accepts, comma-separated; what a repository defines itself only by owner/repo.",
    ),
    Setting(
        "KEDGE_RUNNER_ENV",
        "none",
        "Names of its own variables that commands may see besides PATH, HOME and LANG, comma-separated.",
    ),
    Setting(
        "KEDGE_SECRETS",
        "none",
        "File that binds secrets to apps and environments: `app/environment: {NAME: {file: /path}}`.",
    ),
    Setting("HEROKU_API_KEY", "none", "Key for apps with `heroku:`, where KEDGE_SECRETS binds none nearer to them."),
    Setting("HEROKU_API_URL", "https://api.heroku.com", "Base URL of Heroku's Platform API."),
    Setting("KEDGE_WORKDIR", "~/.local/share/kedge/runner", "Folder for checkouts, journal and logs; its own alone."),
    Setting("KEDGE_RUNNER_SLOTS", "1", "How many deploys it runs at a time, 1 to 64."),
    *NETWORK_SETTINGS,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_APP = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*/)?[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the runner is told from outside.

    ``url`` has no slash at its end. ``apps`` None: every app of the operator's config. ``shared`` are the names of
    its own variables that commands may see. ``warnings`` are sentences to be shown at start.
    """

    url: str
    token: str = field(repr=False)
    name: str
    labels: tuple[str, ...]
    apps: tuple[str, ...] | None
    shared: tuple[str, ...]
    workdir: Path
    slots: int
    network: Network
    bindings: Bindings = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check every setting. Raises `SettingsError` with all problems at once."""
    env = Environment(environ)
    _heroku(env)
    settings = Settings(
        url=_url(env),
        token=_token(env),
        name=_name(env),
        labels=env.names("KEDGE_RUNNER_LABELS", LABEL.fullmatch, "a label (letters, digits and ._-)"),
        apps=env.names("KEDGE_RUNNER_APPS", _APP.fullmatch, "an app's name or owner/repo") or None,
        shared=env.names("KEDGE_RUNNER_ENV", VARIABLE.fullmatch, "a variable's name, or begins with KEDGE_"),
        bindings=_bindings(env),
        workdir=env.folder("KEDGE_WORKDIR", "~/.local/share/kedge/runner", Path.home).absolute(),
        slots=env.number("KEDGE_RUNNER_SLOTS", 1, 1, 64),
        network=env.network(lambda path: Path(path).is_file()),
        warnings=tuple(env.warnings),
    )
    env.finish()
    return settings


def _url(env: Environment) -> str:
    url = env.base_url("KEDGE_URL")
    if url is None and not env.text("KEDGE_URL"):
        env.wrong("KEDGE_URL is not set; set it to the base URL of the app, such as https://kedge.example.com.")
    if url and in_clear(url):
        env.warnings.append(
            "KEDGE_URL is http://, so the runner's token and every deploy's log cross the network unencrypted; "
            "use https://."
        )
    return url or ""


def _token(env: Environment) -> str:
    path = env.text("KEDGE_RUNNER_TOKEN_FILE")
    if path is None:
        if env.text("KEDGE_RUNNER_TOKEN") is None:
            env.wrong(
                "KEDGE_RUNNER_TOKEN is not set; set it to the app's KEDGE_RUNNER_TOKEN, or name a file that holds "
                "it in KEDGE_RUNNER_TOKEN_FILE."
            )
            return ""
        return env.secret("KEDGE_RUNNER_TOKEN", SHORTEST_TOKEN)
    if env.text("KEDGE_RUNNER_TOKEN"):
        env.wrong("KEDGE_RUNNER_TOKEN and KEDGE_RUNNER_TOKEN_FILE are both set; leave one.")
        return ""
    try:
        token = Path(path).read_text().strip()
    except (OSError, ValueError):
        env.wrong("KEDGE_RUNNER_TOKEN_FILE is not the path of a readable text file.")
        return ""
    env.judge_secret("KEDGE_RUNNER_TOKEN_FILE", token, SHORTEST_TOKEN)
    return token


def _bindings(env: Environment) -> Bindings:
    path = env.text("KEDGE_SECRETS")
    if path is None:
        return {}
    try:
        return secrets.load(Path(path))
    except SettingsError as error:
        env.problems += error.problems
        return {}


def _heroku(env: Environment) -> None:
    """Checked here; `runner.secrets` and `runner.heroku` read them."""
    env.base_url("HEROKU_API_URL")
    if key := env.text("HEROKU_API_KEY"):
        env.judge_secret("HEROKU_API_KEY", key, SHORTEST)


def _name(env: Environment) -> str:
    name = env.text("KEDGE_RUNNER_NAME") or socket.gethostname()
    if not _NAME.fullmatch(name):
        env.wrong("KEDGE_RUNNER_NAME (default: the host name) must be made of at most 100 letters, digits and ._-")
    return name

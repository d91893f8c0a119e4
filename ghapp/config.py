"""Environment variables → one frozen `Settings` for ``kedge serve``. Nothing else of the app reads them."""

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ghapp import providers
from ghapp.apps import parse
from ghapp.config_github import GitHubHost, GitHubSettings, Wanted, github_app
from ghapp.config_notices import NoticeSettings, notices, untold
from ghapp.config_slack import SlackSettings, slack, unheard
from ghapp.core.config import AppConfig
from ghapp.core.settings import (
    NETWORK_SETTINGS,
    SHORTEST_TOKEN,
    Environment,
    Network,
    Setting,
    SettingsError,
    is_loopback,
)
from ghapp.credentials import FILE

SHORTEST_KEY = 32

SETTINGS = (
    Setting("PORT", "8000", "Port to listen on."),
    Setting("KEDGE_HOST", "127.0.0.1 (0.0.0.0 on Heroku)", "Address to listen on."),
    Setting(
        "KEDGE_URL",
        "http://HOST:PORT (on Heroku with dyno metadata its own domain)",
        "Public base URL of the app, for links.",
    ),
    Setting("KEDGE_DATA", "~/.local/share/kedge", "Folder for what the app keeps."),
    Setting(
        "DATABASE_URL",
        "sqlite:///KEDGE_DATA/kedge.sqlite",
        "sqlite:////absolute/path, sqlite:///relative/path or postgres://USER:PASSWORD@HOST/NAME.",
    ),
    Setting("KEDGE_APPS", "required", "The application config: the path of a YAML file (reloaded on change) or text."),
    Setting("KEDGE_ACCOUNTS", "the App's owner", "GitHub accounts whose deliveries count, comma-separated."),
    Setting(
        "KEDGE_SECRET_KEY",
        "made once in KEDGE_DATA (required on Heroku)",
        "At least 32 characters that cookies and stored secrets are keyed from; comma-separated while rotating, "
        "the new one first.",
    ),
    Setting("KEDGE_ADMIN_TOKEN", "required", "Token of the user admin; at least 24 characters."),
    Setting("KEDGE_RUNNER_TOKEN", "required", "Token that runners present; at least 24 characters."),
    Setting("KEDGE_ANONYMOUS_READ", "0", "1: pages and reads are open without sign-in."),
    Setting(
        "KEDGE_INBOUND", "webhooks", "How GitHub's events come: webhooks, or none: they are read from its record alone."
    ),
    Setting("GITHUB_APP_ID", "from kedge setup", "App ID of the GitHub App, a number. Goes before what set-up kept."),
    Setting("GITHUB_PRIVATE_KEY", "from kedge setup", "Private key of the GitHub App: PEM text or the file's path."),
    Setting(
        "GITHUB_WEBHOOK_SECRET",
        "from kedge setup",
        "Webhook secret of the GitHub App, unless KEDGE_INBOUND=none; comma-separated while rotating.",
    ),
    Setting("GITHUB_API_URL", "https://api.github.com", "API base; GitHub Enterprise Server: https://HOST/api/v3."),
    Setting("GITHUB_WEB_URL", "derived from GITHUB_API_URL", "Base URL of GitHub's pages."),
    Setting("GITHUB_CLIENT_ID", "from kedge setup", "Client ID of the GitHub App, for sign-in with GitHub."),
    Setting("GITHUB_CLIENT_SECRET", "from kedge setup", "Client secret of the GitHub App, for sign-in with GitHub."),
    Setting("SLACK_BOT_TOKEN", "none", "Bot token of the Slack app (xoxb-…): deploys are told and followed in Slack."),
    Setting("SLACK_APP_TOKEN", "none", "App-level token of the Slack app (xapp-…): buttons and /kedge in Slack."),
    Setting("SLACK_WEBHOOK_URL", "none", "Incoming webhook of Slack, where there is no Slack app: it is only told."),
    Setting("KEDGE_WEBHOOK_SECRETS", "none", "Signs outgoing webhooks: whsec_…, comma-separated while rotating."),
    Setting("SENTRY_AUTH_TOKEN", "none", "Token for Sentry, with the scope project:releases."),
    Setting("SENTRY_URL", "https://sentry.io", "Base URL of Sentry."),
    Setting("KEDGE_SLACK_USERS", "none", "Who is who in Slack: login=MEMBERID or login=e-mail, comma-separated."),
    Setting("SLACK_API_URL", "https://slack.com/api", "Base URL of Slack's Web API."),
    *NETWORK_SETTINGS,
)

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
# https://docs.github.com/en/rest/users/users
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that ``kedge serve`` is told from outside.

    ``url`` has no slash at its end. Of ``apps_path`` and ``apps_text`` one is set: see `read_apps`.
    ``accounts`` is empty for the App's owner. ``secret_keys``: the first makes, all are accepted.
    ``github`` is None where no app needs it, and while ``setup`` says that set-up is to make the App at that host.
    ``slack`` is None where there is none. ``lasting``: what is written under ``data`` outlives the process.
    ``warnings`` are sentences to be shown at start.
    """

    host: str
    port: int
    url: str
    data: Path
    database_url: str = field(repr=False)
    apps_path: Path | None
    apps_text: str | None = field(repr=False)
    accounts: tuple[str, ...]
    secret_keys: tuple[str, ...] = field(repr=False)
    admin_token: str = field(repr=False)
    runner_token: str = field(repr=False)
    anonymous_read: bool
    inbound: Literal["webhooks", "none"]
    github: GitHubSettings | None
    network: Network
    warnings: tuple[str, ...] = ()
    setup: GitHubHost | None = None
    slack: SlackSettings | None = None
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    lasting: bool = True

    @property
    def credentials_file(self) -> Path:
        """Where set-up keeps the GitHub App's credentials, if the disk lasts."""
        return self.data / FILE


def load(environ: Mapping[str, str], *, setup: bool = False) -> Settings:
    """Read and check every setting, and the application config with them. Makes the secret key where there is none.

    ``setup``: the GitHub App is yet to be made; where no disk lasts, that is so whenever none is named.

    Raises `SettingsError` with all problems at once.
    """
    env = Environment(environ)
    ephemeral = env.text("DYNO") is not None
    host = env.text("KEDGE_HOST") or ("0.0.0.0" if ephemeral else "127.0.0.1")  # noqa: S104  Heroku routes to it
    if not _HOST.fullmatch(host):
        env.wrong("KEDGE_HOST must be an address or host name to listen on, without port or scheme.")
    port = env.number("PORT", 8000, 1, 65535)
    data = env.folder("KEDGE_DATA", "~/.local/share/kedge", Path.home).absolute()
    inbound = env.choice("KEDGE_INBOUND", "webhooks", "none")
    apps_path, apps_text = _apps_source(env)
    apps = _apps(env, apps_path, apps_text)
    needed = any(app.via == "github" for app in apps)
    wanted = Wanted(needed=needed, webhooks=inbound == "webhooks", setup=setup)
    settings = Settings(
        host=host,
        port=port,
        url=_url(env, host, port),
        data=data,
        database_url=_database_url(env, data, ephemeral=ephemeral),
        apps_path=apps_path,
        apps_text=apps_text,
        accounts=env.names("KEDGE_ACCOUNTS", _ACCOUNT.fullmatch, "the name of a GitHub account"),
        admin_token=env.secret("KEDGE_ADMIN_TOKEN", SHORTEST_TOKEN),
        runner_token=_runner_token(env),
        anonymous_read=env.flag("KEDGE_ANONYMOUS_READ"),
        inbound="webhooks" if inbound == "webhooks" else "none",
        github=(app := github_app(env, data / FILE if not ephemeral else None, wanted)).settings,
        setup=app.to_make_at,
        slack=_slack(env, apps),
        notices=notices(env),
        lasting=not ephemeral,
        network=env.network(lambda path: Path(path).is_file()),
        secret_keys=_secret_keys(env, data, ephemeral=ephemeral),
        warnings=tuple(env.warnings),
    )
    env.finish()
    return settings


def database_of(environ: Mapping[str, str]) -> str:
    """The address of the database, its folder made, for what needs nothing else: on Heroku it is migrated before
    there is more. Raises `SettingsError`.
    """
    env = Environment(environ)
    data = env.folder("KEDGE_DATA", "~/.local/share/kedge", Path.home).absolute()
    url = _database_url(env, data, ephemeral=env.text("DYNO") is not None)
    env.finish()
    make_folder(url, data)
    return url


def make_folder(database_url: str, data: Path) -> None:
    """KEDGE_DATA is Kedge's own to make; a folder that DATABASE_URL names is there, or the name is wrong."""
    if database_url == _default_database(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)


def read_apps(settings: Settings) -> str:
    """The text of the application config as it is now. Raises `SettingsError` where the file cannot be read."""
    return _apps_as_text(settings.apps_path, settings.apps_text)


def unmet(settings: Settings, apps: tuple[AppConfig, ...]) -> list[str]:
    """What a config, perhaps a reloaded one, needs and these settings lack; sentences."""
    wrong = [str(problem) for problem in providers.problems(apps)]
    names = [app.name for app in apps if app.via == "github"]
    if settings.github or settings.setup or not names:
        return wrong
    needs = "via github needs GITHUB_APP_ID and GITHUB_PRIVATE_KEY; set them and restart, or run kedge setup."
    return [*wrong, f"{', '.join(names)}: {needs}"]


def _apps_source(env: Environment) -> tuple[Path | None, str | None]:
    value = env.text("KEDGE_APPS")
    if value is None:
        env.wrong("KEDGE_APPS is not set; set it to the path of the application config, or to its text.")
        return None, None
    return apps_source(value)


def apps_source(value: str) -> tuple[Path | None, str | None]:
    """The path or the text that KEDGE_APPS is: text if it has what a config must have and a path seldom has, lines,
    braces or a mapping."""
    if re.search(r"[\n{]|:\s", value):
        return None, value
    return Path(value).absolute(), None


def _apps_as_text(path: Path | None, text: str | None) -> str:
    if path is None:
        return text or ""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SettingsError([f"KEDGE_APPS ({path}) is not UTF-8 text; save it as UTF-8."]) from error
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not a path"
        message = f"KEDGE_APPS: cannot read {path} ({reason}); name a readable file or give the config's text."
        raise SettingsError([message]) from error


def _apps(env: Environment, path: Path | None, text: str | None) -> tuple[AppConfig, ...]:
    if path is None and text is None:
        return ()
    try:
        parsed = parse(_apps_as_text(path, text))
    except SettingsError as error:
        env.problems += error.problems
        return ()
    place = f"KEDGE_APPS ({path})" if path else "KEDGE_APPS"
    env.problems += [f"{place}: {problem}" for problem in parsed.problems or providers.problems(parsed.apps)]
    env.warnings += [f"{place}: {warning}" for warning in parsed.warnings]
    return parsed.apps


def _slack(env: Environment, apps: tuple[AppConfig, ...]) -> SlackSettings | None:
    env.warnings += [f"KEDGE_APPS: {problem}" for problem in untold(apps, lambda name: env.text(name) is not None)]
    found = slack(env)
    if found is None:
        env.warnings += [f"KEDGE_APPS: {problem}" for problem in unheard(apps)]
    return found


def _url(env: Environment, host: str, port: int) -> str:
    url = env.base_url("KEDGE_URL")
    domain = env.text("HEROKU_APP_DEFAULT_DOMAIN_NAME")
    if not env.text("KEDGE_URL") and domain and _HOST.fullmatch(domain):
        return f"https://{domain}"  # https://devcenter.heroku.com/articles/dyno-metadata
    if url is None:
        everywhere = host in {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
        if not env.text("KEDGE_URL") and not is_loopback(host):
            env.warnings.append("KEDGE_URL is not set, so links lead to this machine only; set the public address.")
        name = "127.0.0.1" if everywhere else f"[{host}]" if ":" in host else host
        url = f"http://{name}:{port}"
    return url


def _database_url(env: Environment, data: Path, *, ephemeral: bool) -> str:
    url = env.text("DATABASE_URL") or _default_database(data)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and ephemeral:
        env.wrong(
            "DATABASE_URL must be a postgres:// address here: the disk of a dyno does not last, so SQLite would "
            "lose everything at each restart. Add Heroku Postgres."
        )
    elif scheme == "sqlite":
        path = rest.removeprefix("/")
        if path == rest or not path.strip("/") or path.endswith("/") or "?" in path or path == ":memory:":
            env.wrong("DATABASE_URL: SQLite is written sqlite:////absolute/path or sqlite:///relative/path.")
    elif scheme not in {"postgres", "postgresql"} or not rest:
        env.wrong("DATABASE_URL must begin with sqlite:///, postgres:// or postgresql://.")
    return url


def _default_database(data: Path) -> str:
    return f"sqlite:///{data / 'kedge.sqlite'}"


def _runner_token(env: Environment) -> str:
    token = env.secret("KEDGE_RUNNER_TOKEN", SHORTEST_TOKEN)
    if token and token == env.text("KEDGE_ADMIN_TOKEN"):
        env.wrong("KEDGE_ADMIN_TOKEN and KEDGE_RUNNER_TOKEN must differ: a runner may not act as the admin.")
    return token


def _secret_keys(env: Environment, data: Path, *, ephemeral: bool) -> tuple[str, ...]:
    """Made last, and only where all else is right: a start that fails leaves nothing behind."""
    keys = env.secrets("KEDGE_SECRET_KEY", SHORTEST_KEY)
    if keys or (env.problems and not ephemeral):
        return keys
    if ephemeral:
        env.wrong("KEDGE_SECRET_KEY is not set; set it to what `openssl rand -hex 32` prints (a dyno cannot keep one).")
        return ()
    try:
        return (_kept_key(data / "secret_key", env),)
    except OSError as error:
        env.wrong(f"KEDGE_DATA: cannot keep a secret key in {data} ({error.strerror}); name a folder of your own.")
        return ()


def _kept_key(path: Path, env: Environment) -> str:
    """The key in the file; made first where there is none, whole or not at all, whoever else does the same."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        Path(draft).unlink()
    key = path.read_text(errors="replace").strip()
    if path.stat().st_mode & 0o077:
        env.wrong(f"{path} can be read by others; run: chmod 600 {path}")
    if len(key) < SHORTEST_KEY:
        env.wrong(f"{path} holds less than {SHORTEST_KEY} characters; remove it, and a new key is made.")
    return key

"""The settings of the GitHub App."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ghapp.core.settings import Environment, in_clear, split_url
from ghapp.credentials import Credentials, CredentialsError, read

API_URL = "https://api.github.com"

# RS256 wants 2048 bits or more: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
_FEWEST_BITS = 2048


_NAMES = (
    "GITHUB_APP_ID",
    "GITHUB_PRIVATE_KEY",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
)


@dataclass(frozen=True, slots=True)
class GitHubHost:
    """Where GitHub is: ``api_url`` and ``web_url`` have no slash at their end."""

    api_url: str
    web_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSettings:
    """The GitHub App. ``private_key`` is PEM text of an RSA key; ``api_url`` and ``web_url`` have no slash at
    their end; ``webhook_secrets`` is empty only with ``KEDGE_INBOUND=none``. With ``client_id`` and
    ``client_secret`` people can sign in; both or neither are set. Of an App that set-up made, ``page`` is its page at
    GitHub and ``made_at`` the moment (ms)."""

    app_id: int
    private_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    api_url: str
    web_url: str
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    page: str | None = None
    made_at: int | None = None


class Wanted(NamedTuple):
    """``needed``: some app is via GitHub. ``webhooks``: GitHub calls. ``setup``: an App is to be made."""

    needed: bool
    webhooks: bool
    setup: bool


class Found(NamedTuple):
    """The App, or the host where set-up is to make it, or neither."""

    settings: GitHubSettings | None
    to_make_at: GitHubHost | None = None


def github_app(env: Environment, kept_in: Path | None, wanted: Wanted) -> Found:
    """What the environment names goes before what set-up kept in the file; None: in the database, no disk lasts."""
    host = _host(env)
    named = any(map(env.text, _NAMES))
    kept = _kept(env, kept_in) if kept_in and not named else None
    if wanted.setup and (named or kept):
        what = f"the App {kept.slug} in {kept_in}" if kept else "GITHUB_APP_ID, GITHUB_PRIVATE_KEY and the like"
        env.wrong(f"There is a GitHub App already: start kedge serve, or remove {what} to have another one made.")
    if kept:
        if env.text("GITHUB_API_URL") and host.api_url != kept.api_url:
            env.wrong(f"GITHUB_API_URL is another than that of the App in {kept_in}, {kept.api_url}; unset it.")
        return Found(kept_settings(kept, host))
    if not named and (wanted.setup or (wanted.needed and kept_in is None)):
        return Found(None, host)
    return Found(_named(env, host, webhooks=wanted.webhooks) if named or wanted.needed else None)


def _kept(env: Environment, path: Path) -> Credentials | None:
    try:
        return read(path)
    except CredentialsError as error:
        env.wrong(str(error))
        return None


def _host(env: Environment) -> GitHubHost:
    api_url = env.base_url("GITHUB_API_URL") or API_URL
    if in_clear(api_url):
        env.warnings.append("GITHUB_API_URL is http://, so credentials cross the network unencrypted; use https://.")
    return GitHubHost(api_url, env.base_url("GITHUB_WEB_URL") or web_url_of(api_url))


def _named(env: Environment, host: GitHubHost, *, webhooks: bool) -> GitHubSettings:
    """The App that the environment names; what is wrong with it, or lacking, is among the problems."""
    app_id = _app_id(env)
    private_key = _private_key(env)
    webhook_secrets = env.secrets("GITHUB_WEBHOOK_SECRET", 1)
    if webhooks and not webhook_secrets:
        env.wrong(
            "GITHUB_WEBHOOK_SECRET is not set; without it anybody could send deliveries. Set it to the webhook secret "
            "of the GitHub App, or KEDGE_INBOUND=none."
        )
    client_id, client_secret = _client(env)
    return GitHubSettings(
        app_id=app_id,
        private_key=private_key,
        webhook_secrets=webhook_secrets,
        api_url=host.api_url,
        web_url=host.web_url,
        client_id=client_id,
        client_secret=client_secret,
    )


def kept_settings(kept: Credentials, host: GitHubHost) -> GitHubSettings:
    """The App that set-up made."""
    return GitHubSettings(
        app_id=kept.app_id,
        private_key=kept.private_key,
        webhook_secrets=(kept.webhook_secret,) if kept.webhook_secret else (),
        api_url=kept.api_url,
        web_url=host.web_url if host.api_url == kept.api_url else web_url_of(kept.api_url),
        client_id=kept.client_id,
        client_secret=kept.client_secret,
        page=kept.page,
        made_at=kept.created_at,
    )


def web_url_of(api_url: str) -> str:
    """Where the pages of an API base are.

    https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api: ``api.github.com`` belongs
    to github.com, ``api.NAME.ghe.com`` to NAME.ghe.com; Enterprise Server has both on one host.
    """
    parts = split_url(api_url)
    if not parts:
        raise ValueError("no URL")
    host = parts.netloc
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        host = host.removeprefix("api.")
    return f"{parts.scheme}://{host}"


def _app_id(env: Environment) -> int:
    if not env.text("GITHUB_APP_ID"):
        env.wrong(
            "GITHUB_APP_ID is not set; run kedge setup, which makes the GitHub App, or set it to the App ID that the "
            "App's settings page shows."
        )
    return env.number("GITHUB_APP_ID", 0, 1, 10**15)


def _client(env: Environment) -> tuple[str | None, str | None]:
    """What the App shows when people sign in with it."""
    names = ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET")
    client_id, client_secret = map(env.text, names)
    if client_secret:
        env.judge_secret(names[1], client_secret, 1)
    if (client_id is None) != (client_secret is None):
        missing, there = names if client_id is None else reversed(names)
        env.wrong(
            f"{missing} is not set, but {there} is; for sign-in with GitHub set both, as they are on the GitHub App's "
            "settings page, else neither."
        )
    return client_id, client_secret


def _private_key(env: Environment) -> str:
    value = env.text("GITHUB_PRIVATE_KEY")
    if value is None:
        env.wrong("GITHUB_PRIVATE_KEY is not set; generate one on the GitHub App's settings page and name its file.")
        return ""
    if "-----BEGIN" in value:
        pem = value.replace("\\n", "\n") + "\n"
    else:
        try:
            pem = Path(value).read_text()
        except (OSError, ValueError):
            env.wrong("GITHUB_PRIVATE_KEY is neither PEM text (-----BEGIN …) nor the path of a readable file.")
            return ""
    if flaw := _flaw(pem):
        env.wrong(f"GITHUB_PRIVATE_KEY {flaw}; download a new key from the GitHub App's settings page.")
    return pem


def _flaw(pem: str) -> str | None:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        return "is protected by a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        return "is no private key in PEM form, or is cut off"
    if not isinstance(key, RSAPrivateKey):
        return "is not an RSA key"
    return None if key.key_size >= _FEWEST_BITS else f"has fewer than {_FEWEST_BITS} bits"

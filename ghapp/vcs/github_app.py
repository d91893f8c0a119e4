"""The GitHub App's own standing: its key, its installations and the tokens it gives out.

The runner never imports this file, nor does anything that the runner imports.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ghapp.core.remote import Forbidden, NotFound, RateLimited, Refused, Unavailable
from ghapp.core.values import Repository
from ghapp.vcs.base import RepoToken
from ghapp.vcs.conversation import Conversation
from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.github_conversation import PERMISSIONS as CONVERSATION_PERMISSIONS
from ghapp.vcs.github_conversation import GitHubConversation
from ghapp.vcs.github_files import GitHubFiles
from ghapp.vcs.github_record import GitHubRecord
from ghapp.vcs.github_shapes import Id, Moment, RepositoryShape, moment, repository_of
from ghapp.vcs.github_transport import Authorized, GitHubTransport
from ghapp.vcs.github_webhooks import GitHubWebhooks
from ghapp.vcs.provider import Provider
from ghapp.vcs.remembered import Remembered

#: What a runner needs, each with the least level that gives it.
RUNNER_PERMISSIONS = {"contents": "read", "statuses": "read", "checks": "read", "deployments": "write"}

#: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
USERNAME = "x-access-token"

_LEVELS = ("none", "read", "write", "admin")

#: GitHub takes App JWTs that end at most 10 minutes ahead, and advises to issue them 60 s in the past.
#: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
_JWT_ISSUED_AGO_S = 60
_JWT_ENDS_IN_S = 8 * 60
_JWT_RENEWED_AFTER_MS = 6 * 60_000
#: Installation tokens live one hour.
_TOKEN_MARGIN_MS = 5 * 60_000
_INSTALLATION_MS = 3 * 60_000
_LISTING_MS = 60_000
_APP_MS = 60 * 60_000


class _Account(msgspec.Struct, kw_only=True):
    login: str | None = None
    slug: str | None = None


class _Installation(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    permissions: dict[str, str] = {}
    suspended_at: Moment = None
    account: _Account | None = None
    html_url: str | None = None


class _Minted(msgspec.Struct, kw_only=True):
    token: str
    expires_at: Moment

    def __repr__(self) -> str:
        return f"_Minted(expires_at={self.expires_at!r})"


class _ListedRepository(RepositoryShape, kw_only=True):
    pushed_at: Moment = None


class _AppShape(msgspec.Struct, kw_only=True):
    slug: str
    owner: _Account | None = None


class _DeliveryShape(msgspec.Struct, kw_only=True):
    id: Id
    event: str


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class GitHubApp(Provider):
    """See `Provider`. ``private_key`` is the App's PEM, ``webhook_secrets`` those that deliveries are signed with;
    ``clock`` tells ms since the epoch.

    Raises ValueError where the key is no RSA private key. `close` leaves the session open: it is its maker's.
    """

    title = "GitHub"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        app_id: int,
        private_key: str,
        api_url: str = "https://api.github.com",
        webhook_secrets: Sequence[str] = (),
        clock: Callable[[], int] = _now_ms,
    ) -> None:
        self._session = session
        self._app_id = app_id
        self._key = _rsa_key(private_key)
        self._clock = clock
        self._transport = GitHubTransport(session, api_url)
        self._jwts: Remembered[None, str] = Remembered(lambda _jwt, now: now + _JWT_RENEWED_AFTER_MS, clock=clock)
        self._own: Remembered[int, RepoToken] = Remembered(_token_end, clock=clock)
        self._narrowed: Remembered[tuple[int, frozenset[str]], RepoToken] = Remembered(_narrowed_end, clock=clock)
        self._installations: Remembered[str, _Installation] = Remembered(
            lambda _found, now: now + _INSTALLATION_MS, clock=clock
        )
        self._listing: Remembered[None, list[Repository]] = Remembered(
            lambda _list, now: now + _LISTING_MS, clock=clock
        )
        self._app: Remembered[None, _AppShape] = Remembered(lambda _app, now: now + _APP_MS, clock=clock)
        self._owner: str | None = None
        self._as_app = Authorized(self._transport, self._jwt, kind="jwt", rejected=self._jwt_rejected)
        self.api_url = api_url.rstrip("/")
        self.own_checks = ("status/kedge", f"run/{app_id}/", f"suite/{app_id}/")
        self.webhooks = GitHubWebhooks(webhook_secrets)
        self.record = GitHubRecord(self._as_app, self._client, lambda: self._transport.ahead_ms, clock)

    @property
    def calls_left(self) -> int | None:
        return self._transport.calls_left

    async def slug(self) -> str:
        """The App's name in URLs; its bot is called ``slug[bot]``."""
        return (await self._about()).slug

    async def login(self) -> str:
        """https://docs.github.com/en/apps/using-github-apps/about-using-github-apps: an App acts as its bot."""
        return f"{await self.slug()}[bot]"

    async def owner(self) -> str | None:
        """Once known it stays known, also while GitHub cannot be asked again."""
        try:
            account = (await self._about()).owner
        except (Unavailable, RateLimited):
            if self._owner is None:
                raise
            return self._owner
        self._owner = account.login if account else None
        return self._owner

    async def _about(self) -> _AppShape:
        return await self._app.get(None, lambda: self._as_app.item("/app", _AppShape))

    async def installed(self) -> list[Repository]:
        """Every repository that the App is installed on and may use, as it is now, with its newest push."""
        return await self._list_all()

    async def send_ping_again(self) -> None:
        """Have GitHub repeat the newest ping: the first one is sent before anybody can know the webhook secret.

        https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook
        """
        newest = await self._as_app.items("/app/hook/deliveries?per_page=100", _DeliveryShape)
        ping = next((one for one in newest if one.event == "ping"), None)
        if ping:
            await self._as_app.post("/app/hook/deliveries/{id}/attempts", {}, dict[str, object], id=str(ping.id))

    async def find_repository(self, name: str) -> list[Repository]:
        if "/" not in name:
            listing = await self._listing.get(None, self._list_all)
            return [found for found in listing if found.full_name.partition("/")[2].lower() == name.lower()]
        try:
            client = self._client(name)
            shape = await client.item("/repos/{owner}/{repo}", RepositoryShape, **_owner_and_repo(name))
        except NotFound:
            return []
        return [repository_of(shape)]

    def files(self, repository: Repository) -> GitHubFiles:
        return GitHubFiles(self._client(repository.full_name), repository.full_name)

    async def _list_all(self) -> list[Repository]:
        installations = await self._as_app.items("/app/installations?per_page=100", _Installation)
        found: list[Repository] = []
        for installation in installations:
            if installation.suspended_at is None:
                found += await self._list(installation)
        return found

    async def _list(self, installation: _Installation) -> list[Repository]:
        client = self._authorized(installation.id)
        path = "/installation/repositories?per_page=100"
        try:
            shapes = await client.items(path, _ListedRepository, within="repositories")
        except NotFound:  # uninstalled since the list was read
            return []
        return [replace(repository_of(shape), pushed_at=moment(shape.pushed_at)) for shape in shapes]

    async def repo_token(self, repository: Repository) -> RepoToken:
        return await self._narrowed_to(repository, RUNNER_PERMISSIONS)

    async def _narrowed_to(self, repository: Repository, wished: Mapping[str, str]) -> RepoToken:
        """A token for one repository and no more than these permissions."""
        return await self._narrowed.get((repository.id, frozenset(wished)), lambda: self._narrow(repository, wished))

    async def _narrow(self, repository: Repository, wished: Mapping[str, str]) -> RepoToken:
        try:
            return await self._narrow_once(repository, wished)
        except (NotFound, Refused):  # installation or grant may have changed since they were looked up
            self._installations.forget(repository.full_name.lower())
        return await self._narrow_once(repository, wished)

    async def _narrow_once(self, repository: Repository, wished: Mapping[str, str]) -> RepoToken:
        installation = await self._installation(repository.full_name)
        granted = {name: level for name, level in wished.items() if _gives(installation.permissions, name, level)}
        missing = tuple(f"{name}:{level}" for name, level in wished.items() if name not in granted)
        if not granted:  # asking for no permission at all would give every one
            raise Forbidden(
                f"The GitHub App has none of the permissions it needs on {repository.full_name}: {', '.join(missing)}. "
                "An owner can grant them in the App's settings."
            )
        minted = await self._mint(installation.id, {"repository_ids": [repository.id], "permissions": granted})
        if missing:  # may be granted before this one ends
            self._installations.forget(repository.full_name.lower())
        return replace(minted, missing=missing)

    async def _mint(self, installation_id: int, narrowing: dict[str, object]) -> RepoToken:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app"""
        path = "/app/installations/{id}/access_tokens"
        minted = await self._as_app.post(path, narrowing, _Minted, id=str(installation_id))
        return RepoToken(minted.token, moment(minted.expires_at), username=USERNAME)

    def code(self, repository: Repository) -> GitHubRepository:
        return self._repository(repository)

    def checks(self, repository: Repository) -> GitHubRepository:
        return self._repository(repository)

    def deployments(self, repository: Repository) -> GitHubRepository:
        return self._repository(repository)

    def people(self, repository: Repository) -> GitHubRepository:
        return self._repository(repository)

    def _repository(self, repository: Repository) -> GitHubRepository:
        return GitHubRepository(repository.full_name, self._client(repository.full_name))

    def conversation(self, repository: Repository) -> Conversation:
        """Its credentials may read checks and talk, and nothing else."""

        async def token() -> str:
            return (await self._narrowed_to(repository, CONVERSATION_PERMISSIONS)).value

        def rejected(bad: str) -> None:
            self._narrowed.forget_where(lambda minted: minted.value == bad)

        api = Authorized(self._transport, token, rejected=rejected)
        return GitHubConversation(api, repository.full_name, self.login)

    def _client(self, full_name: str) -> Authorized:
        """Calls with all that the repository's installation grants."""
        return Authorized(self._transport, partial(self._own_token_for, full_name), rejected=self._own_rejected)

    def _authorized(self, installation_id: int) -> Authorized:
        return Authorized(self._transport, partial(self._own_token, installation_id), rejected=self._own_rejected)

    async def _own_token_for(self, full_name: str) -> str:
        return await self._own_token((await self._installation(full_name)).id)

    async def _own_token(self, installation_id: int) -> str:
        return (await self._own.get(installation_id, lambda: self._mint(installation_id, {}))).value

    def _own_rejected(self, token: str) -> None:
        self._own.forget_where(lambda minted: minted.value == token)

    async def _installation(self, full_name: str) -> _Installation:
        """The installation that covers the repository, asked of GitHub: its event may be late or lost."""
        return await self._installations.get(full_name.lower(), lambda: self._look_up(full_name))

    async def _look_up(self, full_name: str) -> _Installation:
        path = "/repos/{owner}/{repo}/installation"
        try:
            found = await self._as_app.item(path, _Installation, **_owner_and_repo(full_name))
        except NotFound as error:
            problem = NotFound(
                f"The GitHub App is not installed on {full_name}, or there is no such repository. "
                "An owner can install it from the App's page.",
                status=error.status,
            )
        else:
            _refuse_suspended(found, full_name)
            return found
        raise problem

    async def _jwt(self) -> str:
        return await self._jwts.get(None, self._sign)

    def _jwt_rejected(self, bad: str) -> None:
        self._jwts.forget_where(lambda known: known == bad)

    async def _sign(self) -> str:
        now = self._clock() // 1000
        claims = {"iss": str(self._app_id), "iat": now - _JWT_ISSUED_AGO_S, "exp": now + _JWT_ENDS_IN_S}
        return jwt.encode(claims, self._key, algorithm="RS256")

    async def close(self) -> None:
        await self._listing.close()
        await self._narrowed.close()
        await self._own.close()
        await self._installations.close()
        await self._app.close()
        await self._jwts.close()


def _rsa_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(
            "The GitHub App's private key cannot be read: it must be the RSA key in PEM form "
            "(-----BEGIN RSA PRIVATE KEY-----) that GitHub gave when it was made."
        )
    return key


def _token_end(token: RepoToken, _now: float) -> int:
    return token.expires_at - _TOKEN_MARGIN_MS


def _narrowed_end(token: RepoToken, now: float) -> float:
    """One that lacks something is good for no longer than what is known of its installation."""
    return min(_token_end(token, now), now + _INSTALLATION_MS) if token.missing else _token_end(token, now)


def _gives(granted: dict[str, str], name: str, level: str) -> bool:
    has = granted.get(name, "none")
    return has in _LEVELS and _LEVELS.index(has) >= _LEVELS.index(level)


def _owner_and_repo(full_name: str) -> dict[str, str]:
    owner, _, repo = full_name.partition("/")
    return {"owner": owner, "repo": repo}


def _refuse_suspended(installation: _Installation, full_name: str) -> None:
    if installation.suspended_at is None:
        return
    account = installation.account
    whose = (account and (account.login or account.slug)) or full_name.partition("/")[0]
    where = f" at {installation.html_url}" if installation.html_url else " in its settings"
    raise Forbidden(f"The installation of the GitHub App on {whose} is suspended; an owner can lift that{where}.")

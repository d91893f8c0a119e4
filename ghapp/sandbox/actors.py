"""Who asks: App JWTs, installation tokens, personal tokens, and what each may do."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from .replies import Refused
from .state import ROLES, Account, App, Installation, Repository, State, Token, allows

# An App JWT may live this long (https://docs.github.com/en/apps/creating-github-apps/
# authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app).
JWT_LIFETIME_S = 600
_UNDECODABLE = "A JSON web token could not be decoded"


@dataclass(frozen=True, slots=True)
class Actor:
    """Nobody in particular when all are None. `app` alone stands for an App's JWT."""

    account: Account | None = None
    app: App | None = None
    installation: Installation | None = None
    token: Token | None = None

    @property
    def name(self) -> str:
        """Whose rate limit this is."""
        if self.installation:
            return f"installation {self.installation.id}"
        return f"app {self.app.id}" if self.app else self.account.login if self.account else "anonymous"


def authenticate(state: State, header: str | None, now: int) -> Actor:
    """The actor behind an Authorization header. Raises Refused(401)."""
    if not header:
        return Actor()
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        value = password_of(header)[1]
    elif scheme.lower() not in ("bearer", "token"):
        raise Refused(401, "Bad credentials")
    value = value.strip()
    if value.count(".") == 2:
        return Actor(app=_app_of_jwt(state.apps, value, now // 1000))
    return actor_of_token(state, value, now)


def password_of(header: str | None) -> tuple[str, str]:
    """User name and password of an `Authorization: Basic` header, both empty when it is none."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def actor_of_token(state: State, value: str, now: int) -> Actor:
    """Raises Refused(401) for a token that is unknown, expired, or of an installation that is gone."""
    token = state.tokens.get(value)
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        raise Refused(401, "Bad credentials")
    if token.installation_id is None:
        return Actor(token.account, token=token)
    installation = state.installations.get(token.installation_id)
    if installation is None:
        raise Refused(401, "Bad credentials")
    return Actor(token.account, state.apps[installation.app_id], installation, token)


def _app_of_jwt(apps: Mapping[int, App], value: str, now_s: int) -> App:
    try:
        issuer = str(jwt.decode(value, options={"verify_signature": False}).get("iss"))
    except jwt.InvalidTokenError:
        raise Refused(401, _UNDECODABLE) from None
    app = next((a for a in apps.values() if issuer in (str(a.id), a.client_id)), None)
    if app is None or not app.public_key:
        raise Refused(401, "'Issuer' claim ('iss') must be an Integer" if app is None else _UNDECODABLE)
    # The times are judged below, by the sandbox's own clock and with GitHub's words.
    lenient: jwt.types.Options = {
        "require": ["iss", "iat", "exp"],
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
    }
    try:
        claims = jwt.decode(value, app.public_key, algorithms=["RS256"], options=lenient)
    except jwt.InvalidTokenError:
        raise Refused(401, _UNDECODABLE) from None
    _check_times(claims, now_s)
    return app


def _check_times(claims: Mapping[str, Any], now_s: int) -> None:
    if not all(isinstance(claims[name], int | float) for name in ("iat", "exp")):
        raise Refused(401, _UNDECODABLE)
    if claims["iat"] > now_s:
        raise Refused(401, "'Issued at' claim ('iat') must be an Integer representing a time in the past")
    if claims["exp"] <= now_s:
        raise Refused(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
    if claims["exp"] > now_s + JWT_LIFETIME_S:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")


def may_see(state: State, actor: Actor, repo: Repository) -> bool:
    """Whether the repository exists at all for this actor."""
    if actor.installation and actor.token:
        return repo.id in actor.installation.repository_ids & actor.token.repository_ids
    if actor.account:
        return state.role(repo, actor.account) != "none" and (not repo.private or _reaches(state, actor, repo))
    return not repo.private and actor.app is None


def installed(state: State, actor: Actor, repo: Repository) -> Installation | None:
    """Where the App that a person's token was given to is installed, if that covers the repository."""
    app = state.apps.get(actor.token.app_id) if actor.token and actor.token.app_id else None
    return state.installation_of(app, repo) if app else None


def _reaches(state: State, actor: Actor, repo: Repository) -> bool:
    return not (actor.token and actor.token.app_id) or installed(state, actor, repo) is not None


def granted(actor: Actor, permission: str) -> str:
    """The level an installation token has: the narrower of its own and the installation's."""
    if not (actor.installation and actor.token):
        return "none"
    return min(
        (held.get(permission, "none") for held in (actor.token.permissions, actor.installation.permissions)),
        key=("none", "read", "write", "admin").index,
    )


def require(state: State, actor: Actor, repo: Repository, permission: str, level: str) -> None:
    """Raises Refused: 404 where the actor cannot know the repository, 403 where it may not do this,
    401 where it has to say who it is."""
    if actor.app and not actor.installation:
        raise Refused(401, "Bad credentials")
    if not may_see(state, actor, repo):
        raise Refused(404, "Not Found")
    if actor.installation:
        if not allows(granted(actor, permission), level):
            needs = {"X-Accepted-GitHub-Permissions": f"{permission}={level}"}
            raise Refused(403, "Resource not accessible by integration", headers=needs)
    elif actor.token and actor.token.app_id and (repo.private or level != "read"):
        at = installed(state, actor, repo)
        if at is None or not allows(at.permissions.get(permission), level):
            raise Refused(403, "Resource not accessible by integration")
    if level != "read" and not actor.installation:
        if actor.account is None:
            raise Refused(401, "Requires authentication")
        if not allows(state.role(repo, actor.account), "write", ROLES):
            raise Refused(403, "Must have push access to the repository.")

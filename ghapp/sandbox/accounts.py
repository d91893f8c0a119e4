"""People, organizations, teams, Apps, installations and tokens."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from . import render
from .state import ROLES, Account, AccountType, App, Installation, Json, Repository, Token
from .world import World

_MANIFEST = json.loads((files("ghapp") / "manifests" / "github-app.json").read_text())
# What set-up makes Kedge's App with: whatever runs in the sandbox has no more than that.
KEDGE_PERMISSIONS: Mapping[str, str] = _MANIFEST["default_permissions"]
KEDGE_EVENTS: tuple[str, ...] = tuple(_MANIFEST["default_events"])


@dataclass(frozen=True, slots=True)
class AppKeys:
    """What the owner of a new App is given."""

    id: int
    slug: str
    client_id: str
    private_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    client_secret: str = field(repr=False)


def add_account(world: World, login: str, kind: AccountType) -> Account:
    """The account of this name, made when it is new."""
    known = world.state.account(login)
    if known:
        return known
    made = Account(next(world.state.ids.account), login, kind, world.clock())
    world.state.accounts[login.lower()] = made
    return made


def add_person(world: World, login: str) -> Account:
    """A user, or a bot when the name ends in "[bot]"."""
    return add_account(world, login, "Bot" if login.endswith("[bot]") else "User")


def add_organization(world: World, login: str, owners: Iterable[str] = ()) -> Account:
    made = add_account(world, login, "Organization")
    admins = world.state.owners.setdefault(login.lower(), set())
    admins.update(add_person(world, owner).login.lower() for owner in owners)
    return made


def add_team(world: World, organization: str, slug: str, members: Iterable[str]) -> None:
    """A team with these members; more can be added by calling it again."""
    add_organization(world, organization)
    team = world.state.teams.setdefault((organization.lower(), slug), {})
    team.update({add_person(world, login).login.lower(): "member" for login in members})


def set_permission(world: World, repo: Repository, login: str, role: str) -> None:
    """Give an account one of ROLES in a repository. Raises ValueError for another role."""
    if role not in ROLES:
        raise ValueError(f"no permission {role!r}; there are: {', '.join(ROLES)}")
    who = add_person(world, login)
    world.state.collaborators[(repo.id, who.login.lower())] = role


def rename(world: World, login: str, to: str) -> Account:
    """A person takes another login and keeps their id and roles; whoever comes may take the old one."""
    state, old = world.state, login.lower()
    state.accounts[to.lower()] = made = replace(state.accounts.pop(old), login=to)
    for repository_id, who in [key for key in state.collaborators if key[1] == old]:
        state.collaborators[(repository_id, to.lower())] = state.collaborators.pop((repository_id, who))
    return made


def personal_token(world: World, login: str) -> str:
    """A new personal access token with every scope."""
    token = Token("ghp_" + secrets.token_hex(18), add_person(world, login))
    world.state.tokens[token.value] = token
    return token.value


def add_app(
    world: World,
    *,
    slug: str,
    owner: str,
    permissions: Mapping[str, str],
    events: Iterable[str],
    webhook_url: str | None,
    webhook_secret: str | None,
    callback_urls: Iterable[str] = (),
) -> AppKeys:
    """Register an App with a key of its own; its hook is pinged."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = secrets.token_hex(20) if webhook_secret is None else webhook_secret
    app_id = next(world.state.ids.app)
    app = App(
        id=app_id,
        slug=slug,
        owner=add_organization(world, owner),
        bot=add_account(world, f"{slug}[bot]", "Bot"),
        client_id=f"Iv23li{app_id}",
        permissions={"metadata": "read", **permissions},
        events=tuple(events),
        public_key=_public_pem(key),
        hook_id=next(world.state.ids.hook),
        webhook_url=None,
        webhook_secret=secret,
        created_at=world.clock(),
        client_secret=secrets.token_hex(20),
        callback_urls=tuple(callback_urls),
    )
    world.state.apps[app_id] = app
    set_webhook(world, app_id, webhook_url)
    return AppKeys(app_id, slug, app.client_id, _private_pem(key), secret, app.client_secret)


def add_service(world: World, slug: str) -> App:
    """Somebody else's App that reports checks, made when it is new; it has no hook and no key."""
    known = next((app for app in world.state.apps.values() if app.slug == slug), None)
    if known:
        return known
    ids, owner = world.state.ids, add_organization(world, f"{slug}-makers")
    bot, app_id = add_account(world, f"{slug}[bot]", "Bot"), next(ids.app)
    may = {"metadata": "read", "checks": "write"}
    client = f"Iv23li{app_id}"
    app = App(app_id, slug, owner, bot, client, may, (), "", next(ids.hook), None, "", world.clock())
    world.state.apps[app_id] = app
    return app


def set_webhook(world: World, app_id: int, url: str | None) -> None:
    """Point an App's hook somewhere and ping it."""
    app = replace(world.app(app_id), webhook_url=url)
    world.state.apps[app_id] = app
    hook: Json = {
        "type": "App",
        "id": app.hook_id,
        "name": "web",
        "active": True,
        "events": list(app.events),
        "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url},
        "updated_at": render.time(world.clock()),
        "created_at": render.time(app.created_at),
        "app_id": app.id,
        "deliveries_url": f"{world.links.api}/app/hook/deliveries",
    }
    ping = {"zen": "Practicality beats purity.", "hook_id": app.hook_id, "hook": hook}
    world.hooks.enqueue(app, "ping", ping)


def install(
    world: World, app_id: int, repositories: Iterable[Repository], permissions: Mapping[str, str] | None = None
) -> Installation:
    """Install an App on repositories of one account, or add them to its installation there.
    `permissions` are what the account granted: by default all that the App asks for. Raises ValueError."""
    app, chosen = world.app(app_id), list(repositories)
    if len({repo.owner.id for repo in chosen}) != 1:
        raise ValueError("name the repositories of one account; each account has an installation of its own")
    account = chosen[0].owner
    known = next(
        (i for i in world.state.installations.values() if (i.app_id, i.account.id) == (app_id, account.id)), None
    )
    base = known or Installation(
        id=next(world.state.ids.installation),
        app_id=app_id,
        account=account,
        repository_ids=frozenset(),
        permissions=dict(app.permissions),
        created_at=world.clock(),
        updated_at=world.clock(),
    )
    added = [repo for repo in chosen if repo.id not in base.repository_ids]
    ids = base.repository_ids | {repo.id for repo in added}
    granted = base.permissions if permissions is None else {"metadata": "read", **permissions}
    made = replace(base, repository_ids=ids, permissions=granted, updated_at=world.clock())
    world.state.installations[made.id] = made
    if known is None:
        _tell(world, made, "installation", {"action": "created", "repositories": _short(added)})
    elif added:
        _tell(world, made, "installation_repositories", {"action": "added", **_moved(added, [])})
    return made


def uninstall(world: World, installation_id: int, repositories: Iterable[Repository]) -> None:
    """Take repositories out of an installation."""
    base, gone = world.state.installations[installation_id], list(repositories)
    left = base.repository_ids - {repo.id for repo in gone}
    world.state.installations[base.id] = replace(base, repository_ids=left, updated_at=world.clock())
    _tell(world, base, "installation_repositories", {"action": "removed", **_moved([], gone)})


def _moved(added: list[Repository], removed: list[Repository]) -> Json:
    lists = {"repositories_added": _short(added), "repositories_removed": _short(removed)}
    return {**lists, "repository_selection": "selected"}


def _short(repositories: Iterable[Repository]) -> list[Json]:
    return [render.short_repository(repo) for repo in repositories]


def _tell(world: World, installation: Installation, event: str, body: Json) -> None:
    """Events about an installation go to its App whatever it subscribed to."""
    app = world.state.apps[installation.app_id]
    whole: dict[str, Any] = {
        **body,
        "installation": render.installation(world.links, installation, app),
        "requester": None,
        "sender": render.account(world.links, installation.account),
    }
    world.hooks.enqueue(app, event, whole)


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

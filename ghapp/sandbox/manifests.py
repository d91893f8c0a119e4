"""The manifest flow: what GitHub accepts as a manifest, and the App and code it makes of one.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest. Each refusal is one
that people met on github.com, in its words as far as they are known.
"""

import json
import re
import secrets
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from . import accounts, render
from .replies import Call, Refused, Reply, route
from .state import Account, App, Json, ManifestCode, allows
from .world import World

LONGEST_NAME = 34
CODE_LIVES_MS = 60 * 60_000
_KEYS: dict[str, type] = {
    "name": str,
    "url": str,
    "hook_attributes": dict,
    "redirect_url": str,
    "callback_urls": list,
    "setup_url": str,
    "description": str,
    "public": bool,
    "default_events": list,
    "default_permissions": dict,
    "request_oauth_on_install": bool,
    "setup_on_update": bool,
}
# https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps
_PERMISSIONS = frozenset(
    """
    actions administration attestations checks codespaces contents custom_properties dependabot_secrets deployments
    discussions emails environments followers git_ssh_keys gpg_keys issues members merge_queues metadata
    organization_administration organization_hooks organization_plan organization_projects organization_secrets
    organization_self_hosted_runners packages pages plan profile pull_requests repository_hooks repository_projects
    secret_scanning_alerts secrets security_events single_file starring statuses team_discussions
    vulnerability_alerts workflows
    """.split()  # noqa: SIM905
)
_READ_ONLY = frozenset({"metadata", "organization_plan", "plan"})
# The permission that an event needs, as the manifest is checked: for comments on pull requests that is `issues`.
_EVENTS = {
    **dict.fromkeys(("check_run", "check_suite"), "checks"),
    **dict.fromkeys(("commit_comment", "create", "delete", "fork", "gollum", "push", "release"), "contents"),
    **dict.fromkeys(("deployment", "deployment_status", "deployment_review"), "deployments"),
    **dict.fromkeys(("issue_comment", "issues"), "issues"),
    **dict.fromkeys(("label", "public", "repository", "star", "watch"), "metadata"),
    **dict.fromkeys(("member", "membership", "organization", "team", "team_add"), "members"),
    **dict.fromkeys(("pull_request", "pull_request_review", "pull_request_review_comment"), "pull_requests"),
    **dict.fromkeys(("workflow_run", "workflow_job"), "actions"),
    "status": "statuses",
}


class Invalid(ValueError):
    """The manifest is refused; the message is what the page says."""


def parsed(text: str, *, public_internet: bool) -> Json:
    """The manifest, if GitHub would take it. ``public_internet``: as github.com, which calls no private address."""
    try:
        manifest = json.loads(text)
    except ValueError:
        raise Invalid("The configuration does not appear to be a valid GitHub App manifest.") from None
    if not isinstance(manifest, dict):
        raise Invalid("The configuration does not appear to be a valid GitHub App manifest.")
    for name, value in manifest.items():
        if name not in _KEYS:
            raise Invalid(f'"{name}" is not a permitted key.')
        if not isinstance(value, _KEYS[name]):
            raise Invalid(f"For 'properties/{name}', {value!r} is not {_KEYS[name].__name__}.")
    _check_addresses(manifest, public_internet=public_internet)
    _check_access(manifest.get("default_permissions", {}), manifest.get("default_events", []))
    if manifest.get("request_oauth_on_install") and manifest.get("setup_url"):
        raise Invalid("Setup url cannot be set when OAuth is requested during installation")
    return manifest


def _check_addresses(manifest: Json, *, public_internet: bool) -> None:
    _needed_url(manifest, "url")
    for name in ("redirect_url", "setup_url"):
        if name in manifest:
            _needed_url(manifest, name)
    callbacks = manifest.get("callback_urls", [])
    if len(callbacks) > 10:
        raise Invalid("Callback urls is too long (maximum is 10)")
    for each in callbacks:
        _needed_url({"callback_urls": each}, "callback_urls")
    hook = manifest.get("hook_attributes")
    if hook is None:
        return
    for name in hook:
        if name not in ("url", "active"):
            raise Invalid(f'"{name}" is not a permitted key.')
    _needed_url(hook, "url")
    if public_internet and _private(urlsplit(hook["url"]).hostname or ""):
        raise Invalid("Hook url is not supported because it isn't reachable over the public Internet (localhost)")


def _needed_url(values: Json, name: str) -> None:
    value = values.get(name)
    if value is None:
        raise Invalid(f'"{name}" wasn\'t supplied.')
    parts = urlsplit(value) if isinstance(value, str) else None
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{name.replace('_', ' ').capitalize()} must be a valid URL")


def _private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_access(permissions: Json, events: list[Any]) -> None:
    for name, level in permissions.items():
        if name not in _PERMISSIONS:
            raise Invalid(f"Default permission records resource is not included in the list ({name})")
        if level not in ("read", "write", "admin") or (name in _READ_ONLY and level != "read"):
            raise Invalid(f"Default permission records action {level!r} is not valid for {name}")
    unknown = [str(event) for event in events if event not in _EVENTS]
    if unknown:
        raise Invalid(f"Default events unsupported: {', '.join(unknown)}")
    granted = {"metadata": "read", **permissions}
    unbacked = [event for event in events if not allows(granted.get(_EVENTS[event]), "read")]
    if unbacked:
        raise Invalid(f"Default events are not supported by permissions: {', '.join(unbacked)}")


def register(world: World, owner: Account, manifest: Json, name: str) -> str:
    """Make the App; the code that is good for its credentials. Raises Invalid for the name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise Invalid("Name can't be blank")
    if len(name) > LONGEST_NAME:
        raise Invalid(f"Name is too long (maximum is {LONGEST_NAME} characters)")
    if any(app.slug == slug for app in world.state.apps.values()) or world.state.account(slug):
        raise Invalid("Name is already taken")
    hook = manifest.get("hook_attributes") or {}
    keys = accounts.add_app(
        world,
        slug=slug,
        owner=owner.login,
        permissions=manifest.get("default_permissions", {}),
        events=manifest.get("default_events", []),
        webhook_url=None,
        webhook_secret=None,
        callback_urls=manifest.get("callback_urls", []),
    )
    described = {"name": name, "external_url": manifest["url"], "description": manifest.get("description", "")}
    app = replace(world.app(keys.id), **described, setup_url=manifest.get("setup_url"))
    world.state.apps[app.id] = replace(app, public=manifest.get("public", False))
    if hook.get("active", True) and hook.get("url"):
        accounts.set_webhook(world, app.id, hook["url"])
    code = secrets.token_hex(20)
    world.state.manifest_codes[code] = ManifestCode(app.id, keys.private_key, world.clock() + CODE_LIVES_MS)
    return code


def convert(call: Call) -> Reply:
    """Once, and within the hour: https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest"""
    world = call.world
    code = world.state.manifest_codes.pop(call.names["code"], None)
    if code is None or code.ends_at <= world.clock():
        raise Refused(404, "Not Found")
    app = world.app(code.app_id)
    return Reply({**render.app(call.links, app), **_secrets(app, code)}, 201)


def _secrets(app: App, code: ManifestCode) -> Json:
    return {"client_secret": app.client_secret, "webhook_secret": app.webhook_secret, "pem": code.private_key}


ROUTES = [route("POST", "/app-manifests/{code}/conversions", convert, "anyone")]

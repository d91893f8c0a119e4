"""REST for Apps: the App itself, its installations, tokens and webhook deliveries; and who is asking."""

import base64
import json
import secrets

from . import render
from .hooks import Delivery
from .replies import Call, Refused, Reply, paged, route
from .state import App, Installation, Json, Repository, Token, allows


def _app(call: Call) -> App:
    if call.actor.app is None:
        raise Refused(401, "A JSON web token could not be decoded")
    return call.actor.app


def _installations(call: Call) -> list[Installation]:
    return [i for i in call.world.state.installations.values() if i.app_id == _app(call).id]


def get_app(call: Call) -> Reply:
    return Reply(render.app(call.links, _app(call), installations=len(_installations(call))))


def list_installations(call: Call) -> Reply:
    page, headers = paged(call, _installations(call))
    return Reply([render.installation(call.links, i, _app(call)) for i in page], headers=headers)


def _named_installation(call: Call) -> Installation:
    wanted = call.names["installation_id"]
    found = next((i for i in _installations(call) if str(i.id) == wanted), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


def get_installation(call: Call) -> Reply:
    return Reply(render.installation(call.links, _named_installation(call), _app(call)))


def installation_of_repository(call: Call) -> Reply:
    repo = call.world.state.repository(f"{call.names['owner']}/{call.names['repo']}")
    found = call.world.state.installation_of(_app(call), repo) if repo else None
    if found is None:
        raise Refused(404, "Not Found")
    return Reply(render.installation(call.links, found, _app(call)))


def installation_of_account(call: Call) -> Reply:
    wanted = call.names["account"].lower()
    found = next((i for i in _installations(call) if i.account.login.lower() == wanted), None)
    if found is None:
        raise Refused(404, "Not Found")
    return Reply(render.installation(call.links, found, _app(call)))


def create_token(call: Call) -> Reply:
    """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app"""
    installation, app, world = _named_installation(call), _app(call), call.world
    chosen = _narrowed_repositories(call, installation)
    token = Token(
        value="ghs_" + secrets.token_hex(18),
        account=app.bot,
        installation_id=installation.id,
        repository_ids=frozenset(r.id for r in chosen) if chosen else installation.repository_ids,
        permissions=_narrowed_permissions(call, installation),
        expires_at=(world.clock() + int(world.token_lifetime_s * 1000)) // 1000 * 1000,
    )
    world.state.tokens[token.value] = token
    return Reply(render.installation_token(call.links, token, chosen or None), 201)


def _narrowed_permissions(call: Call, installation: Installation) -> dict[str, str]:
    wanted = call.body.get("permissions") or dict(installation.permissions)
    if not isinstance(wanted, dict):
        raise Refused(422, "Invalid request.\n\nFor 'properties/permissions', it is not an object.")
    for name, level in wanted.items():
        known = level in ("read", "write", "admin")
        if not known or not allows(installation.permissions.get(name), level):
            raise Refused(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


def _narrowed_repositories(call: Call, installation: Installation) -> list[Repository]:
    ids, names = call.body.get("repository_ids") or [], call.body.get("repositories") or []
    reachable = [r for r in call.world.state.repositories.values() if r.id in installation.repository_ids]
    chosen = [r for r in reachable if r.id in ids or r.name in names]
    if len(chosen) < len({*ids, *names}):
        missing = (
            "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
        raise Refused(422, missing)
    return chosen


def installation_repositories(call: Call) -> Reply:
    token, installation = call.actor.token, call.actor.installation
    ids = token.repository_ids & installation.repository_ids if token and installation else frozenset()
    repositories = [r for r in call.world.state.repositories.values() if r.id in ids]
    page, headers = paged(call, repositories)
    shown = [render.repository(call.links, repo, role="read") for repo in page]
    body = {"total_count": len(repositories), "repository_selection": "selected", "repositories": shown}
    return Reply(body, headers=headers)


def _delivery(shown: Delivery) -> Json:
    return {
        "id": shown.id,
        "guid": shown.guid,
        "delivered_at": render.time(shown.delivered_at),
        "redelivery": shown.redelivery,
        "duration": shown.duration_s,
        "status": shown.status,
        "status_code": shown.status_code,
        "event": shown.event,
        "action": shown.action,
        "installation_id": shown.installation_id,
        "repository_id": shown.repository_id,
        "throttled_at": None,
    }


def list_deliveries(call: Call) -> Reply:
    """Newest first, by cursor (https://docs.github.com/en/rest/apps/webhooks)."""
    mine = [d for d in reversed(call.world.hooks.kept()) if d.app_id == _app(call).id and _wanted(call, d)]
    start = _position(mine, call.query.get("cursor"))
    size = call.query.get("per_page", "")
    end = start + min(int(size) if size.isdigit() and int(size) else 30, 100)
    headers = {}
    if end < len(mine):
        cursor = base64.urlsafe_b64encode(f"v1_{mine[end].id}".encode()).decode().rstrip("=")
        extra = f"&per_page={size}" if size else ""
        headers = {"Link": f'<{call.address}?cursor={cursor}{extra}>; rel="next"'}
    return Reply([_delivery(shown) for shown in mine[start:end]], headers=headers)


def _wanted(call: Call, delivery: Delivery) -> bool:
    """The filters: success is a status code of 200 to 399, failure one of 400 to 599."""
    status, redelivery = call.query.get("status"), call.query.get("redelivery")
    by_status = {"success": range(200, 400), "failure": range(400, 600)}.get(status or "")
    if by_status and delivery.status_code not in by_status:
        return False
    return redelivery not in ("true", "false") or delivery.redelivery == (redelivery == "true")


def _position(deliveries: list[Delivery], cursor: str | None) -> int:
    """Where the page of a cursor begins. Raises Refused(422) for one that was never given."""
    if not cursor:
        return 0
    ids = [base64.urlsafe_b64encode(f"v1_{d.id}".encode()).decode().rstrip("=") for d in deliveries]
    if cursor not in ids:
        raise Refused(422, "Invalid cursor")
    return ids.index(cursor)


def _named_delivery(call: Call) -> Delivery:
    wanted = call.names["delivery_id"]
    found = next((d for d in call.world.hooks.kept() if str(d.id) == wanted), None)
    if found is None or found.app_id != _app(call).id:
        raise Refused(404, "Not Found")
    return found


def get_delivery(call: Call) -> Reply:
    found = _named_delivery(call)
    request = {"headers": found.request_headers, "payload": json.loads(found.body)}
    response = {"headers": found.response_headers, "payload": found.response_body}
    url = _app(call).webhook_url
    return Reply({**_delivery(found), "url": url, "request": request, "response": response})


def redeliver(call: Call) -> Reply:
    call.world.hooks.redeliver(_named_delivery(call))
    return Reply({}, 202)


def rate_limit(call: Call) -> Reply:
    """Asking costs nothing (https://docs.github.com/en/rest/rate-limit/rate-limit)."""
    world = call.world
    used, reset = world.used.get(call.actor.name, (0, world.clock() // 1000 + 3600))
    core = {"limit": world.rate_limit, "used": used, "remaining": world.rate_limit - used, "reset": reset}
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": reset}
    return Reply({"resources": {"core": core, "search": search}, "rate": core})


def organization_membership(call: Call) -> Reply:
    """https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user"""
    organization, slug, login = call.names["org"].lower(), call.names["slug"], call.names["login"].lower()
    _may_read_members(call, organization)
    role = call.world.state.teams.get((organization, slug), {}).get(login)
    if role is None:
        raise Refused(404, "Not Found")
    return Reply({"url": call.address, "role": role, "state": "active"})


def _may_read_members(call: Call, organization: str) -> None:
    installed, token = call.actor.installation, call.actor.token
    if installed is None or token is None:
        return
    if installed.account.login.lower() != organization:
        raise Refused(404, "Not Found")
    if not all(allows(held.permissions.get("members"), "read") for held in (installed, token)):
        needs = {"X-Accepted-GitHub-Permissions": "members=read"}
        raise Refused(403, "Resource not accessible by integration", headers=needs)


ROUTES = [
    route("GET", "/app", get_app, "jwt"),
    route("GET", "/app/installations", list_installations, "jwt"),
    route("GET", "/app/installations/{installation_id}", get_installation, "jwt"),
    route("POST", "/app/installations/{installation_id}/access_tokens", create_token, "jwt"),
    route("GET", "/app/hook/deliveries", list_deliveries, "jwt"),
    route("GET", "/app/hook/deliveries/{delivery_id}", get_delivery, "jwt"),
    route("POST", "/app/hook/deliveries/{delivery_id}/attempts", redeliver, "jwt"),
    route("GET", "/repos/{owner}/{repo}/installation", installation_of_repository, "jwt"),
    route("GET", "/orgs/{account}/installation", installation_of_account, "jwt"),
    route("GET", "/users/{account}/installation", installation_of_account, "jwt"),
    route("GET", "/installation/repositories", installation_repositories, "installation"),
    route("GET", "/orgs/{org}/teams/{slug}/memberships/{login}", organization_membership, "token"),
    route("GET", "/rate_limit", rate_limit, "anyone"),
]

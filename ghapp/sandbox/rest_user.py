"""REST for people: who is asking, and what the App that they signed in through reaches for them."""

from . import render
from .replies import Call, Refused, Reply, paged, route
from .state import Account, App, Installation, Repository


def get_user(call: Call) -> Reply:
    if call.actor.installation or call.actor.account is None:
        raise Refused(403, "Resource not accessible by integration")
    return Reply(render.own_account(call.links, call.actor.account))


def _signed_in(call: Call) -> tuple[Account, App]:
    """Who signed in through which App. Raises Refused(403) for every other token."""
    account, token = call.actor.account, call.actor.token
    if account is None or token is None or token.app_id is None:
        message = "You must authenticate with an access token authorized to a GitHub App in order to list installations"
        raise Refused(403, message)
    return account, call.world.state.apps[token.app_id]


def _reachable(call: Call, at: Installation, who: Account) -> list[Repository]:
    """Those of an installation in which the person has a role of their own (read at least)."""
    state = call.world.state
    repositories = [one for one in state.repositories.values() if one.id in at.repository_ids]
    return [one for one in repositories if state.own_role(one, who) not in {None, "none"}]


def list_installations(call: Call) -> Reply:
    """https://docs.github.com/en/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token"""
    who, app = _signed_in(call)
    of_app = [one for one in call.world.state.installations.values() if one.app_id == app.id]
    found = [one for one in of_app if _reachable(call, one, who)]
    page, headers = paged(call, found)
    shown = [render.installation(call.links, one, app) for one in page]
    return Reply({"total_count": len(found), "installations": shown}, headers=headers)


def list_repositories(call: Call) -> Reply:
    """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-user-access-token"""
    who, app = _signed_in(call)
    at = call.world.state.installations.get(int(call.names["id"])) if call.names["id"].isdigit() else None
    found = _reachable(call, at, who) if at and at.app_id == app.id else []
    if not found:
        raise Refused(404, "Not Found")
    page, headers = paged(call, found)
    shown = [render.repository(call.links, one, role=call.world.state.role(one, who)) for one in page]
    body = {"total_count": len(found), "repository_selection": "selected", "repositories": shown}
    return Reply(body, headers=headers)


ROUTES = [
    route("GET", "/user", get_user, "token"),
    route("GET", "/user/installations", list_installations, "token"),
    route("GET", "/user/installations/{id}/repositories", list_repositories, "token"),
]

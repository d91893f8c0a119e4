"""REST for deployments and their statuses."""

from typing import Any

from . import deployments
from .deployments import DESCRIPTION_LIMIT, Conflict
from .replies import Call, Refused, Reply, invalid, paged, route
from .state import Account, Deployment, DeploymentStatus, Json


def _shown(call: Call, deployment: Deployment) -> Json:
    return deployments.to_json(call.world, call.links, call.repository, deployment)


def _shown_status(call: Call, status: DeploymentStatus) -> Json:
    return deployments.status_to_json(call.world, call.links, call.repository, status)


def _creator(call: Call) -> Account:
    if call.actor.account is None:
        raise Refused(401, "Requires authentication")
    return call.actor.account


def _description(call: Call, resource: str) -> str:
    text = call.text("description")
    if len(text) > DESCRIPTION_LIMIT:
        message = f"description is too long (maximum is {DESCRIPTION_LIMIT} characters)"
        raise invalid(resource, "description", message)
    return text


def create_deployment(call: Call) -> Reply:
    """https://docs.github.com/en/rest/deployments/deployments#create-a-deployment"""
    asked, creator = _request(call), _creator(call)
    try:
        if call.flag("auto_merge", default=True):
            merged = deployments.merge_default(call.world, call.repository, asked.ref, creator)
            if merged:
                return Reply({"message": merged}, 202)
        made = deployments.create(call.world, call.repository, asked, creator, call.actor.app)
    except Conflict as conflict:
        error = {"contexts": conflict.contexts, "resource": "Deployment", "code": "invalid"}
        errors = [error | {"field": "required_contexts"}] if conflict.contexts else []
        raise Refused(409, str(conflict), errors=errors) from None
    return Reply(_shown(call, made), 201)


def _request(call: Call) -> deployments.Request:
    ref = call.needed("ref")
    sha = call.world.git.resolve(call.repository.full_name, ref)
    if sha is None:
        raise Refused(422, f"No ref found for: {ref}")
    production = call.body.get("production_environment")
    return deployments.Request(
        ref=ref,
        sha=sha,
        task=call.text("task", "deploy"),
        environment=call.text("environment", "production"),
        description=_description(call, "Deployment") or None,
        payload=_payload(call),
        required_contexts=_contexts(call),
        transient_environment=call.flag("transient_environment", default=False),
        production_environment=production if isinstance(production, bool) else None,
    )


def _payload(call: Call) -> Json | str:
    payload: Any = call.body.get("payload", {})
    if not isinstance(payload, dict | str):
        raise Refused(422, "Invalid request.\n\nNo subschema in \"oneOf\" matched for 'properties/payload'.")
    return payload


def _contexts(call: Call) -> list[str] | None:
    contexts = call.body.get("required_contexts")
    if contexts is None:
        return None
    if not isinstance(contexts, list) or not all(isinstance(name, str) for name in contexts):
        raise Refused(422, "Invalid request.\n\nFor 'properties/required_contexts', it is not an array of strings.")
    return contexts


def list_deployments(call: Call) -> Reply:
    """Newest first, filtered by sha, ref, task and environment."""
    found = call.world.state.deployments_of(call.repository)[::-1]
    asked = {name: call.query.get(name) for name in ("sha", "ref", "task", "environment")}
    wanted = {name: value for name, value in asked.items() if value and value != "none"}
    found = [d for d in found if all(getattr(d, name) == value for name, value in wanted.items())]
    page, headers = paged(call, found)
    return Reply([_shown(call, deployment) for deployment in page], headers=headers)


def _named(call: Call) -> Deployment:
    of_repository = call.world.state.deployments_of(call.repository)
    found = next((d for d in of_repository if str(d.id) == call.names["deployment_id"]), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


def get_deployment(call: Call) -> Reply:
    return Reply(_shown(call, _named(call)))


def delete_deployment(call: Call) -> Reply:
    """An active one may go only when it is the only one of its environment
    (https://docs.github.com/en/rest/deployments/deployments#delete-a-deployment)."""
    found = _named(call)
    others = [d for d in call.world.state.deployments_of(call.repository) if d.environment == found.environment]
    if len(others) > 1 and found.state != "inactive":
        why = "unless it is the only deployment in a given environment."
        raise Refused(422, f"We cannot delete an active deployment {why}")
    del call.world.state.deployments[found.id]
    return Reply(None, 204)


def create_status(call: Call) -> Reply:
    """https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status"""
    deployment, state = _named(call), call.needed("state")
    if state not in deployments.STATES:
        raise invalid("DeploymentStatus", "state", "is not included in the list")
    asked = deployments.StatusRequest(
        state=state,
        description=_description(call, "DeploymentStatus"),
        environment=call.text("environment") or None,
        log_url=_address(call, "log_url") or _address(call, "target_url"),
        environment_url=_address(call, "environment_url"),
        auto_inactive=call.flag("auto_inactive", default=True),
    )
    made = deployments.add_status(call.world, call.repository, deployment, asked, _creator(call), call.actor.app)
    return Reply(_shown_status(call, made), 201)


def _address(call: Call, name: str) -> str:
    value = call.text(name)
    if value and not value.startswith(("http://", "https://")):
        raise invalid("DeploymentStatus", name, f"{name} must use http(s) scheme")
    return value


def list_statuses(call: Call) -> Reply:
    """Newest first."""
    page, headers = paged(call, _named(call).statuses[::-1])
    return Reply([_shown_status(call, status) for status in page], headers=headers)


def get_status(call: Call) -> Reply:
    found = next((s for s in _named(call).statuses if str(s.id) == call.names["status_id"]), None)
    if found is None:
        raise Refused(404, "Not Found")
    return Reply(_shown_status(call, found))


_D = "/repos/{owner}/{repo}/deployments"
ROUTES = [
    route("GET", _D, list_deployments, "deployments:read"),
    route("POST", _D, create_deployment, "deployments:write"),
    route("GET", f"{_D}/{{deployment_id}}", get_deployment, "deployments:read"),
    route("DELETE", f"{_D}/{{deployment_id}}", delete_deployment, "deployments:write"),
    route("GET", f"{_D}/{{deployment_id}}/statuses", list_statuses, "deployments:read"),
    route("POST", f"{_D}/{{deployment_id}}/statuses", create_status, "deployments:write"),
    route("GET", f"{_D}/{{deployment_id}}/statuses/{{status_id}}", get_status, "deployments:read"),
]

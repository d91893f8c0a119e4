"""The control door `/_sandbox`: what a person pastes as a curl line, and tests in another process use.

It takes forms and JSON. A page in a browser could send forms to loopback too, and with them change
what is deployed here: requests of other origins and for other host names are refused.
"""

import inspect
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from . import control_pulls, faults, render
from .box import Box
from .control_form import Form, Wrong
from .deployments import Conflict
from .hooks import Delivery
from .state import Deployment, Json
from .world import Unknown

DOOR = "/_sandbox"
HELP = """\
The control door of the sandbox. Parameters are a form (curl -d 'name=value&…') or JSON.

POST {door}/users                            login → its personal token
POST {door}/teams                            organization, slug, members (comma-separated)
POST {door}/repos                            full_name, private (true)
POST {door}/repos/OWNER/NAME/permissions     login, role (none read triage write maintain admin)
POST {door}/repos/OWNER/NAME/statuses        context, state (error failure pending success), ref (main)
POST {door}/repos/OWNER/NAME/check-runs      name, state (queued in_progress success failure …), ref, app
POST {door}/repos/OWNER/NAME/commits         branch (main), path and content, message → sha
POST {door}/repos/OWNER/NAME/deployments     ref (main), environment (production), task, by (ana)
GET  {door}/repos/OWNER/NAME/deployments     deployments with their statuses in order
POST {door}/repos/OWNER/NAME/pulls           head, base (main), by (ana), fork
POST {door}/repos/OWNER/NAME/comments        number, body, by (ana)
GET  {door}/repos/OWNER/NAME/comments        number: its comments with their reactions
POST {door}/apps/ID/webhook                  url
POST {door}/apps/ID/installation             repositories (comma-separated)
POST {door}/hooks                            do: hold, release (order: reverse, or a seed), duplicate
                                             (copies), drop (count), settle
GET  {door}/hooks                            webhooks sent and waiting
POST {door}/faults                           method, path (a regular expression), times (1), and kind:
                                             answer (status, message, retry_after), drop-before,
                                             drop-after, delay (seconds), stale (changes)
DELETE {door}/faults                         forget them
GET  {door}/requests                         what came in
"""


Action = Callable[[Box, Form, str], Any]


def add_user(box: Box, form: Form, _: str) -> Json:
    login = form.text("login")
    return {"login": login, "token": box.personal_token(login)}


def add_team(box: Box, form: Form, _: str) -> Json:
    box.add_team(form.text("organization"), form.text("slug"), form.names("members"))
    return {"slug": form.text("slug")}


def add_repository(box: Box, form: Form, _: str) -> Json:
    private = form.text("private", "false").lower() in ("true", "1", "yes")
    made = box.add_repository(form.text("full_name"), private=private)
    return render.repository(box.world.links, made)


def set_permission(box: Box, form: Form, repository: str) -> Json:
    box.set_permission(repository, form.text("login"), form.text("role"))
    return {"login": form.text("login"), "role": form.text("role")}


def set_status(box: Box, form: Form, repository: str) -> Json:
    made = box.set_status(repository, form.text("ref", "main"), form.text("context"), form.text("state"))
    return {"id": made.id, "sha": made.sha, "context": made.context, "state": made.state}


def set_check_run(box: Box, form: Form, repository: str) -> Json:
    app = form.text("app", "ci-service")
    made = box.set_check_run(repository, form.text("ref", "main"), form.text("name"), form.text("state"), app=app)
    shown = {"name": made.name, "status": made.status, "conclusion": made.conclusion}
    return {"id": made.id, "sha": made.sha, **shown}


def commit(box: Box, form: Form, repository: str) -> Json:
    message = form.text("message", "Change something")
    files = form.values.get("files")
    if not isinstance(files, dict):
        files = {form.text("path", "site/changes.txt"): form.text("content", f"{message}\n")}
    branch = form.text("branch", "main")
    return {"sha": box.commit(repository, branch, files, message=message), "branch": branch}


def create_deployment(box: Box, form: Form, repository: str) -> Json:
    made = box.create_deployment(
        repository,
        ref=form.text("ref", "main"),
        by=form.text("by", "ana"),
        environment=form.text("environment", "production"),
        task=form.text("task", "deploy"),
        payload=form.values.get("payload"),
    )
    return _deployment(made)


def _deployment(shown: Deployment) -> Json:
    statuses = [
        {
            "state": status.state,
            "description": status.description,
            "log_url": status.log_url,
            "creator": status.creator.login,
            "created_at": render.time(status.created_at),
        }
        for status in shown.statuses
    ]
    kept = ("id", "environment", "task", "ref", "sha", "state")
    who = {"creator": shown.creator.login, "created_at": render.time(shown.created_at)}
    return {**{name: getattr(shown, name) for name in kept}, **who, "statuses": statuses}


def list_deployments(box: Box, _: Form, repository: str) -> list[Json]:
    return [_deployment(shown) for shown in box.deployments(repository)]


def set_webhook(box: Box, form: Form, app_id: str) -> Json:
    box.set_webhook(int(app_id), form.text("url"))
    return {"url": form.text("url")}


def install(box: Box, form: Form, app_id: str) -> Json:
    return {"id": box.install(int(app_id), form.names("repositories")).id}


async def _settled(box: Box) -> Json:
    await box.hooks.settled()
    return {"waiting": 0}


def change_hooks(box: Box, form: Form, _: str) -> Json | Awaitable[Json]:
    what = form.text("do")
    if what == "hold":
        box.hooks.hold()
    elif what == "release":
        box.hooks.release(_order(form.text("order", "same")))
    elif what == "duplicate":
        box.hooks.duplicate(form.number("copies"))
    elif what == "drop":
        box.hooks.drop(form.number("count"))
    elif what == "settle":
        return _settled(box)
    else:
        raise Wrong(f"do must be hold, release, duplicate, drop or settle, not {what!r}")
    return {"waiting": len(box.hooks.waiting)}


def _order(name: str) -> Callable[[list[Delivery]], list[Delivery]]:
    """ "same", "reverse", or a number: the seed of a shuffle."""
    if name == "reverse":
        return lambda deliveries: deliveries[::-1]
    if name == "same":
        return list
    return lambda deliveries: random.Random(name).sample(deliveries, len(deliveries))


def list_hooks(box: Box, _: Form, __: str) -> Json:
    sent = [{"event": d.event, "action": d.action, "guid": d.guid, "status": d.status} for d in box.hooks.log]
    waiting = [{"event": d.event, "action": d.action, "guid": d.guid} for d in box.hooks.waiting]
    return {"sent": sent, "waiting": waiting}


def order_fault(box: Box, form: Form, _: str) -> Json:
    times = form.number("times", 1)
    try:
        box.faults.order(form.text("method", "*"), form.text("path"), _effect(form), times)
    except re.error as error:
        raise Wrong(f"path is no regular expression: {error}") from None
    return {"orders": len(box.faults.orders)}


def _effect(form: Form) -> faults.Effect:
    kind = form.text("kind")
    if kind == "answer":
        retry = form.values.get("retry_after")
        headers = {"Retry-After": str(retry)} if retry else {}
        return faults.Answer(form.number("status"), form.text("message", "Fault"), headers)
    if kind in ("drop-before", "drop-after"):
        return faults.Drop(after=kind == "drop-after")
    if kind == "delay":
        return faults.Wait(seconds=float(form.text("seconds")))
    if kind == "stale":
        return faults.Stale(form.number("changes"))
    raise Wrong(f"kind must be answer, drop-before, drop-after, delay or stale, not {kind!r}")


def clear_faults(box: Box, _: Form, __: str) -> Json:
    box.faults.clear()
    return {"orders": 0}


def list_requests(box: Box, _: Form, __: str) -> list[Json]:
    shown = ("method", "path", "query", "body", "at", "status")
    return [{name: getattr(request, name) for name in shown} for request in box.requests]


_REPO = r"/repos/([^/]+/[^/]+)"
ACTIONS: list[tuple[str, str, Action]] = [
    ("POST", "/users", add_user),
    ("POST", "/teams", add_team),
    ("POST", "/repos", add_repository),
    ("POST", f"{_REPO}/permissions", set_permission),
    ("POST", f"{_REPO}/statuses", set_status),
    ("POST", f"{_REPO}/check-runs", set_check_run),
    ("POST", f"{_REPO}/commits", commit),
    ("POST", f"{_REPO}/deployments", create_deployment),
    ("GET", f"{_REPO}/deployments", list_deployments),
    ("POST", f"{_REPO}/pulls", control_pulls.open_pull_request),
    ("POST", f"{_REPO}/comments", control_pulls.comment),
    ("GET", f"{_REPO}/comments", control_pulls.list_comments),
    ("POST", r"/apps/(\d+)/webhook", set_webhook),
    ("POST", r"/apps/(\d+)/installation", install),
    ("POST", "/hooks", change_hooks),
    ("GET", "/hooks", list_hooks),
    ("POST", "/faults", order_fault),
    ("DELETE", "/faults", clear_faults),
    ("GET", "/requests", list_requests),
]


async def serve(request: web.Request, box: Box) -> web.Response:
    """Answer one request of the control door."""
    if _foreign(request, box.world.url):
        return _answer(403, {"message": f"The control door is only open at {box.world.url}"})
    path = request.path.removeprefix(DOOR).rstrip("/")
    if not path:
        return web.Response(text=HELP.format(door=box.world.url + DOOR))
    for method, pattern, action in ACTIONS:
        match = re.fullmatch(pattern, path)
        if match and method == request.method:
            return await _act(request, box, action, match[1] if match.lastindex else "")
    return _answer(404, {"message": f"no {request.method} {request.path}; GET {DOOR} lists what there is"})


def _foreign(request: web.Request, url: str) -> bool:
    own_host = request.headers.get("Host") in (url.split("://")[1], f"localhost:{request.url.port}")
    return not own_host or request.headers.get("Origin", url) != url


async def _act(request: web.Request, box: Box, action: Action, name: str) -> web.Response:
    try:
        done = action(box, Form(await _values(request)), name)
        result = await done if inspect.isawaitable(done) else done
    except (Wrong, ValueError) as error:
        return _answer(422, {"message": str(error)})
    except Unknown as error:
        return _answer(404, {"message": str(error)})
    except (Conflict, RuntimeError) as error:
        return _answer(409, {"message": str(error)})
    return _answer(201 if request.method == "POST" else 200, result)


async def _values(request: web.Request) -> Mapping[str, Any]:
    if request.content_type.endswith("json"):
        values = await request.json()
        if not isinstance(values, dict):
            raise Wrong("the body must be a JSON object")
        return values
    return {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}


def _answer(status: int, body: Any) -> web.Response:
    return web.Response(status=status, text=json.dumps(body, indent=2) + "\n", content_type="application/json")

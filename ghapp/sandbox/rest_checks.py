"""REST for commit statuses, check runs and check suites."""

from collections.abc import Mapping

from . import checks, render, render_work
from .replies import Call, Refused, Reply, invalid, paged, route
from .state import CheckRun, Json, latest_runs, latest_statuses


def combined_status(call: Call) -> Reply:
    sha = call.resolve(call.names["ref"])
    known = call.world.state.checks_of(call.repository, sha, stale=call.stale)
    page, headers = paged(call, latest_statuses(known))
    return Reply(render_work.combined(call.links, call.repository, sha, known, page), headers=headers)


def list_statuses(call: Call) -> Reply:
    """Newest first, all there ever were."""
    sha = call.resolve(call.names["ref"])
    known = call.world.state.checks_of(call.repository, sha, stale=call.stale)
    page, headers = paged(call, known.statuses[::-1])
    return Reply([render_work.status(call.links, call.repository, s) for s in page], headers=headers)


def create_status(call: Call) -> Reply:
    """https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""
    sha, state = call.sha(call.names["sha"]), call.needed("state")
    description = call.text("description")
    if state not in checks.STATUS_STATES:
        raise invalid("Status", "state", "is not included in the list")
    if len(description) > 140:
        raise invalid("Status", "description", "description is too long (maximum is 140 characters)")
    if call.actor.account is None:
        raise Refused(401, "Requires authentication")
    made = checks.set_status(
        call.world,
        call.repository,
        sha,
        context=call.text("context", "default"),
        state=state,
        creator=call.actor.account,
        description=description or None,
        target_url=call.text("target_url") or None,
    )
    return Reply(render_work.status(call.links, call.repository, made), 201)


def _run(call: Call, shown: CheckRun) -> Json:
    app = call.world.state.apps[shown.app_id]
    return render_work.check_run(call.links, call.repository, shown, app)


def list_runs(call: Call) -> Reply:
    """https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference"""
    sha, query = call.resolve(call.names["ref"]), call.query
    known = call.world.state.checks_of(call.repository, sha, stale=call.stale)
    runs = list(known.runs) if query.get("filter") == "all" else latest_runs(known)
    asked = {"name": query.get("check_name"), "app_id": query.get("app_id"), "status": query.get("status")}
    wanted = {name: value for name, value in asked.items() if value}
    runs = [run for run in runs if all(str(getattr(run, name)) == value for name, value in wanted.items())]
    page, headers = paged(call, runs[::-1])
    return Reply({"total_count": len(runs), "check_runs": [_run(call, r) for r in page]}, headers=headers)


def list_suites(call: Call) -> Reply:
    sha = call.resolve(call.names["ref"])
    known = call.world.state.checks_of(call.repository, sha, stale=call.stale)
    wanted = call.query.get("app_id")
    suites = [suite for suite in known.suites if wanted in (None, str(suite.app_id))]
    page, headers = paged(call, suites)
    repo = render.repository(call.links, call.repository)
    shown = [checks.suite_json(call.world, call.links, call.repository, suite, known) for suite in page]
    body = {"total_count": len(suites), "check_suites": [{**suite, "repository": repo} for suite in shown]}
    return Reply(body, headers=headers)


def _report(call: Call) -> checks.RunReport:
    status, conclusion = call.text("status") or None, call.text("conclusion") or None
    if status not in (None, *checks.RUN_STATUSES):
        raise invalid("CheckRun", "status", f"`{status}` is not a valid status")
    if conclusion not in (None, *checks.CONCLUSIONS):
        raise invalid("CheckRun", "conclusion", f"`{conclusion}` is not a valid conclusion")
    if status == "completed" and conclusion is None:
        raise Refused(422, 'Invalid request.\n\n"conclusion" wasn\'t supplied.')
    output = call.body.get("output") or {}
    if not isinstance(output, Mapping):
        raise Refused(422, "Invalid request.\n\nFor 'properties/output', it is not an object.")
    links = call.text("external_id") or None, call.text("details_url") or None
    return checks.RunReport(status, conclusion, *links, output)


def create_run(call: Call) -> Reply:
    """Only an App may (https://docs.github.com/en/rest/checks/runs#create-a-check-run)."""
    app, name = call.actor.app, call.needed("name")
    if app is None:
        raise Refused(403, "You must authenticate via a GitHub App.")
    sha, report = call.sha(call.needed("head_sha")), _report(call)
    return Reply(_run(call, checks.create_run(call.world, call.repository, sha, name, app, report)), 201)


def _named_run(call: Call) -> CheckRun:
    of_repository = (h[-1] for (repo, _), h in call.world.state.checks.items() if repo == call.repository.id)
    runs = (run for known in of_repository for run in known.runs)
    found = next((run for run in runs if str(run.id) == call.names["run_id"]), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


def get_run(call: Call) -> Reply:
    return Reply(_run(call, _named_run(call)))


def update_run(call: Call) -> Reply:
    run = _named_run(call)
    if call.actor.app is None or run.app_id != call.actor.app.id:
        raise Refused(403, "Invalid app_id: only the App that made a check run may change it")
    return Reply(_run(call, checks.update_run(call.world, call.repository, run, _report(call))))


_R = "/repos/{owner}/{repo}"
ROUTES = [
    route("GET", f"{_R}/commits/{{ref+}}/status", combined_status, "statuses:read"),
    route("GET", f"{_R}/commits/{{ref+}}/statuses", list_statuses, "statuses:read"),
    route("POST", f"{_R}/statuses/{{sha}}", create_status, "statuses:write"),
    route("GET", f"{_R}/commits/{{ref+}}/check-runs", list_runs, "checks:read"),
    route("GET", f"{_R}/commits/{{ref+}}/check-suites", list_suites, "checks:read"),
    route("POST", f"{_R}/check-runs", create_run, "checks:write"),
    route("GET", f"{_R}/check-runs/{{run_id}}", get_run, "checks:read"),
    route("PATCH", f"{_R}/check-runs/{{run_id}}", update_run, "checks:write"),
]

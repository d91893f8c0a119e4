"""Commit statuses, check suites and check runs: what CI reports, and the events it causes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import render_work
from .accounts import add_service
from .render import Links
from .state import (
    Account,
    App,
    CheckRun,
    Checks,
    CheckSuite,
    CommitStatus,
    Json,
    Repository,
    latest_runs,
    suite_state,
)
from .world import World

STATUS_STATES = ("error", "failure", "pending", "success")
RUN_STATUSES = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "stale",
    "timed_out",
    "startup_failure",
)


def set_status(
    world: World,
    repo: Repository,
    sha: str,
    *,
    context: str,
    state: str,
    creator: Account,
    description: str | None = None,
    target_url: str | None = None,
) -> CommitStatus:
    """Report a commit status. Raises ValueError for another state than STATUS_STATES."""
    if state not in STATUS_STATES:
        raise ValueError(f"no commit status {state!r}; there are: {', '.join(STATUS_STATES)}")
    status_id, at = next(world.state.ids.status), world.clock()
    made = CommitStatus(status_id, repo.id, sha, context, state, description, target_url, creator, at)
    known = world.state.checks_of(repo, sha)
    world.state.remember_checks(repo, sha, replace(known, statuses=(*known.statuses, made)))
    world.emit("status", repo, _status_event(world, repo, made), creator)
    return made


def _status_event(world: World, repo: Repository, shown: CommitStatus) -> Json:
    links, full_name = world.links, repo.full_name
    body = render_work.status(links, repo, shown)
    heads = world.git.branches_with(full_name, shown.sha)
    branches = [render_work.branch(links, repo, name, sha) for name, sha in heads.items()][:10]
    commit = render_work.commit(links, repo, world.git.commit(full_name, shown.sha), world.state.accounts)
    kept = ("id", "state", "description", "target_url", "context", "created_at", "updated_at", "avatar_url")
    about = {"sha": shown.sha, "name": full_name, "commit": commit, "branches": branches}
    return {**{key: body[key] for key in kept}, **about}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What an App says of a check run; None leaves a field as it was."""

    status: str | None = None
    conclusion: str | None = None
    external_id: str | None = None
    details_url: str | None = None
    output: Mapping[str, str | None] = field(default_factory=dict)


def add_suite(world: World, repo: Repository, sha: str, app: App, branch: str | None = None) -> CheckSuite:
    """The suite of an App at a commit, requested when it is new."""
    known = world.state.checks_of(repo, sha)
    suite = _suite_of(known, app)
    if suite:
        return suite
    suite = _new_suite(world, repo, sha, app, branch)
    world.state.remember_checks(repo, sha, replace(known, suites=(*known.suites, suite)))
    _tell_requested(world, repo, suite, app)
    return suite


def _suite_of(known: Checks, app: App) -> CheckSuite | None:
    return next((suite for suite in known.suites if suite.app_id == app.id), None)


def _new_suite(world: World, repo: Repository, sha: str, app: App, branch: str | None = None) -> CheckSuite:
    at, suite_id = world.clock(), next(world.state.ids.suite)
    return CheckSuite(suite_id, repo.id, sha, app.id, branch or _branch_of(world, repo, sha), at, at)


def _tell_requested(world: World, repo: Repository, suite: CheckSuite, app: App) -> None:
    """Only the App of the suite hears that it is wanted
    (https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite)."""
    installed = world.state.installation_of(app, repo)
    if installed and "check_suite" in app.events:
        body = {"action": "requested", "check_suite": suite_json(world, world.links, repo, suite)}
        world.tell(app, installed, "check_suite", repo, body, app.bot)


def _branch_of(world: World, repo: Repository, sha: str) -> str | None:
    heads = world.git.branches(repo.full_name)
    return next((name for name, head in heads.items() if head == sha), None)


def create_run(world: World, repo: Repository, sha: str, name: str, app: App, report: RunReport) -> CheckRun:
    at, known = world.clock(), world.state.checks_of(repo, sha)
    old_suite = _suite_of(known, app)
    suite = old_suite or _new_suite(world, repo, sha, app)
    run = CheckRun(
        id=next(world.state.ids.run),
        suite_id=suite.id,
        repository_id=repo.id,
        sha=sha,
        name=name,
        app_id=app.id,
        status="queued",
        conclusion=None,
        started_at=at,
        completed_at=None,
        external_id="",
        details_url=None,
        output={},
    )
    made = _reported(run, report, at)
    suites = known.suites if old_suite else (*known.suites, suite)
    world.state.remember_checks(repo, sha, replace(known, suites=suites, runs=(*known.runs, made)))
    if old_suite is None:
        _tell_requested(world, repo, suite, app)
    _emit_run(world, repo, made, app, "created")
    if made.status == "completed":
        _completed(world, repo, made, app)
    return made


def update_run(world: World, repo: Repository, run: CheckRun, report: RunReport) -> CheckRun:
    made = _reported(run, report, world.clock())
    known = world.state.checks_of(repo, run.sha)
    runs = tuple(made if old.id == run.id else old for old in known.runs)
    world.state.remember_checks(repo, run.sha, replace(known, runs=runs))
    if made.status == "completed" and (run.status, run.conclusion) != (made.status, made.conclusion):
        _completed(world, repo, made, world.state.apps[run.app_id])
    return made


def _reported(run: CheckRun, report: RunReport, at: int) -> CheckRun:
    """A conclusion completes a run (https://docs.github.com/en/rest/checks/runs#update-a-check-run)."""
    status = "completed" if report.conclusion else report.status or run.status
    done = status == "completed"
    return replace(
        run,
        status=status,
        conclusion=(report.conclusion or run.conclusion) if done else None,
        completed_at=at if done else None,
        external_id=report.external_id or run.external_id,
        details_url=report.details_url or run.details_url,
        output={**run.output, **report.output},
    )


def _completed(world: World, repo: Repository, run: CheckRun, app: App) -> None:
    """Tell of a completed run, and of its suite when that was the last one."""
    _emit_run(world, repo, run, app, "completed")
    known = world.state.checks_of(repo, run.sha)
    state, _ = suite_state([other for other in latest_runs(known) if other.suite_id == run.suite_id])
    at = world.clock()
    suites = tuple(replace(s, updated_at=at) if s.id == run.suite_id else s for s in known.suites)
    world.state.checks[(repo.id, run.sha)][-1] = replace(known, suites=suites)
    if state == "completed":
        suite = next(suite for suite in suites if suite.id == run.suite_id)
        body = {"action": "completed", "check_suite": suite_json(world, world.links, repo, suite)}
        world.emit("check_suite", repo, body, app.bot)


def _emit_run(world: World, repo: Repository, run: CheckRun, app: App, action: str) -> None:
    links, known = world.links, world.state.checks_of(repo, run.sha)
    suite = next(suite for suite in known.suites if suite.id == run.suite_id)
    shown = render_work.check_run(links, repo, run, app)
    shown["check_suite"] = render_work.check_suite(links, repo, suite, app, known)
    world.emit("check_run", repo, {"action": action, "check_run": shown}, app.bot)


def set_run(world: World, repo: Repository, sha: str, name: str, state: str, app_slug: str) -> CheckRun:
    """Report one state of a check: a status of RUN_STATUSES or one of CONCLUSIONS. A run of this name
    that is not completed is brought there, else a new one is made. Raises ValueError for other states."""
    if state not in (*RUN_STATUSES, *CONCLUSIONS) or state == "completed":
        known = [*(name for name in RUN_STATUSES if name != "completed"), *CONCLUSIONS]
        raise ValueError(f"no check run state {state!r}; there are: {', '.join(known)}")
    app = add_service(world, app_slug)
    report = RunReport(conclusion=state) if state in CONCLUSIONS else RunReport(status=state)
    runs = latest_runs(world.state.checks_of(repo, sha))
    going = next((r for r in runs if (r.name, r.app_id) == (name, app.id) and r.status != "completed"), None)
    if going:
        return update_run(world, repo, going, report)
    return create_run(world, repo, sha, name, app, report)


def suite_json(world: World, links: Links, repo: Repository, suite: CheckSuite, checks: Checks | None = None) -> Json:
    """A suite with its head commit, judged by `checks` (default: what is known now)."""
    known = checks or world.state.checks_of(repo, suite.sha)
    shown = render_work.check_suite(links, repo, suite, world.state.apps[suite.app_id], known)
    shown["head_commit"] = render_work.head_commit(world.git.commit(repo.full_name, suite.sha))
    return shown

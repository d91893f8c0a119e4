"""Deployments and their statuses: GitHub's rules for them, and the events they cause.

https://docs.github.com/en/rest/deployments/deployments and …/deployments/statuses
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import render, render_work
from .code import announce, author_of
from .git import GitError
from .state import (
    Account,
    App,
    Checks,
    Deployment,
    DeploymentStatus,
    Json,
    Repository,
    latest_runs,
    latest_statuses,
)
from .world import World

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
DESCRIPTION_LIMIT = 140


class Conflict(Exception):
    """A deployment that GitHub would not create: 409."""

    def __init__(self, message: str, contexts: list[Json] | None = None) -> None:
        super().__init__(message)
        self.contexts = contexts


@dataclass(frozen=True, slots=True)
class Request:
    """What a deployment is asked for with; `required_contexts` None means all of the commit's."""

    ref: str
    sha: str
    task: str = "deploy"
    environment: str = "production"
    description: str | None = None
    payload: Json | str = ""
    required_contexts: Sequence[str] | None = ()
    transient_environment: bool = False
    production_environment: bool | None = None


def check_contexts(checks: Checks, wanted: Sequence[str] | None, ref: str) -> None:
    """Raises Conflict unless all wanted contexts are green. As observed, check runs count too, and only
    success is green (https://github.com/drevops/vortex/issues/1903)."""
    found = {status.context: status.state for status in latest_statuses(checks)}
    found |= {run.name: run.conclusion or "pending" for run in latest_runs(checks)}
    if wanted is not None:
        found = {name: found.get(name, "expected") for name in wanted}
    if any(state != "success" for state in found.values()):
        contexts = [{"context": name, "state": state} for name, state in found.items()]
        raise Conflict(f"Conflict: Commit status checks failed for {ref}.", contexts)


def merge_default(world: World, repo: Repository, branch: str, who: Account) -> str | None:
    """`auto_merge`: bring the default branch into one that is behind it. Returns what was done, None
    where there was nothing to do. Raises Conflict."""
    heads, main = world.git.branches(repo.full_name), repo.default_branch
    if branch == main or branch not in heads or main not in heads:
        return None
    _, behind = world.git.ahead_behind(repo.full_name, heads[main], heads[branch])
    if not behind:
        return None
    before, message = world.git.refs(repo.full_name), f"Merge {main} into {branch}"
    try:
        world.git.merge(repo.full_name, branch, heads[main], message, author_of(who))
    except GitError:
        raise Conflict(f"Conflict merging {main} into {branch}.") from None
    announce(world, repo, before, who)
    return f"Auto-merged {main} into {branch} on deployment."


def create(world: World, repo: Repository, asked: Request, creator: Account, app: App | None) -> Deployment:
    """Raises Conflict."""
    check_contexts(world.state.checks_of(repo, asked.sha), asked.required_contexts, asked.ref)
    production = asked.production_environment
    at = world.clock()
    made = Deployment(
        id=next(world.state.ids.deployment),
        repository_id=repo.id,
        sha=asked.sha,
        ref=asked.ref,
        task=asked.task,
        payload=asked.payload,
        environment=asked.environment,
        original_environment=asked.environment,
        description=asked.description,
        transient_environment=asked.transient_environment,
        production_environment=asked.environment == "production" if production is None else production,
        creator=creator,
        app_id=app.id if app else None,
        created_at=at,
        updated_at=at,
    )
    world.state.deployments[made.id] = made
    shown = {"action": "created", "deployment": to_json(world, world.links, repo, made)}
    world.emit("deployment", repo, {**shown, "workflow": None, "workflow_run": None}, creator)
    return made


@dataclass(frozen=True, slots=True)
class StatusRequest:
    state: str
    description: str = ""
    environment: str | None = None
    log_url: str = ""
    environment_url: str = ""
    auto_inactive: bool = True


def add_status(
    world: World,
    repo: Repository,
    deployment: Deployment,
    asked: StatusRequest,
    creator: Account,
    app: App | None,
) -> DeploymentStatus:
    made = _append_status(world, deployment, asked, creator, app)
    # GitHub sends no event for inactive
    # (https://docs.github.com/en/webhooks/webhook-events-and-payloads#deployment_status).
    if made.state != "inactive":
        now = world.state.deployments[deployment.id]
        body = {
            "action": "created",
            "deployment_status": status_to_json(world, world.links, repo, made),
            "deployment": to_json(world, world.links, repo, now),
            "check_run": None,
            "workflow": None,
            "workflow_run": None,
        }
        world.emit("deployment_status", repo, body, creator)
    if made.state == "success" and asked.auto_inactive:
        _retire_older(world, repo, world.state.deployments[deployment.id], creator, app)
    return made


def _append_status(
    world: World, deployment: Deployment, asked: StatusRequest, creator: Account, app: App | None
) -> DeploymentStatus:
    at = world.clock()
    made = DeploymentStatus(
        id=next(world.state.ids.deployment_status),
        deployment_id=deployment.id,
        state=asked.state,
        description=asked.description,
        environment=asked.environment or deployment.environment,
        log_url=asked.log_url,
        environment_url=asked.environment_url,
        creator=creator,
        app_id=app.id if app else None,
        created_at=at,
    )
    statuses = (*deployment.statuses, made)
    changed = replace(deployment, environment=made.environment, updated_at=at, statuses=statuses)
    world.state.deployments[deployment.id] = changed
    return made


def _retire_older(world: World, repo: Repository, newest: Deployment, creator: Account, app: App | None) -> None:
    """`auto_inactive`: the older successful, non-transient, non-production deployments of the same
    environment become inactive."""
    for old in world.state.deployments_of(repo):
        same = old.id < newest.id and old.environment == newest.environment and old.state == "success"
        if same and not (old.transient_environment or old.production_environment):
            _append_status(world, old, StatusRequest("inactive"), creator, app)


def to_json(world: World, links: render.Links, repo: Repository, shown: Deployment) -> Json:
    return render_work.deployment(links, repo, shown, render.via(links, world.state.apps, shown.app_id))


def status_to_json(world: World, links: render.Links, repo: Repository, shown: DeploymentStatus) -> Json:
    via = render.via(links, world.state.apps, shown.app_id)
    return render_work.deployment_status(links, repo, shown, via)

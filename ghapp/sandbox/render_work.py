"""Records → GitHub's JSON: commits, refs, statuses, check runs, deployments."""

from collections.abc import Iterable, Mapping
from typing import Any

from . import render
from .git import Commit, Entry, Signature
from .render import Links, path_part, time, time_or_none
from .state import (
    Account,
    App,
    CheckRun,
    Checks,
    CheckSuite,
    CommitStatus,
    Deployment,
    DeploymentStatus,
    Json,
    Repository,
    combined_state,
    latest_runs,
    latest_statuses,
    suite_state,
)

NOREPLY = "users.noreply.github.com"


def _person(signature: Signature) -> Json:
    return {"name": signature.name, "email": signature.email, "date": signature.date}


def _login(accounts: Mapping[str, Account], links: Links, signature: Signature) -> Json | None:
    """The account behind a git address, found as GitHub finds it: by its no-reply address."""
    login, _, host = signature.email.partition("@")
    who = accounts.get(login.lower()) if host == NOREPLY else None
    return render.account(links, who) if who else None


def commit(links: Links, repo: Repository, shown: Commit, accounts: Mapping[str, Account]) -> Json:
    api, html = links.repo(repo.full_name), f"{links.web}/{repo.full_name}"
    parents = [{"sha": sha, "url": f"{api}/commits/{sha}", "html_url": f"{html}/commit/{sha}"} for sha in shown.parents]
    unsigned = {"verified": False, "reason": "unsigned", "signature": None, "payload": None}
    return {
        "sha": shown.sha,
        "node_id": f"C_{shown.sha}",
        "commit": {
            "author": _person(shown.author),
            "committer": _person(shown.committer),
            "message": shown.message,
            "tree": {"sha": shown.tree, "url": f"{api}/git/trees/{shown.tree}"},
            "url": f"{api}/git/commits/{shown.sha}",
            "comment_count": 0,
            "verification": unsigned | {"verified_at": None},
        },
        "url": f"{api}/commits/{shown.sha}",
        "html_url": f"{html}/commit/{shown.sha}",
        "comments_url": f"{api}/commits/{shown.sha}/comments",
        "author": _login(accounts, links, shown.author),
        "committer": _login(accounts, links, shown.committer),
        "parents": parents,
    }


def branch(links: Links, repo: Repository, name: str, sha: str) -> Json:
    api = links.repo(repo.full_name)
    return {"name": name, "commit": {"sha": sha, "url": f"{api}/commits/{sha}"}, "protected": False}


def whole_branch(links: Links, repo: Repository, name: str, head: Json) -> Json:
    """`head` is the rendered commit."""
    api, path = links.repo(repo.full_name), path_part(name)
    required = {"enforcement_level": "off", "contexts": [], "checks": []}
    return {
        "name": name,
        "commit": head,
        "_links": {
            "self": f"{api}/branches/{path}",
            "html": f"{links.web}/{repo.full_name}/tree/{path}",
        },
        "protected": False,
        "protection": {"enabled": False, "required_status_checks": required},
        "protection_url": f"{api}/branches/{path}/protection",
    }


def ref(links: Links, repo: Repository, name: str, sha: str, kind: str) -> Json:
    api = links.repo(repo.full_name)
    target = {"type": kind, "sha": sha, "url": f"{api}/git/{kind}s/{sha}"}
    url = f"{api}/git/{path_part(name)}"
    return {"ref": name, "node_id": f"REF_{repo.id}_{name}", "url": url, "object": target}


def content(links: Links, repo: Repository, entry: Entry, at: str) -> Json:
    """One file or folder as it stands in a folder's listing; `at` is the ref that was asked for."""
    api, path = links.repo(repo.full_name), path_part(entry.path)
    is_file = entry.kind == "blob"
    url = f"{api}/contents/{path}?ref={path_part(at)}"
    git = f"{api}/git/{entry.kind}s/{entry.sha}"
    html = f"{links.web}/{repo.full_name}/{entry.kind}/{path_part(at)}/{path}"
    raw = f"{links.web}/{repo.full_name}/raw/{path_part(at)}/{path}"
    return {
        "type": "file" if is_file else "dir",
        "name": entry.path.rsplit("/", 1)[-1],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": url,
        "git_url": git,
        "html_url": html,
        "download_url": raw if is_file else None,
        "_links": {"self": url, "git": git, "html": html},
    }


def status(links: Links, repo: Repository, shown: CommitStatus) -> Json:
    return {**_status(links, repo, shown), "creator": render.account(links, shown.creator)}


def _status(links: Links, repo: Repository, shown: CommitStatus) -> Json:
    return {
        "url": f"{links.repo(repo.full_name)}/statuses/{shown.sha}",
        "avatar_url": f"{links.web}/avatars/{shown.creator.id}",
        "id": shown.id,
        "node_id": f"SC_{shown.id}",
        "state": shown.state,
        "description": shown.description,
        "target_url": shown.target_url,
        "context": shown.context,
        "created_at": time(shown.created_at),
        "updated_at": time(shown.created_at),
    }


def combined(links: Links, repo: Repository, sha: str, checks: Checks, page: Iterable[CommitStatus]) -> Json:
    latest = latest_statuses(checks)
    api = links.repo(repo.full_name)
    return {
        "state": combined_state(latest),
        "statuses": [_status(links, repo, shown) for shown in page],
        "sha": sha,
        "total_count": len(latest),
        "repository": render.repository(links, repo),
        "commit_url": f"{api}/commits/{sha}",
        "url": f"{api}/commits/{sha}/status",
    }


def check_run(links: Links, repo: Repository, shown: CheckRun, by: App) -> Json:
    api, html = links.repo(repo.full_name), f"{links.web}/{repo.full_name}"
    url = f"{api}/check-runs/{shown.id}"
    output = {name: shown.output.get(name) for name in ("title", "summary", "text")}
    return {
        "id": shown.id,
        "name": shown.name,
        "node_id": f"CR_{shown.id}",
        "head_sha": shown.sha,
        "external_id": shown.external_id,
        "url": url,
        "html_url": f"{html}/runs/{shown.id}",
        "details_url": shown.details_url or f"{html}/runs/{shown.id}",
        "status": shown.status,
        "conclusion": shown.conclusion,
        "started_at": time(shown.started_at),
        "completed_at": time_or_none(shown.completed_at),
        "output": {**output, "annotations_count": 0, "annotations_url": f"{url}/annotations"},
        "check_suite": {"id": shown.suite_id},
        "app": render.app(links, by),
        "pull_requests": [],
    }


def check_suite(links: Links, repo: Repository, shown: CheckSuite, by: App, checks: Checks) -> Json:
    """The suite alone; listings add repository and head commit."""
    runs = [run for run in latest_runs(checks) if run.suite_id == shown.id]
    state, conclusion = suite_state(runs)
    url = f"{links.repo(repo.full_name)}/check-suites/{shown.id}"
    return {
        "id": shown.id,
        "node_id": f"CS_{shown.id}",
        "head_branch": shown.head_branch,
        "head_sha": shown.sha,
        "status": state,
        "conclusion": conclusion,
        "url": url,
        "before": None,
        "after": shown.sha,
        "pull_requests": [],
        "app": render.app(links, by),
        "created_at": time(shown.created_at),
        "updated_at": time(shown.updated_at),
        "rerequestable": True,
        "runs_rerequestable": False,
        "latest_check_runs_count": len(runs),
        "check_runs_url": f"{url}/check-runs",
    }


def head_commit(shown: Commit) -> Json:
    """The "simple commit" in check suites."""
    people = {
        "author": {"name": shown.author.name, "email": shown.author.email},
        "committer": {"name": shown.committer.name, "email": shown.committer.email},
    }
    about = {"id": shown.sha, "tree_id": shown.tree, "message": shown.message}
    return {**about, "timestamp": shown.committer.date, **people}


def deployment(links: Links, repo: Repository, shown: Deployment, via: Any) -> Json:
    """`via` is the rendered App that acted, or None."""
    url = f"{links.repo(repo.full_name)}/deployments/{shown.id}"
    return {
        "url": url,
        "id": shown.id,
        "node_id": f"DE_{shown.id}",
        "task": shown.task,
        "original_environment": shown.original_environment,
        "environment": shown.environment,
        "description": shown.description,
        "created_at": time(shown.created_at),
        "updated_at": time(shown.updated_at),
        "statuses_url": f"{url}/statuses",
        "repository_url": links.repo(repo.full_name),
        "creator": render.account(links, shown.creator),
        "sha": shown.sha,
        "ref": shown.ref,
        "payload": shown.payload,
        "transient_environment": shown.transient_environment,
        "production_environment": shown.production_environment,
        "performed_via_github_app": via,
    }


def deployment_status(links: Links, repo: Repository, shown: DeploymentStatus, via: Any) -> Json:
    deployment_url = f"{links.repo(repo.full_name)}/deployments/{shown.deployment_id}"
    return {
        "url": f"{deployment_url}/statuses/{shown.id}",
        "id": shown.id,
        "node_id": f"DES_{shown.id}",
        "state": shown.state,
        "creator": render.account(links, shown.creator),
        "description": shown.description,
        "environment": shown.environment,
        "target_url": shown.log_url,
        "log_url": shown.log_url,
        "environment_url": shown.environment_url,
        "created_at": time(shown.created_at),
        "updated_at": time(shown.created_at),
        "deployment_url": deployment_url,
        "repository_url": links.repo(repo.full_name),
        "performed_via_github_app": via,
    }

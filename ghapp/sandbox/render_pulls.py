"""Records → GitHub's JSON: issues, pull requests, comments."""

from typing import Any

from . import pulls, render
from .render import Links, time, time_or_none
from .state import Account, Json, Repository
from .talk import REACTIONS, Comment, Issue, PullRequest
from .world import World


def _rollup(world: World, url: str, comment_id: int | None = None) -> Json:
    given = [r.content for r in world.talk.reactions_to(comment_id)] if comment_id else []
    counts = {content: given.count(content) for content in REACTIONS}
    return {"url": f"{url}/reactions", "total_count": len(given), **counts}


def comment(world: World, links: Links, repo: Repository, shown: Comment) -> Json:
    """https://docs.github.com/en/rest/issues/comments"""
    api, html = links.repo(repo.full_name), f"{links.web}/{repo.full_name}"
    url = f"{api}/issues/comments/{shown.id}"
    kind = "pull" if (repo.id, shown.number) in world.talk.pulls else "issues"
    return {
        "url": url,
        "html_url": f"{html}/{kind}/{shown.number}#issuecomment-{shown.id}",
        "issue_url": f"{api}/issues/{shown.number}",
        "id": shown.id,
        "node_id": f"IC_{shown.id}",
        "user": render.account(links, shown.author),
        "created_at": time(shown.created_at),
        "updated_at": time(shown.updated_at),
        "author_association": pulls.association(world, repo, shown.author),
        "body": shown.body,
        "reactions": _rollup(world, url, shown.id),
        "performed_via_github_app": render.via(links, world.state.apps, shown.app_id),
    }


def issue(world: World, links: Links, repo: Repository, shown: Issue) -> Json:
    """As webhooks carry it; `pull_request` only where it is one."""
    api, html = links.repo(repo.full_name), f"{links.web}/{repo.full_name}"
    url = f"{api}/issues/{shown.number}"
    whole = {
        **_common(world, links, repo, shown),
        "url": url,
        "repository_url": api,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{html}/issues/{shown.number}",
        "id": shown.id,
        "node_id": f"I_{shown.id}",
        "comments": len(world.talk.comments_of(repo, shown.number)),
        "reactions": _rollup(world, url),
        "performed_via_github_app": None,
        "timeline_url": f"{url}/timeline",
        "state_reason": None,
    }
    if (repo.id, shown.number) in world.talk.pulls:
        page = f"{html}/pull/{shown.number}"
        links_of = {"url": f"{api}/pulls/{shown.number}", "html_url": page}
        files = {"diff_url": f"{page}.diff", "patch_url": f"{page}.patch", "merged_at": None}
        whole |= {"html_url": page, "draft": False, "pull_request": {**links_of, **files}}
    return whole


def _common(world: World, links: Links, repo: Repository, shown: Issue) -> Json:
    """What issues and pull requests have in common."""
    return {
        "number": shown.number,
        "title": shown.title,
        "user": render.account(links, shown.author),
        "labels": [],
        "state": shown.state,
        "locked": shown.locked,
        "active_lock_reason": None,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "created_at": time(shown.created_at),
        "updated_at": time(shown.updated_at),
        "closed_at": time_or_none(shown.closed_at),
        "author_association": pulls.association(world, repo, shown.author),
        "body": None,
    }


def pull_request(world: World, links: Links, shown: PullRequest, *, whole: bool = True) -> Json:
    """https://docs.github.com/en/rest/pulls/pulls; `whole` adds what only a single one has."""
    repo = world.state.repositories[shown.repository_id]
    api, page = links.repo(repo.full_name), f"{links.web}/{repo.full_name}/pull/{shown.number}"
    url, as_issue = f"{api}/pulls/{shown.number}", f"{api}/issues/{shown.number}"
    urls = {
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": as_issue,
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "review_comment_url": f"{api}/pulls/comments{{/number}}",
        "comments_url": f"{as_issue}/comments",
        "statuses_url": f"{api}/statuses/{shown.head_sha}",
    }
    head = world.state.repositories.get(shown.head_repository_id or 0)
    made = {
        **_common(world, links, repo, world.talk.issues[repo.id, shown.number]),
        **urls,
        "id": shown.id,
        "node_id": f"PR_{shown.id}",
        "draft": False,
        "requested_reviewers": [],
        "requested_teams": [],
        "merged_at": None,
        "merge_commit_sha": None,
        "auto_merge": None,
        "head": _end(links, head, shown.head_owner, shown.head_ref, shown.head_sha),
        "base": _end(links, repo, repo.owner, shown.base_ref, shown.base_sha),
        "_links": _links(urls),
    }
    return {**made, **_numbers(world, repo, shown)} if whole else made


def _end(links: Links, repo: Repository | None, owner: Account, ref: str, sha: str) -> Json:
    shown = render.repository(links, repo) if repo else None
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": render.account(links, owner),
        "repo": shown,
    }


def _links(urls: Json) -> Json:
    names = {
        "self": "url",
        "html": "html_url",
        "issue": "issue_url",
        "comments": "comments_url",
        "review_comments": "review_comments_url",
        "review_comment": "review_comment_url",
        "commits": "commits_url",
        "statuses": "statuses_url",
    }
    return {name: {"href": urls[url]} for name, url in names.items()}


def _numbers(world: World, repo: Repository, shown: PullRequest) -> dict[str, Any]:
    commits = world.git.log(repo.full_name, f"{shown.base_sha}..{shown.head_sha}")
    return {
        "merged": False,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": None,
        "comments": len(world.talk.comments_of(repo, shown.number)),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": len(commits),
        "additions": len(commits),
        "deletions": 0,
        "changed_files": len(commits),
    }

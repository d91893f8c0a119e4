"""REST for pull requests, and for comments and reactions on them and on issues.

A conversation of a pull request is governed by the permission `pull_requests`, that of an issue by `issues`, although
the addresses are the same (https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps).
"""

from datetime import datetime

from . import pulls, render_pulls
from .actors import require
from .replies import Call, Refused, Reply, invalid, paged, route
from .state import ROLES, Account, Json, allows
from .talk import REACTIONS, Comment, Issue, PullRequest

# https://docs.github.com/en/rest/issues/comments#create-an-issue-comment
BODY_LIMIT = 65536


def _pull(call: Call) -> PullRequest:
    found = call.world.talk.pulls.get((call.repository.id, _number(call, "number")))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def _number(call: Call, name: str) -> int:
    text = call.names[name]
    return int(text) if text.isdigit() else 0


def get_pull_request(call: Call) -> Reply:
    return Reply(render_pulls.pull_request(call.world, call.links, _pull(call)))


def list_pulls_of_commit(call: Call) -> Reply:
    """https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit"""
    world, repo, sha = call.world, call.repository, call.resolve(call.names["sha"])
    mine = [p for p in world.talk.pulls.values() if p.repository_id == repo.id]
    found = [p for p in mine if world.git.merge_base(repo.full_name, sha, p.head_sha) == sha]
    page, headers = paged(call, found)
    return Reply([render_pulls.pull_request(world, call.links, p, whole=False) for p in page], headers=headers)


def _issue(call: Call, number: int) -> Issue:
    found = call.world.talk.issues.get((call.repository.id, number))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def _comment(call: Call) -> Comment:
    found = call.world.talk.comments.get(_number(call, "comment_id"))
    if found is None or found.repository_id != call.repository.id:
        raise Refused(404, "Not Found")
    return found


def _may(call: Call, number: int, level: str) -> Account | None:
    """Who acts in a conversation. Raises Refused where they may not."""
    actor, repo, world = call.actor, call.repository, call.world
    issue = _issue(call, number)
    if actor.installation:
        permission = "pull_requests" if (repo.id, number) in world.talk.pulls else "issues"
        require(world.state, actor, repo, permission, level)
    if level == "read":
        return actor.account
    if actor.account is None:
        raise Refused(401, "Requires authentication")
    writes = not actor.installation and allows(world.state.role(repo, actor.account), "write", ROLES)
    if issue.locked and not writes:
        raise Refused(403, "Unable to create comment because issue is locked.")
    return actor.account


def _shown(call: Call, comment: Comment) -> Json:
    return render_pulls.comment(call.world, call.links, call.repository, comment)


def _body(call: Call) -> str:
    body = call.needed("body")
    if len(body) > BODY_LIMIT:
        raise invalid("IssueComment", "body", f"body is too long (maximum is {BODY_LIMIT} characters)")
    return body


def list_comments(call: Call) -> Reply:
    """Oldest first; `since` is about their last change."""
    number = _number(call, "number")
    _may(call, number, "read")
    since = call.query.get("since")
    begin = datetime.fromisoformat(since).timestamp() * 1000 if since else 0
    found = [c for c in call.world.talk.comments_of(call.repository, number) if c.updated_at >= begin]
    page, headers = paged(call, found)
    return Reply([_shown(call, comment) for comment in page], headers=headers)


def create_comment(call: Call) -> Reply:
    number = _number(call, "number")
    who = _may(call, number, "write")
    assert who
    made = pulls.comment(call.world, call.repository, number, _body(call), who, call.actor.app)
    return Reply(_shown(call, made), 201)


def get_comment(call: Call) -> Reply:
    found = _comment(call)
    _may(call, found.number, "read")
    return Reply(_shown(call, found))


def edit_comment(call: Call) -> Reply:
    """One's own; others' only with push access, which no App has here."""
    found = _comment(call)
    who = _may(call, found.number, "write")
    assert who
    if found.author.id != who.id:
        raise Refused(403, "Resource not accessible by integration" if call.actor.installation else "Forbidden")
    return Reply(_shown(call, pulls.edit_comment(call.world, call.repository, found, _body(call), who)))


def create_reaction(call: Call) -> Reply:
    """201, or 200 where the account has reacted so before
    (https://docs.github.com/en/rest/reactions/reactions#create-reaction-for-an-issue-comment)."""
    found = _comment(call)
    who = _may(call, found.number, "write")
    assert who
    content = call.needed("content")
    if content not in REACTIONS:
        raise invalid("Reaction", "content", "is not included in the list")
    made, new = pulls.react(call.world, found, content, who)
    return Reply(pulls.reaction_json(call.world, made), 201 if new else 200)


def list_reactions(call: Call) -> Reply:
    found = _comment(call)
    _may(call, found.number, "read")
    page, headers = paged(call, call.world.talk.reactions_to(found.id))
    return Reply([pulls.reaction_json(call.world, one) for one in page], headers=headers)


_R = "/repos/{owner}/{repo}"
_C = f"{_R}/issues/comments/{{comment_id}}"
ROUTES = [
    route("GET", f"{_R}/pulls/{{number}}", get_pull_request, "pull_requests:read"),
    route("GET", f"{_R}/commits/{{sha}}/pulls", list_pulls_of_commit, "pull_requests:read"),
    route("GET", f"{_R}/issues/{{number}}/comments", list_comments, "metadata:read"),
    route("POST", f"{_R}/issues/{{number}}/comments", create_comment, "metadata:read"),
    route("GET", _C, get_comment, "metadata:read"),
    route("PATCH", _C, edit_comment, "metadata:read"),
    route("GET", f"{_C}/reactions", list_reactions, "metadata:read"),
    route("POST", f"{_C}/reactions", create_reaction, "metadata:read"),
]

"""REST for repositories: commits, branches, refs, comparisons, contents, collaborators."""

import base64

from . import render, render_work
from .git import Commit
from .replies import Call, Refused, Reply, paged, route
from .state import Json

CONTENT_LIMIT = 1_000_000


def get_repository(call: Call) -> Reply:
    account = call.actor.account
    role = call.world.state.role(call.repository, account) if account else "read"
    return Reply(render.repository(call.links, call.repository, role=role))


def _commit(call: Call, shown: Commit) -> Json:
    return render_work.commit(call.links, call.repository, shown, call.world.state.accounts)


def get_commit(call: Call) -> Reply:
    sha = call.resolve(call.names["ref"])
    return Reply(_commit(call, call.world.git.commit(call.repository.full_name, sha)))


def list_commits(call: Call) -> Reply:
    """Those that touched a path, where one is given (https://docs.github.com/en/rest/commits/commits#list-commits)."""
    ref = call.query.get("sha") or call.repository.default_branch
    sha = call.world.git.resolve(call.repository.full_name, ref)
    if sha is None:
        raise Refused(404, "Not Found")
    path = call.query.get("path", "").strip("/")
    page, headers = paged(call, call.world.git.log(call.repository.full_name, sha, path=path))
    return Reply([_commit(call, shown) for shown in page], headers=headers)


def list_branches(call: Call) -> Reply:
    heads = call.world.git.branches(call.repository.full_name)
    page, headers = paged(call, sorted(heads.items()))
    return Reply([render_work.branch(call.links, call.repository, *pair) for pair in page], headers=headers)


def get_branch(call: Call) -> Reply:
    name, repo = call.names["branch"], call.repository
    sha = call.world.git.branches(repo.full_name).get(name)
    if sha is None:
        raise Refused(404, "Branch not found")
    head = _commit(call, call.world.git.commit(repo.full_name, sha))
    return Reply(render_work.whole_branch(call.links, repo, name, head))


def _ref(call: Call, name: str, sha: str) -> Json:
    kind = call.world.git.kind(call.repository.full_name, sha)
    return render_work.ref(call.links, call.repository, name, sha, kind)


def get_ref(call: Call) -> Reply:
    name = f"refs/{call.names['ref']}"
    sha = call.world.git.refs(call.repository.full_name).get(name)
    if sha is None:
        raise Refused(404, "Not Found")
    return Reply(_ref(call, name, sha))


def matching_refs(call: Call) -> Reply:
    """All refs that begin with the name, an empty list for none
    (https://docs.github.com/en/rest/git/refs#list-matching-references)."""
    found = call.world.git.refs(call.repository.full_name, f"refs/{call.names['ref']}")
    return Reply([_ref(call, name, sha) for name, sha in sorted(found.items())])


def compare(call: Call) -> Reply:
    """https://docs.github.com/en/rest/commits/commits#compare-two-commits"""
    git, repo = call.world.git, call.repository
    names = call.names["base"], call.names["head"]
    shas = [git.resolve(repo.full_name, name) for name in names]
    base, head = shas
    shared = git.merge_base(repo.full_name, base, head) if base and head else None
    if base is None or head is None or shared is None:
        raise Refused(404, "Not Found" if None in shas else f"No common ancestor between {' and '.join(names)}.")
    ahead, behind = git.ahead_behind(repo.full_name, base, head)
    states = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    commits = git.log(repo.full_name, f"{base}..{head}")[::-1]
    page, headers = paged(call, commits)
    html = f"{call.links.web}/{repo.full_name}/compare/{base}...{head}"
    body = {
        "url": call.address,
        "html_url": html,
        "permalink_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "base_commit": _commit(call, git.commit(repo.full_name, base)),
        "merge_base_commit": _commit(call, git.commit(repo.full_name, shared)),
        "status": states.get((ahead > 0, behind > 0), "identical"),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": len(commits),
        "commits": [_commit(call, shown) for shown in page],
    }
    return Reply(body, headers=headers)


def get_contents(call: Call) -> Reply:
    """A file, a folder's list, or the bytes of a file where `Accept` asks for raw. Of a file above 1 MB the content is
    left out (https://docs.github.com/en/rest/repos/contents#get-repository-content)."""
    git, repo, path = call.world.git, call.repository, call.names.get("path", "").strip("/")
    at = call.query.get("ref") or repo.default_branch
    sha = git.resolve(repo.full_name, at)
    if sha is None:
        raise Refused(404, f"No commit found for the ref {at}")
    found = git.tree(repo.full_name, sha, path) if path else []
    if path and not found:
        raise Refused(404, "Not Found")
    if not path or found[0].kind == "tree":
        inside = git.tree(repo.full_name, sha, f"{path}/" if path else "")
        return Reply([render_work.content(call.links, repo, entry, at) for entry in inside])
    data = git.blob(repo.full_name, found[0].sha)
    if "raw" in call.accept:
        return Reply(data, headers={"Content-Type": "application/vnd.github.raw+json; charset=utf-8"})
    shown = render_work.content(call.links, repo, found[0], at)
    if len(data) > CONTENT_LIMIT:
        return Reply({**shown, "encoding": "none", "content": ""})
    return Reply({**shown, "encoding": "base64", "content": base64.encodebytes(data).decode()})


def collaborator_permission(call: Call) -> Reply:
    who = call.world.state.account(call.names["login"])
    if who is None:
        raise Refused(404, f"{call.names['login']} is not a user")
    role = call.world.state.role(call.repository, who)
    return Reply(render.collaborator_permission(call.links, who, role))


def is_collaborator(call: Call) -> Reply:
    """https://docs.github.com/en/rest/collaborators/collaborators#check-if-a-user-is-a-repository-collaborator"""
    who = call.world.state.account(call.names["login"])
    if who is None or call.world.state.own_role(call.repository, who) in {None, "none"}:
        raise Refused(404, "Not Found")
    return Reply(status=204)


_R = "/repos/{owner}/{repo}"
ROUTES = [
    route("GET", _R, get_repository, "metadata:read"),
    route("GET", "/repositories/{repository_id}", get_repository, "metadata:read"),
    route("GET", f"{_R}/commits", list_commits, "contents:read"),
    route("GET", f"{_R}/commits/{{ref+}}", get_commit, "contents:read"),
    route("GET", f"{_R}/branches", list_branches, "contents:read"),
    route("GET", f"{_R}/branches/{{branch+}}", get_branch, "contents:read"),
    route("GET", f"{_R}/git/ref/{{ref+}}", get_ref, "contents:read"),
    route("GET", f"{_R}/git/matching-refs/{{ref+}}", matching_refs, "contents:read"),
    route("GET", f"{_R}/compare/{{base+}}...{{head+}}", compare, "contents:read"),
    route("GET", f"{_R}/contents", get_contents, "contents:read"),
    route("GET", f"{_R}/contents/{{path+}}", get_contents, "contents:read"),
    route("GET", f"{_R}/collaborators/{{login}}", is_collaborator, "metadata:read"),
    route("GET", f"{_R}/collaborators/{{login}}/permission", collaborator_permission, "metadata:read"),
]

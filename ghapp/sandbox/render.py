"""Records → GitHub's JSON: accounts, repositories, Apps, installations.

Shapes follow https://docs.github.com/en/rest; tests parse them with models generated from GitHub's
own description of its API.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from .state import ROLES, Account, App, Installation, Json, Repository, Token, allows


@dataclass(frozen=True, slots=True)
class Links:
    """Base addresses, without a slash at the end."""

    web: str
    api: str

    def repo(self, full_name: str) -> str:
        return f"{self.api}/repos/{full_name}"


def time(at: int) -> str:
    """Milliseconds since the epoch as GitHub writes times: in whole seconds."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_or_none(at: int | None) -> str | None:
    return None if at is None else time(at)


def path_part(text: str) -> str:
    return quote(text, safe="/")


def account(links: Links, who: Account) -> Json:
    """A "simple user"; organizations and bots have the same shape."""
    api = f"{links.api}/users/{path_part(who.login)}"
    return {
        "login": who.login,
        "id": who.id,
        "node_id": f"{'O' if who.type == 'Organization' else who.type[0]}_{who.id}",
        "avatar_url": f"{links.web}/avatars/{who.id}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{links.web}/{path_part(who.login)}",
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": who.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def own_account(links: Links, who: Account) -> Json:
    """`GET /user`."""
    blank = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
    numbers = ("public_repos", "public_gists", "followers", "following", "private_gists")
    owned = ("total_private_repos", "owned_private_repos", "disk_usage", "collaborators")
    return {
        **account(links, who),
        **blank,
        **dict.fromkeys((*numbers, *owned), 0),
        "name": who.login,
        "blog": "",
        "two_factor_authentication": True,
        "created_at": time(who.created_at),
        "updated_at": time(who.created_at),
    }


def organization(links: Links, who: Account) -> Json:
    """The shape that webhooks carry."""
    api = f"{links.api}/orgs/{who.login}"
    return {
        "login": who.login,
        "id": who.id,
        "node_id": f"O_{who.id}",
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"{links.web}/avatars/{who.id}",
        "description": None,
    }


# Names of a repository's `…_url` fields and what follows its own address.
_REPOSITORY_URLS = """
archive /{archive_format}{/ref}        assignees /assignees{/user}      blobs /git/blobs{/sha}
branches /branches{/branch}            collaborators /collaborators{/collaborator}
comments /comments{/number}            commits /commits{/sha}           compare /compare/{base}...{head}
contents /contents/{+path}             contributors /contributors       deployments /deployments
downloads /downloads                   events /events                   forks /forks
git_commits /git/commits{/sha}         git_refs /git/refs{/sha}         git_tags /git/tags{/sha}
hooks /hooks                           issue_comment /issues/comments{/number}
issue_events /issues/events{/number}   issues /issues{/number}          keys /keys{/key_id}
labels /labels{/name}                  languages /languages             merges /merges
milestones /milestones{/number}        notifications /notifications{?since,all,participating}
pulls /pulls{/number}                  releases /releases{/id}          stargazers /stargazers
statuses /statuses/{sha}               subscribers /subscribers         subscription /subscription
tags /tags                             teams /teams                     trees /git/trees{/sha}
"""
_PAIRS = re.findall(r"(\w+) +(/\S+)", _REPOSITORY_URLS)


def repository(links: Links, repo: Repository, *, role: str | None = None) -> Json:
    """A repository as REST shows it; `role` adds what the asking account may do."""
    api, html = links.repo(repo.full_name), f"{links.web}/{repo.full_name}"
    host = links.web.split("://", 1)[1]
    zeros = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count")
    counts = (*zeros, "open_issues", "open_issues_count", "subscribers_count", "network_count")
    nothing = ("description", "mirror_url", "homepage", "language", "license")
    merges = ("allow_rebase_merge", "allow_squash_merge", "allow_merge_commit", "allow_forking")
    shown: Json = {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": account(links, repo.owner),
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "html_url": html,
        "url": api,
        **{f"{name}_url": api + rest for name, rest in _PAIRS},
        "git_url": f"git://{host}/{repo.full_name}.git",
        "ssh_url": f"git@{host}:{repo.full_name}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        **dict.fromkeys(nothing),
        **dict.fromkeys(counts, 0),
        **dict.fromkeys(merges, True),
        "fork": repo.parent_id is not None,
        **dict.fromkeys(("archived", "disabled", "is_template", "has_pages"), False),
        **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads"), True),
        **dict.fromkeys(("has_discussions", "allow_auto_merge", "delete_branch_on_merge"), False),
        "web_commit_signoff_required": False,
        "topics": [],
        "size": 1,
        "default_branch": repo.default_branch,
        "created_at": time(repo.created_at),
        "updated_at": time(repo.pushed_at),
        "pushed_at": time(repo.pushed_at),
    }
    return shown if role is None else shown | {"permissions": role_flags(role)}


def role_flags(role: str) -> dict[str, bool]:
    names = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    return {flag: allows(role, least, ROLES) for flag, least in names.items()}


def short_repository(repo: Repository) -> Json:
    """The shape in installation webhooks."""
    named = {"id": repo.id, "node_id": f"R_{repo.id}", "name": repo.name}
    return {**named, "full_name": repo.full_name, "private": repo.private}


def collaborator_permission(links: Links, who: Account, role: str) -> Json:
    """`permission` knows only the four old names
    (https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user)."""
    old = {"maintain": "write", "triage": "read"}.get(role, role)
    user = account(links, who) | {"permissions": role_flags(role), "role_name": role}
    return {"permission": old, "role_name": role, "user": user}


def app(links: Links, shown: App, *, installations: int = 0) -> Json:
    return {
        "id": shown.id,
        "slug": shown.slug,
        "node_id": f"A_{shown.id}",
        "client_id": shown.client_id,
        "owner": account(links, shown.owner),
        "name": shown.name or shown.slug,
        "description": shown.description,
        "external_url": shown.external_url or links.web,
        "html_url": f"{links.web}/apps/{shown.slug}",
        "created_at": time(shown.created_at),
        "updated_at": time(shown.created_at),
        "permissions": dict(shown.permissions),
        "events": list(shown.events),
        "installations_count": installations,
    }


def installation(links: Links, shown: Installation, of: App) -> Json:
    api = f"{links.api}/app/installations/{shown.id}"
    return {
        "id": shown.id,
        "client_id": of.client_id,
        "account": account(links, shown.account),
        "repository_selection": "selected",
        "access_tokens_url": f"{api}/access_tokens",
        "repositories_url": f"{links.api}/installation/repositories",
        "html_url": f"{links.web}/settings/installations/{shown.id}",
        "app_id": of.id,
        "app_slug": of.slug,
        "target_id": shown.account.id,
        "target_type": shown.account.type,
        "permissions": dict(shown.permissions),
        "events": list(of.events),
        "created_at": time(shown.created_at),
        "updated_at": time(shown.updated_at),
        **dict.fromkeys(("single_file_name", "suspended_by", "suspended_at")),
        "has_multiple_single_files": False,
        "single_file_paths": [],
    }


def installation_token(links: Links, token: Token, repositories: Iterable[Repository] | None) -> Json:
    """`repositories` is only shown where the request narrowed them."""
    shown: Json = {
        "token": token.value,
        "expires_at": time_or_none(token.expires_at),
        "permissions": dict(token.permissions),
        "repository_selection": "selected",
    }
    if repositories is not None:
        shown["repositories"] = [repository(links, repo) for repo in repositories]
    return shown


def via(links: Links, apps: Mapping[int, App], app_id: int | None) -> Json | None:
    """`performed_via_github_app`: the App, or None where a person acted."""
    return None if app_id is None else app(links, apps[app_id])

"""Repositories, commits and pushes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import checks, pulls
from .accounts import add_organization, add_person
from .git import ZERO, Commit
from .render_work import NOREPLY
from .state import Account, Json, Repository, allows
from .world import World


def author_of(who: Account) -> tuple[str, str]:
    """Name and address under which an account commits."""
    return who.login, f"{who.login}@{NOREPLY}"


def read_folder(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def add_repository(
    world: World, full_name: str, *, private: bool, branch: str, files: Mapping[str, bytes | None]
) -> Repository:
    """A repository with one commit. Its owner becomes an organization unless it is known already.
    Raises ValueError for a name that is taken or is none."""
    owner, slash, name = full_name.partition("/")
    if not (owner and slash and name) or "/" in name or ".." in full_name:
        raise ValueError(f"a repository is named owner/name, not {full_name!r}")
    if world.state.repository(full_name):
        raise ValueError(f"there is a repository {full_name} already")
    account, at = add_organization(world, owner), world.clock()
    repo = Repository(next(world.state.ids.repository), account, name, private, branch, at, at)
    world.git.create(full_name, branch)
    message, author = "Begin", (owner, f"{owner}@{NOREPLY}")
    world.git.write(full_name, branch, files, message=message, author=author, at_s=at // 1000)
    world.state.repositories[repo.id] = repo
    return repo


def commit(
    world: World,
    repo: Repository,
    branch: str,
    files: Mapping[str, str | bytes | None],
    *,
    message: str = "Change something",
    by: str | None = None,
) -> str:
    """Commit to a branch as if pushed; None removes a file. Returns the sha."""
    who = add_person(world, by) if by else repo.owner
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    before, at_s = world.git.refs(repo.full_name), world.clock() // 1000
    author = author_of(who)
    sha = world.git.write(repo.full_name, branch, contents, message=message, author=author, at_s=at_s)
    announce(world, repo, before, who)
    return sha


def set_ref(world: World, repo: Repository, ref: str, sha: str | None, by: str | None = None) -> None:
    """Point a branch (`refs/heads/…`) or tag (`refs/tags/…`) at a commit, or delete it, as if pushed."""
    before = world.git.refs(repo.full_name)
    world.git.set_ref(repo.full_name, ref, sha)
    announce(world, repo, before, add_person(world, by) if by else repo.owner)


def announce(world: World, repo: Repository, before: Mapping[str, str], who: Account) -> None:
    """Send what a push sends, for every ref that is not where it was."""
    after = world.git.refs(repo.full_name)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if changed:
        world.state.repositories[repo.id] = repo = replace(repo, pushed_at=world.clock())
    for name in changed:
        old, new = before.get(name, ZERO), after.get(name, ZERO)
        world.emit("push", repo, push_event(world, repo, name, old, new, who), who)
        if name.startswith("refs/heads/") and new != ZERO:
            branch = name.removeprefix("refs/heads/")
            _request_suites(world, repo, branch, new)
            pulls.pushed(world, repo, branch, old, new, who)


def _request_suites(world: World, repo: Repository, branch: str, sha: str) -> None:
    """A push asks every App that may write checks for a suite
    (https://docs.github.com/en/rest/guides/using-the-rest-api-to-interact-with-checks)."""
    for app in list(world.state.apps.values()):
        installed = world.state.installation_of(app, repo)
        if installed and allows(installed.permissions.get("checks"), "write"):
            checks.add_suite(world, repo, sha, app, branch)


def push_event(world: World, repo: Repository, ref: str, old: str, new: str, who: Account) -> Json:
    created, deleted = old == ZERO, new == ZERO
    fresh: list[Commit] = []
    if not deleted:
        span, limit = (new, "-1") if created else (f"{old}..{new}", "-20")
        fresh = world.git.log(repo.full_name, span, limit)[::-1]
    commits = [_pushed(world, repo, shown) for shown in fresh]
    forced = not (created or deleted) and world.git.merge_base(repo.full_name, old, new) != old
    name, email = author_of(who)
    head = None if deleted else world.git.commit(repo.full_name, new)
    return {
        "ref": ref,
        "before": old,
        "after": new,
        "base_ref": None,
        "created": created,
        "deleted": deleted,
        "forced": forced,
        "compare": f"{world.links.web}/{repo.full_name}/compare/{old[:12]}...{new[:12]}",
        "commits": commits,
        "head_commit": _pushed(world, repo, head) if head else None,
        "pusher": {"name": name, "email": email},
    }


def _pushed(world: World, repo: Repository, shown: Commit) -> Json:
    """A commit as `push` shows it."""
    return {
        "id": shown.sha,
        "tree_id": shown.tree,
        "distinct": True,
        "message": shown.message,
        "timestamp": shown.committer.date,
        "url": f"{world.links.web}/{repo.full_name}/commit/{shown.sha}",
        "author": {"name": shown.author.name, "email": shown.author.email},
        "committer": {"name": shown.committer.name, "email": shown.committer.email},
        **world.git.touched(repo.full_name, shown.sha),
    }

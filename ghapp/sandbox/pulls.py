"""Issues, pull requests, comments and reactions: what people do, and the events it causes."""

from dataclasses import replace

from . import render, render_pulls
from .git import ZERO
from .state import Account, App, Json, Repository
from .talk import REACTIONS, Comment, Issue, PullRequest, Reaction
from .world import Unknown, World


def fork(world: World, repo: Repository, owner: Account) -> Repository:
    """The repository under another account, with everything it has."""
    at = world.clock()
    made = replace(
        repo, id=next(world.state.ids.repository), owner=owner, created_at=at, pushed_at=at, parent_id=repo.id
    )
    world.git.create(made.full_name, repo.default_branch)
    world.git.fetch(made.full_name, repo.full_name, "+refs/heads/*:refs/heads/*")
    world.state.repositories[made.id] = made
    return made


def open_issue(world: World, repo: Repository, author: Account, title: str) -> Issue:
    at = world.clock()
    number = world.talk.next_number(repo)
    made = Issue(next(world.talk.issue_ids), repo.id, number, title, author, at, at)
    world.talk.issues[repo.id, number] = made
    return made


def open_pull_request(
    world: World, repo: Repository, head: Repository, branch: str, base: str, author: Account, title: str
) -> PullRequest:
    """Raises Unknown where there is no such branch."""
    sha, base_sha = world.resolve(head, branch), world.resolve(repo, base)
    issue = open_issue(world, repo, author, title)
    made = PullRequest(
        id=next(world.talk.pull_ids),
        repository_id=repo.id,
        number=issue.number,
        head_repository_id=head.id,
        head_owner=head.owner,
        head_ref=branch,
        head_sha=sha,
        base_ref=base,
        base_sha=base_sha,
    )
    _keep(world, repo, made, head)
    emit_pull_request(world, made, author, "opened", {})
    return made


def _keep(world: World, repo: Repository, pull: PullRequest, head: Repository) -> None:
    """The head is reachable in the base repository, also one from a fork
    (https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/
    checking-out-pull-requests-locally)."""
    world.talk.pulls[repo.id, pull.number] = pull
    name = f"refs/pull/{pull.number}/head"
    if head.id == repo.id:
        world.git.set_ref(repo.full_name, name, pull.head_sha)
    else:
        world.git.fetch(repo.full_name, head.full_name, f"+refs/heads/{pull.head_ref}:{name}")


def pushed(world: World, repo: Repository, branch: str, old: str, new: str, who: Account) -> None:
    """A branch moved: the pull requests that come from it follow."""
    if ZERO in (old, new):
        return
    for pull in world.talk.heads_at(repo, branch):
        moved = replace(pull, head_sha=new)
        base = world.state.repositories[pull.repository_id]
        _touch(world, base, pull.number)
        _keep(world, base, moved, repo)
        emit_pull_request(world, moved, who, "synchronize", {"before": old, "after": new})


def emit_pull_request(world: World, pull: PullRequest, who: Account, action: str, more: Json) -> None:
    repo = world.state.repositories[pull.repository_id]
    shown = render_pulls.pull_request(world, world.links, pull)
    body = {"action": action, "number": pull.number, "pull_request": shown, **more}
    world.emit("pull_request", repo, body, who)


def close(world: World, repo: Repository, number: int, who: Account) -> None:
    issue = named_issue(world, repo, number)
    world.talk.issues[repo.id, number] = replace(issue, closed_at=world.clock(), updated_at=world.clock())
    pull = world.talk.pulls.get((repo.id, number))
    if pull:
        emit_pull_request(world, pull, who, "closed", {})


def lock_conversation(world: World, repo: Repository, number: int) -> None:
    issue = named_issue(world, repo, number)
    world.talk.issues[repo.id, number] = replace(issue, locked=True)


def named_issue(world: World, repo: Repository, number: int) -> Issue:
    """Raises Unknown."""
    found = world.talk.issues.get((repo.id, number))
    if found is None:
        raise Unknown(f"no issue or pull request {number} in {repo.full_name}")
    return found


def _touch(world: World, repo: Repository, number: int) -> None:
    issue = world.talk.issues[repo.id, number]
    world.talk.issues[repo.id, number] = replace(issue, updated_at=world.clock())


def comment(world: World, repo: Repository, number: int, body: str, author: Account, app: App | None = None) -> Comment:
    """Raises Unknown."""
    named_issue(world, repo, number)
    at = world.clock()
    made = Comment(next(world.talk.comment_ids), repo.id, number, body, author, app.id if app else None, at, at)
    world.talk.comments[made.id] = made
    _touch(world, repo, number)
    _emit_comment(world, repo, made, author, "created", {})
    return made


def edit_comment(world: World, repo: Repository, shown: Comment, body: str, who: Account) -> Comment:
    made = replace(shown, body=body, updated_at=world.clock())
    world.talk.comments[made.id] = made
    _emit_comment(world, repo, made, who, "edited", {"changes": {"body": {"from": shown.body}}})
    return made


def delete_comment(world: World, repo: Repository, shown: Comment, who: Account) -> None:
    del world.talk.comments[shown.id]
    _emit_comment(world, repo, shown, who, "deleted", {})


def _emit_comment(world: World, repo: Repository, shown: Comment, who: Account, action: str, more: Json) -> None:
    issue = world.talk.issues[repo.id, shown.number]
    body = {
        "action": action,
        "issue": render_pulls.issue(world, world.links, repo, issue),
        "comment": render_pulls.comment(world, world.links, repo, shown),
        **more,
    }
    world.emit("issue_comment", repo, body, who)


def react(world: World, shown: Comment, content: str, author: Account) -> tuple[Reaction, bool]:
    """The reaction, and whether it is new: an account reacts in each way once. Raises ValueError."""
    if content not in REACTIONS:
        raise ValueError(f"no reaction {content!r}; there are: {', '.join(REACTIONS)}")
    known = (r for r in world.talk.reactions_to(shown.id) if (r.content, r.author.id) == (content, author.id))
    found = next(known, None)
    if found:
        return found, False
    made = Reaction(next(world.talk.reaction_ids), shown.id, content, author, world.clock())
    world.talk.reactions.append(made)
    return made, True


def association(world: World, repo: Repository, who: Account) -> str:
    """https://docs.github.com/en/graphql/reference/enums#commentauthorassociation"""
    owner, login = repo.owner.login.lower(), who.login.lower()
    if login == owner:
        return "OWNER"
    teams = (members for (organization, _), members in world.state.teams.items() if organization == owner)
    if login in world.state.owners.get(owner, ()) or any(login in members for members in teams):
        return "MEMBER"
    if world.state.collaborators.get((repo.id, login), "none") != "none":
        return "COLLABORATOR"
    return "NONE"


def reaction_json(world: World, shown: Reaction) -> Json:
    return {
        "id": shown.id,
        "node_id": f"REA_{shown.id}",
        "user": render.account(world.links, shown.author),
        "content": shown.content,
        "created_at": render.time(shown.created_at),
    }

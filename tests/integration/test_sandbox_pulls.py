"""Issues, pull requests, comments and reactions at the sandbox: GitHub's shapes, permissions and events."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from githubkit.webhooks import parse
from githubkit_schemas.latest import models
from pydantic import TypeAdapter

from .sandbox_rig import REPO, Rig, opened

R = f"/repos/{REPO}"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as made:
        yield made


async def told(rig: Rig, event: str) -> list[Any]:
    """The deliveries of an event, each as GitHub's own description of it reads them."""
    await rig.gh.settled()
    return [parse(event, one.raw) for one in rig.receiver.of(event)]


async def test_rest_and_webhooks_have_githubs_shape(rig: Rig) -> None:
    gh = rig.gh
    sha = gh.commit(REPO, "feature", {"a.txt": "1"}, by="ana")
    gh.fork(REPO, "mallory")
    gh.commit("mallory/hello", "evil", {"b.txt": "1"}, by="mallory")
    ours = gh.open_pull_request(REPO, "feature", by="ana")
    theirs = gh.open_pull_request(REPO, "evil", fork="mallory/hello", by="mallory")
    issue = gh.open_issue(REPO, by="bob")
    assert (ours.number, theirs.number, issue.number) == (1, 2, 3)
    said = gh.comment(REPO, 1, "hello", by="bob")
    gh.comment(REPO, 3, "on an issue", by="mallory")
    gh.edit_comment(said.id, "hello, world", by="bob")
    token = await rig.token()
    await rig.call("POST", f"{R}/issues/comments/{said.id}/reactions", token, json={"content": "+1"})
    for path, model in (
        ("/pulls/1", models.PullRequest),
        ("/pulls/2", models.PullRequest),
        (f"/commits/{sha}/pulls", list[models.PullRequestSimple]),
        ("/issues/1/comments", list[models.IssueComment]),
        (f"/issues/comments/{said.id}", models.IssueComment),
        (f"/issues/comments/{said.id}/reactions", list[models.Reaction]),
    ):
        answer = await rig.call("GET", R + path, token)
        assert answer.status == 200, (path, answer.body)
        TypeAdapter(model).validate_python(answer.body)
    gh.delete_comment(said.id, by="bob")
    comments = await told(rig, "issue_comment")
    assert [(one.action, one.comment.author_association) for one in comments] == [
        ("created", "COLLABORATOR"),
        ("created", "NONE"),
        ("edited", "COLLABORATOR"),
        ("deleted", "COLLABORATOR"),
    ]
    issues = [one.body["issue"] for one in rig.receiver.of("issue_comment")]
    assert ["pull_request" in shown for shown in issues] == [True, False, True, True]
    opened_, from_fork = await told(rig, "pull_request")
    assert (opened_.action, opened_.pull_request.head.sha) == ("opened", sha)
    assert from_fork.pull_request.head.repo.full_name == "mallory/hello"
    assert from_fork.pull_request.head.repo.fork


async def test_a_push_moves_the_pull_request(rig: Rig) -> None:
    gh = rig.gh
    before = gh.commit(REPO, "feature", {"a.txt": "1"})
    gh.open_pull_request(REPO, "feature")
    after = gh.commit(REPO, "feature", {"a.txt": "2"}, by="ana")
    gh.close_pull_request(REPO, 1)
    gh.commit(REPO, "feature", {"a.txt": "3"}, by="ana")
    _, moved, closed = await told(rig, "pull_request")
    assert (moved.action, moved.before, moved.after, moved.sender.login) == ("synchronize", before, after, "ana")
    assert (closed.action, closed.pull_request.state) == ("closed", "closed")
    assert gh.pull_request(REPO, 1).head_sha == after


async def test_the_head_of_a_fork_is_a_commit_of_the_base_repository(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()
    gh.fork(REPO, "mallory")
    sha = gh.commit("mallory/hello", "evil", {"b.txt": "1"})
    assert (await rig.call("GET", f"{R}/commits/{sha}", token)).status == 422
    gh.open_pull_request(REPO, "evil", fork="mallory/hello")
    assert (await rig.call("GET", f"{R}/commits/{sha}", token)).status == 200
    later = gh.commit("mallory/hello", "evil", {"b.txt": "2"})
    assert (await rig.call("GET", f"{R}/commits/{later}", token)).status == 200
    assert (await rig.call("GET", f"{R}/commits/evil", token)).status == 422


async def test_who_may_write_and_how(rig: Rig) -> None:
    gh = rig.gh
    gh.commit(REPO, "feature", {"a.txt": "1"})
    gh.open_pull_request(REPO, "feature")
    gh.open_issue(REPO)
    said = gh.comment(REPO, 1, "hello", by="bob")
    on_pulls = await rig.token(permissions={"pull_requests": "write"})
    on_issues = await rig.token(permissions={"issues": "write"})
    bob, nobody = gh.personal_token("bob"), gh.personal_token("nobody")
    for number, token, status in (
        (1, on_pulls, 201),
        (2, on_pulls, 403),
        (1, on_issues, 403),
        (2, on_issues, 201),
        (1, bob, 201),
        (1, nobody, 404),
        (9, bob, 404),
    ):
        answer = await rig.call("POST", f"{R}/issues/{number}/comments", token, json={"body": "hi"})
        assert answer.status == status, (number, answer.body)
    long = await rig.call("POST", f"{R}/issues/1/comments", bob, json={"body": "x" * 65537})
    assert long.status == 422
    mine = gh.comments(REPO, 1)[1]
    assert (mine.author.login, mine.app_id) == ("kedge[bot]", rig.app.id)
    edit = f"{R}/issues/comments/"
    assert (await rig.call("PATCH", f"{edit}{mine.id}", on_pulls, json={"body": "edited"})).body["body"] == "edited"
    assert (await rig.call("PATCH", f"{edit}{said.id}", on_pulls, json={"body": "x"})).status == 403
    since = (await rig.call("GET", f"{R}/issues/1/comments?since=2100-01-01T00:00:00Z", bob)).body
    assert since == []
    react = f"{edit}{said.id}/reactions"
    statuses = [(await rig.call("POST", react, on_pulls, json={"content": "eyes"})).status for _ in range(2)]
    assert (statuses, gh.reactions(said.id)) == ([201, 200], ["eyes"])
    assert (await rig.call("POST", react, on_pulls, json={"content": "party"})).status == 422
    gh.lock_conversation(REPO, 1)
    locked = await rig.call("POST", f"{R}/issues/1/comments", on_pulls, json={"body": "hi"})
    assert (locked.status, locked.body["message"]) == (403, "Unable to create comment because issue is locked.")


async def test_the_control_door_opens_pull_requests_and_comments(rig: Rig) -> None:
    rig.gh.commit(REPO, "feature", {"a.txt": "1"})
    door = f"{rig.gh.url}/_sandbox/repos/{REPO}"
    made = await rig.call("POST", f"{door}/pulls", data=b"head=feature&by=ana", headers=FORM)
    assert (made.status, made.body["number"]) == (201, 1)
    said = await rig.call("POST", f"{door}/comments", data=b"number=1&body=/deploy", headers=FORM)
    listed = await rig.call("GET", f"{door}/comments?number=1")
    assert listed.body == [{"id": said.body["id"], "by": "ana", "body": "/deploy", "reactions": []}]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}

"""Deliveries about comments and pull requests -> what they tell: who counts as a person, and what is left alone."""

from typing import Any

import pytest

from ghapp.vcs.events import CommentEvent, HeadEvent
from ghapp.vcs.github_events import UnusableDelivery, parse

REPOSITORY = {"id": 7, "full_name": "acme/hello"}


def comment(action: str = "created", *, issue: dict[str, Any] | None = None, **changed: Any) -> Any:
    said = {
        "id": 9,
        "body": "/deploy",
        "user": {"login": "ana", "type": "User"},
        "author_association": "MEMBER",
        "performed_via_github_app": None,
        "created_at": "2026-11-23T14:00:00Z",
    }
    about = {"number": 1, "pull_request": {}} if issue is None else issue
    return parse(
        "issue_comment", {"action": action, "repository": REPOSITORY, "issue": about, "comment": {**said, **changed}}
    )


def test_a_comment_on_a_pull_request() -> None:
    event = comment()
    assert isinstance(event, CommentEvent)
    assert (event.who, event.person, event.trusted, event.pull_request) == ("ana", True, True, True)
    assert (event.number, event.comment_id, event.text, event.written_at) == (1, 9, "/deploy", 1_795_442_400_000)
    assert not comment(issue={"number": 2}).pull_request


@pytest.mark.parametrize("action", ["edited", "deleted", "pinned"])
def test_what_is_not_new_is_left_alone(action: str) -> None:
    assert comment(action) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"user": {"login": "renovate[bot]", "type": "Bot"}},
        {"user": {"login": "acme", "type": "Organization"}},
        {"user": None},
        {"performed_via_github_app": {"id": 3, "slug": "helper"}},
    ],
)
def test_who_is_no_person(changed: dict[str, Any]) -> None:
    assert not comment(**changed).person


@pytest.mark.parametrize("association", ["CONTRIBUTOR", "FIRST_TIMER", "NONE", "MANNEQUIN", "new"])
def test_who_does_not_belong_to_the_repository(association: str) -> None:
    assert not comment(author_association=association).trusted


def test_a_comment_without_a_time_cannot_be_used() -> None:
    with pytest.raises(UnusableDelivery, match="created_at"):
        comment(created_at=None)


@pytest.mark.parametrize(
    ("action", "heard"), [("opened", True), ("synchronize", True), ("reopened", True), ("closed", False)]
)
def test_a_head_of_a_pull_request(action: str, heard: bool) -> None:
    shown = {"number": 1, "head": {"sha": "a" * 40}, "updated_at": "2026-11-23T14:00:00Z"}
    event = parse("pull_request", {"action": action, "repository": REPOSITORY, "pull_request": shown})
    assert isinstance(event, HeadEvent) is heard
    assert not isinstance(event, HeadEvent) or (event.sha, event.at) == ("a" * 40, 1_795_442_400_000)

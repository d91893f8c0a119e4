"""A stored delivery of GitHub -> what happened. Pure, and lenient: real ones miss fields of the newest schema.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from ghapp.vcs import github_deliveries as shapes
from ghapp.vcs.events import (
    CheckEvent,
    CommentEvent,
    DeploymentEvent,
    Event,
    HeadEvent,
    InactiveEvent,
    InstallationEvent,
    PushEvent,
)
from ghapp.vcs.github_shapes import check_of_run, check_of_status, moment, repository_of, request_of

#: What GitHub shows in place of an account that was deleted.
GHOST = "ghost"
#: What stands for no commit where a branch is created or deleted.
NO_COMMIT = "0" * 40
BRANCHES = "refs/heads/"

#: A Fernet token: version 0x80 and a 64-bit time, whose highest bytes are 0, in base64url
#: (https://github.com/fernet/spec/blob/master/Spec.md). hubot-deploy makes one of its payload where it is told to.
_FERNET = re.compile(r"gAAAA[A-Za-z0-9_-]{90,}={0,2}")
_ENCRYPTED = (
    "The payload is encrypted, and Kedge has no key to it: unset HUBOT_DEPLOY_ENCRYPT_PAYLOAD where Hubot runs."
)

T = TypeVar("T")


class UnusableDelivery(ValueError):
    """The delivery lacks something without which its work is impossible; the message names it."""


def parse(event_name: str, body: bytes | Mapping[str, object]) -> Event | None:
    """What the delivery tells; None where it tells nothing that Kedge acts on.

    ``event_name`` is the header ``X-GitHub-Event``. Raises `UnusableDelivery` where the body is no JSON object or
    lacks what the event cannot do without.
    """
    reader = _READERS.get(event_name)
    if reader is None:
        return None
    try:
        return reader(body)
    except msgspec.DecodeError as error:
        problem = str(error)
    except RecursionError:
        problem = "it is nested too deeply"
    raise UnusableDelivery(f"This {event_name} delivery cannot be used: {problem}.")


def _read(body: bytes | Mapping[str, object], shape: type[T]) -> T:
    if isinstance(body, bytes):
        return msgspec.json.decode(body, type=shape)
    return msgspec.convert(dict(body), shape)


def _deployment(body: bytes | Mapping[str, object]) -> DeploymentEvent | None:
    delivery = _read(body, shapes.DeploymentDelivery)
    if delivery.action != "created":
        return None
    deployment = delivery.deployment
    creator = deployment.creator or shapes.AccountShape()
    payload, problem = _payload(deployment.payload)
    return DeploymentEvent(
        repository=repository_of(delivery.repository),
        installation_id=delivery.installation.id if delivery.installation else None,
        deployment_id=deployment.id,
        sha=deployment.sha,
        ref=_short_ref(deployment.ref or deployment.sha),
        task=deployment.task or "deploy",
        environment=deployment.environment or "production",
        creator=creator.login or GHOST,
        creator_is_person=creator.type == "User" and creator.login is not None,
        created_at=moment(deployment.created_at),
        payload=payload,
        description=deployment.description or "",
        problem=problem,
        request=request_of(payload),
    )


def _deployment_status(body: bytes | Mapping[str, object]) -> InactiveEvent | None:
    delivery = _read(body, shapes.DeploymentStatusDelivery)
    status = delivery.deployment_status
    if status.state != "inactive":
        return None
    who = (status.creator.login if status.creator else None) or GHOST
    return InactiveEvent(repository_of(delivery.repository), delivery.deployment.id, who)


def _payload(sent: object) -> tuple[dict[str, object], str | None]:
    """What the creator sent along, as an object, or why it is none. hubot-deploy sends an object, others its text."""
    if isinstance(sent, str) and sent.strip():
        if _FERNET.fullmatch(sent.strip()):
            return {}, _ENCRYPTED
        try:
            sent = msgspec.json.decode(sent)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {}, "The deployment's payload is text that is no JSON. Send an object, or leave it out."
    if sent is None or (isinstance(sent, str) and not sent.strip()):
        return {}, None
    if isinstance(sent, dict):
        return sent, None
    kind = "a list" if isinstance(sent, list) else f"the value {sent!r:.40}"
    return {}, f"The deployment's payload is {kind}. Send an object, or leave it out."


def _short_ref(ref: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/"):
        if ref.startswith(prefix) and ref != prefix:
            return ref.removeprefix(prefix)
    return ref


def _status(body: bytes | Mapping[str, object]) -> CheckEvent:
    delivery = _read(body, shapes.StatusDelivery)
    return CheckEvent(
        repository=repository_of(delivery.repository),
        sha=delivery.sha,
        check=check_of_status(delivery),
    )


def _check_run(body: bytes | Mapping[str, object]) -> CheckEvent:
    """Without the App that ran it, a run could be taken for another one of its name."""
    delivery = _read(body, shapes.RunDelivery)
    run = delivery.check_run
    return CheckEvent(
        repository=repository_of(delivery.repository),
        sha=run.head_sha,
        check=check_of_run(run) if run.app else None,
    )


def _check_suite(body: bytes | Mapping[str, object]) -> CheckEvent:
    """A suite has no state of its own that could be newer than a fetch: only look again."""
    delivery = _read(body, shapes.SuiteDelivery)
    return CheckEvent(
        repository=repository_of(delivery.repository),
        sha=delivery.check_suite.head_sha,
        check=None,
    )


def _push(body: bytes | Mapping[str, object]) -> PushEvent | None:
    """Of a branch; tags are none of Kedge's business. A deploy key has no login, only the name of who made it.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    """
    delivery = _read(body, shapes.PushDelivery)
    if not delivery.ref.startswith(BRANCHES) or delivery.ref == BRANCHES:
        return None
    head = delivery.head_commit or shapes.PushedCommit()
    sender, pusher = delivery.sender or shapes.AccountShape(), delivery.pusher or shapes.PusherShape()
    listed = (*delivery.commits, head)
    return PushEvent(
        repository=repository_of(delivery.repository),
        installation_id=delivery.installation.id if delivery.installation else None,
        branch=delivery.ref.removeprefix(BRANCHES),
        before=None if delivery.before == NO_COMMIT else delivery.before,
        after=None if delivery.after == NO_COMMIT else delivery.after,
        forced=delivery.forced,
        message=head.message,
        pusher=sender.login or pusher.name or GHOST,
        paths=frozenset(path for one in listed for path in (*one.added, *one.removed, *one.modified)),
    )


#: https://docs.github.com/en/graphql/reference/enums#commentauthorassociation
_TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
#: After these a pull request has another head than was known before.
_HEAD_ACTIONS = frozenset({"opened", "reopened", "synchronize"})


def _issue_comment(body: bytes | Mapping[str, object]) -> CommentEvent | None:
    """A new one, on an issue or a pull request. An App that writes with a person's token is no person."""
    delivery = _read(body, shapes.CommentDelivery)
    if delivery.action != "created":
        return None
    comment = delivery.comment
    author = comment.user or shapes.AccountShape()
    return CommentEvent(
        repository=repository_of(delivery.repository),
        installation_id=delivery.installation.id if delivery.installation else None,
        number=delivery.issue.number,
        pull_request=delivery.issue.pull_request is not None,
        comment_id=comment.id,
        text=comment.body or "",
        who=author.login or GHOST,
        person=author.type == "User" and author.login is not None and comment.performed_via_github_app is None,
        trusted=comment.author_association in _TRUSTED,
        written_at=moment(comment.created_at),
    )


def _pull_request(body: bytes | Mapping[str, object]) -> HeadEvent | None:
    """Since when its head is what it is: a push is its newest change at the moment it is told of."""
    delivery = _read(body, shapes.PullRequestDelivery)
    if delivery.action not in _HEAD_ACTIONS:
        return None
    shown = delivery.pull_request
    return HeadEvent(
        repository=repository_of(delivery.repository),
        installation_id=delivery.installation.id if delivery.installation else None,
        number=shown.number,
        sha=shown.head.sha,
        at=moment(shown.updated_at),
    )


def _installation_event(body: bytes | Mapping[str, object]) -> InstallationEvent:
    """A suspended installation gives no tokens: it is as good as gone until ``unsuspend``."""
    delivery = _read(body, shapes.InstallationDelivery)
    gone = delivery.action in ("deleted", "suspend")
    listed = delivery.repositories or []
    return _installation_of(delivery, added=[] if gone else listed, removed=listed if gone else [], gone=gone)


def _installation_repositories(body: bytes | Mapping[str, object]) -> InstallationEvent:
    delivery = _read(body, shapes.InstallationDelivery)
    return _installation_of(
        delivery, added=delivery.repositories_added or [], removed=delivery.repositories_removed or [], gone=False
    )


def _installation_of(
    delivery: shapes.InstallationDelivery,
    *,
    added: list[shapes.CoveredRepository],
    removed: list[shapes.CoveredRepository],
    gone: bool,
) -> InstallationEvent:
    account = delivery.installation.account or shapes.AccountShape()
    return InstallationEvent(
        installation_id=delivery.installation.id,
        account=account.login or account.slug or GHOST,
        added=tuple((repository.id, repository.full_name) for repository in added),
        removed=tuple(repository.id for repository in removed),
        permissions=delivery.installation.permissions or {},
        gone=gone,
    )


def _nothing(_body: bytes | Mapping[str, object]) -> None:
    """Known, and nothing to do."""


_READERS: dict[str, Callable[[bytes | Mapping[str, object]], Event | None]] = {
    "deployment": _deployment,
    "deployment_status": _deployment_status,
    "status": _status,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "push": _push,
    "issue_comment": _issue_comment,
    "pull_request": _pull_request,
    "installation": _installation_event,
    "installation_repositories": _installation_repositories,
    "ping": _nothing,
}

#: Of these something is read; all others say nothing to Kedge.
EVENTS = frozenset(_READERS)

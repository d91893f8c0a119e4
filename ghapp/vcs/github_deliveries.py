"""What Kedge reads of GitHub's deliveries, one shape for each event. Only what is needed is declared.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from typing import Any

import msgspec

from ghapp.vcs.github_shapes import Id, Instant, RepositoryShape, RunShape, StatusShape


class AccountShape(msgspec.Struct, kw_only=True):
    login: str | None = None
    slug: str | None = None
    type: str | None = None


class InstallationIdShape(msgspec.Struct, kw_only=True):
    id: Id


class DeploymentShape(msgspec.Struct, kw_only=True):
    id: Id
    sha: str
    ref: str | None = None
    task: str | None = None
    environment: str | None = None
    payload: Any = None
    description: str | None = None
    creator: AccountShape | None = None
    created_at: Instant


class DeploymentDelivery(msgspec.Struct, kw_only=True):
    action: str = "created"
    repository: RepositoryShape
    installation: InstallationIdShape | None = None
    deployment: DeploymentShape


class DeploymentStatusShape(msgspec.Struct, kw_only=True):
    state: str
    creator: AccountShape | None = None


class DeploymentRefShape(msgspec.Struct, kw_only=True):
    id: Id


class DeploymentStatusDelivery(msgspec.Struct, kw_only=True):
    repository: RepositoryShape
    deployment: DeploymentRefShape
    deployment_status: DeploymentStatusShape


class StatusDelivery(StatusShape, kw_only=True):
    repository: RepositoryShape
    sha: str


class DeliveredRun(RunShape, kw_only=True):
    head_sha: str


class RunDelivery(msgspec.Struct, kw_only=True):
    repository: RepositoryShape
    check_run: DeliveredRun


class DeliveredSuite(msgspec.Struct, kw_only=True):
    head_sha: str


class SuiteDelivery(msgspec.Struct, kw_only=True):
    repository: RepositoryShape
    check_suite: DeliveredSuite


class PushedCommit(msgspec.Struct, kw_only=True):
    message: str = ""
    added: list[str] = []
    removed: list[str] = []
    modified: list[str] = []


class PusherShape(msgspec.Struct, kw_only=True):
    name: str | None = None


class PushDelivery(msgspec.Struct, kw_only=True):
    repository: RepositoryShape
    installation: InstallationIdShape | None = None
    ref: str
    before: str
    after: str
    forced: bool = False
    head_commit: PushedCommit | None = None
    commits: list[PushedCommit] = []
    sender: AccountShape | None = None
    pusher: PusherShape | None = None


class InstallationShape(msgspec.Struct, kw_only=True):
    id: Id
    account: AccountShape | None = None
    permissions: dict[str, str] | None = None


class CoveredRepository(msgspec.Struct, kw_only=True):
    id: Id
    full_name: str


class InstallationDelivery(msgspec.Struct, kw_only=True):
    action: str = "created"
    installation: InstallationShape
    repositories: list[CoveredRepository] | None = None
    repositories_added: list[CoveredRepository] | None = None
    repositories_removed: list[CoveredRepository] | None = None


class IssueShape(msgspec.Struct, kw_only=True):
    """``pull_request`` is there where the issue is one."""

    number: int
    pull_request: dict[str, object] | None = None


class CommentShape(msgspec.Struct, kw_only=True):
    id: Id
    body: str | None = None
    user: AccountShape | None = None
    author_association: str = "NONE"
    performed_via_github_app: dict[str, object] | None = None
    created_at: Instant


class CommentDelivery(msgspec.Struct, kw_only=True):
    action: str
    repository: RepositoryShape
    installation: InstallationIdShape | None = None
    issue: IssueShape
    comment: CommentShape


class HeadShape(msgspec.Struct, kw_only=True):
    sha: str


class PullRequestShape(msgspec.Struct, kw_only=True):
    number: int
    head: HeadShape
    updated_at: Instant


class PullRequestDelivery(msgspec.Struct, kw_only=True):
    action: str
    repository: RepositoryShape
    installation: InstallationIdShape | None = None
    pull_request: PullRequestShape

"""GitHub's record of what it sent to the App, read back with the App's key: whatever never arrived is in it.

https://docs.github.com/en/rest/apps/webhooks
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ghapp.core.remote import NotFound
from ghapp.core.values import Repository
from ghapp.vcs.github_deliveries import DeploymentDelivery, DeploymentShape
from ghapp.vcs.github_events import EVENTS
from ghapp.vcs.github_shapes import Id, Instant, RepositoryShape, moment
from ghapp.vcs.github_transport import Authorized
from ghapp.vcs.record import Record, Recovered, Sent, Use

#: GitHub keeps deliveries for three days; a day less is certain whatever the clocks say.
#: https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
KEPT_MS = 2 * 86_400_000
#: So much is read at once; who missed more has been away for long. 100 come with one call.
MOST = 20_000
MOST_DEPLOYMENTS = 1_000

_CHECKS = frozenset({"status", "check_run", "check_suite"})
#: Not worth a call: GitHub sends no ``inactive`` (https://docs.github.com/en/webhooks/webhook-events-and-payloads
#: #deployment_status), and the other deployment statuses are what Kedge itself writes.
_NOT_MISSED = frozenset({"ping", "deployment_status"})
#: Where only these actions can be work.
_ACTIONS = {"deployment": frozenset({"created"}), "issue_comment": frozenset({"created"})}
#: The newest status of a deployment that is not to be begun any more.
_OVER = frozenset({"success", "failure", "error", "inactive"})


def use_of(event: str, action: str | None) -> Use:
    """What a delivery can be to Kedge, without its payload. Pure."""
    if event in _CHECKS:
        return Use.CHECKS
    wanted = _ACTIONS.get(event)
    if event not in EVENTS or event in _NOT_MISSED or (wanted and action and action not in wanted):
        return Use.NOTHING
    return Use.WORK


class _Listed(msgspec.Struct, kw_only=True):
    id: Id
    guid: str
    delivered_at: Instant
    event: str
    action: str | None = None
    repository_id: Id | None = None


class _Request(msgspec.Struct, kw_only=True):
    payload: dict[str, Any] | None = None


class _Whole(msgspec.Struct, kw_only=True):
    request: _Request


class _Status(msgspec.Struct, kw_only=True):
    state: str


class GitHubRecord:
    """See `DeliveryLog`. ``client`` gives calls with the credentials of a repository's installation; ``ahead_ms``
    tells how far GitHub's clock is ahead of ``clock``."""

    def __init__(
        self,
        as_app: Authorized,
        client: Callable[[str], Authorized],
        ahead_ms: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self._as_app = as_app
        self._client = client
        self._ahead_ms = ahead_ms
        self._clock = clock

    async def since(self, at: int) -> Record:
        """Newest first, so that reading ends at the first that is older."""

        def enough(found: list[_Listed]) -> bool:
            return len(found) >= MOST or (bool(found) and self._at(found[-1].delivered_at) < at)

        found = await self._as_app.items("/app/hook/deliveries?per_page=100", _Listed, enough)
        reached = bool(found) and self._at(found[-1].delivered_at) < at
        whole = reached or (len(found) < MOST and self._clock() - at < KEPT_MS)
        return Record([self._sent(one) for one in found], whole)

    def _sent(self, one: _Listed) -> Sent:
        use = use_of(one.event, one.action)
        return Sent(one.id, one.guid, self._at(one.delivered_at), one.event, use, one.repository_id)

    def _at(self, told: Instant) -> int:
        """GitHub's time by our clock."""
        return moment(told) - self._ahead_ms()

    async def recover(self, sent: Sent) -> Recovered:
        path = "/app/hook/deliveries/{id}"
        whole = await self._as_app.item(path, _Whole, id=str(sent.id))
        if whole.request.payload is None:  # as the API allows; asking again would not bring it
            raise NotFound(f"GitHub has delivery {sent.guid} without its payload.")
        return Recovered(sent.guid, sent.event, json.dumps(whole.request.payload).encode())

    async def deployments(self, repository: Repository, since: int) -> list[Recovered]:
        client = self._client(repository.full_name)
        owner, _, repo = repository.full_name.partition("/")
        path = "/repos/{owner}/{repo}/deployments"

        def enough(found: list[DeploymentShape]) -> bool:
            return len(found) >= MOST_DEPLOYMENTS or (bool(found) and self._at(found[-1].created_at) < since)

        listed = await client.items(path + "?per_page=100", DeploymentShape, enough, owner=owner, repo=repo)
        recovered = []
        for one in reversed(listed):
            statuses = path + "/{id}/statuses?per_page=1"
            if self._at(one.created_at) >= since and not await _is_over(client, statuses, owner, repo, str(one.id)):
                recovered.append(_as_delivery(repository, one))
        return recovered


async def _is_over(client: Authorized, path: str, owner: str, repo: str, deployment_id: str) -> bool:
    newest = await client.item(path, list[_Status], owner=owner, repo=repo, id=deployment_id)
    return bool(newest) and newest[0].state in _OVER


def _as_delivery(repository: Repository, deployment: DeploymentShape) -> Recovered:
    """The webhook holds the same object: https://docs.github.com/en/webhooks/webhook-events-and-payloads#deployment"""
    known = RepositoryShape(
        id=repository.id,
        full_name=repository.full_name,
        clone_url=repository.clone_url,
        default_branch=repository.default_branch,
        private=repository.private,
    )
    delivery = msgspec.to_builtins(DeploymentDelivery(repository=known, deployment=deployment))
    return Recovered(f"deployment-{repository.id}-{deployment.id}", "deployment", json.dumps(delivery).encode())

"""GitHub's deliveries: proved to be GitHub's before anything is parsed."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from ghapp.vcs import github_events
from ghapp.vcs.events import Event
from ghapp.vcs.provider import Received, Unsigned

NAME_LIMIT = 100


def signed_by(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Is ``sha256=HEX`` the HMAC of the raw body by any of the secrets? Every secret is tried, in constant time.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    given = signature.encode(errors="surrogateescape")
    digests = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    matches = [hmac.compare_digest(f"sha256={digest}".encode(), given) for digest in digests]
    return any(matches)


class GitHubWebhooks:
    """See `Webhooks`. Without a secret nothing counts as signed."""

    events = github_events.EVENTS

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Received:
        if not signed_by(body, headers.get("X-Hub-Signature-256", ""), self._secrets):
            hint = "The webhook secret of the GitHub App must be in GITHUB_WEBHOOK_SECRET."
            raise Unsigned("The signature X-Hub-Signature-256 does not fit.", hint)
        guid, event = headers.get("X-GitHub-Delivery", ""), headers.get("X-GitHub-Event", "")
        if not guid or not event or len(guid) > NAME_LIMIT or len(event) > NAME_LIMIT:
            raise ValueError("The headers X-GitHub-Delivery and X-GitHub-Event are needed.")
        return Received(guid, event)

    def parse(self, event: str, body: bytes) -> Event | None:
        return github_events.parse(event, body)

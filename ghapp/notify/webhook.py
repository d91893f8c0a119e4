"""What an outgoing webhook says, and how it is signed, as Standard Webhooks has it. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from ghapp.core.times import rfc3339

#: Longest text of somebody else's in it.
LONGEST = 1_000


def payload(kind: str, at: int, data: Mapping[str, object]) -> str:
    """``type``, ``timestamp`` (RFC 3339) and ``data``. ``at``: ms."""
    return json.dumps({"type": kind, "timestamp": rfc3339(at), "data": shortened(data)}, ensure_ascii=False)


def shortened(value: object) -> object:
    """No text longer than it may be, in lists of at most 20."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    if isinstance(value, Mapping):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [shortened(item) for item in value[:20]]
    return value


def headers(message_id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """What proves who sent it. ``at_s``: seconds, the time of this try; ``message_id`` is the same at each of them."""
    signed = f"{message_id}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.new(one, signed, hashlib.sha256).digest()).decode() for one in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
        "content-type": "application/json",
    }

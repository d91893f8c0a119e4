"""The settings of notices to other services: outgoing webhooks and Sentry."""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ghapp.core.config import AppConfig, Problem
from ghapp.core.settings import Environment, in_clear

SENTRY_URL = "https://sentry.io"
#: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """``webhook_secrets`` sign what is sent, each of them, the first being the newest."""

    webhook_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    sentry_token: str | None = field(default=None, repr=False)
    sentry_url: str = SENTRY_URL


def notices(env: Environment) -> NoticeSettings:
    secrets = [found for text in env.listed("KEDGE_WEBHOOK_SECRETS") if (found := _secret(env, text))]
    token = env.text("SENTRY_AUTH_TOKEN")
    if token is not None:
        env.judge_secret("SENTRY_AUTH_TOKEN", token, 1)
    url = env.base_url("SENTRY_URL") or SENTRY_URL
    if in_clear(url):
        env.warnings.append("SENTRY_URL is http://, so the token crosses the network unencrypted; use https://.")
    return NoticeSettings(webhook_secrets=tuple(secrets), sentry_token=token, sentry_url=url)


def _secret(env: Environment, text: str) -> bytes | None:
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except binascii.Error:
        secret = b""
    if not _SHORTEST <= len(secret) <= _LONGEST:
        env.wrong(
            f"KEDGE_WEBHOOK_SECRETS must be {_PREFIX} and {_SHORTEST} to {_LONGEST} bytes in base64, comma-separated "
            'while rotating; make one with: echo "whsec_$(openssl rand -base64 32)".'
        )
        return None
    return secret


def untold(apps: Sequence[AppConfig], is_set: Callable[[str], bool]) -> Iterator[Problem]:
    """What apps want to be told although the settings for it are missing."""
    for app in apps:
        if not is_set("KEDGE_WEBHOOK_SECRETS") and any(one.notify.webhooks for one in app.environments):
            yield Problem(
                f"{app.name}.notify.webhooks", app.line, "nobody is told: KEDGE_WEBHOOK_SECRETS is not set here"
            )
        if not is_set("SENTRY_AUTH_TOKEN") and any(one.notify.sentry for one in app.environments):
            yield Problem(f"{app.name}.notify.sentry", app.line, "nobody is told: SENTRY_AUTH_TOKEN is not set here")

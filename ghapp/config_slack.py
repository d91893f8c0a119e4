"""The settings of Slack."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ghapp.core.chat_people import Link
from ghapp.core.config import AppConfig, Problem
from ghapp.core.settings import Environment, in_clear, split_url

API_URL = "https://slack.com/api"

_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\[\]-]*=([UW][A-Z0-9]{2,20}|[^@\s,]+@[^@\s,]+)")
# https://docs.slack.dev/authentication/tokens
_BOT_TOKEN = "xoxb-"  # noqa: S105  how it begins
_APP_TOKEN = "xapp-"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    """With ``bot_token`` Kedge is an app in Slack, and hears what is pressed and asked there with ``app_token`` too;
    with ``webhook_url`` alone it only tells. ``users``: who is who. ``api_url`` has no slash at its end."""

    bot_token: str | None = field(default=None, repr=False)
    app_token: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    api_url: str = API_URL
    users: tuple[Link, ...] = ()


def slack(env: Environment) -> SlackSettings | None:
    """None where nothing of it is set."""
    bot_token = _token(env, "SLACK_BOT_TOKEN", _BOT_TOKEN)
    app_token = _token(env, "SLACK_APP_TOKEN", _APP_TOKEN)
    webhook_url = _webhook(env)
    api_url = env.base_url("SLACK_API_URL") or API_URL
    if in_clear(api_url):
        env.warnings.append("SLACK_API_URL is http://, so the token crosses the network unencrypted; use https://.")
    if app_token and not bot_token:
        env.wrong("SLACK_APP_TOKEN is set, but SLACK_BOT_TOKEN is not; what is heard could not be answered. Set both.")
    if bot_token and webhook_url:
        env.warnings.append("SLACK_WEBHOOK_URL is not used where SLACK_BOT_TOKEN is set; leave one of the two.")
    known = env.names("KEDGE_SLACK_USERS", _LINK.fullmatch, "login=MEMBERID or login=e-mail")
    if not (bot_token or webhook_url):
        return None
    return SlackSettings(
        bot_token=bot_token,
        app_token=app_token,
        webhook_url=webhook_url,
        api_url=api_url,
        users=tuple(map(_link, known)),
    )


def _link(text: str) -> Link:
    login, _, who = text.partition("=")
    return Link(login, email=who) if "@" in who else Link(login, user_id=who)


def unheard(apps: Sequence[AppConfig]) -> Iterator[Problem]:
    """The apps that name rooms, where there is no Slack."""
    for app in apps:
        rooms = dict.fromkeys(room for one in app.environments for room in one.notify.rooms)
        if rooms:
            message = (
                f"nobody hears it in {', '.join(rooms)}: neither SLACK_BOT_TOKEN nor SLACK_WEBHOOK_URL is set here"
            )
            yield Problem(f"{app.name}.notify.slack", app.line, message)


def _token(env: Environment, name: str, begins: str) -> str | None:
    value = env.text(name)
    if value is None:
        return None
    env.judge_secret(name, value, 1)
    if not value.startswith(begins):
        env.wrong(f"{name} must begin with {begins}; copy it from the Slack app's settings page.")
    return value


def _webhook(env: Environment) -> str | None:
    value = env.text("SLACK_WEBHOOK_URL")
    if value is None:
        return None
    parts = split_url(value)
    if not parts or parts.scheme not in {"http", "https"} or in_clear(value) or not parts.path.strip("/"):
        env.wrong("SLACK_WEBHOOK_URL must be the https:// address that Slack shows for the incoming webhook.")
    return value

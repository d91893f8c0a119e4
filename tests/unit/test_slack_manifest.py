"""What the Slack app is granted is what Kedge's calls need, and no more."""

import re
from pathlib import Path

import yaml

from ghapp.notify.slack_answer import COMMAND

ROOT = Path(__file__).parents[2]
#: Bot scopes of the methods that are called, of public and private channels: https://docs.slack.dev/reference/methods
NEEDED = {
    "auth.test": set[str](),
    "chat.postMessage": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.list": {"channels:read", "groups:read"},
    "conversations.join": {"channels:join"},
    "conversations.history": {"channels:history", "groups:history"},
    "conversations.replies": {"channels:history", "groups:history"},
    "users.info": {"users:read"},
    "users.lookupByEmail": {"users:read.email"},
}


def test_the_scopes_are_those_of_the_calls() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/slack-app.yml").read_text())
    called = set(
        re.findall(r'"((?:auth|chat|conversations|users)\.\w+)"', (ROOT / "ghapp/channels/slack.py").read_text())
    )
    assert called == NEEDED.keys()
    granted = manifest["oauth_config"]["scopes"]
    assert granted.keys() == {"bot"}
    # Slack adds `commands` for the slash command; `users:read.email` is given only beside `users:read`.
    assert set(granted["bot"]) == {"commands"} | set().union(*NEEDED.values())


def test_it_hears_without_inbound_traffic() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/slack-app.yml").read_text())
    assert manifest["settings"]["socket_mode_enabled"] and manifest["settings"]["interactivity"]["is_enabled"]
    assert "request_url" not in str(manifest) and "url" not in manifest["features"]["slash_commands"][0]
    assert [one["command"] for one in manifest["features"]["slash_commands"]] == [COMMAND]

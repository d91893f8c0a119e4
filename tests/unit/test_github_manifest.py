"""The App's manifest: GitHub takes it, and it holds what the code needs."""

import json
from typing import Any

import pytest

from ghapp.sandbox import manifests
from ghapp.sandbox.state import allows
from ghapp.vcs import github_manifest
from ghapp.vcs.github_app import RUNNER_PERMISSIONS
from ghapp.vcs.github_events import EVENTS

#: Every App hears them: https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation
UNASKED = {"ping", "installation", "installation_repositories"}
PUBLIC = github_manifest.manifest(name="kedge-acme", url="https://kedge.example.com", called=True)


def accepted(manifest: object, *, public_internet: bool = True) -> dict[str, Any]:
    return manifests.parsed(json.dumps(manifest), public_internet=public_internet)


def test_it_asks_for_what_the_code_uses() -> None:
    granted, events = PUBLIC["default_permissions"], set(PUBLIC["default_events"])
    assert events >= EVENTS - UNASKED
    assert all(allows(granted.get(name), level) for name, level in RUNNER_PERMISSIONS.items())
    assert set(github_manifest.PURPOSES) == set(granted), "each has a purpose"
    assert "administration" not in granted


def test_github_takes_it() -> None:
    assert accepted(PUBLIC)["public"] is False
    asking = github_manifest.manifest(name="k", url="http://127.0.0.1:8000", called=False)
    assert accepted(asking)["hook_attributes"] == {"url": github_manifest.NOWHERE, "active": True}
    inside = github_manifest.manifest(name="k", url="https://kedge.internal", called=False)
    assert inside["hook_attributes"]["url"] == "https://kedge.internal/webhooks/github"


def test_names_fit() -> None:
    for name in ("kedge-" + "a" * 28, "kedge-" + "a" * 60, "kedge-" + "a" * 27 + "-b"):
        made = github_manifest.manifest(name=name, url="https://kedge.example.com", called=True)["name"]
        assert len(made) <= manifests.LONGEST_NAME
        assert not made.endswith("-")


def test_where_it_is_sent() -> None:
    send = github_manifest.registration_url
    assert send("https://github.com", None, "s=1") == "https://github.com/settings/apps/new?state=s%3D1"
    assert send("https://ghe.test", "a/b", "s") == "https://ghe.test/organizations/a%2Fb/settings/apps/new?state=s"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": None}, "is not str"),
        ({"homepage": "https://x.test"}, '"homepage" is not a permitted key'),
        ({"hook_attributes": {"active": False}}, '"url" wasn\'t supplied'),
        ({"hook_attributes": {"url": "https://x.test", "secret": "s"}}, '"secret" is not a permitted key'),
        ({"hook_attributes": {"url": "http://127.0.0.1:8000/"}}, "public Internet"),
        ({"hook_attributes": {"url": "http://10.1.2.3/"}}, "public Internet"),
        ({"redirect_url": "kedge"}, "Redirect url must be a valid URL"),
        ({"callback_urls": ["https://x.test"] * 11}, "too long"),
        ({"default_permissions": {"deploys": "write"}}, "deploys"),
        ({"default_permissions": {"metadata": "write"}}, "not valid for metadata"),
        ({"default_events": ["deployments"]}, "unsupported: deployments"),
        ({"default_events": ["installation"]}, "unsupported: installation"),
        ({"default_permissions": {"pull_requests": "write"}}, "not supported by permissions"),
        ({"request_oauth_on_install": True}, "Setup url"),
    ],
)
def test_what_github_does_not_take(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(manifests.Invalid) as refused:
        accepted({**PUBLIC, **changed})
    assert said in str(refused.value)


def test_enterprise_calls_private_addresses() -> None:
    private = github_manifest.manifest(name="k", url="http://10.1.2.3", called=True)
    assert accepted(private, public_internet=False)


def test_a_comment_on_a_pull_request_is_one_on_an_issue() -> None:
    """https://github.com/derive-to/derive/pull/269: the manifest's check wants `issues` for it."""
    without = {name: level for name, level in PUBLIC["default_permissions"].items() if name != "issues"}
    with pytest.raises(manifests.Invalid, match="issue_comment"):
        accepted({**PUBLIC, "default_permissions": without})

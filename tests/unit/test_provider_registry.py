"""Providers by name, and what the runner loads with them."""

import subprocess
import sys

import pytest

from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.registry import provider, repository_client


async def _token() -> str:
    return "t"


class Elsewhere:
    """A third party's provider, as far as the registry is concerned."""

    def __init__(self, session: object, api_url: str, full_name: str, token: object) -> None:
        self.seen = (session, api_url, full_name, token)


def test_github_by_name() -> None:
    assert provider("github") is GitHubRepository
    client = repository_client(
        "github",
        session=None,  # type: ignore[arg-type]
        api_url="https://api.github.com",
        full_name="o/r",
        token=_token,
    )
    assert isinstance(client, GitHubRepository)


def test_a_third_party_by_module_and_class() -> None:
    client = repository_client(
        f"{__name__}:Elsewhere",
        session=None,  # type: ignore[arg-type]
        api_url="https://x",
        full_name="o/r",
        token=_token,
    )
    assert isinstance(client, Elsewhere)
    assert client.seen == (None, "https://x", "o/r", _token)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("githup", "no provider 'githup'. Use github, or name one as package.module:Class"),
        ("svn", "no provider 'svn'. Use github"),
        ("no.such:Class", "cannot be loaded: No module named 'no'"),
        ("ghapp.vcs.github:Nothing", "cannot be loaded"),
        (":", "cannot be loaded"),
        ("ghapp.vcs.registry:provider", "is no class"),
    ],
)
def test_no_such_provider(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"provider") as raised:
        provider(name)
    assert sentence in str(raised.value)


def test_the_runner_loads_nothing_that_could_use_the_apps_key() -> None:
    script = (
        "import sys, ghapp.vcs.registry;"
        "print([m for m in ('jwt', 'cryptography', 'gidgethub.apps', 'ghapp.vcs.github_app') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

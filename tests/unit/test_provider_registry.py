"""Providers by name, and what the runner loads with them."""

import subprocess
import sys
from pathlib import Path

import pytest

from ghapp.core.values import Repository
from ghapp.vcs.github_runner import GitHub
from ghapp.vcs.provider import Code, Provider
from ghapp.vcs.registry import provider


class Elsewhere(Provider):
    """A third party's provider, as far as the registry is concerned."""

    title = "Elsewhere"

    async def find_repository(self, name: str) -> list[Repository]:
        return []

    def code(self, repository: Repository) -> Code:
        raise NotImplementedError


def test_github_by_name() -> None:
    assert provider("github") is GitHub


def test_a_third_party_by_module_and_class() -> None:
    assert provider(f"{__name__}:Elsewhere") is Elsewhere


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("githup", "no provider 'githup'. Use github or git, or name one as package.module:Class"),
        ("svn", "no provider 'svn'. Use git or github"),
        ("no.such:Class", "cannot be loaded: ModuleNotFoundError: No module named 'no'"),
        ("ghapp.vcs.github:Nothing", "cannot be loaded"),
        (":", "cannot be loaded"),
        ("ghapp.vcs.registry:provider", "is no class that extends"),
        ("pathlib:Path", "is no class that extends ghapp.vcs.provider.Provider"),
    ],
)
def test_no_such_provider(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"provider") as raised:
        provider(name)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine(:", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence."),
        ("{}['absent']", "KeyError: 'absent'."),
    ],
)
def test_a_module_that_fails_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (tmp_path / "module_that_fails.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be loaded") as raised:
        provider("module_that_fails:Mine")
    assert said in str(raised.value)


def test_the_runner_loads_nothing_that_could_use_the_apps_key() -> None:
    script = (
        "import sys, ghapp.vcs.registry;"
        "print([m for m in ('jwt', 'cryptography', 'gidgethub.apps', 'ghapp.vcs.github_app') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

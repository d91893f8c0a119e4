"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest

from ghapp import config
from ghapp.core.settings import Setting, markdown_table
from ghapp.core.states import COLUMNS, TABLE
from ghapp.vcs import github_manifest
from runner import config as runner_config

ROOT = Path(__file__).parents[2]


def state_table() -> str:
    head = f"| event | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    return head + "".join(
        f"| {event.value} | {' | '.join(cell.value for cell in row)} |\n" for event, row in TABLE.items()
    )


def between(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", text, re.S)
    assert found, f"no part called {name}"
    return found[1].strip()


def test_architecture_shows_the_state_table() -> None:
    assert between((ROOT / "ARCHITECTURE.md").read_text(), "states") == state_table().strip()


@pytest.mark.parametrize(("name", "settings"), [("app", config.SETTINGS), ("runner", runner_config.SETTINGS)])
def test_readme_lists_every_setting(name: str, settings: tuple[Setting, ...]) -> None:
    assert between((ROOT / "README.md").read_text(), f"{name}-settings") == markdown_table(settings).strip()


def test_readme_says_what_each_permission_is_for() -> None:
    assert between((ROOT / "README.md").read_text(), "permissions") == github_manifest.permission_table().strip()


def test_readme_names_no_file_that_is_not_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link

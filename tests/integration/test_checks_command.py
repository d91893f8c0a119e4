"""`checks_command` with real processes that do not end."""

from pathlib import Path

import pytest

from ghapp.core.remote import Unavailable
from ghapp.vcs import checks_command
from ghapp.vcs.checks_command import ChecksCommand
from tests.e2e import processes


async def test_a_command_that_does_not_end_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_command, "WITHIN_S", 0.3)
    mark = tmp_path / "mark"
    command = ChecksCommand(f"trap '' TERM; sleep 300.25 {mark} & sh -c 'sleep 300.5; : {mark}'")
    with pytest.raises(Unavailable, match=r"did not end within 0\.3 s"):
        await command.checks("a" * 40)
    assert list(processes.naming(tmp_path)) == []


async def test_it_sees_nothing_of_what_kedge_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_ADMIN_TOKEN", "admin-token-for-the-tests-000000")
    command = ChecksCommand('for name in $(env | cut -d= -f1); do echo "$name" success; done', {"KEDGE_SHA": "a"})
    names = {check.name for check in await command.checks("a" * 40)}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} <= {"PATH", "HOME", "LANG", "KEDGE_SHA"}
    assert {"PATH", "KEDGE_SHA"} <= names


async def test_output_that_is_no_text() -> None:
    with pytest.raises(Unavailable):
        await ChecksCommand(r"printf 'ci \377'").checks("a" * 40)

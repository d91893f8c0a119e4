"""What the command line reads and shows, without any app."""

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ghapp.cli import access, times
from ghapp.cli.access import Access
from ghapp.cli.errors import CommandError
from ghapp.cli.following import exit_code
from ghapp.cli.shapes import Deploy
from ghapp.cli.stream import Event, events
from ghapp.cli.targets import one_deploy, to_lock
from ghapp.cli.terminal import harmless


def deploy(**changes: object) -> Deploy:
    known = {"app": "hello", "number": 3, "environment": "staging", "sha": "a" * 40, "ref": "main", "user": "ana"}
    return Deploy(**{**known, "url": "http://kedge.example/hello/deploys/3", "state": "failed", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "code", "exits"),
    [
        ("succeeded", 0, 0),
        ("failed", 1, 1),
        ("failed", 7, 7),
        ("failed", 125, 125),
        ("failed", 126, 1),
        ("failed", 0, 1),
        ("failed", None, 1),
        ("cancelled", 7, 1),
        ("errored", None, 1),
        ("rejected", None, 1),
    ],
)
def test_exit_code_is_the_commands_own_where_it_failed_with_one(state: str, code: int | None, exits: int) -> None:
    assert exit_code(deploy(state=state, exit_code=code)) == exits


def test_events_are_read_as_a_browser_reads_them() -> None:
    stream = b": hello\n\nid: 4\ndata: a\ndata:  b\ndata:\n\nevent: end\r\ndata: failed\r\n\r\nid: 9\ndata: cut"
    assert list(events(stream.splitlines(keepends=True))) == [
        Event("message", "a\n b\n", "4"),
        Event("end", "failed", "4"),
    ]


def test_an_event_that_was_cut_off_is_none() -> None:
    assert list(events([b"id: 4\n", b"data: a"])) == []
    assert list(events([b"id: 4\n", b"data: a\n"])) == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m\tplain\n", "\x1b[31mred\x1b[0m\tplain\n"),
        ("a\x1b[2Jb\x1b[10;20Hc", "abc"),
        ("a\x1b]0;my title\x07b", "ab"),
        ("a\x1b]8;;http://evil.example\x1b\\b", "ab"),
        ("a\x1b]52;c;YQ==\nb", "a\nb"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x1bcb\x9b2Jc\x07\x08\r", "ab2Jc"),
        ("a\x1b", "a"),
        ("a\x1b[", "a"),
    ],
)
def test_a_log_cannot_rule_the_terminal(written: str, shown: str) -> None:
    assert harmless(written) == shown


@pytest.fixture
def utc() -> Iterator[None]:
    """https://docs.python.org/3/library/time.html#time.tzset"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("2026-11-23T14:00:00Z", "2026-11-23T14:00:00Z"),
        ("2026-11-23T14:00+01:00", "2026-11-23T13:00:00Z"),
        ("2026-11-23 14:00", "2026-11-23T14:00:00Z"),
        ("18:00", "2026-11-23T18:00:00Z"),
        ("12:00", "2026-11-24T12:00:00Z"),
        ("12:01:30", "2026-11-23T12:01:30Z"),
    ],
)
@pytest.mark.usefixtures("utc")
def test_the_end_of_a_lock_as_people_type_it(typed: str, means: str) -> None:
    assert times.until(typed, datetime(2026, 11, 23, 12, 0)) == means


@pytest.mark.parametrize("typed", ["soon", "25:00", "2026-13-01", ""])
def test_what_is_no_time(typed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.until(typed, datetime(2026, 11, 23, 12, 0))


def test_elapsed_time_as_a_stopwatch_shows_it() -> None:
    assert [times.stopwatch(one) for one in (7.9, 760, 3723)] == ["0:07", "12:40", "1:02:03"]
    assert times.ago("2026-11-23T14:00:00Z", datetime(2026, 11, 23, 14, 0, 5, tzinfo=UTC)) == "5 s ago"
    assert times.ago("2026-11-23T14:00:00Z", datetime(2026, 11, 23, 13, 0, tzinfo=UTC)) == "0 s ago"


def words(**given: object) -> argparse.Namespace:
    unset = {"app": None, "number": None, "environment": None, "all_environments": False, "everything": False}
    return argparse.Namespace(**{"command": "cancel", **unset, **given})


def test_a_deploy_is_named_by_app_and_number() -> None:
    assert one_deploy(words(app="hello", number=3)) == ("hello", 3)
    assert one_deploy(words(app="hello#3")) == ("hello", 3)


@pytest.mark.parametrize("given", [{"app": "hello"}, {"app": "hello#"}, {"app": "#3"}, {"app": "hello#3", "number": 3}])
def test_what_names_no_deploy(given: dict[str, object]) -> None:
    with pytest.raises(CommandError) as caught:
        one_deploy(words(**given))
    assert (caught.value.code, "kedge cancel" in caught.value.message) == (2, True)


def test_what_a_lock_holds() -> None:
    assert to_lock(words(app="hello", environment="staging")) == ["hello", "locks", "staging"]
    assert to_lock(words(app="hello", all_environments=True)) == ["hello", "locks"]
    assert to_lock(words(everything=True)) == ["locks"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"app": "hello"},
        {"app": "hello", "everything": True},
        {"app": "hello", "environment": "staging", "all_environments": True},
    ],
)
def test_what_says_not_clearly_what_to_lock(given: dict[str, object]) -> None:
    with pytest.raises(CommandError) as caught:
        to_lock(words(**given))
    assert caught.value.code == 2


# Where Kedge is


def stored(folder: Path) -> dict[str, str]:
    access.save(Access("http://kedge.example", "stored-token"), access.login_file({"XDG_CONFIG_HOME": str(folder)}))
    return {"XDG_CONFIG_HOME": str(folder)}


def test_what_is_stored_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    stored(tmp_path)
    file = tmp_path / "kedge" / "login.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [one.name for one in file.parent.iterdir()] == ["login.json"]


def test_variables_go_before_what_is_stored(tmp_path: Path) -> None:
    variables = stored(tmp_path)
    found = access.load(variables)
    assert (found.url, found.token) == ("http://kedge.example", "stored-token")
    found = access.load({**variables, "KEDGE_TOKEN": "other"})
    assert (found.url, found.token, found.source) == ("http://kedge.example", "other", "KEDGE_TOKEN")


def test_a_stored_token_goes_to_its_own_url_only(tmp_path: Path) -> None:
    variables = stored(tmp_path)
    assert access.load({**variables, "KEDGE_URL": "http://other.example"}).token is None
    assert access.load({**variables, "KEDGE_URL": "http://kedge.example/"}).token == "stored-token"


@pytest.mark.parametrize(
    "variables", [{}, {"KEDGE_URL": "kedge.example"}, {"KEDGE_URL": "http://a", "KEDGE_TOKEN": "a b"}]
)
def test_access_that_cannot_be_used_is_wrong_usage(variables: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        access.load({"XDG_CONFIG_HOME": str(tmp_path), **variables})
    assert caught.value.code == 2
    assert "a b" not in caught.value.message


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    variables = stored(tmp_path)
    (tmp_path / "kedge" / "login.json").write_text("{}")
    with pytest.raises(CommandError, match=r"login\.json"):
        access.load(variables)


def test_a_token_is_not_in_a_repr() -> None:
    assert "secret" not in repr(Access("http://kedge.example", "secret"))

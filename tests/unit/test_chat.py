"""The grammar of commands: what people write, what they meant, and what is nobody's command."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core import chat
from ghapp.core.chat import (
    USAGE,
    Cancel,
    Command,
    Deploy,
    Force,
    Help,
    Lock,
    Names,
    Queue,
    Resume,
    Rollback,
    Status,
    Unlock,
    Why,
    Wrong,
    parse,
    written,
)
from ghapp.core.commented import commands

ONE = Names(("hello",), ("staging", "stg", "production"))
SEVERAL = Names(("web", "jobs"), ("staging", "production"))
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("deploy", Deploy()),
        ("deploy to staging", Deploy(environment="staging")),
        ("Deploy TO Staging", Deploy(environment="Staging")),
        ("deploy in staging main", Deploy(environment="staging", ref="main")),
        ("deploy main to staging", Deploy(environment="staging", ref="main")),
        ("deploy hello", Deploy(app="hello")),
        ("deploy HELLO to staging feature/x", Deploy(app="hello", environment="staging", ref="feature/x")),
        ("deploy hello hello", Deploy(app="hello", ref="hello")),
        (f"deploy {SHA}", Deploy(ref=SHA)),
        ("deploy! to production", Deploy(environment="production", force=True)),
        ("deploy refs/heads/main", Deploy(ref="main")),
        ("deploy\u00a0to\u00a0staging\u200b", Deploy(environment="staging")),
        ("lock production", Lock(environment="production")),
        ("lock production for 2h", Lock(environment="production", lasting="2h")),
        ("lock production for 2H broken db", Lock(environment="production", lasting="2h", reason="broken db")),
        ("lock production broken db for 2h", Lock(environment="production", lasting="2h", reason="broken db")),
        ("lock production for the migration", Lock(environment="production", reason="for the migration")),
        ('lock hello production "broken db"', Lock(app="hello", environment="production", reason="broken db")),
        ("unlock production", Unlock(environment="production")),
        ("unlock hello", Unlock(environment="hello")),
        ("queue", Queue()),
        ("queue hello", Queue(app="hello")),
        ("queue staging", Queue(environment="staging")),
        ("cancel 12", Cancel(number=12)),
        ("cancel #12", Cancel(number=12)),
        ("cancel hello#12", Cancel(app="hello", number=12)),
        ("cancel hello 12", Cancel(app="hello", number=12)),
        ("rollback production", Rollback(environment="production")),
        ("resume hello production", Resume(app="hello", environment="production")),
        ("force 12", Force(number=12)),
        ("force 12 LOCK", Force(number=12, what="lock")),
        ("status", Status()),
        ("status hello", Status(app="hello")),
        ("why", Why()),
        ("why 12", Why(number=12)),
        ("why hello#12", Why(app="hello", number=12)),
        ("why hello#\u200b12", Why(app="hello", number=12)),
        ("why staging", Why(environment="staging")),
        ("help", Help()),
        ("help me please", Help()),
    ],
)
def test_what_people_write(text: str, command: Command) -> None:
    assert parse(text, ONE) == command


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Say what to do."),
        ("deplyo to staging", "There is no command deplyo. Did you mean deploy?"),
        ("dеploy", "Did you mean deploy?"),  # a Cyrillic е
        ("dance", "There is no command dance."),
        ("deploy to", "Say which environment."),
        ("deploy staging", "staging is an environment; write “deploy to staging”."),
        ("deploy main please", "There are two refs, main and please; an environment is named with “to”."),
        ("deploy main~1", "main~1 is no branch, tag or sha."),
        ("deploy refs/pull/7/head", "refs/pull/7/head is no branch, tag or sha."),
        ("deploy pull/7/head", "pull/7/head is no branch, tag or sha."),
        ("deploy mallory:main", "mallory:main is no branch, tag or sha."),
        ("deploy --force", "--force is no branch, tag or sha."),
        ("deploy to staging\x00", "A command consists of printable characters."),
        ("lock", "Say which environment."),
        ("lock production for 2hours", "2hours is no duration such as 30m, 2h or 1d."),
        ("unlock production now", "“now” is not understood."),
        ("rollback", "Say which environment."),
        ("cancel", "Say which deploy, by its number."),
        ("cancel twelve", "twelve is no number of a deploy."),
        ("cancel １２", "１２ is no number of a deploy."),
        ("cancel helo#12", "There is no app helo here. Did you mean hello?"),
        ("cancel 12 because", "“because” is not understood."),
        ("force 12 everything", "What is to be passed is checks, lock or all, not everything."),
        ("deploy " + "x" * 1000, "A command has at most 1000 characters."),
    ],
)
def test_what_is_wrong_is_said_with_a_way_on(text: str, says: str) -> None:
    wrong = parse(text, ONE)
    assert isinstance(wrong, Wrong)
    assert says in wrong.message
    assert wrong.ways


def test_where_there_are_several_apps_the_first_word_may_be_a_misspelled_one() -> None:
    assert parse("deploy jobs main", SEVERAL) == Deploy(app="jobs", ref="main")
    wrong = parse("deploy jbs main", SEVERAL)
    assert isinstance(wrong, Wrong)
    assert wrong.message == "There is no app jbs here. Did you mean jobs?"


def test_a_sha_is_exact_when_it_is_whole() -> None:
    assert (Deploy(ref=SHA.upper()).sha, Deploy(ref=SHA).exact) == (SHA, True)
    assert (Deploy(ref=SHA[:7]).sha, Deploy(ref=SHA[:7]).exact) == (SHA[:7], False)
    assert (Deploy(ref="main").sha, Deploy(ref="main").exact, Deploy().exact) == (None, False, False)


WORD = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}\Z").filter(lambda word: word not in {"to", "in", "on", "for", "hello"})
APP = st.sampled_from([None, "hello"])
ENVIRONMENT = WORD | st.none()
NUMBER = st.integers(1, 10**9)
COMMANDS = st.one_of(
    st.builds(
        Deploy, app=APP, environment=st.just("staging"), ref=WORD | st.just(SHA) | st.none(), force=st.booleans()
    ),
    st.builds(Lock, app=APP, environment=WORD, lasting=st.sampled_from([None, "2h", "30m"]), reason=WORD | st.none()),
    st.builds(Unlock, app=APP, environment=WORD),
    st.builds(Queue, app=APP, environment=ENVIRONMENT),
    st.builds(Cancel, app=APP, number=NUMBER),
    st.builds(Rollback, app=APP, environment=WORD),
    st.builds(Resume, app=APP, environment=WORD),
    st.builds(Force, app=APP, number=NUMBER, what=st.sampled_from(["checks", "lock", "all"])),
    st.builds(Status, app=APP),
    st.builds(Why, app=APP, environment=ENVIRONMENT),
    st.builds(Why, app=APP, number=NUMBER),
    st.builds(Help),
)


@given(COMMANDS)
def test_a_command_is_read_as_it_is_written(command: Command) -> None:
    assert parse(written(command), ONE) == command


@given(
    st.text() | st.lists(st.sampled_from([*USAGE, *ONE.apps, *ONE.environments, "to", "for", "2h", "12"])).map(" ".join)
)
def test_any_text_is_a_command_or_a_sentence(text: str) -> None:
    for names in (ONE, SEVERAL, Names()):
        result = parse(text, names)
        assert isinstance(result, Command) or (result.message and result.ways)


def test_every_verb_is_explained() -> None:
    assert set(USAGE) == set(chat._READERS)


def test_every_command_is_in_the_readme() -> None:
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    section = readme.partition("## From a pull request")[2].partition("\n## ")[0]
    assert [usage for usage, _ in USAGE.values() if f"`/{usage}`" not in section] == []


# Comments


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("/deploy", ["deploy"]),
        ("/deploy to staging\r\nThank you!", ["deploy to staging"]),
        ("Looks good.\n\n/deploy to staging  ", ["deploy to staging"]),
        ("   /deploy", ["deploy"]),
        ("/DEPLOY", ["DEPLOY"]),
        ("/deploy!", ["deploy!"]),
        ("/deploy\n/lock production", ["deploy", "lock production"]),
        ("/deplyo", ["deplyo"]),
        ("> /deploy\n\nNo, not yet.", []),
        ("> said\n/deploy", ["deploy"]),
        ("Please /deploy to staging", []),
        ("`/deploy`", []),
        ("- /deploy", []),
        ("    /deploy", []),
        ("\t/deploy", []),
        ("```\n/deploy\n```", []),
        ("```sh\n/deploy\n```\n/status", ["status"]),
        ("````\n```\n/deploy\n````\n/status", ["status"]),
        ("~~~\n/deploy\n```\n/deploy", []),
        ("``` not a fence `\n/deploy", ["deploy"]),
        ("<!-- for the template\n/deploy\n-->\n/status", ["status"]),
        ("<!-- done -->\n/deploy", ["deploy"]),
        ("/deploy <!-- because\n/status\n-->", ["deploy"]),
        ("<pre>\n/deploy\n</pre>\n/status", ["status"]),
        ("<pre>x</pre>\n/deploy", ["deploy"]),
        ("/usr/bin/deploy", []),
        ("/deploy/x", []),
        ("/deployment-notes", []),
        ("/lgtm", []),
        ("/retest all", []),
        ("/hold\n/approve\n/assign @ana\n/close\n/merge\n/rebase\n/test", []),
        ("//deploy", []),
        ("／deploy", []),
        ("/ deploy", []),
        ("said\u2028/deploy", []),
        ("said\x0b/deploy", []),
        ("", []),
    ],
)
def test_which_lines_of_a_comment_are_commands(body: str, found: list[str]) -> None:
    assert commands(body) == found


@given(
    st.lists(st.sampled_from(["/deploy", "```", "~~~~", "> ", "<!--", "-->", "<pre>", "\n", "\r\n", " ", "x"])).map(
        "".join
    )
)
def test_any_comment_can_be_read(body: str) -> None:
    assert all(not line.startswith("/") for line in commands(body))


def test_a_very_long_comment_is_read_in_no_time() -> None:
    for piece in ("/", "`", "<!--", "> /deploy\n", "<pre ", "/deploy", "~~~\n"):
        commands(piece * (65536 // len(piece)))

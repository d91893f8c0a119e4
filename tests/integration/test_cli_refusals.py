"""What the command line says when the app says no, or nothing, or nonsense: a sentence, a way on, an exit code."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.command_line import (
    TOKEN,
    Answer,
    FakeKedge,
    cut,
    fake_kedge,
    html,
    kedge,
    refuses,
    says,
)

DEPLOY = {
    "app": "hello",
    "number": 3,
    "environment": "staging",
    "sha": "a1b2c3d" + "0" * 33,
    "ref": "main",
    "task": "deploy",
    "state": "queued",
    "blockers": [{"kind": "checks", "message": "Waiting for check ci.", "url": "https://ci.test/1"}],
    "position": 1,
    "url": "http://kedge.example/hello/deploys/3",
    "user": "ana",
}
ASK = "POST /api/0/hello/deploy"


@pytest.fixture
async def fake() -> AsyncIterator[FakeKedge]:
    async with fake_kedge() as made:
        yield made


REFUSALS: dict[str, tuple[Answer, list[str]]] = {
    "locked": (
        refuses(423, "locked", "staging is locked by bob since Nov 23, 14:02 UTC: moving.", "API words", who="bob"),
        ["staging is locked by bob", "--force lock", "kedge unlock hello staging", "--wait"],
    ),
    "checks": (
        refuses(
            400,
            "checks_failed",
            "Check ci failed.",
            checks=[{"name": "ci", "state": "failure", "url": "https://ci.test/1"}],
        ),
        ["Check ci failed.", "ci failure  https://ci.test/1", "--force checks"],
    ),
    "unknown token": (refuses(401, "unauthorized", "This token is not known."), ["not known", "KEDGE_TOKEN"]),
    "forbidden": (refuses(403, "forbidden", "ana may not deploy to staging.", "Ask bob."), ["may not", "Ask bob."]),
    "unknown app": (refuses(404, "not_found", "There is no app helo. Did you mean hello?"), ["Did you mean hello?"]),
    "conflict": (refuses(409, "conflict", "hello#3 is running."), ["hello#3 is running."]),
    "invalid": (refuses(422, "invalid", "There is no commit abc.", field="sha"), ["There is no commit abc."]),
    "too many": (refuses(429, "rate_limited", "Too many calls."), ["Too many calls.", "Try again in 7 s."]),
    "internal": (refuses(500, "internal", "Kedge failed to answer; its log says why."), ["its log says why"]),
    "unavailable": (refuses(503, "unavailable", "The database cannot be reached now; try again."), ["database"]),
    "a page": (html(404), ["answered 404", "not as Kedge does", "KEDGE_URL"]),
    "nonsense": (says(["what"]), ["not what Kedge's API gives", "KEDGE_URL"]),
    "elsewhere": (html(302, Location="https://login.example.com/"), ["redirects to https://login.example.com/"]),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_a_sentence_with_a_way_on(fake: FakeKedge, name: str) -> None:
    answer, words = REFUSALS[name]
    fake.on(ASK, answer)
    done = await kedge(fake.url, "deploy", "hello", "--env", "staging", "--no-wait", "--no-json")
    assert (done.code, done.out) == (1, "")
    assert [word for word in words if word not in done.err] == []
    assert "Traceback" not in done.err
    assert TOKEN not in done.err
    assert len(fake.asked) == 1


async def test_a_refusal_as_json_is_what_the_api_said(fake: FakeKedge) -> None:
    fake.on(ASK, refuses(403, "forbidden", "No.", who="ana"))
    done = await kedge(fake.url, "deploy", "hello")
    assert done.code == 1
    assert done.json == {"error": {"code": "forbidden", "message": "No.", "hint": None, "who": "ana"}}
    assert "No." in done.err


async def test_what_a_terminal_would_obey_is_not_shown(fake: FakeKedge) -> None:
    fake.on(ASK, refuses(403, "forbidden", "No\x1b[2J\x9b\x07."))
    done = await kedge(fake.url, "deploy", "hello", "--no-json")
    assert not any(letter in done.err for letter in "\x1b\x9b\x07")


async def test_asking_sends_what_was_given(fake: FakeKedge) -> None:
    fake.on(ASK, says(DEPLOY, 201))
    words = ["--env", "staging", "--ref", "main", "--sha", "a1b2c3d", "--task", "migrate", "--force", "all"]
    done = await kedge(fake.url, "deploy", "hello", *words)
    assert (done.code, done.json) == (0, DEPLOY)
    (asked,) = fake.asked
    assert asked.body == {
        "env": "staging",
        "ref": "main",
        "sha": "a1b2c3d",
        "task": "migrate",
        "force": "all",
        "wait": True,
    }


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(fake: FakeKedge) -> None:
    fake.on(ASK, cut(), html(502), says(DEPLOY, 201))
    done = await kedge(fake.url, "deploy", "hello")
    assert (done.code, done.json["number"]) == (0, 3)
    keys = [one.headers["Idempotency-Key"] for one in fake.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_another_command_is_another_key(fake: FakeKedge) -> None:
    fake.on(ASK, says(DEPLOY, 201))
    for _ in range(2):
        await kedge(fake.url, "deploy", "hello")
    assert len({one.headers["Idempotency-Key"] for one in fake.asked}) == 2


@pytest.mark.parametrize(
    ("words", "call", "body", "answer", "shown"),
    [
        (["rollback", "hello", "--env", "staging"], "POST /api/0/hello/rollback", {"env": "staging", "wait": True},
         says(DEPLOY, 201), "hello#3 queued"),
        (["rollback", "hello", "--to", "2", "--no-wait"], "POST /api/0/hello/rollback", {"to": "2", "wait": False},
         says(DEPLOY, 201), "hello#3 queued"),
        (["resume", "hello", "--env", "staging"], "POST /api/0/hello/resume", {"env": "staging"},
         says({"name": "staging"}), "flow again"),
        (["retry", "hello#3"], "POST /api/0/hello/deploys/3/retry", {}, says(DEPLOY, 201), "hello#3 queued"),
        (["force", "hello", "3", "--past", "lock"], "POST /api/0/hello/deploys/3/force", {"force": "lock"},
         says(DEPLOY), "hello#3 queued"),
        (["declare-dead", "hello", "3"], "POST /api/0/hello/deploys/3/declare-dead", {},
         says({**DEPLOY, "state": "errored", "reason": "declared dead by ana"}), "declared dead by ana"),
        (["cancel", "hello#3"], "POST /api/0/hello/deploys/3/cancel", {}, says({**DEPLOY, "state": "cancelled"}),
         "hello#3 is cancelled."),
        (["cancel", "hello", "3"], "POST /api/0/hello/deploys/3/cancel", {}, says({**DEPLOY, "state": "running"}, 202),
         "was asked to end"),
    ],
)  # fmt: skip
async def test_acting(
    fake: FakeKedge, words: list[str], call: str, body: dict[str, str], answer: Answer, shown: str
) -> None:
    fake.on(call, answer)
    done = await kedge(fake.url, *words, "--no-json")
    assert done.code == 0, done.err
    assert shown in done.out
    assert fake.asked[0].body == body


async def test_the_line_with_estimates(fake: FakeKedge) -> None:
    estimate = {"starts_at": "2026-11-23T14:02:00.000Z", "ends_at": "2999-01-01T00:00:00Z"}
    running = {**DEPLOY, "number": 2, "state": "running", "blockers": [], "position": None, "estimate": estimate}
    waits = {**DEPLOY, "estimate": {**estimate, "starts_at": "2999-01-01T00:00:00Z"}}
    unknown = {**DEPLOY, "number": 4, "ref": "[/red]:smile:", "position": 2, "estimate": None}
    fake.on("GET /api/0/hello/queue?env=staging", says({"items": [running, waits, unknown], "next": "abc"}))
    done = await kedge(fake.url, "queue", "hello", "--env", "staging", "--no-json")
    first, second, third = (line for line in done.out.splitlines() if "hello#" in line)
    assert [word for word in ("staging", "hello#2", "ends in about", "running") if word not in first] == []
    assert [word for word in ("hello#3", "begins in about", "Waiting for check ci.") if word not in second] == []
    assert "([/red]:smile:)" in third
    assert ("hello#4" in third, "–" in third, "There are more" in done.out) == (True, True, True)


async def test_nothing_in_line(fake: FakeKedge) -> None:
    fake.on("GET /api/0/hello/queue", says({"items": [], "next": None}))
    assert (await kedge(fake.url, "queue", "hello", "--no-json")).out == "Nothing runs and nothing waits.\n"
    assert (await kedge(fake.url, "queue", "hello")).json == {"items": [], "next": None}


LOCK = {"who": "ana", "reason": "moving", "since": "2026-11-23T14:02:00.000Z", "until": None}


@pytest.mark.parametrize(
    ("words", "path", "where", "sentence"),
    [
        (["hello", "staging"], "/api/0/hello/locks/staging", {"app": "hello", "environment": "staging"}, "staging is"),
        (["hello", "--all-environments"], "/api/0/hello/locks", {"app": "hello", "environment": None}, "hello is"),
        (["--everything"], "/api/0/locks", {"app": None, "environment": None}, "Everything is"),
    ],
)
async def test_locking(fake: FakeKedge, words: list[str], path: str, where: Any, sentence: str) -> None:
    running = [{**DEPLOY, "state": "running"}]
    fake.on(f"PUT {path}", says({**LOCK, **where, "running": running}, 201))
    fake.on(f"DELETE {path}", says(None, 204))
    done = await kedge(fake.url, "lock", *words, "--reason", "moving", "--for", "2h", "--no-json")
    assert done.code == 0, done.err
    assert f"{sentence} locked by ana since Nov 23, 14:02 UTC: moving." in done.out
    assert "hello#3 by ana runs and goes on" in done.out
    assert fake.asked[0].body == {"reason": "moving", "for": "2h"}
    done = await kedge(fake.url, "unlock", *words, "--no-json")
    assert (done.code, "unlocked" in done.out) == (0, True)


async def test_a_lock_until_a_time(fake: FakeKedge) -> None:
    fake.on("PUT /api/0/hello/locks/staging", says(LOCK, 201))
    words = ["lock", "hello", "staging", "--reason", "moving", "--until", "2026-11-23T14:00:00+01:00"]
    assert (await kedge(fake.url, *words)).code == 0
    assert fake.asked[0].body == {"reason": "moving", "until": "2026-11-23T13:00:00Z"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deplo", "hello"], "Did you mean deploy?"),
        (["deploy", "hello", "--folow"], "Did you mean --follow?"),
        (["deploy", "hello", "--enw=staging"], "Did you mean --env?"),
        (["deploy", "hello", "--force", "locks"], "--force"),
        (["deploy", "hello", "--sha", "main"], "--ref takes names"),
        (["deploy", ""], "a name is needed"),
        (["deploy"], "APP"),
        (["lock", "hello", "staging"], "--reason"),
        (["lock", "hello", "--reason", "x"], "--all-environments"),
        (["lock", "hello", "staging", "--reason", "x", "--until", "soon"], "18:00"),
        (["lock", "hello", "staging", "--reason", "x", "--until", "18:00", "--for", "2h"], "--for"),
        (["cancel", "hello"], "kedge cancel hello 12"),
        (["cancel", "hello", "twelve"], "a number is needed"),
        (["why", "hello#3", "--env", "staging"], "not both"),
        (["deploy", "hello", "--token", "x"], "not understood: --token x"),
        ([], "COMMAND"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_asks_nothing(fake: FakeKedge, words: list[str], said: str) -> None:
    done = await kedge(fake.url, *words)
    assert (done.code, fake.asked) == (2, [])
    assert said in done.err
    assert "Traceback" not in done.err


async def test_nobody_there() -> None:
    done = await kedge("http://127.0.0.1:9", "status", "--no-json")
    assert done.code == 1
    assert "cannot be reached at http://127.0.0.1:9" in done.err
    assert (await kedge(None, "status", "--no-json")).code == 2


@pytest.mark.parametrize("command", ["deploy", "status", "queue", "why", "lock", "unlock", "rollback", "resume",
                                     "cancel", "retry", "force", "log", "login"])  # fmt: skip
async def test_every_command_teaches_by_an_example(command: str) -> None:
    done = await kedge(None, command, "--help")
    assert done.code == 0
    assert f"examples:\n  kedge {command}" in done.out

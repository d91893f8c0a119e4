"""``--follow``: the log to its end whatever happens on the way, the exit code, and Ctrl-C."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.integration.command_line import (
    Answer,
    Done,
    FakeKedge,
    cut,
    fake_kedge,
    html,
    kedge_process,
    on_terminal,
    refuses,
    says,
    streams,
)
from tests.integration.test_cli_refusals import ASK, DEPLOY

ONE = "GET /api/0/hello/deploys/3"
LOG = f"{ONE}/log"
LINE = "GET /api/0/hello/queue?env=staging&limit="
BEGUN = {**DEPLOY, "state": "running", "runner": "r1", "blockers": [], "position": None,
         "started_at": "2026-11-23T14:02:00.000Z"}  # fmt: skip
FAILED = {**BEGUN, "state": "failed", "exit_code": 7, "ended_at": "2026-11-23T14:02:12.000Z",
          "reason": "the command ended with exit code 7"}  # fmt: skip
SUCCEEDED = {**FAILED, "state": "succeeded", "exit_code": 0, "reason": ""}
ENDED = "event: end\ndata: failed\n\n"


@pytest.fixture
async def fake() -> AsyncIterator[FakeKedge]:
    async with fake_kedge() as made:
        made.on(ASK, says(DEPLOY, 201))
        for limit in (1, 2):
            made.on(f"{LINE}{limit}", says({"items": [], "next": None}))
        yield made


async def follow(fake: FakeKedge, *words: str) -> Done:
    return await kedge_process(fake.url, "deploy", "hello", "--env", "staging", "--follow", *words)


def hangs() -> Answer:
    """The log as long as nothing happens."""

    async def forever() -> None:
        await asyncio.sleep(3600)

    return streams(": following\n\n", then=forever)


async def test_the_log_on_stdout_what_kedge_says_on_stderr(fake: FakeKedge) -> None:
    fake.on(ONE, says(DEPLOY), says(BEGUN), says(FAILED))
    fake.on(LOG, streams("id: 4\ndata: one\ndata: \n\n", "id: 7\ndata: two\n\n", ENDED))
    done = await follow(fake)
    assert (done.code, done.out) == (7, "one\ntwo")
    assert "hello#3 queued: a1b2c3d (main) to staging, asked for by ana" in done.err
    assert "Waiting for check ci." in done.err
    assert "hello#3 failed after 12 s: the command ended with exit code 7." in done.err


async def test_as_json_the_deploy_is_on_stdout_and_the_log_on_stderr(fake: FakeKedge) -> None:
    fake.on(ONE, says(SUCCEEDED))
    fake.on(LOG, streams("id: 4\ndata: one\ndata: \n\n", ENDED))
    done = await follow(fake, "--json")
    assert (done.code, done.json) == (0, SUCCEEDED)
    assert "one\n" in done.err


async def test_a_broken_connection_is_taken_up_where_it_was(fake: FakeKedge) -> None:
    fake.on(ONE, cut(), html(502), says(BEGUN), says(SUCCEEDED))
    fake.on(
        LOG,
        streams("id: 4\ndata: one\ndata: \n\n", "id: 9\ndata: cut o"),
        cut(),
        html(502),
        refuses(503, "unavailable", "The database cannot be reached now; try again."),
        streams("id: 8\ndata: two\ndata: \n\n", ENDED),
    )
    done = await follow(fake)
    assert (done.code, done.out) == (0, "one\ntwo\n")
    assert [one.headers.get("Last-Event-ID") for one in fake.calls(LOG)] == [None, "4", "4", "4", "4"]


@pytest.mark.parametrize("state", ["errored", "cancelled", "rejected"])
async def test_what_did_not_fail_by_its_command_is_exit_code_1(fake: FakeKedge, state: str) -> None:
    fake.on(ONE, says({**FAILED, "state": state, "reason": "so it was"}))
    fake.on(LOG, streams(ENDED))
    done = await follow(fake)
    assert done.code == 1
    assert f"hello#3 {state}" in done.err


async def test_what_must_not_be_read_ends_it(fake: FakeKedge) -> None:
    fake.on(ONE, says(BEGUN))
    fake.on(LOG, refuses(403, "forbidden", "This takes a token with the scope read."))
    done = await follow(fake)
    assert done.code == 1
    assert "the scope read" in done.err


async def test_ctrl_c_leaves_the_deploy_and_says_how_to_cancel_it(fake: FakeKedge) -> None:
    fake.on(ONE, says(BEGUN))
    fake.on(LOG, hangs())
    async with on_terminal(fake.url, "deploy", "hello", "--env", "staging", "--follow") as running:
        await running.shows("runs")
        running.interrupt()
        assert await running.ends() == 130
        await running.shows("kedge cancel hello#3")
    assert "Traceback" not in running.screen
    assert {one.method for one in fake.asked[1:]} == {"GET"}


async def test_ctrl_c_while_asking_says_where_to_look(fake: FakeKedge) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(3600)
        raise AssertionError

    fake.on("POST /api/0/hello/rollback", never)
    async with on_terminal(fake.url, "rollback", "hello") as running:
        await asked.wait()
        running.interrupt()
        assert await running.ends() == 130
        await running.shows("kedge queue hello")
    assert "Traceback" not in running.screen


async def test_on_a_terminal_the_log_goes_by_above_one_line_that_lives(fake: FakeKedge) -> None:
    seen = asyncio.Event()
    fake.on(ONE, says(DEPLOY), says(BEGUN))
    fake.on(LOG, streams("id: 4\ndata: one\ndata: \x1b[31mtwo\x1b[2J\ndata: half\n\n", then=seen.wait),
            streams("id: 9\ndata:  a line\ndata: \n\n", ENDED))  # fmt: skip
    async with on_terminal(fake.url, "deploy", "hello", "--env", "staging", "--follow") as running:
        await running.shows("hello#3 runs on runner r1.")
        await running.shows("half")
        fake.on(ONE, says(FAILED))
        seen.set()
        assert await running.ends() == 7
        await running.shows("exit code 7.")
    assert "\x1b[31mtwo" in running.screen
    assert "\x1b[2J" not in running.screen
    assert "half a line" in running.text
    assert running.text.rstrip().endswith("exit code 7.")


async def test_on_a_terminal_the_line_tells_how_long_it_usually_takes(fake: FakeKedge) -> None:
    estimate = {"starts_at": "2026-11-23T14:02:00.000Z", "ends_at": "2026-11-23T14:03:30.000Z"}
    fake.on(
        f"{LINE}2",
        says({"items": [{**DEPLOY, "estimate": {**estimate, "starts_at": "2999-01-01T00:00:00Z"}}]}),
        only=True,
    )
    fake.on(f"{LINE}1", says({"items": [{**BEGUN, "estimate": estimate}], "next": None}), only=True)
    fake.on(ONE, says(DEPLOY))
    fake.on(LOG, hangs())
    async with on_terminal(fake.url, "log", "-f", "hello#3") as running:
        await running.shows("hello#3 waits, number 1 in line. Waiting for check ci. Begins in about")
        fake.on(ONE, says(BEGUN))
        await running.shows("of about 1:30")
        running.interrupt()
        assert await running.ends() == 130
    assert len(fake.calls(f"{LINE}1")) == 1


async def test_without_estimates_it_goes_on(fake: FakeKedge) -> None:
    fake.on(f"{LINE}1", html(404), only=True)
    fake.on(ONE, says(BEGUN), says(BEGUN), says(SUCCEEDED))
    fake.on(LOG, streams(ENDED))
    assert (await follow(fake)).code == 0


async def test_without_colours(fake: FakeKedge) -> None:
    fake.on(ONE, says(FAILED))
    async with on_terminal(fake.url, "why", "hello#3", NO_COLOR="1") as running:
        assert await running.ends() == 0
        await running.shows("hello/deploys/3")
    assert "failed" in running.screen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", running.screen)

"""The command line against the real app, and what it starts with."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ghapp.core.values import Blocker, BlockerKind
from ghapp.store.stores import open_stores
from tests.contract.api.server import Provider
from tests.integration.command_line import Done, environment, kedge_process
from tests.integration.commit_graph import sha
from tests.integration.kedge_world import ADMIN_TOKEN, BEARER, World, world


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[World]:
    """On SQLite only: the database makes no difference here."""
    stores = await open_stores(f"sqlite:///{tmp_path / 'kedge.sqlite'}")
    async with world(stores) as made:
        yield made
    await stores.close()


def url_of(app: World) -> str:
    return str(app.client.make_url("/")).rstrip("/")


async def ask(app: World, *words: str, **variables: str) -> Done:
    return await kedge_process(url_of(app), *words, **{"KEDGE_TOKEN": ADMIN_TOKEN, **variables})


async def test_status_shows_what_is_live_what_runs_and_what_waits_and_why(app: World) -> None:
    first = await app.running()
    await app.finish(first)
    second = await app.running()
    await app.ask()
    done = await ask(app, "status", "--no-json")
    assert done.code == 0, done.err
    staging, production, blog = (line for line in done.out.splitlines() if "#" in line or "–" in line)
    shown = [first.sha[:7], "#1", "running", "#2 by alice", f"1  #3: {second.name} by alice is running"]
    assert [word for word in ["production", *shown] if word not in production] == []
    assert staging.split() == ["shop", "staging", "–", "–", "–"]
    assert "blog" in blog


async def test_status_elsewhere_is_what_the_api_says(app: World) -> None:
    await app.ask()
    assert (await ask(app, "status")).json["items"][0]["name"] == "shop"
    assert (await ask(app, "status", "shop", "--json")).json["name"] == "shop"


async def test_a_config_that_was_not_taken_is_told(app: World) -> None:
    app.ctx.apps = replace(app.ctx.apps, problem="apps.yml:3: there is no key deplox.")
    done = await ask(app, "status")
    assert "there is no key deplox" in done.err
    assert done.json["items"]


async def test_an_unknown_app_is_answered_with_the_nearest(app: World) -> None:
    done = await ask(app, "status", "shpo", "--no-json")
    assert (done.code, done.out) == (1, "")
    assert "Did you mean shop?" in done.err


async def test_why_names_each_blocker_with_its_link(app: World) -> None:
    await app.ask()
    deploy = await app.claim()
    await app.hold(deploy, Blocker(BlockerKind.CHECKS, "Waiting for check ci.", url="https://ci.test/1"))
    for words in (["shop", "1"], ["shop#1"], ["shop", "--env", "production"], ["shop"]):
        done = await ask(app, "why", *words, "--no-json")
        assert done.code == 0, done.err
        assert "shop#1 queued" in done.out
        assert "Waiting for check ci.  https://ci.test/1" in done.out
    assert (await ask(app, "why", "shop#1")).json["blockers"][0]["kind"] == "checks"


async def test_why_finds_an_environment_by_its_alias(app: World) -> None:
    await app.ask(environment="staging")
    assert "shop#1 queued" in (await ask(app, "why", "shop", "--env", "STG", "--no-json")).out
    done = await ask(app, "why", "shop", "--env", "stagin", "--no-json")
    assert (done.code, "Did you mean staging?" in done.err) == (1, True)


async def test_why_where_nothing_waits_says_what_is_there_instead(app: World) -> None:
    done = await ask(app, "why", "shop", "--no-json")
    assert done.out.strip() == "Nothing waits in production of shop."
    await app.running()
    done = await ask(app, "why", "shop", "--no-json")
    assert "shop#1 running" in done.out
    assert (await ask(app, "why", "shop")).json["state"] == "running"


async def test_why_a_deploy_ended(app: World) -> None:
    deploy = await app.running()
    await app.finish(deploy, 7)
    done = await ask(app, "why", "shop#1", "--no-json")
    assert "shop#1 failed" in done.out
    assert "after 1 s: the command ended with exit code 7." in done.out


async def test_what_is_asked_for_on_the_command_line_says_so(app: World) -> None:
    provider = Provider()
    provider.grow("abc")
    app.ctx.providers = {"github": provider}
    for letter in "ab":
        await app.finish(await app.running(environment="staging", sha=sha(letter)))
    for words in (("deploy", "shop", "--env", "production"), ("retry", "shop#3"), ("rollback", "shop", "--env", "stg")):
        done = await ask(app, *words, "--json")
        assert (done.code, done.json["door"], done.json["user"]) == (0, "command_line", "admin"), done.err


@pytest.mark.parametrize("agent", ["curl/8.0", "", "automatic", "kedgex/1", "Mozilla/5.0 kedge"])
async def test_other_programs_ask_through_the_api_whatever_they_call_themselves(app: World, agent: str) -> None:
    app.ctx.providers = {"github": (provider := Provider())}
    provider.grow("a")
    headers = {**BEARER, "User-Agent": agent}
    asked = {"env": "production"}
    async with app.client.post("/api/0/shop/deploy", json=asked, headers=headers) as answer:
        found = await answer.json()
    assert (answer.status, found["door"], found["user"]) == (201, "api", "admin")
    async with app.client.post("/api/0/shop/deploy?door=automatic", json=asked, headers=headers) as answer:
        assert answer.status == 422


async def test_cancel(app: World) -> None:
    await app.ask()
    assert "shop#1 is cancelled." in (await ask(app, "cancel", "shop#1", "--no-json")).out
    done = await ask(app, "cancel", "shop", "1", "--no-json")
    assert (done.code, done.out, "shop#1" in done.err) == (1, "", True)


async def test_a_log_comes_out_as_it_is(app: World) -> None:
    deploy = await app.running()
    await app.log(deploy, b"one\n\x1b[31mtwo\x1b[0m\r\n\xff")
    done = await kedge_process(url_of(app), "log", "shop#1", KEDGE_TOKEN=ADMIN_TOKEN)
    assert done.out == "one\n\x1b[31mtwo\x1b[0m\r\n\N{REPLACEMENT CHARACTER}"


async def test_following_a_log_to_its_end(app: World) -> None:
    deploy = await app.running()
    await app.log(deploy, b"one\ntwo\n")
    await app.finish(deploy, 7, log_end=8)
    done = await ask(app, "log", "-f", "shop#1")
    assert (done.code, done.out) == (0, "one\ntwo\n")
    assert "shop#1 failed after 1 s: the command ended with exit code 7." in done.err


# Login


async def test_login_tries_the_token_and_keeps_it(app: World, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "KEDGE_TOKEN": "", "KEDGE_URL": ""}
    done = await kedge_process(url_of(app), "login", url_of(app), stdin=f"{ADMIN_TOKEN}\n", **home)
    assert (done.code, done.out) == (0, ""), done.err
    assert ADMIN_TOKEN not in done.err
    assert (await kedge_process(url_of(app), "status", **home)).code == 0


@pytest.mark.parametrize("typed", ["wrong-token", "", "two words"])
async def test_login_keeps_no_token_that_is_not_taken(app: World, tmp_path: Path, typed: str) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    done = await kedge_process(url_of(app), "login", url_of(app), stdin=f"{typed}\n", **home)
    assert done.code in {1, 2}
    assert not (tmp_path / "config").exists()
    assert not typed or typed not in done.err


async def test_without_a_token_it_says_how_to_get_one(app: World) -> None:
    done = await ask(app, "status", "--no-json", KEDGE_TOKEN="")
    assert (done.code, "kedge login" in done.err) == (1, True)


# As a process


async def test_it_starts_without_database_and_web_server(app: World) -> None:
    done = await kedge_process(url_of(app), "status", KEDGE_TOKEN=ADMIN_TOKEN, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "ghapp.cli.run" in loaded
    heavy = {"aiohttp", "asyncio", "aiosqlite", "asyncpg", "sqlite3", "jinja2", "jwt", "yaml", "structlog"}
    heavy |= {"ghapp.app", "ghapp.config", "ghapp.store", "ghapp.service", "ghapp.api", "ghapp.web", "ghapp.vcs"}
    assert loaded & heavy == set()


async def test_nobody_reads_its_output_any_more(app: World) -> None:
    deploy = await app.running()
    await app.log(deploy, b"a line of the log\n" * 100_000)
    command = f"{sys.executable} -m ghapp log shop#1 | head -n 1"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-o", "pipefail", "-c", command),
        env=environment(url_of(app), KEDGE_TOKEN=ADMIN_TOKEN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (1, b"a line of the log\n", b"")

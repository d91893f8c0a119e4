"""Deploys to Heroku, through a real runner, against a strict stand-in of its Platform API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner import secrets
from tests.integration.fake_app import Deploy
from tests.integration.heroku.stand_in import APP, KEY, StandIn, serving
from tests.integration.runner_world import World, until
from tests.integration.runner_world import world as make_world


@pytest.fixture
async def heroku() -> AsyncIterator[StandIn]:
    async with serving() as made:
        yield made
    assert made.violations == []


@pytest.fixture
async def world(tmp_path: Path, heroku: StandIn) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        made.environ |= {"HEROKU_API_URL": heroku.url, "HEROKU_API_KEY": KEY}
        yield made


async def deploy(world: World, **other: object) -> Deploy:
    done = await world.see_through("", **{"heroku": APP, "environment": "production", **other})
    assert KEY.encode() not in done.log
    return done


async def test_build_release_and_what_they_say(world: World, heroku: StandIn) -> None:
    done = await deploy(world)
    assert done.state == "succeeded", done.output
    assert [one["source_blob"]["version"] for one in heroku.builds] == [world.sha]
    assert heroku.files(0) == {"deploy.sh": "echo deploying\n"}
    lines = done.output.splitlines()
    assert "-----> Compressing..." in lines and "Running migrations" in lines
    assert lines[-1] == f"Heroku runs v1 (slug {heroku.releases[0]['slug']['id']})."


async def test_a_build_that_fails(world: World, heroku: StandIn) -> None:
    heroku.build_fails = True
    done = await deploy(world)
    assert (done.state, heroku.releases) == ("failed", [])
    assert "The build failed; what the buildpack says about it is above." in done.output


async def test_a_release_phase_that_fails_although_the_build_succeeded(world: World, heroku: StandIn) -> None:
    heroku.release_fails = True
    done = await deploy(world)
    assert done.state == "failed" and heroku.builds[0]["status"] == "succeeded"
    assert "The release phase of v1 failed" in done.output and "Running migrations" in done.output


@pytest.mark.parametrize(
    ("environ", "job", "says"),
    [
        ({"HEROKU_API_KEY": "HRKU-of-somebody-else"}, {}, "Heroku does not accept the key"),
        ({}, {"heroku": "hello-nowhere"}, "There is no Heroku app hello-nowhere"),
        ({"HEROKU_API_URL": "http://127.0.0.1:9"}, {}, "Heroku could not be reached"),
    ],
)
async def test_errors_in_words(world: World, environ: dict[str, str], job: dict[str, object], says: str) -> None:
    world.environ |= environ
    done = await deploy(world, **job)
    assert done.state == "failed" and says in done.output


async def test_without_a_key_it_is_rejected(world: World) -> None:
    del world.environ["HEROKU_API_KEY"]
    done = await deploy(world)
    assert "HEROKU_API_KEY bound to sentry/production" in done.given_back[0][1].blockers[0].message


async def test_what_a_repository_defines_needs_a_binding_of_its_own(world: World) -> None:
    """Else every repository could deploy to every app that the runner's key reaches."""
    world.apps = ("getsentry/sentry",)
    done = await deploy(world, defined_in="repository")
    assert done.given_back[0][0] == "reject"
    path = world.folder / "secrets.yml"
    path.write_text(f"getsentry/sentry/*: {{HEROKU_API_KEY: {KEY}}}")
    path.chmod(0o600)
    world.bindings = secrets.load(path)
    assert (await deploy(world, defined_in="repository")).state == "succeeded"


async def test_a_cancel_ends_the_build(world: World, heroku: StandIn) -> None:
    heroku.held = asyncio.Event()
    asked = world.ask("", heroku=APP, grace=20)
    async with world.running():
        await asyncio.wait_for(heroku.building.wait(), 30)
        await until(lambda: b"Building on" in asked.log)
        asked.request_cancel()
        await until(lambda: heroku.cancelled, "the build is cancelled")
        await world.ended(asked)
    assert asked.state == "cancelled" and heroku.releases == []
    assert "Cancelling the build." in asked.output


async def test_back_to_an_earlier_release_without_building(world: World, heroku: StandIn) -> None:
    await deploy(world)
    await deploy(world, sha=world.sha)
    done = await deploy(world, task="rollback")
    assert done.state == "succeeded", done.output
    assert len(heroku.builds) == 2 and "Going back to v2." in done.output
    assert heroku.releases[-1]["slug"] == heroku.releases[1]["slug"]


async def test_back_to_what_heroku_does_not_know_any_more(world: World, heroku: StandIn) -> None:
    done = await deploy(world, task="rollback")
    assert done.state == "succeeded" and len(heroku.builds) == 1
    assert "it is built anew" in done.output

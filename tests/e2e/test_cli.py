"""``kedge deploy --follow`` with everything real: its output, its exit code, and what goes on without it."""

import asyncio

from tests.e2e.people import ADMIN
from tests.e2e.rig import HELD, World
from tests.integration.command_line import Done, kedge_process, on_terminal


async def kedge(world: World, *words: str) -> Done:
    return await kedge_process(world.url, *words, KEDGE_TOKEN=ADMIN)


async def test_following_a_deploy_to_its_success(small: World) -> None:
    done = await kedge(small, "deploy", "hello", "--env", "staging", "--follow")
    assert done.code == 0, done.err
    assert "deploying" in done.out
    assert done.out == await small.log(1)
    assert "hello#1 queued" in done.err
    assert "hello#1 succeeded after" in done.err
    assert (await kedge(small, "status", "hello")).json["environments"][0]["live"]["number"] == 1


async def test_the_exit_code_is_that_of_the_deploys_command(small: World) -> None:
    small.script("echo before; exit 7\n")
    done = await kedge(small, "deploy", "hello", "--env", "staging", "--follow")
    assert done.code == 7
    assert done.out.endswith("before\n")
    assert "hello#1 failed after" in done.err
    assert "exit code 7" in done.err


async def test_a_log_is_followed_through_the_death_of_the_app(small: World) -> None:
    small.script(HELD)
    following = asyncio.create_task(kedge(small, "deploy", "hello", "--env", "staging", "--follow"))
    await small.command_pid()
    await small.kill(small.app)
    small.go()
    await small.start_app()
    done = await following
    assert done.code == 0, done.err
    assert done.out == await small.log(1)
    assert (done.out.count("begun 1"), done.out.count("done 1")) == (1, 1)


async def test_ctrl_c_leaves_the_deploy_running(small: World) -> None:
    small.script(HELD)
    words = ["deploy", "hello", "--env", "staging", "--follow"]
    async with on_terminal(small.url, *words, KEDGE_TOKEN=ADMIN) as running:
        await running.shows("begun 1")
        running.interrupt()
        assert await running.ends() == 130
        await running.shows("To cancel it: kedge cancel hello#1")
    assert (await small.number(1))["state"] == "running"
    done = await kedge(small, "cancel", "hello#1")
    assert (done.code, done.json["cancel_requested"]["who"]) == (0, "admin")
    assert (await small.ended(1))["state"] == "cancelled"

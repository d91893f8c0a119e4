"""The line of an environment, environments beside each other, and cancelling."""

import asyncio
from itertools import pairwise

import aiohttp

from tests.e2e import processes
from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import ADMIN, AS_ADMIN, until
from tests.e2e.rig import HELD, World

TWO = """
hello:
  repository: acme/hello
  checks: []
  env: {{HERE: {folder}}}
  deploy: |
    echo "$KEDGE_ENV" >> "$HERE/executed"
    until [ "$(sort -u "$HERE/executed" | wc -l)" = 2 ]; do sleep 0.05; done
    echo "both run"
  timeout: 60s
  environments: [staging, production]
"""

OBSTINATE = """
: "${HERE:?}"
trap 'echo "TERM heard"; exit 7' TERM
( trap "" TERM; while :; do sleep 0.1; done ) &
echo "$KEDGE_NUMBER" >> "$HERE/executed"
echo $$ > "$HERE/pid"
echo "begun $KEDGE_NUMBER"
while :; do sleep 0.05; done
"""


async def test_a_line_runs_in_order_and_says_who_is_ahead(world: World) -> None:
    world.script(HELD)
    deployments = [world.deploy() for _ in range(3)]
    await world.command_pid(1)
    await world.blocked(2, "hello#1", "is running")
    await world.blocked(3, "hello#1", "is running")
    await until(lambda: "hello#1" in _said(world, deployments[1]), lambda: f"GitHub names it\n{world.says()}")
    queue = (await world.get("/api/0/hello"))["environments"][0]["queue"]
    assert [(one["number"], one["position"]) for one in queue] == [(2, 1), (3, 2)]
    assert "hello#1 by ana is running" in await world.page(f"{world.url}/hello/deploys/3")
    assert world.executed == ["1"]
    world.go()
    for number, deployment in enumerate(deployments, 1):
        assert (await world.ended(number))["state"] == "succeeded"
        await world.shows(deployment, "success", "inactive")
    assert world.executed == ["1", "2", "3"]
    times = [(await world.number(number)) for number in (1, 2, 3)]
    for before, after in pairwise(times):
        assert before["ended_at"] <= after["claimed_at"]


async def test_behind_one_that_waits_the_way_on_is_named(small: World) -> None:
    small.script(HELD)
    small.go()
    small.github.set_status(REPOSITORY, "main", "ci", "pending")
    first, second = small.deploy("production"), small.deploy("production")
    await small.blocked(2, "Behind hello#1", "check ci", "cancel 1")
    await until(lambda: "hello#1" in _said(small, second), lambda: f"GitHub names it\n{small.says()}")
    await small.cancel(1)
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    await small.shows(second, "success")
    await small.shows(first, "error")
    assert small.executed == ["2"]


def _said(world: World, deployment: int) -> str:
    statuses = world.github.statuses(deployment)
    return statuses[-1].description if statuses else ""


async def test_two_environments_run_beside_each_other(quiet: World) -> None:
    """Each command waits for the other to run: in turn they would never end."""
    quiet.config(TWO)
    await quiet.start_app()
    await quiet.start_runner(KEDGE_RUNNER_SLOTS="2")
    quiet.deploy("staging")
    quiet.deploy("production")
    for number in (1, 2):
        assert (await quiet.ended(number))["state"] == "succeeded"
        assert "both run" in await quiet.log(number)


async def test_two_runners_share_the_work(quiet: World) -> None:
    quiet.config(TWO)
    await quiet.start_app()
    await quiet.start_runner("east", "work-east")
    await quiet.start_runner("west", "work-west")
    quiet.deploy("staging")
    quiet.deploy("production")
    assert {(await quiet.ended(number))["state"] for number in (1, 2)} == {"succeeded"}
    assert {(await quiet.number(number))["runner"] for number in (1, 2)} == {"east", "west"}


async def test_cancel_in_mid_command_ends_everything_it_started(world: World) -> None:
    world.script(OBSTINATE)
    deployment = world.deploy()
    command = await world.command_pid(1)
    status, answered = await world.cancel(1)
    assert (status, answered["state"]) == (202, "running")
    assert answered["cancel_requested"]["who"] == "admin"
    deploy = await world.ended(1)
    assert (deploy["state"], deploy["ended_by"]) == ("cancelled", "cancel")
    assert "TERM heard" in await world.log(1)
    await world.shows(deployment, "error")
    assert "admin" in world.github.statuses(deployment)[-1].description
    assert not processes.alive(command)
    assert processes.marked(f"HERE={world.folder}") == []  # the child that did not hear TERM is gone too
    status, refusal = await world.cancel(1)
    assert (status, refusal["error"]["code"]) == (409, "too_late")


async def test_cancel_in_line(world: World) -> None:
    world.script(HELD)
    first, second, third = (world.deploy() for _ in range(3))
    await world.command_pid(1)
    await world.blocked(2, "hello#1")
    status, deploy = await world.cancel(2)
    assert (status, deploy["state"]) == (200, "cancelled")
    assert (await world.shows(second, "error"))[-1] == "error"
    await world.blocked(3, "hello#1")
    world.go()
    await world.shows(third, "success")
    await world.shows(first, "inactive")
    assert world.executed == ["1", "3"]
    assert "in_progress" not in world.shown(second)


async def test_cancel_while_it_is_prepared(small: World) -> None:
    small.script(HELD)
    clone = small.github.faults.block("*", r"/acme/hello\.git/.*")
    deployment = small.deploy()
    await until(clone.reached.is_set, lambda: f"the runner prepares\n{small.says()}")
    status, deploy = await small.cancel(1)
    assert (status, deploy["state"]) == (200, "cancelled")
    clone.release()
    await small.shows(deployment, "error")
    small.go()
    small.deploy()  # the runner is free for the next, and nothing of the first was executed
    assert (await small.ended(2))["state"] == "succeeded"
    assert small.executed == ["2"]


async def test_cancel_by_the_button_of_the_page(small: World) -> None:
    """Sign in with the token, press the button: the cookie and the form's token are enough, the cookie alone not."""
    small.github.set_status(REPOSITORY, "main", "ci", "pending")
    small.deploy("production")
    await small.blocked(1, "ci")
    page = f"{small.url}/hello/deploys/1"
    jar = aiohttp.CookieJar(unsafe=True)  # keeps the cookies of a bare address too
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(page) as response:
            assert response.url.path == "/login"
            form = {"token": ADMIN, "csrf": _csrf(await response.text()), "next": "/hello/deploys/1"}
        async with browser.post(f"{small.url}/login", data=form) as response:
            assert (response.status, str(response.url)) == (200, page)
            csrf = _csrf((await response.text()).partition("<main")[2])
        async with browser.post(f"{page}/cancel", data={}) as response:
            assert response.status == 403
        assert (await small.number(1))["state"] == "queued"
        async with browser.post(f"{page}/cancel", data={"csrf": csrf}) as response:
            assert (response.status, str(response.url)) == (200, page)
    assert (await small.ended(1))["state"] == "cancelled"


def _csrf(page: str) -> str:
    return page.partition('name="csrf" value="')[2].partition('"')[0]


async def test_the_log_is_followed_live(small: World) -> None:
    """Server-sent events bring each line while the command runs, and say when it is over."""
    small.script(HELD)
    small.deploy()
    await small.command_pid(1)
    headers = {**AS_ADMIN, "Accept": "text/event-stream"}
    seen = ""
    async with asyncio.timeout(60):
        async with small.session.get(f"{small.url}/api/0/hello/deploys/1/log", headers=headers) as response:
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                seen += line.decode()
                if "begun 1" in seen:
                    small.go()
    assert "done 1" in seen and "event: end" in seen
    assert seen.index("begun 1") < seen.index("done 1") < seen.index("event: end")

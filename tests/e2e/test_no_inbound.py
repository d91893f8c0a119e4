"""Nothing reaches the app: what GitHub sent is read back from its own record, with real processes."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import CONFIG, World

NOWHERE = "http://127.0.0.1:1/webhooks/github"
WITHOUT_SECRET = {"KEDGE_INBOUND": "none", "GITHUB_WEBHOOK_SECRET": ""}


async def test_no_inbound_traffic_at_all(quiet: World) -> None:
    """The webhook's URL is unreachable and there is no secret. What was there before the first start is history."""
    world = quiet
    [app_id] = [app.id for app in world.github.world.state.apps.values() if app.webhook_url]
    world.github.set_webhook(app_id, NOWHERE)
    history = world.deploy()
    await world.github.settled()
    log = world.github.hooks.log
    log[:] = [replace(one, delivered_at=one.delivered_at - 60_000) for one in log]
    await world.start_app(**WITHOUT_SECRET)
    await world.start_runner()
    began = time.monotonic()
    deployment = world.deploy()
    await world.shows(deployment, "success")
    took_s = time.monotonic() - began
    print(f"from its creation on GitHub to success: {took_s:.1f} s")
    assert took_s < 10

    world.github.set_status(REPOSITORY, "main", "ci", "pending")
    waiting = world.deploy("production")
    await world.blocked(2, "ci")
    began = time.monotonic()
    world.github.set_status(REPOSITORY, "main", "ci", "success")
    await world.shows(waiting, "success")
    print(f"from its check's green to success: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 30, "the check event woke it, not the slow net"
    assert world.shown(history) == []
    fetched = [one.path for one in world.github.requests if one.path.startswith("/app/hook/deliveries/")]
    assert len(fetched) == 2, "payloads are fetched for the two deployments alone"
    assert (await world.ready())["reconciler_lag_s"] < 10


async def test_what_was_sent_while_the_app_was_down(quiet: World) -> None:
    """20 deployments and 20 pushes: all taken in, none twice, in the order of their creation. What the pushes begin by
    themselves waits until one is green, and the others say which."""
    world = quiet
    world.config(CONFIG + "    preview: {{checks: [ci], auto: {{branch: release}}}}\n")
    await world.start_app()
    await until(lambda: world.rows("SELECT provider FROM reconciled"), "the record was read for the first time")
    await world.github.settled()
    await world.kill(world.app)
    log = world.github.hooks.log
    before = len(log)
    deployments, pushed = [], []
    for number in range(20):
        deployments.append(world.deploy())
        pushed.append(world.github.commit(REPOSITORY, "release", {"a.txt": str(number)}))
    await world.github.settled()
    world.github.hooks.redeliver(log[-1])
    await world.github.settled()
    sent = [one.guid for one in log[before:] if one.event in ("deployment", "push") and not one.redelivery]
    await world.start_app()
    asked = lambda: _fields(world, "staging", "deployment_id")  # noqa: E731
    await until_equal(world, asked, deployments)
    listed = ", ".join(f"'github {guid}'" for guid in sent)
    rows = await world.rows(f"SELECT guid FROM deliveries WHERE guid IN ({listed}) ORDER BY id")
    assert ([row["guid"].removeprefix("github ") for row in rows], len(sent)) == (sent, 40)

    await until_equal(world, lambda: _fields(world, "preview", "sha"), pushed)
    world.github.set_status(REPOSITORY, "release", "ci", "success")
    await until_equal(world, lambda: _fields(world, "preview", "state"), ["cancelled"] * 19 + ["queued"])
    newest = (await _fields(world, "preview", "number"))[-1]
    assert set((await _fields(world, "preview", "reason"))[:-1]) == {f"Superseded by hello#{newest}."}
    told = await world.get(f"/api/0/hello/deploys/{newest}")
    assert len([one for one in told["events"] if one["kind"] == "supersedes"]) == 19
    assert [one.environment for one in world.github.deployments(REPOSITORY)].count("preview") <= 1


async def _fields(world: World, environment: str, name: str) -> list[object]:
    """Of every deploy there, in the order of their numbers."""
    return [one[name] for one in await world.deploys() if one["environment"] == environment]


async def until_equal(world: World, read: Callable[[], Awaitable[list[object]]], expected: Sequence[object]) -> None:
    async def equal() -> bool:
        return await read() == expected

    await until(equal, lambda: f"{expected}\n{world.says()}")

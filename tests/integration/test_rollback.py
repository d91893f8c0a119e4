"""Rolling back through HTTP, and what automatic deploys do afterwards. On SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from ghapp.api import as_wire
from ghapp.core.actors import Actor
from ghapp.core.values import Door, Lock, Repository
from ghapp.service import acting, claiming, hearing, judging, outgoing, permits, reload, rollback
from ghapp.service.claiming import Claimed
from ghapp.service.problems import Problem
from ghapp.store import deploys, events, places
from ghapp.store.deploys import Deploy
from ghapp.store.events import Recorded
from ghapp.store.stores import Stores
from ghapp.vcs.base import NewDeployment, Registered
from ghapp.vcs.events import DeploymentEvent
from tests.integration.commit_graph import AWAY, Commits, sha
from tests.integration.kedge_world import BEARER, World, world

CONFIG = """
shop:
  via: github
  repository: acme/shop
  deploy: "./deploy {env} {sha} {task} {previous_sha}"
  checks: [ci]
  environments:
    staging: {aliases: [stg]}
    production: {allow: {users: [ana]}}
    europe:
      tasks: {rollback: "./back {sha} {ref}"}
      refs: [main]
"""


class GitHub(Commits):
    """Keeps the deployments that it is given to register."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[NewDeployment] = []

    async def create_deployment(self, new: NewDeployment) -> Registered:
        self._present()
        self.registered.append(new)
        return Registered(900 + len(self.registered), 0)

    async def find_deployment(self, new: NewDeployment) -> Registered | None:
        self._present()
        return None

    async def create_status(self, deployment_id: int, status: object) -> None:
        self._present()


@pytest.fixture
def github() -> GitHub:
    made = GitHub()
    made.grow("abcdef")
    return made


@pytest.fixture
async def kedge(stores: Stores, github: GitHub) -> AsyncIterator[World]:
    async with world(stores) as made:
        made.ctx.providers = {"github": github}
        await reload.put_in_force(made.ctx, CONFIG)
        assert made.ctx.apps.problem is None
        yield made


async def get(kedge: World, path: str) -> Any:
    async with kedge.client.get(f"/api/0{path}", headers=BEARER) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def post(kedge: World, path: str, status: int = 201, **sent: Any) -> Any:
    kedge.now[0] += 1000
    headers = {**BEARER, **sent.pop("headers", {})}
    async with kedge.client.post(f"/api/0/shop/{path}", headers=headers, **sent) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def roll_back(kedge: World, query: str = "env=production", status: int = 201, **sent: Any) -> Any:
    return await post(kedge, f"rollback?{query}", status, **sent)


async def live(kedge: World, letters: str, environment: str = "production") -> None:
    """Deploy commits one after the other, each to its end."""
    for letter in letters:
        await kedge.ask(sha=sha(letter), environment=environment)
        await run(kedge)


async def claim(kedge: World) -> Claimed | None:
    kedge.now[0] += 1000
    await judging.judge_due(kedge.ctx)
    wish = claiming.Wish(
        claim_id=f"claim-{kedge.now[0]}", runner="r1", labels=(), apps=None, boot_id="b", version="1", wait_s=0
    )
    claimed = await claiming.claim(kedge.ctx, wish)
    if claimed:
        kedge.leases[claimed.deploy.id] = claimed.lease
    return claimed


async def run(kedge: World, exit_code: int = 0) -> Deploy:
    """Whatever is next, to its end; registered first, where that is owed."""
    await register(kedge)
    claimed = await claim(kedge)
    assert claimed
    await kedge.start(claimed.deploy)
    return await kedge.finish(claimed.deploy, exit_code)


async def register(kedge: World) -> None:
    while await outgoing.deliver_due(kedge.ctx):
        pass


async def seen(kedge: World, environment: str = "production") -> Any:
    app = await get(kedge, "/shop")
    return next(one for one in app["environments"] if one["name"] == environment)


async def timeline(kedge: World, deploy_id: int) -> list[Recorded]:
    return await kedge.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy_id))


async def count(kedge: World) -> int:
    return len((await get(kedge, "/shop/deploys"))["items"])


# To what was live before


async def test_to_what_was_live_before_and_once_more(kedge: World, github: GitHub) -> None:
    await live(kedge, "abc")
    first = await roll_back(kedge)
    assert (first["sha"], first["ref"], first["task"], first["state"]) == (sha("b"), sha("b"), "rollback", "queued")
    assert (first["user"], first["door"], first["forced_by"], first["forced"]) == ("admin", "api", None, [])
    ended = await run(kedge)
    assert (ended.number, ended.previous_sha) == (first["number"], sha("c"))
    assert (await seen(kedge))["live"]["sha"] == sha("b")
    assert (await roll_back(kedge))["sha"] == sha("a"), "not to c, which was rolled back from"
    await run(kedge)
    error = (await roll_back(kedge, status=409))["error"]
    assert (error["code"], await count(kedge)) == ("conflict", 5)
    assert error["hint"] == "With to= it may be shop#4 (bbbbbbb) and shop#3 (ccccccc)."
    assert [(one.task, one.sha, one.environment, one.user) for one in github.registered] == [
        ("rollback", sha("b"), "production", "admin"),
        ("rollback", sha("a"), "production", "admin"),
    ]


async def test_to_the_named_one(kedge: World) -> None:
    await live(kedge, "abcd")
    for to in ("%231", "shop%231", "1"):
        deploy = await roll_back(kedge, f"env=production&to={to}")
        assert deploy["sha"] == sha("a")
        await post(kedge, f"deploys/{deploy['number']}/cancel", 200)
    await roll_back(kedge, json={"to": 1})
    await run(kedge)
    assert (await seen(kedge))["live"]["sha"] == sha("a")
    assert (await roll_back(kedge, status=409))["error"]["message"].startswith("Nothing that was live in production")
    assert (await roll_back(kedge, "env=production&to=3"))["sha"] == sha("c"), "whoever names it gets it"


@pytest.mark.parametrize("to", ["3", "4", "5", "6", "99", "%230", "999999999999999999", "abc", "-1", "blog%231"])
async def test_what_was_never_live_there_is_refused_with_what_may_be_named(kedge: World, to: str) -> None:
    """Of #3 to #6: what is live, a failed one, one of another environment, one that waits."""
    await live(kedge, "abc")
    await kedge.ask(sha=sha("d"), environment="production")
    await run(kedge, 1)
    await live(kedge, "a", "staging")
    await kedge.ask(sha=sha("b"), environment="production")
    error = (await roll_back(kedge, f"env=production&to={to}", 422))["error"]
    assert (error["code"], error["field"]) == ("invalid", "to")
    assert error["candidates"] == [{"number": 2, "sha": sha("b")}, {"number": 1, "sha": sha("a")}]
    assert error["hint"] == "With to= it may be shop#2 (bbbbbbb) and shop#1 (aaaaaaa)."
    assert await count(kedge) == 6 and (await seen(kedge))["rolled_back"] is None


@pytest.mark.parametrize("letters", ["", "a", "aa"])
async def test_nothing_earlier(kedge: World, letters: str) -> None:
    await live(kedge, letters)
    await live(kedge, "bc", "staging")
    error = (await roll_back(kedge, status=409))["error"]
    assert error["message"] == "Nothing that was live in production before is left to go back to."
    assert error["hint"] is None
    assert (await seen(kedge))["rolled_back"] is None


async def test_the_same_is_not_asked_for_twice(kedge: World) -> None:
    await live(kedge, "abc")
    first = await roll_back(kedge)
    for query in ("env=production", "env=production&to=2"):
        error = (await roll_back(kedge, query, 409))["error"]
        assert (error["code"], error["deploy"]) == ("conflict", f"shop#{first['number']}")
        assert error["message"] == "shop#4 already brings bbbbbbb back."
    assert (await roll_back(kedge, "env=production&to=1"))["sha"] == sha("a"), "further back is something else"


async def test_one_that_failed_may_be_asked_for_again(kedge: World) -> None:
    await live(kedge, "ab")
    await roll_back(kedge)
    assert (await run(kedge, 1)).state == "failed"
    assert (await roll_back(kedge))["sha"] == sha("a")


async def test_the_same_key_is_the_same_rollback(kedge: World) -> None:
    await live(kedge, "abc")
    key: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}}
    first = await roll_back(kedge, **key)
    await run(kedge)
    assert (await roll_back(kedge, **key))["number"] == first["number"]
    other: dict[str, Any] = {"headers": {"Idempotency-Key": "k2"}}
    answers = await asyncio.gather(roll_back(kedge, **other), roll_back(kedge, **other))
    assert answers[0]["number"] == answers[1]["number"]
    assert await count(kedge) == 5


async def test_of_many_at_once_one_is_recorded(kedge: World) -> None:
    await live(kedge, "abc")

    async def ask() -> int:
        async with kedge.client.post("/api/0/shop/rollback?env=production", headers=BEARER) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(ask() for _ in range(5)))) == [201, 409, 409, 409, 409]


async def test_what_is_live_changing_meanwhile_is_noticed(kedge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await live(kedge, "ab")
    await kedge.ask(sha=sha("c"), environment="production")
    require, passes = permits.require, []

    async def slow(*given: Any) -> None:
        await require(*given)
        passes.append(1)
        if len(passes) == 2:  # between the choice and the record
            await run(kedge)

    monkeypatch.setattr(permits, "require", slow)
    error = (await roll_back(kedge, status=409))["error"]
    assert error["message"].startswith("What is live in production has just changed")
    assert (await count(kedge), (await seen(kedge))["rolled_back"]) == (3, None)


# How it runs


async def test_it_runs_the_deploy_command_and_asks_no_checks(kedge: World) -> None:
    await live(kedge, "ab")
    deploy = await roll_back(kedge)
    await register(kedge)
    claimed = await claim(kedge)
    assert claimed and claimed.deploy.number == deploy["number"]
    job = as_wire.job(kedge.ctx, claimed)
    assert job.command == f"./deploy production {sha('a')} rollback {sha('b')}"
    assert (job.checks, job.forced, job.forced_by) == ([], [], None)
    assert (await kedge.start(claimed.deploy)).state == "running"


async def test_it_runs_the_task_where_there_is_one(kedge: World) -> None:
    await live(kedge, "ab", "europe")
    await roll_back(kedge, "env=europe")
    await register(kedge)
    claimed = await claim(kedge)
    assert claimed
    assert as_wire.job(kedge.ctx, claimed).command == f"./back {sha('a')} {sha('a')}"


async def test_it_goes_to_the_front_and_waits_for_its_turn(kedge: World) -> None:
    await live(kedge, "ab")
    running = await kedge.running(sha=sha("c"), environment="production")
    await kedge.ask(sha=sha("d"), environment="production")
    deploy = await roll_back(kedge)
    assert (deploy["sha"], deploy["position"]) == (sha("a"), 1)
    await register(kedge)
    (turn,) = (await get(kedge, f"/shop/deploys/{deploy['number']}"))["blockers"]
    assert (turn["kind"], turn["message"].startswith("shop#3 by alice is running")) == ("turn", True)
    await kedge.finish(running)
    assert (await run(kedge)).number == deploy["number"]
    assert (await seen(kedge))["rolled_back"]["name"] == "shop#3", "that is what it went back from in the end"


@pytest.mark.parametrize(
    ("query", "status"), [("", 423), ("&wait=true", 201), ("&force=lock", 201), ("&force=no", 422)]
)
async def test_a_lock_holds_it(kedge: World, query: str, status: int) -> None:
    await live(kedge, "ab")
    row = next(one for one in await kedge.ctx.stores.main.read(places.environments) if one.name == "production")
    lock = Lock("zoe", "inventory", kedge.now[0], app="shop", environment="production")
    await kedge.ctx.decide(lambda tx: acting.lock(tx, kedge.ctx, row.app_id, row.id, lock))
    answer = await roll_back(kedge, f"env=production{query}", status)
    await register(kedge)
    held = (await seen(kedge))["rolled_back"]
    if status == 201:
        deploy = await get(kedge, f"/shop/deploys/{answer['number']}")
        assert [one["kind"] for one in deploy["blockers"]] == ["lock" if "wait" in query else "runner"]
        assert held["who"] == "admin"
    else:
        assert await count(kedge) == 2 and held is None


async def test_refs_bind_it(kedge: World, github: GitHub) -> None:
    await live(kedge, "ab", "europe")
    github.reachable_refs = False
    assert (await roll_back(kedge, "env=europe", 403))["error"]["code"] == "forbidden"
    assert (await seen(kedge, "europe"))["rolled_back"] is None


async def test_without_the_provider_it_waits_and_holds_the_automatic_ones(kedge: World, github: GitHub) -> None:
    await live(kedge, "ab")
    github.away = AWAY
    deploy = await roll_back(kedge)
    assert [one["kind"] for one in deploy["blockers"]] == ["registering"]
    assert (await seen(kedge))["rolled_back"]
    github.away = None
    kedge.now[0] += 600_000
    assert (await run(kedge)).state == "succeeded"


@pytest.mark.parametrize(
    ("actor", "code"),
    [
        (Actor("ana", frozenset({"deploy"})), None),
        (Actor("bob", frozenset({"deploy"})), "forbidden"),
        (Actor("ana", frozenset({"read", "lock"})), "forbidden"),
        (Actor("ana", frozenset({"deploy"}), environments=("staging",)), "forbidden"),
    ],
)
async def test_who_may(kedge: World, actor: Actor, code: str | None) -> None:
    await live(kedge, "ab")
    wish = rollback.Wish(environment="production", door=Door.API)
    for act in (
        lambda: rollback.roll_back(kedge.ctx, actor, "shop", wish),
        lambda: rollback.resume(kedge.ctx, actor, "shop", "production"),
    ):
        if code is None:
            await act()
            continue
        with pytest.raises(Problem) as refused:
            await act()
        assert refused.value.code == code
    assert await count(kedge) == (2 if code else 3)


async def test_retry_of_a_rollback_is_the_same_rollback_again(kedge: World) -> None:
    await live(kedge, "abc")
    first = await roll_back(kedge)
    await run(kedge, 1)
    again = await post(kedge, f"deploys/{first['number']}/retry")
    assert (again["sha"], again["task"], again["number"]) == (sha("b"), "rollback", 5)
    await register(kedge)
    claimed = await claim(kedge)
    assert claimed and as_wire.job(kedge.ctx, claimed).checks == []


async def test_at_other_doors_the_task_needs_a_command_of_its_own(kedge: World) -> None:
    await live(kedge, "ab")
    error = (await post(kedge, f"deploy?env=production&task=rollback&sha={sha('a')}", 422))["error"]
    assert error["field"] == "task"


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("rollback?env=prodction", 404, "env"),
        ("resume?env=prodction", 404, "env"),
        ("rollback?to=1&env=", 422, "env"),
        ("rollback?env=production&to=", 422, "to"),
        (f"rollback?env=production&to={'9' * 101}", 422, "to"),
        ("rollback?env=production&to=%00", 422, "to"),
        ("rollback?env=production&wait=perhaps", 422, "wait"),
        ("rollback?env=production&sha=abc", 422, "sha"),
        ("resume?env=production&force=all", 422, "force"),
        ("resume?env=%00", 422, "env"),
    ],
)
async def test_bad_input_changes_nothing(kedge: World, path: str, status: int, field: str) -> None:
    await live(kedge, "ab")
    assert (await post(kedge, path, status))["error"]["field"] == field
    assert await count(kedge) == 2


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"to": 1.5}', b'{"to": -1}', b'{"to": {"a": 1}}', b"\xff" * 10])
async def test_bad_bodies_change_nothing(kedge: World, body: bytes) -> None:
    await live(kedge, "ab")
    async with kedge.client.post("/api/0/shop/rollback?env=production", headers=BEARER, data=body) as answer:
        assert answer.status in {400, 422}, await answer.text()
    assert await count(kedge) == 2


async def test_without_a_token_nothing_is_done(kedge: World) -> None:
    await live(kedge, "ab")
    for path in ("rollback", "resume"):
        async with kedge.client.post(f"/api/0/shop/{path}?env=production") as answer:
            assert answer.status == 401
    assert await count(kedge) == 2


# Afterwards


async def automatic(kedge: World, letter: str) -> Deploy:
    return await kedge.ask(sha=sha(letter), environment="production", door=Door.AUTOMATIC, user="kedge[bot]")


async def blockers(kedge: World, deploy: Deploy) -> list[str]:
    await judging.judge_due(kedge.ctx)
    return [one["kind"] for one in (await get(kedge, f"/shop/deploys/{deploy.number}"))["blockers"]]


async def test_automatic_deploys_wait_until_somebody_resumes_them(kedge: World) -> None:
    await live(kedge, "abc")
    waiting = await automatic(kedge, "d")
    deploy = await roll_back(kedge)
    assert (await seen(kedge))["rolled_back"] == {
        "name": "shop#3",
        "sha": sha("c"),
        "who": "admin",
        "since": deploy["asked_at"],
        "message": "Rolled back from shop#3 (ccccccc) by admin, Nov 23, 14:00 UTC; automatic deploys to production "
        "wait until somebody deploys there or resumes them.",
    }
    assert await blockers(kedge, waiting) == ["rolled_back"], "from the moment it is asked for"
    assert (await seen(kedge, "staging"))["rolled_back"] is None
    await run(kedge)
    later = await automatic(kedge, "e")
    assert await claim(kedge) is None
    assert await blockers(kedge, later) == ["rolled_back"]
    environment = await post(kedge, "resume?env=production", 200)
    assert (environment["name"], environment["rolled_back"]) == ("production", None)
    assert environment["live"]["sha"] == sha("b")
    assert (await run(kedge)).id == later.id, "which has superseded the older one"
    assert (await post(kedge, "resume?env=production", 200))["rolled_back"] is None, "again, nothing happens"


async def test_an_automatic_one_that_is_being_prepared_does_not_start(kedge: World) -> None:
    """What `claim` let through before the rollback was asked for, `start` stops."""
    await live(kedge, "abc")
    preparing = await automatic(kedge, "d")
    claimed = await claim(kedge)
    assert claimed and claimed.deploy.id == preparing.id
    await roll_back(kedge)
    held = await kedge.start(claimed.deploy)
    assert (held.state, [one.kind for one in held.blockers]) == ("queued", ["rolled_back"])
    assert (await run(kedge)).sha == sha("b")


async def test_force_does_not_pass_it(kedge: World) -> None:
    await live(kedge, "ab")
    waiting = await automatic(kedge, "c")
    await roll_back(kedge)
    await run(kedge)
    forced = await post(kedge, f"deploys/{waiting.number}/force?force=all", 200)
    assert [one["kind"] for one in forced["blockers"]] == ["rolled_back"]
    assert await claim(kedge) is None


async def test_a_person_s_deploys_do_not_wait_and_let_the_automatic_ones_go_on(kedge: World) -> None:
    await live(kedge, "abc")
    waiting = await automatic(kedge, "f")
    await roll_back(kedge)
    await run(kedge)
    await kedge.ask(sha=sha("e"), environment="production")
    assert (await run(kedge, 1)).state == "failed"
    assert (await seen(kedge))["rolled_back"], "one that failed is no way on"
    assert await blockers(kedge, waiting) == ["rolled_back"]
    await kedge.ask(sha=sha("d"), environment="production", user="ana")
    await run(kedge)
    assert (await seen(kedge))["rolled_back"] is None
    assert (await run(kedge)).id == waiting.id


async def test_what_was_asked_for_before_the_rollback_says_nothing_about_it(kedge: World) -> None:
    await live(kedge, "abc")
    await kedge.ask(sha=sha("d"), environment="production")
    await roll_back(kedge)
    assert [(await run(kedge)).sha for _ in range(2)] == [sha("b"), sha("d")]
    assert (await seen(kedge))["rolled_back"]


async def test_one_that_fails_or_is_cancelled_holds_them_all_the_same(kedge: World) -> None:
    await live(kedge, "abc")
    deploy = await roll_back(kedge)
    await post(kedge, f"deploys/{deploy['number']}/cancel", 200)
    assert (await seen(kedge))["rolled_back"]["name"] == "shop#3"
    await roll_back(kedge)
    await run(kedge, 1)
    assert (await seen(kedge))["rolled_back"]


async def test_a_rollback_that_came_as_a_deployment_holds_them_too(kedge: World) -> None:
    await live(kedge, "ab", "europe")
    config = kedge.ctx.apps.configs["shop"].environment("europe")
    deploy = await kedge.ask(sha=sha("a"), environment="europe", task="rollback", config=replace(config, refs=()))  # type: ignore[type-var]
    assert (await seen(kedge, "europe"))["rolled_back"]["who"] == "alice"
    kinds = [one.kind for one in await timeline(kedge, deploy.id)]
    assert kinds == ["asked", "rolled_back"]


async def test_it_is_told_on_the_deploy_and_on_the_page(kedge: World) -> None:
    await live(kedge, "abc")
    deploy = await roll_back(kedge)
    told = [one["message"] for one in (await get(kedge, f"/shop/deploys/{deploy['number']}"))["events"]]
    assert "Automatic deploys wait from here on: admin rolls back from shop#3." in told
    for path in ("/", "/shop"):
        async with kedge.client.get(path, headers=BEARER) as answer:
            assert answer.status == 200
            text = await answer.text()
        assert "Rolled back" in text and "automatic deploys wait" in text


async def test_the_environment_is_found_by_its_alias(kedge: World) -> None:
    await live(kedge, "ab", "staging")
    assert (await roll_back(kedge, "env=STG"))["environment"] == "staging"
    assert (await post(kedge, "resume?env=stg", 200))["name"] == "staging"


async def test_the_config_in_force_decides_what_is_there(kedge: World) -> None:
    await live(kedge, "ab")
    await reload.put_in_force(kedge.ctx, CONFIG.replace("    production: {allow: {users: [ana]}}\n", ""))
    error = (await roll_back(kedge, status=404))["error"]
    assert "There is no environment production" in error["message"]


async def test_our_own_deployment_is_bound_to_the_rollback_whoever_tells_of_it_first(
    kedge: World, github: GitHub
) -> None:
    await live(kedge, "ab")
    deploy = await roll_back(kedge)
    row = await kedge.ctx.stores.main.read(lambda tx: deploys.by_number(tx, "shop", deploy["number"]))
    assert row
    event = DeploymentEvent(
        repository=Repository(7, "acme/shop", "https://github.com/acme/shop.git"),
        installation_id=5,
        deployment_id=77,
        sha=sha("a"),
        ref=sha("a"),
        task="rollback",
        environment="production",
        creator="kedge[bot]",
        creator_is_person=False,
        created_at=kedge.now[0],
        request=row.request,
    )
    assert await kedge.ctx.decide(await hearing.prepare(kedge.ctx, "github", event))
    await register(kedge)
    assert github.registered == []
    assert (await get(kedge, f"/shop/deploys/{deploy['number']}"))["deployment_id"] == 77
    assert (await run(kedge)).sha == sha("a") and await count(kedge) == 3

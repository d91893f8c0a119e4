"""Deployments that a chat bot creates: whom they are for, tasks named deploy:x, locks, and what was to be forced."""

from typing import Any

import pytest

from ghapp.core.remote import Unavailable
from ghapp.core.values import DESCRIPTION_LIMIT, Chat, DeploymentStatus, Lock
from ghapp.service import acting
from ghapp.store import locks, places
from tests.protocol.rig import REPOSITORY, Rig
from tests.protocol.test_hearing import event, everything

CONFIG = """
hello:
  repository: acme/hello
  deploy: ./deploy.sh {env}
  environments: {staging: {}, production: {checks: [ci], allow: {users: [ana, eve]}}}
  tasks: {migrate: ./migrate.sh}
"""
NOTIFY = {"adapter": "slack", "room": "deploys", "user": "U7", "user_name": "alice"}


def from_chat(**changes: Any) -> Any:
    """As hubot-deploy asks."""
    payload = {"name": "hello", "notify": NOTIFY, **changes.pop("payload", {})}
    task, environment = changes.get("task", "deploy"), changes.setdefault("environment", "production")
    description = f"{task} on {environment} from hubot-deploy-v0.13.12"
    return event(**{"description": description, **changes, "payload": payload})


async def answered(rig: Rig, deployment_id: int = 1) -> DeploymentStatus:
    """The only status of a deployment."""
    await rig.deliver()
    (status,) = rig.provider.statuses[deployment_id]
    assert len(status.description) <= DESCRIPTION_LIMIT
    return status


async def held_by(rig: Rig, environment: str = "production") -> list[Lock]:
    found = await rig.ctx.stores.main.read(lambda tx: locks.every(tx, rig.clock[0]))
    return [one for one in found if one.environment == environment]


async def lock_app(rig: Rig, who: str, environment: str | None = None) -> None:
    async def work(tx: Any) -> None:
        app = await places.keep_app(tx, "hello")
        environment_id = (await places.keep_environment(tx, app, environment)).id if environment else None
        lock = Lock(who, "broken db", rig.clock[0], None, "hello", environment)
        await acting.lock(tx, rig.ctx, app.id, environment_id, lock)

    await rig.ctx.decide(work)


@pytest.fixture(autouse=True)
async def config(rig: Rig) -> None:
    await rig.config(CONFIG)


async def test_it_is_shown_whom_it_is_for_and_kept_where_it_was_asked(rig: Rig) -> None:
    await rig.hear(from_chat())
    (deploy,) = await everything(rig)
    assert (deploy.user, deploy.on_behalf_of) == ("ana", "alice")
    assert deploy.chat == Chat("slack", "deploys", "U7", "alice")


async def test_the_task_of_the_config_is_called_deploy_x(rig: Rig) -> None:
    await rig.hear(from_chat(task="deploy:migrate", environment="staging"))
    (deploy,) = await everything(rig)
    assert deploy.task == "migrate"
    assert (await rig.claimed())["command"] == "./migrate.sh"
    await rig.hear(from_chat(task="deploy:migrat", deployment_id=2))
    said = await answered(rig, 2)
    assert (said.state, said.description) == ("error", "There is no task migrat. Did you mean migrate?")


# Locks


async def test_lock_and_unlock_are_answered_with_a_success_that_says_who_holds_it(rig: Rig) -> None:
    assert await rig.hear(from_chat(task="deploy:lock"))
    said = await answered(rig)
    assert said.state == "success"
    assert said.description.startswith("production is locked by ana since ")
    assert said.description.endswith(": asked for in chat by alice.")
    assert said.log_url == "https://kedge.test/hello"
    await rig.hear(event(environment="production", creator="eve", deployment_id=2))
    (deploy,) = await everything(rig)
    assert deploy.blockers[0].kind == "lock"
    assert await rig.hear(from_chat(task="deploy:unlock", deployment_id=3))
    assert await answered(rig, 3) == DeploymentStatus(
        "success", "production has no lock of its own.", "https://kedge.test/hello"
    )
    assert await held_by(rig) == []
    assert (await everything(rig))[0].ready_at is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload": {"reason": " db\nmigration "}}, "db migration"),
        ({"description": "broken db"}, "broken db"),
        ({"payload": {"reason": "x" * 600}}, "x" * 500),
        ({"payload": {"reason": 7}}, "asked for in chat by alice"),
        ({"payload": {"notify": None}, "description": ""}, "no reason given"),
    ],
)
async def test_the_reason_of_a_lock(rig: Rig, changes: dict[str, Any], reason: str) -> None:
    await rig.hear(from_chat(task="deploy:lock", **changes))
    (lock,) = await held_by(rig)
    assert lock.reason == reason


async def test_a_lock_is_set_once_however_often_its_deployment_is_heard(rig: Rig) -> None:
    asked = from_chat(task="deploy:lock")
    await rig.hear(asked)
    await rig.hear(from_chat(task="deploy:unlock", deployment_id=2))
    assert await rig.hear(asked)
    assert await held_by(rig) == []
    await answered(rig)


async def test_who_may_not_deploy_there_does_not_lock_either(rig: Rig) -> None:
    await rig.hear(from_chat(task="deploy:lock", creator="mallory"))
    said = await answered(rig)
    assert (said.state, said.description) == (
        "failure",
        "mallory may not deploy to production; it takes ana and eve.",
    )
    assert await held_by(rig) == []


@pytest.mark.parametrize("task", ["deploy:lock", "deploy:unlock"])
async def test_the_lock_of_somebody_else_takes_an_admin(rig: Rig, task: str) -> None:
    await lock_app(rig, "bob", "production")
    await rig.hear(from_chat(task=task))
    said = await answered(rig)
    assert said.state == "failure" and said.description.startswith("production is locked by bob since ")
    assert [lock.who for lock in await held_by(rig)] == ["bob"]
    rig.provider.permissions["eve"] = "admin"
    await rig.hear(from_chat(task=task, creator="eve", deployment_id=2))
    assert (await answered(rig, 2)).state == "success"
    assert [lock.who for lock in await held_by(rig)] == (["eve"] if task == "deploy:lock" else [])


async def test_unlocking_says_what_holds_it_still(rig: Rig) -> None:
    await lock_app(rig, "bob")
    await rig.hear(from_chat(task="deploy:unlock"))
    said = (await answered(rig)).description
    assert said.startswith("production has no lock of its own. hello is locked by bob since ")


async def test_where_nobody_can_say_who_may_it_is_tried_again(rig: Rig) -> None:
    rig.provider.permission_problem = Unavailable("GitHub is down.")
    with pytest.raises(Unavailable):
        await rig.hear(from_chat(task="deploy:lock", environment="staging"))
    rig.provider.permission_problem = None
    await rig.hear(from_chat(task="deploy:lock", environment="staging"))
    assert len(await held_by(rig, "staging")) == 1


# Force


async def reject(rig: Rig) -> str:
    """The runner finds a red check; what the deploy shows then."""
    job = await rig.claimed()
    blockers = [{"kind": "checks", "message": "Check ci failed."}]
    checks = [{"key": "status/ci", "name": "ci", "state": "failure", "at": "2027-01-15T08:00:00Z"}]
    status, _ = await rig.hold(job, "reject", blockers=blockers, checks=checks)
    assert status == 200
    return (await everything(rig))[-1].blockers[0].message


async def test_a_deploy_whose_force_cannot_be_seen_is_gated_and_says_how_to_force_it(rig: Rig) -> None:
    """hubot-deploy's ``!`` sends auto_merge and required_contexts, which no event shows."""
    await rig.hear(from_chat())
    (deploy,) = await everything(rig)
    await rig.hold(await rig.claimed())
    waiting = await rig.get(deploy)
    assert waiting.blockers[0].message == "Waiting for check ci. To force it: kedge force hello 1."
    await rig.pass_s(90)
    command = "kedge deploy hello --env production --sha aaaaaaa --force checks"
    assert await reject(rig) == f"Check ci failed. To force it: {command}."
    await rig.deliver()
    assert command in rig.provider.statuses[1][-1].description


async def test_a_lock_says_in_chat_how_to_pass_it(rig: Rig) -> None:
    await lock_app(rig, "bob", "production")
    await rig.hear(from_chat())
    (deploy,) = await everything(rig)
    assert deploy.blockers[0].message.endswith(": broken db. To force it: kedge force hello 1 --past lock.")


@pytest.mark.parametrize("force", [True, "true", "checks", "all"])
async def test_force_in_the_payload_passes_the_checks(rig: Rig, force: object) -> None:
    await rig.hear(from_chat(payload={"force": force}))
    (deploy,) = await everything(rig)
    assert (deploy.forced_by, sorted(deploy.forced)) == ("ana", ["all" if force == "all" else "checks"])
    job = await rig.claimed()
    assert (job["forced"], job["forced_by"]) == (sorted(deploy.forced), "ana")


@pytest.mark.parametrize("force", [None, False, "false", ""])
async def test_nothing_is_forced_where_nobody_says_so(rig: Rig, force: object) -> None:
    await rig.hear(from_chat(payload={"force": force}))
    (deploy,) = await everything(rig)
    assert (deploy.forced_by, deploy.forced) == (None, frozenset())


async def test_what_is_to_be_forced_must_be_one_of_three_words(rig: Rig) -> None:
    await rig.hear(from_chat(payload={"force": ["lock"]}))
    said = await answered(rig)
    assert (said.state, said.description) == ("error", "force must be checks, lock or all.")


async def test_force_is_of_no_use_to_who_may_not_deploy(rig: Rig) -> None:
    await lock_app(rig, "bob", "production")
    rig.provider.permissions["mallory"] = "admin"
    await rig.hear(from_chat(creator="mallory", payload={"force": "all"}))
    (deploy,) = await everything(rig)
    assert (deploy.state, deploy.blockers[0].kind) == ("rejected", "permission")
    assert [lock.who for lock in await held_by(rig)] == ["bob"]


async def test_refs_bind_who_forces_too(rig: Rig) -> None:
    await rig.config("hello: {repository: acme/hello, deploy: ./d, refs: [main], environments: [production]}")
    rig.provider.reachable_from = False
    await rig.hear(from_chat(payload={"force": "all"}))
    (deploy,) = await everything(rig)
    assert (deploy.state, deploy.blockers[0].kind) == ("rejected", "ref")


@pytest.mark.parametrize(
    ("who", "force", "passes"), [("ana", "lock", True), ("eve", "all", False), ("zoe", "all", True)]
)
async def test_locks_are_taken_over_by_who_may(rig: Rig, who: str, force: str, passes: bool) -> None:
    """ana's own; eve may deploy and is no admin; zoe is."""
    await rig.config("hello: {repository: acme/hello, deploy: ./d, environments: [production]}")
    rig.provider.permissions["zoe"] = "admin"
    await lock_app(rig, "ana", "production")
    await rig.hear(from_chat(creator=who, payload={"force": force}))
    (deploy,) = await everything(rig)
    assert [lock.who for lock in await held_by(rig)] == [who if passes else "ana"]
    assert ((await rig.claim())[0] == 200) is passes
    if not passes:
        assert deploy.blockers[0].message.endswith(
            ": broken db. Taking it over takes admin permission on the repository, or the scope admin."
        )


async def test_of_several_locks_all_or_none_are_taken_over(rig: Rig) -> None:
    await lock_app(rig, "ana", "production")
    await lock_app(rig, "bob")
    await rig.hear(from_chat(payload={"force": "lock"}))
    found = await rig.ctx.stores.main.read(lambda tx: locks.every(tx, rig.clock[0]))
    assert [(lock.who, lock.environment) for lock in found] == [("ana", "production"), ("bob", None)]


async def test_the_repository_is_that_of_the_event(rig: Rig) -> None:
    await rig.hear(from_chat(task="deploy:lock"))
    bound = await rig.ctx.stores.main.read(lambda tx: places.repository_of_app(tx, "hello"))
    assert bound is not None and bound.id == REPOSITORY.id

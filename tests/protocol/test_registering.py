"""Deploys from Kedge's own doors: one deployment at the provider each, whoever tells of it first."""

from typing import Any

import pytest

from ghapp.core.actors import ADMIN
from ghapp.core.remote import NotFound, Refused, Unavailable
from ghapp.core.values import Door
from ghapp.service import requesting
from ghapp.store.deploys import Deploy
from ghapp.vcs.events import DeploymentEvent, InactiveEvent
from tests.protocol.rig import REPOSITORY, SHA, Rig


async def asked(rig: Rig, **wish: Any) -> Deploy:
    return await requesting.request(
        rig.ctx, ADMIN, "hello", requesting.Wish(environment="staging", door=Door.API, **wish)
    )


def webhook(deploy: Deploy, creator: str, deployment_id: int = 1000) -> DeploymentEvent:
    return DeploymentEvent(
        repository=REPOSITORY,
        installation_id=5,
        deployment_id=deployment_id,
        sha=SHA,
        ref=SHA,
        task="deploy",
        environment="staging",
        creator=creator,
        creator_is_person=False,
        created_at=1_800_000_200_000,
        payload={"kedge": {"request": deploy.request}},
        request=deploy.request,
    )


async def test_it_cannot_be_claimed_before_it_is_registered_and_can_afterwards(rig: Rig) -> None:
    deploy = await asked(rig)
    assert [blocker.kind for blocker in deploy.blockers] == ["registering"]
    assert (await rig.claim())[0] == 204
    await rig.deliver()
    bound = await rig.get(deploy)
    assert (bound.deployment_id, bound.registering, bound.asked_at) == (1000, 0, 1_800_000_200_000)
    assert (await rig.claimed())["deployment_id"] == 1000


@pytest.mark.parametrize("answer_first", [True, False])
async def test_the_webhook_and_the_answer_bind_the_same_deploy(rig: Rig, answer_first: bool) -> None:
    deploy = await asked(rig)
    if answer_first:
        await rig.deliver()
    assert await rig.hear(webhook(deploy, "kedge[bot]"))
    await rig.deliver()
    assert (await rig.get(deploy)).deployment_id == 1000
    assert len(rig.provider.registered) == (1 if answer_first else 0)


async def test_a_deployment_of_somebody_else_is_never_bound(rig: Rig) -> None:
    deploy = await asked(rig)
    assert not await rig.hear(webhook(deploy, "evil[bot]", 666))
    assert (await rig.get(deploy)).deployment_id is None


async def test_a_lost_answer_is_looked_for_before_it_is_repeated(rig: Rig) -> None:
    rig.provider.lost.append(Unavailable("no answer"))
    deploy = await asked(rig)
    await rig.deliver()
    await rig.pass_s(5)
    await rig.deliver()
    assert (await rig.get(deploy)).deployment_id == 1000
    assert len(rig.provider.registered) == 1


async def test_a_refusal_ends_the_deploy_with_the_reason(rig: Rig) -> None:
    rig.provider.refusals.append(Refused("Validation Failed", status=422))
    deploy = await asked(rig)
    await rig.deliver()
    ended = await rig.get(deploy)
    assert ended.state == "errored"
    assert "Validation Failed" in ended.reason


async def test_cancelled_before_it_was_registered_it_is_never_created(rig: Rig) -> None:
    deploy = await rig.cancel(await asked(rig))
    await rig.deliver()
    assert deploy.state == "cancelled"
    assert rig.provider.registered == {}


async def test_cancelled_while_the_answer_was_lost_the_provider_shows_it(rig: Rig) -> None:
    rig.provider.lost.append(Unavailable("no answer"))
    deploy = await asked(rig)
    await rig.deliver()
    await rig.cancel(deploy)
    await rig.pass_s(5)
    await rig.deliver()
    bound = await rig.get(deploy)
    assert (bound.state, bound.deployment_id) == ("cancelled", 1000)
    assert rig.shown(bound) == ["error"]


async def test_a_waiting_deploy_whose_deployment_is_deleted_is_cancelled(rig: Rig) -> None:
    rig.provider.refusals.append(NotFound("Not Found", status=404))
    deploy = await rig.deployment()
    await rig.deliver()
    ended = await rig.get(deploy)
    assert (ended.state, ended.reason) == ("cancelled", "its deployment was deleted at the provider")


async def test_a_waiting_deploy_made_inactive_is_cancelled_and_a_running_one_goes_on(rig: Rig) -> None:
    running, _job = await rig.started()
    waiting = await rig.deployment()
    for one in (running, waiting):
        await rig.hear(InactiveEvent(REPOSITORY, one.deployment_id or 0, "ana"))
    assert ((await rig.get(running)).state, (await rig.get(waiting)).state) == ("running", "cancelled")

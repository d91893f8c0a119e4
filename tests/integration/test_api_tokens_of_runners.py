"""Runners with tokens of their own, which wish for more than those grant."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ghapp import wire
from ghapp.store import deploys
from ghapp.store.base import Tx
from ghapp.store.stores import Stores
from tests.integration.kedge_world import World
from tests.integration.token_calls import RUNNER, call, claim, make, pushing


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with pushing(stores) as made:
        yield made


@pytest.mark.parametrize(
    ("granted", "wish", "app", "environment", "taken"),
    [
        ({}, {}, "shop", "staging", True),
        ({"apps": ["shop"]}, {}, "shop", "staging", True),
        ({"apps": ["blog"]}, {}, "shop", "staging", False),
        ({"apps": ["blog"]}, {"apps": ["shop", "blog"]}, "shop", "staging", False),
        ({"apps": ["shop", "blog"]}, {"apps": ["blog"]}, "shop", "staging", False),
        ({"apps": ["acme/shop"]}, {"apps": ["shop"]}, "shop", "staging", True),
        ({"apps": ["shop"]}, {"apps": ["Acme/Shop"]}, "shop", "staging", True),
        ({"environments": ["staging"]}, {}, "shop", "staging", True),
        ({"environments": ["staging"]}, {"apps": ["shop"]}, "shop", "production", False),
        ({"apps": ["shop"], "environments": ["production"]}, {}, "shop", "staging", False),
    ],
)
async def test_a_runner_takes_what_its_token_grants_whatever_it_wishes(
    kedge: World, granted: dict[str, object], wish: dict[str, object], app: str, environment: str, taken: bool
) -> None:
    given = await make(kedge, "runner", **granted)
    await kedge.ask(app=app, environment=environment)
    answer = await claim(kedge, given["token"], **wish)
    assert answer.status == (200 if taken else 204), await answer.text()
    assert (await claim(kedge, RUNNER)).status == (204 if taken else 200)


@pytest.mark.parametrize(
    ("granted", "wished", "taken"),
    [
        ({"labels": ["eu"]}, ["prod", "eu"], False),
        ({"labels": ["prod"]}, [], True),
        ({"labels": ["prod", "eu"]}, ["prod"], True),
        ({}, ["prod"], True),
        ({}, [], False),
    ],
)
async def test_labels_are_those_of_the_token(
    kedge: World, granted: dict[str, object], wished: list[str], taken: bool
) -> None:
    config = kedge.ctx.apps.configs["shop"].environment("production")
    assert config
    await kedge.ask(config=replace(config, runner=("prod",)))
    given = await make(kedge, "runner", **granted)
    answer = await claim(kedge, given["token"], labels=wished)
    assert answer.status == (200 if taken else 204)
    shown = await (await call(kedge, "GET", "/api/0/shop/deploys/1")).json()
    assert shown["state"] == ("claimed" if taken else "queued")
    assert taken or "No runner with label prod" in shown["blockers"][0]["message"]


async def test_what_a_repository_defines_is_taken_by_who_names_the_repository_only(
    kedge: World, stores: Stores
) -> None:
    deploy = await kedge.ask()

    async def defined_by_the_repository(tx: Tx) -> None:
        await deploys.save(tx, deploy.id, defined_in="repository")
        await tx.run("UPDATE apps SET defined_by = :id WHERE name = 'shop'", id=deploy.repository_id)

    await stores.main.write(defined_by_the_repository)
    for wish in ({}, {"apps": ["shop"]}):
        assert (await claim(kedge, RUNNER, **wish)).status == 204
    narrowed = await make(kedge, "runner", apps=["shop"])
    assert (await claim(kedge, narrowed["token"], apps=["acme/shop"])).status == 204
    assert (await claim(kedge, RUNNER, apps=["acme/shop"])).status == 200


async def test_a_claim_is_answered_again_to_the_token_that_made_it_only(kedge: World) -> None:
    one, other = await make(kedge, "runner"), await make(kedge, "runner", apps=["blog"])
    await kedge.ask()
    job = await (await claim(kedge, one["token"], claim_id="c1")).json()
    again = await (await claim(kedge, one["token"], claim_id="c1")).json()
    assert again["lease"] == job["lease"]
    for token in (other["token"], RUNNER):
        answer = await claim(kedge, token, claim_id="c1")
        assert answer.status == 409 and (await answer.json())["error"]["code"] == "claim_over"


async def test_a_revoked_runner_claims_nothing_and_ends_what_it_runs(kedge: World) -> None:
    given = await make(kedge, "runner")
    await kedge.ask()
    job = await (await claim(kedge, given["token"])).json()
    await call(kedge, "DELETE", f"/api/0/tokens/{given['id']}")
    assert (await claim(kedge, given["token"])).status == 401
    path = wire.DEPLOY_PATH.format(id=job["id"], call="beat")
    assert (await call(kedge, "POST", path, job["lease"], {"phase": "gating", "wait_s": 0})).status == 200

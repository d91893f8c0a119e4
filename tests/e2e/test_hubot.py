"""Hubot: a real one of today deploys, locks and asks why; the requests of the old hubot-deploy work as they are."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ghapp.sandbox.children import free_port
from tests.e2e.hosts import REPOSITORY
from tests.e2e.hubot import ROOT, Hubot, node, running, settings_of
from tests.e2e.rig import HELD, World


def test_what_is_understood_of_what_people_type() -> None:
    done = subprocess.run(
        [node(), "--test", "tests/hubot/grammar.test.mjs"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
async def hubot(small: World) -> AsyncIterator[Hubot]:
    async with running(small.folder / "hubot", await settings_of(small)) as made:
        yield made


async def test_a_real_hubot_deploys_locks_and_asks_why(small: World, hubot: Hubot) -> None:
    small.script(HELD)
    sha = small.github.sha(REPOSITORY)[:7]
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    assert await hubot.told("deploys hello") == "hello has not been deployed yet. Start with “deploy hello”."

    said = await hubot.told("deploy hello to staging")
    assert said.startswith(f"hello#1: main ({sha}) to staging by hubot for alice "), said
    assert said.endswith(f"{small.url}/hello/deploys/1")
    (deployment,) = small.github.deployments(REPOSITORY)
    assert (deployment.creator.login, deployment.task) == ("hubot", "deploy")
    assert (await small.number(1))["chat"]["room"] == "Shell"
    small.go()
    assert (await small.ended(1))["state"] == "succeeded"

    said = await hubot.told("lock hello production for 2h: db migration")
    assert said.startswith("production is locked by hubot since ") and " until " in said
    assert said.endswith(": db migration (alice). To release it: unlock hello production")
    waits = f"hello#2: main ({sha}) to production by hubot for alice waits. production is locked by hubot since "
    said = await hubot.told("deploy hello/main to production")
    assert said.startswith(waits) and "To force it: kedge force hello 2 --past lock." in said, said
    assert (await hubot.told("why hello in production")) == (await hubot.told("why hello#2")) == said
    assert (await hubot.told("queue hello in production")).startswith(f"1. {waits}")
    (head, staging, production) = (await hubot.told("where can i deploy hello?")).splitlines()
    assert head == "hello (acme/hello):"
    assert staging.startswith(f"staging: main ({sha}) is live since ")
    assert production.startswith("production: nothing is live, 1 in line. production is locked by hubot since ")
    assert await hubot.told("unlock hello production") == "production of hello is unlocked."
    assert (await small.ended(2))["state"] == "succeeded"
    newest, first = (await hubot.told("deploys hello")).splitlines()
    assert newest.startswith("hello#2: ") and " succeeded " in newest and first.startswith("hello#1: ")


async def test_a_real_hubot_forces_checks_and_says_what_is_wrong_and_what_to_do(small: World, hubot: Hubot) -> None:
    small.github.set_status(REPOSITORY, "main", "ci", "failure")
    sha = small.github.sha(REPOSITORY)
    await hubot.told("deploy hello")
    await small.ended(1)
    again = f"To force it: kedge deploy hello --env production --sha {sha[:7]} --force checks."
    assert f": Check ci failed. {again}" in await hubot.told("why hello#1")
    await hubot.told("deploy! hello")
    forced = await small.ended(2)
    assert (forced["state"], forced["forced_by"], forced["forced"]) == ("succeeded", "hubot", ["checks"])
    for text, words in {
        "deploy helo": "There is no app helo. Did you mean hello?",
        "deploy hello to moon": "There is no environment moon of hello. There is: staging, production.",
        "deploy hello/nope to staging": "GitHub refused: No ref found for: nope",
        "deploy:migrate hello to staging": "hello: main to staging: There is no task migrate. There is: deploy.",
        "deploy hello main staging": "Say it like this: deploy[:task][!] app[/ref] [to env[/hosts]]",
        "unlock hello staging": "There is no lock on staging of hello.",
        "why hello#99": "hello has no deploy 99. Its newest is hello#2.",
        "why hello in staging": "Nothing runs or waits for staging of hello. staging: nothing is live.",
    }.items():
        assert await hubot.told(text) == words


async def test_a_real_hubot_without_what_it_needs_says_what_to_set(small: World) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    good = await settings_of(small)

    async def with_wrong(text: str, **settings: str) -> str:
        folder = small.folder / "-".join(["hubot", *settings, text.split(maxsplit=1)[0]])
        async with running(folder, {**good, **settings}) as one:
            return await one.told(text)

    unset, wrong, refused, away, unsure, broken = await asyncio.gather(
        with_wrong("queue hello", KEDGE_URL=" "),
        with_wrong("queue hello", KEDGE_TOKEN="wrong"),
        with_wrong("deploy hello", HUBOT_GITHUB_TOKEN="no-good"),
        with_wrong("deploys hello", KEDGE_URL=nowhere),
        with_wrong("deploy hello/main to staging", GITHUB_API_URL=f"{nowhere}/api"),
        with_wrong("why hello", KEDGE_TOKEN="pasted\ntwice"),
    )
    assert unset == "Hubot lacks the setting KEDGE_URL: set it to Kedge's address, and start Hubot again."
    assert "kedge token create" in wrong
    assert "GitHub does not accept HUBOT_GITHUB_TOKEN" in refused
    assert away == f"Kedge cannot be reached at {nowhere} (ECONNREFUSED)."
    assert "[secret]" in broken and "pasted" not in broken, "what HTTP does not carry is no news for the room"
    assert unsure.startswith("GitHub cannot be reached at ") and "look with “deploys hello”" in unsure


# hubot-deploy, as it was: https://github.com/atmos/hubot-deploy


def recorded(task: str = "deploy", environment: str = "production", force: bool = False) -> dict[str, Any]:
    """The body that hubot-deploy 0.13 posts for ``hubot deploy! hello/main to production/web1``."""
    return {
        "ref": "main",
        "task": task,
        "force": force,
        "auto_merge": not force,
        "environment": environment,
        "required_contexts": [] if force else None,
        "description": f"{task} on {environment} from hubot-deploy-v0.13.12",
        "payload": {
            "name": "hello-world",
            "robotName": "hubot",
            "hosts": "web1",
            "notify": {"adapter": "slack", "room": "deploys", "user": "U024BE7LH", "user_name": "alice"},
            "config": {"provider": "capistrano", "repository": REPOSITORY, "environments": ["staging", "production"]},
        },
    }


async def post(world: World, body: dict[str, Any]) -> int:
    """Post it as hubot-deploy's HTTP client does; the id of the deployment."""
    world.github.set_permission(REPOSITORY, "hubot", "write")
    headers = {
        "Authorization": f"token {world.github.personal_token('hubot')}",
        "Accept": "application/vnd.github.ant-man-preview+json",
        "User-Agent": "octonode/0.3 (https://github.com/pksunkara/octonode) terminal/0.0",
    }
    url = f"{world.github.api_url}/repos/{REPOSITORY}/deployments"
    async with world.session.post(url, json=body, headers=headers) as response:
        assert response.status == 201, await response.text()
        return int((await response.json())["id"])


def description(world: World, deployment_id: int) -> str:
    return world.github.statuses(deployment_id)[-1].description


async def test_the_requests_of_hubot_deploy_work_as_they_are(small: World) -> None:
    small.script('echo "$KEDGE_TASK at $KEDGE_HOSTS for $KEDGE_USER"\n')
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    deployment = await post(small, recorded())
    assert (await small.shows(deployment, "success", "failure", "error"))[-1] == "success"
    assert (await small.log(1)).endswith("deploy at web1 for hubot\n")
    assert "by hubot for alice" in await small.page(f"{small.url}/hello/deploys/1")

    locked = await post(small, recorded("deploy:lock"))
    assert await small.shows(locked, "success", "failure", "error") == ["success"]
    assert description(small, locked).startswith("production is locked by hubot since ")
    held = await post(small, recorded())
    await small.blocked(2, "production is locked by hubot", "asked for in chat by alice")
    unlocked = await post(small, recorded("deploy:unlock"))
    assert await small.shows(unlocked, "success", "failure", "error") == ["success"]
    await small.shows(held, "success")

    small.github.set_status(REPOSITORY, "main", "ci", "failure")
    forced = await post(small, recorded(force=True))
    await small.shows(forced, "failure")
    said = description(small, forced)
    assert said.startswith("Rejected: Check ci failed. To force it: kedge deploy hello --env production --sha "), said

    encrypted = await post(small, {**recorded(), "required_contexts": [], "payload": "gAAAAAAdwJ6w" + "x" * 200})
    assert await small.shows(encrypted, "error") == ["error"]
    assert "HUBOT_DEPLOY_ENCRYPT_PAYLOAD" in description(small, encrypted)

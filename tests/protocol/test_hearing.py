"""What GitHub tells: which deployments are work, which are answered with an error, and which are left alone."""

from dataclasses import replace
from typing import Any

import pytest

from ghapp.core.remote import Unavailable
from ghapp.core.values import DESCRIPTION_LIMIT, Door, Repository
from ghapp.service import asking
from ghapp.store import deploys, places
from ghapp.store.deploys import Deploy
from ghapp.vcs.events import DeploymentEvent, InstallationEvent
from tests.protocol.rig import REPOSITORY, SHA, Rig

SEVERAL = """
web:
  repository: acme/hello
  deploy: ./web.sh {env}
  environments: {staging: {aliases: [stg]}, production: {}}
  tasks: {migrate: ./migrate.sh}
jobs:
  repository: acme/hello
  deploy: ./jobs.sh {env}
  environments: {staging: {}, production: {}}
"""
LIMITED = """
hello:
  repository: acme/hello
  deploy: ./d
  environments:
    staging: {allow: {users: [ana, "dependabot[bot]"]}}
    production: {refs: [main]}
    bots: {allow: {users: ["deployer[bot]"]}}
"""


def event(**changes: Any) -> DeploymentEvent:
    values: dict[str, Any] = {
        "repository": REPOSITORY,
        "installation_id": 5,
        "deployment_id": 1,
        "sha": SHA,
        "ref": "main",
        "task": "deploy",
        "environment": "staging",
        "creator": "ana",
        "creator_is_person": True,
        "created_at": 1_800_000_000_000,
    }
    return DeploymentEvent(**{**values, **changes})


async def everything(rig: Rig) -> list[Deploy]:
    async def find(tx: Any) -> list[Deploy]:
        rows = await tx.all("SELECT id FROM deploys ORDER BY id")
        return [deploy for row in rows if (deploy := await deploys.get(tx, row["id"]))]

    return await rig.ctx.stores.main.read(find)


async def answered(rig: Rig, deployment_id: int = 1) -> str:
    """The description of the only status a deployment got, an error."""
    await rig.deliver()
    (status,) = rig.provider.statuses[deployment_id]
    assert status.state == "error"
    assert len(status.description) <= DESCRIPTION_LIMIT
    return status.description


async def test_the_same_deployment_heard_twice_is_one_deploy(rig: Rig) -> None:
    """The trace: GitHub delivers again under another id, and the command runs twice."""
    assert await rig.hear(event())
    assert await rig.hear(event())
    assert len(await everything(rig)) == 1
    await rig.deliver()
    assert [status.state for status in rig.provider.statuses[1]] == ["queued"]


async def test_deployments_of_others_are_left_alone(rig: Rig) -> None:
    """Vercel's, Actions' own, repositories without an app: history, never a status."""
    others = [
        event(creator="vercel[bot]", creator_is_person=False),
        event(creator="github-actions[bot]", creator_is_person=False, environment="Preview"),
        event(repository=Repository(8, "acme/unknown", "https://github.test/acme/unknown.git")),
    ]
    for each in others:
        assert await rig.hear(each) is False
    await rig.deliver()
    assert (await everything(rig), rig.provider.statuses) == ([], {})


async def test_a_bot_that_the_app_names_is_heard_where_it_is_named(rig: Rig) -> None:
    await rig.config(LIMITED)
    bot = {"creator": "deployer[bot]", "creator_is_person": False}
    rig.provider.permissions["deployer[bot]"] = "none"
    await rig.hear(event(environment="bots", **bot))
    await rig.hear(event(environment="staging", deployment_id=2, **bot))
    first, second = await everything(rig)
    assert (first.state, second.state) == ("queued", "rejected")


async def test_bots_add_to_whoever_may_and_persons_replace_them(rig: Rig) -> None:
    await rig.config(LIMITED)
    for number, (environment, creator) in enumerate([("bots", "eve"), ("staging", "eve"), ("staging", "ANA")], 1):
        await rig.hear(event(environment=environment, creator=creator, deployment_id=number))
    assert [deploy.state for deploy in await everything(rig)] == ["queued", "rejected", "queued"]


@pytest.mark.parametrize(
    ("permission", "state"),
    [("admin", "queued"), ("maintain", "queued"), ("write", "queued"), ("triage", "rejected"), ("none", "rejected")],
)
async def test_who_may_push_may_deploy(rig: Rig, permission: str, state: str) -> None:
    rig.provider.permissions["eve"] = permission
    await rig.hear(event(creator="eve"))
    (deploy,) = await everything(rig)
    assert deploy.state == state
    if state == "rejected":
        await rig.deliver()
        (status,) = rig.provider.statuses[1]
        assert status.state == "failure"
        assert status.description.startswith("Rejected: eve may not deploy to staging;")
        assert (await rig.claim())[0] == 204


async def test_who_is_shown_in_the_payload_decides_nothing(rig: Rig) -> None:
    """The trace: a chat bot's payload names an admin, and a stranger deploys as that admin."""
    rig.provider.permissions["eve"] = "read"
    await rig.hear(event(creator="eve", payload={"notify": {"user_name": "ana", "user": "ana"}}))
    (deploy,) = await everything(rig)
    assert (deploy.state, deploy.user, deploy.on_behalf_of) == ("rejected", "eve", "ana")


async def test_a_commit_from_elsewhere_is_rejected(rig: Rig) -> None:
    await rig.config(LIMITED)
    rig.provider.reachable_from = False
    await rig.hear(event(environment="production"))
    (deploy,) = await everything(rig)
    said = "aaaaaaa is not on main; production takes commits from there only."
    assert (deploy.state, deploy.reason) == ("rejected", said)


async def test_a_provider_that_cannot_be_asked_is_asked_again_later(rig: Rig) -> None:
    """Fail closed, and lose nothing: the delivery stays in the inbox."""
    rig.provider.permission_problem = Unavailable("down")
    with pytest.raises(Unavailable):
        await rig.hear(event())
    assert await everything(rig) == []
    rig.provider.permission_problem = None
    assert await rig.hear(event())
    assert len(await everything(rig)) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"environment": "stagin"}, "There is no environment stagin. Did you mean staging?"),
        ({"environment": "moon"}, "There is no environment moon. There is: staging and production."),
        ({"task": "migrat"}, "There is no task migrat. There is: deploy."),
        ({"problem": "The payload is text that is no JSON."}, "The payload is text that is no JSON."),
    ],
)
async def test_what_cannot_be_done_is_answered_with_the_nearest_names(
    rig: Rig, wrong: dict[str, Any], said: str
) -> None:
    """The trace: a typo, and nothing happens for ever."""
    assert await rig.hear(event(**wrong))
    assert await answered(rig) == said
    assert await everything(rig) == []


async def test_what_cannot_be_done_and_is_heard_twice_is_answered_once(rig: Rig) -> None:
    await rig.hear(event(environment="moon"))
    await rig.hear(event(environment="moon"))
    await answered(rig)
    await rig.hear(event(environment="moon"))
    await answered(rig)


async def test_environments_go_by_their_aliases_and_in_any_case(rig: Rig) -> None:
    await rig.config(SEVERAL)
    for number, environment in enumerate(("stg", "STAGING", "Stg"), 1):
        await rig.hear(event(environment=environment, deployment_id=number, payload={"app": "web"}))
    assert {deploy.environment for deploy in await everything(rig)} == {"staging"}


@pytest.mark.parametrize("key", ["app", "name"])
async def test_one_of_several_apps_in_a_repository(rig: Rig, key: str) -> None:
    await rig.config(SEVERAL)
    await rig.hear(event(payload={key: "jobs"}))
    await rig.hear(event(payload={key: "web"}, deployment_id=2))
    jobs_app, web = await everything(rig)
    assert ([jobs_app.name, web.name], jobs_app.environment_id != web.environment_id) == (["jobs#1", "web#1"], True)
    jobs = {(await rig.claimed())["command"] for _ in (jobs_app, web)}
    assert jobs == {"./jobs.sh staging", "./web.sh staging"}, "each in its own environment, beside each other"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "acme/hello has several apps: say which in payload.app (web and jobs)."),
        ({"app": 7}, "acme/hello has several apps: say which in payload.app (web and jobs)."),
        ({"app": "wbe"}, "acme/hello has no app wbe. Did you mean web?"),
    ],
)
async def test_which_of_several_apps_must_be_said(rig: Rig, payload: dict[str, object], said: str) -> None:
    await rig.config(SEVERAL)
    await rig.hear(event(payload=payload))
    assert await answered(rig) == said


async def test_of_one_app_the_name_that_chat_sends_need_not_fit_but_the_app_must(rig: Rig) -> None:
    """hubot-deploy sends the name that its own config has for it."""
    await rig.hear(event(payload={"name": "greeter"}))
    assert len(await everything(rig)) == 1
    await rig.hear(event(payload={"app": "greeter"}, deployment_id=2))
    assert await answered(rig, 2) == "acme/hello has no app greeter. There is: hello."


@pytest.mark.parametrize("hosts", ["web1; rm -rf /", "$(id)", "-oProxyCommand=id", "a b", "web1\nweb2"])
async def test_hosts_that_a_shell_could_run_are_refused(rig: Rig, hosts: str) -> None:
    await rig.config("hello: {repository: acme/hello, deploy: 'fab -H {hosts} deploy', environments: {staging: {}}}")
    await rig.hear(event(payload={"hosts": hosts}))
    (deploy,) = await everything(rig)
    assert (deploy.state, deploy.blockers[0].kind) == ("rejected", "config")
    assert (await rig.claim())[0] == 204


async def test_a_ref_that_a_shell_could_run_is_handed_on_as_its_sha(rig: Rig) -> None:
    await rig.config("hello: {repository: acme/hello, deploy: 'ship {ref}', environments: {staging: {}}}")
    await rig.hear(event(ref="x;touch pwned"))
    job = await rig.claimed()
    assert job["command"] == f"ship {SHA}"
    assert job["ref"] == "x;touch pwned"


async def test_the_config_in_force_when_it_was_asked_for_is_what_runs(rig: Rig) -> None:
    await rig.hear(event())
    await rig.config("hello: {repository: acme/hello, deploy: ./other.sh, environments: {staging: {}}}")
    assert (await rig.claimed())["command"] == f"./deploy.sh staging {SHA}"


async def test_numbers_count_per_app(rig: Rig) -> None:
    await rig.config(SEVERAL)
    for number, app in enumerate(("web", "web", "jobs", "web"), 1):
        await rig.hear(event(payload={"app": app}, deployment_id=number))
    assert [deploy.name for deploy in await everything(rig)] == ["web#1", "web#2", "jobs#1", "web#3"]


async def test_a_renamed_repository_keeps_its_history(rig: Rig) -> None:
    """Repositories are kept by the provider's id."""
    await rig.hear(event())
    renamed = replace(REPOSITORY, full_name="acme/greeter", clone_url="https://github.test/acme/greeter.git")
    await rig.hear(event(repository=renamed, deployment_id=2))
    await rig.hear(event(repository=renamed))
    first, second = await everything(rig)
    assert first.environment_id == second.environment_id
    assert first.repository_id == second.repository_id
    assert {first.repository, second.repository} == {"acme/greeter"}
    job = await rig.claimed()
    assert job["repository"]["full_name"] == "acme/greeter"
    assert job["repository"]["clone_url"] == "https://github.test/acme/greeter.git"


async def test_an_account_that_is_called_like_the_operator_may_nothing(rig: Rig) -> None:
    rig.provider.permissions["Admin"] = "admin"
    await rig.hear(event(creator="Admin"))
    assert [(one.state, one.blockers[0].kind) for one in await everything(rig)] == [("rejected", "permission")]


@pytest.mark.parametrize("meanwhile", ["", "other: {deploy: ./d}"])
async def test_an_app_that_moves_leaves_its_repository(rig: Rig, meanwhile: str) -> None:
    """Who may push there has no business with it any more, with its secrets least of all."""
    await rig.hear(event())
    if meanwhile:
        await rig.config(meanwhile)
    await rig.config("hello: {repository: acme/moved, deploy: ./d, environments: {staging: {}}}")
    assert await rig.hear(event(deployment_id=2)) is False
    moved = Repository(9, "acme/moved", "https://github.test/acme/moved.git", "main")
    assert await rig.hear(event(repository=moved, deployment_id=3))
    assert [deploy.repository for deploy in await everything(rig)] == ["acme/hello", "acme/moved"]


async def test_an_app_without_a_repository_is_the_only_installed_one_of_its_name(rig: Rig) -> None:
    await rig.config("hello: {deploy: ./d, environments: {staging: {}}}")
    assert await rig.hear(event(repository=Repository(9, "evil/hello", "https://github.test/evil/hello.git"))) is False
    assert await rig.hear(event())
    assert len(await everything(rig)) == 1


async def test_installations_are_remembered_and_forgotten(rig: Rig) -> None:
    await rig.hear(event())

    async def installation() -> object:
        row = await rig.ctx.stores.main.read(lambda tx: tx.one("SELECT installation_id FROM repositories"))
        return row and row["installation_id"]

    assert await installation() == 5
    await rig.hear(InstallationEvent(6, "acme", added=((REPOSITORY.id, REPOSITORY.full_name),)))
    assert await installation() == 6
    await rig.hear(InstallationEvent(6, "acme", removed=(REPOSITORY.id,)))
    assert await installation() is None


async def test_asking_twice_with_one_request_is_a_conflict_of_the_store(rig: Rig) -> None:
    """What saves it where two transactions hear of one deployment at once."""
    deploy = await rig.deployment()

    async def again(tx: Any) -> Deploy:
        environment = places.Environment(deploy.environment_id, deploy.app_id, deploy.app, deploy.environment)
        request = asking.Request(
            request=deploy.request,
            config=deploy.config,
            repository_id=deploy.repository_id,
            door=Door.DEPLOYMENT,
            task="deploy",
            ref="main",
            sha=SHA,
            user="ana",
            asked_at=1,
        )
        return await asking.ask(tx, rig.ctx, environment, request)

    with pytest.raises(Exception, match="already has a row"):
        await rig.ctx.decide(again)
    assert await everything(rig) == [deploy]

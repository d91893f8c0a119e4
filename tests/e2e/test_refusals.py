"""What is asked for and cannot be: every answer is a sentence at GitHub, none is silence."""

import pytest

from ghapp.sandbox import deployments
from tests.e2e.hosts import REPOSITORY
from tests.e2e.rig import HELD, World


async def _answered(world: World, deployment: int, state: str, *words: str) -> str:
    """GitHub shows this state with these words; the description."""
    await world.shows(deployment, state)
    status = world.github.statuses(deployment)[-1]
    for word in words:
        assert word in status.description
    assert status.log_url.startswith(world.url)
    return status.description


@pytest.mark.parametrize(("status", "word"), [(500, "could not be reached"), (403, "refused the credentials")])
async def test_a_failing_clone_is_an_error_with_a_sentence_and_details(small: World, status: int, word: str) -> None:
    small.script(HELD)
    small.github.faults.answer("*", r"/acme/hello\.git/.*", status, times=None)
    deployment = small.deploy()
    deploy = await small.ended(1)
    assert deploy["state"] == "errored" and word in deploy["reason"]
    assert "\n" not in deploy["reason"]
    log = await small.log(1)
    assert word in log and str(status) in log
    await _answered(small, deployment, "error", word)
    assert small.executed == []
    small.github.faults.clear()
    small.go()
    again = small.deploy()
    assert (await small.ended(2))["state"] == "succeeded"
    await small.shows(again, "success")


async def test_an_unknown_environment_is_answered_with_the_nearest_name(small: World) -> None:
    deployment = small.deploy("stagging")
    said = await _answered(small, deployment, "error", "stagging")
    assert "Did you mean staging?" in said
    assert await small.deploys() == []


async def test_an_unknown_task_is_answered_with_the_names_there_are(small: World) -> None:
    deployment = small.deploy(task="migrate")
    await _answered(small, deployment, "error", "migrate", "deploy")
    assert await small.deploys() == []


async def test_aliases_and_case_do_not_matter(quiet: World) -> None:
    quiet.config(
        'hello: {{repository: acme/hello, deploy: "sh ./deploy.sh {{env}} {{sha}}", checks: [],'
        " environments: {{staging: {{aliases: [stg]}}}}}}\n"
    )
    await quiet.start()
    for number, name in enumerate(("STG", "Staging"), 1):
        quiet.deploy(name)
        deploy = await quiet.ended(number)
        assert (deploy["state"], deploy["environment"]) == ("succeeded", "staging")


async def test_somebody_elses_deployment_is_left_alone(small: World) -> None:
    theirs = small.deploy(by="github-actions[bot]")
    unknown = small.deploy("preview", by="vercel[bot]")
    ours = small.deploy()
    assert (await small.ended(1))["deployment_id"] == ours
    await small.shows(ours, "success")
    await small.github.settled()
    await small.heard()
    await small.told()
    assert len(await small.deploys()) == 1
    assert small.posts(theirs) == small.posts(unknown) == []


async def test_a_repository_without_an_app_is_left_alone(small: World) -> None:
    small.github.add_repository("acme/other")
    keys = next(iter(small.github.world.state.apps.values()))
    small.github.install(keys.id, ["acme/other"])
    deployment = small.github.create_deployment("acme/other", by="ana").id
    ours = small.deploy()
    await small.shows(ours, "success")
    await small.github.settled()
    await small.heard()
    assert small.shown(deployment) == []
    assert not [one for one in small.github.requests if one.path.startswith("/repos/acme/other/deployments")]


async def test_who_may_not_is_rejected_and_told_who_may(quiet: World) -> None:
    quiet.config(
        'hello: {{repository: acme/hello, deploy: "sh ./deploy.sh", checks: [],'
        " env: {{HERE: {folder}}}, environments: {{staging: {{}}, production: {{allow: {{users: [boss]}}}}}}}}\n"
    )
    quiet.script(HELD)
    quiet.go()
    quiet.github.set_permission(REPOSITORY, "boss", "read")
    await quiet.start()
    refused = quiet.deploy("production")
    deploy = await quiet.ended(1)
    assert deploy["state"] == "rejected" and deploy["blockers"][0]["kind"] == "permission"
    await _answered(quiet, refused, "failure", "ana may not deploy to production", "boss")
    stranger = quiet.deploy("staging", by="mallory")  # may not push
    assert (await quiet.ended(2))["state"] == "rejected"
    await _answered(quiet, stranger, "failure", "mallory may not deploy to staging", "push permission")
    assert quiet.executed == []
    allowed = quiet.deploy("production", by="boss")
    await quiet.shows(allowed, "success")


async def test_a_commit_that_is_not_on_an_allowed_branch_is_rejected(quiet: World) -> None:
    quiet.config('hello: {{repository: acme/hello, deploy: "sh ./deploy.sh", checks: [], refs: [main, "release/*"]}}\n')
    await quiet.start()
    quiet.script("echo on a branch\n", branch="feature")
    quiet.script("echo released\n", branch="release/1.2")
    refused = quiet.deploy("production", ref="feature")
    assert (await quiet.ended(1))["state"] == "rejected"
    await _answered(quiet, refused, "failure", "is not on main or release/*")
    allowed = quiet.deploy("production", ref="release/1.2")
    await quiet.shows(allowed, "success")
    assert "released" in await quiet.log(2)


# Branches as git allows them, and names that only a forged or strange provider could send.
REAL = ["$(id)", "`id`", "x;touch${IFS}pwned", "a'b\"c&d|e<f>g", "main"]
STRANGE = ["x;touch pwned", "-rf", "--help", "a\nid", "\U0001f680"]


async def test_a_branch_name_is_never_a_command(quiet: World) -> None:
    """In the shell, in one further in, and evaluated: a name that could be one is handed on as its sha."""
    quiet.config(
        "hello:\n  repository: acme/hello\n  checks: []\n  deploy: |\n"
        '    echo {{ref}}\n    sh -c "echo {{ref}}"\n    eval "echo {{ref}}"\n'
        "    printf 'raw %s\\n' \"$KEDGE_REF\"\n    git status --porcelain --ignored\n    ls -a\n"
    )
    await quiet.start()
    sha = quiet.github.sha(REPOSITORY)
    for branch in REAL[:-1]:
        quiet.github.set_ref(REPOSITORY, f"refs/heads/{branch}", sha)
    for number, ref in enumerate([*REAL, *STRANGE], 1):
        _deploy_ref(quiet, ref, sha)
        deploy = await quiet.ended(number)
        assert (deploy["state"], deploy["ref"]) == ("succeeded", ref), deploy
        log = await quiet.log(number)
        said = log[log.index("\n", log.index(f"Preparing hello {sha}")) :]
        shown = "main" if ref == "main" else sha
        assert said.count(f"{shown}\n{shown}\n{shown}\n") == 1, log
        assert f"raw {ref}\n" in log  # in the environment, where nothing takes it for a command
        assert "uid=" not in log and "?? " not in log and "pwned" not in log.replace(ref, "")


def _deploy_ref(world: World, ref: str, sha: str) -> None:
    """Deploy a commit under a name that the provider itself would not resolve."""
    inner = world.github.world
    asked = deployments.Request(ref=ref, sha=sha, environment="production")
    deployments.create(inner, inner.repository(REPOSITORY), asked, world.github.add_user("ana"), None)

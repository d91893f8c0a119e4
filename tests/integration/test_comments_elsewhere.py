"""Comments on pull requests where things are otherwise: several apps, other doors, permissions that are missing."""

from pathlib import Path

from tests.integration.comment_world import REPO, opened

SEVERAL = """
web:
  repository: acme/hello
  deploy: "./web {env}"
  environments: {staging: {}}
  notify: {pull_request: true}
jobs:
  repository: acme/hello
  deploy: "./jobs {env}"
  environments: {staging: {}, batch: {}}
"""


async def test_where_a_repository_has_several_apps_one_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{tmp_path / 'kedge.sqlite'}", SEVERAL) as kedge:
        said = await kedge.say("/deploy to staging")
        assert "There are several apps here: say which (web and jobs)." in said.answer
        assert "`/deploy web to staging`, `/deploy jobs to staging`" in said.answer
        named = await kedge.say("/deploy jobs to staging")
        assert "jobs#1" in named.answer
        assert "`/cancel jobs 1`" in named.answer
        assert "Nothing waits in batch." in (await kedge.say("/queue batch")).answer
        assert "jobs#1 is cancelled." in (await kedge.say("/cancel jobs#1")).answer


async def test_a_deploy_of_another_door_is_told_of_where_the_config_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{tmp_path / 'kedge.sqlite'}", SEVERAL) as kedge:
        for name, ref in (("web", "main"), ("jobs", "feature"), ("web", "feature")):
            kedge.gh.create_deployment(REPO, ref=ref, environment="staging", payload={"app": name})
            await kedge.quiet()
        (told,) = kedge.gh.comments(REPO, 1)
        assert "web#2" in told.body.replace("\u200b", "")


async def test_without_the_permission_to_talk_nothing_else_is_hindered(tmp_path: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{tmp_path / 'kedge.sqlite'}") as kedge:
        (app,) = kedge.gh.world.state.apps
        kedge.gh.install(
            app, [REPO], {"contents": "read", "statuses": "read", "issues": "read", "deployments": "write"}
        )
        kedge.pass_s(3600)
        said = await kedge.say("/deploy to staging")
        assert (said.answers, said.reactions) == ([], [])
        kedge.gh.create_deployment(REPO, environment="staging")
        await kedge.quiet()
        assert await kedge.count() == 1

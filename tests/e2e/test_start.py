"""Starting: wrong settings and configs stop it with every problem named at once; GitHub's two kinds of base."""

from pathlib import Path

import pytest

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import HELD, World

BROKEN = """\
hello:
  repository: acme/hello
  deploy: "sh ./deploy.sh"
  environments:
    staging:
      timeout: soon
      chekcs: [ci]
"""


async def test_wrong_settings_of_the_app_are_all_named_at_once(quiet: World) -> None:
    wrong = {
        **quiet.settings,
        "PORT": "http",
        "KEDGE_URL": "kedge.example.com",
        "KEDGE_ADMIN_TOKEN": "short",
        "GITHUB_APP_ID": "kedge",
        "GITHUB_PRIVATE_KEY": "no key",
        "DATABASE_URL": "mysql://x",
        "KEDGE_ANONYMOUS_READ": "maybe",
    }
    wrong.pop("KEDGE_RUNNER_TOKEN")
    code, said = await quiet.ends("ghapp", "serve", **wrong)
    assert code == 2
    for name in (
        "PORT",
        "KEDGE_URL",
        "KEDGE_ADMIN_TOKEN",
        "KEDGE_RUNNER_TOKEN",
        "GITHUB_APP_ID",
        "GITHUB_PRIVATE_KEY",
        "DATABASE_URL",
        "KEDGE_ANONYMOUS_READ",
    ):
        assert f"  - {name}" in said, said
    assert "Traceback" not in said
    assert "no key" not in said and "mysql://x" not in said  # what may be a secret is not shown
    assert not (quiet.folder / "data").exists()


async def test_the_app_does_not_start_without_a_webhook_secret(quiet: World) -> None:
    settings = {name: value for name, value in quiet.settings.items() if name != "GITHUB_WEBHOOK_SECRET"}
    code, said = await quiet.ends("ghapp", "serve", **settings)
    assert code == 2
    assert [line for line in said.splitlines() if line.startswith("  - ")] == [
        line for line in said.splitlines() if "GITHUB_WEBHOOK_SECRET" in line
    ]


async def test_a_wrong_config_is_named_with_paths_and_lines(quiet: World) -> None:
    quiet.config(BROKEN)
    code, said = await quiet.ends("ghapp", "serve", **quiet.settings)
    assert code == 2
    assert str(quiet.folder / "apps.yml") in said
    assert "line 6: hello.environments.staging.timeout" in said
    assert "line 7: hello.environments.staging.chekcs" in said and "checks" in said


async def test_wrong_settings_of_the_runner_are_all_named_at_once(quiet: World) -> None:
    wrong = {
        "KEDGE_URL": "not a url",
        "KEDGE_RUNNER_TOKEN": "short",
        "KEDGE_RUNNER_NAME": "a b",
        "KEDGE_RUNNER_SLOTS": "many",
    }
    code, said = await quiet.ends("runner", **wrong)
    assert code == 2
    for name in wrong:
        assert name in said
    assert "Traceback" not in said and "short" not in said.split("KEDGE_RUNNER_TOKEN")[0]


@pytest.mark.parametrize("command", [["serve"], ["migrate"], []])
async def test_help_lists_the_settings(quiet: World, command: list[str]) -> None:
    code, said = await quiet.ends("ghapp", *command, "--help")
    assert code == 0
    assert "GITHUB_WEBHOOK_SECRET" in said if command else "demo" in said


async def test_migrate_brings_a_new_database_up_to_date(quiet: World) -> None:
    for _ in range(2):
        code, said = await quiet.ends("ghapp", "migrate", **quiet.settings)
        assert (code, said) == (0, "The database is up to date.\n")
    assert await quiet.rows("SELECT id FROM deploys") == []
    await quiet.start()
    deployment = quiet.deploy()
    await quiet.shows(deployment, "success")


async def test_a_port_that_is_taken_is_said_in_a_sentence(small: World) -> None:
    code, said = await small.ends("ghapp", "serve", **{**small.settings, "KEDGE_DATA": str(small.folder / "other")})
    assert code == 1
    assert small.settings["PORT"] in said and "Traceback" not in said


async def test_the_bare_base_of_the_api(quiet: World) -> None:
    """api.github.com has no path; an Enterprise server's is /api/v3, which every other test here uses."""
    assert quiet.github.api_url.endswith("/api/v3")
    quiet.github.enterprise = False
    quiet.settings["GITHUB_API_URL"] = quiet.github.url
    quiet.github.set_status(REPOSITORY, "main", "ci", "success")
    await quiet.start()
    deployment = quiet.deploy("production")
    assert (await quiet.ended(1))["state"] == "succeeded"
    assert (await quiet.shows(deployment, "success"))[-2:] == ["in_progress", "success"]


async def test_a_changed_config_is_used_for_the_next_deploy_and_a_broken_one_is_not(small: World) -> None:
    small.script(HELD)
    small.go()
    small.deploy()
    assert (await small.ended(1))["state"] == "succeeded"
    small.config(_saying("changed"))
    await until(lambda: _has(small, "preview"), "the changed config is in force")
    small.deploy("preview")
    assert (await small.ended(2))["state"] == "succeeded"
    assert "changed" in await small.log(2)
    small.config(BROKEN)
    problem = await until(lambda: _problem(small), "the API says that the config is broken")
    assert "line 6" in problem and "timeout" in problem and "line 7" in problem
    for page in ("/", "/hello", "/hello/deploys/2"):
        assert "hello.environments.staging.timeout" in await small.page(small.url + page)
    assert (await small.get("/api/0/hello"))["problem"] == problem
    small.deploy("preview")
    assert (await small.ended(3))["state"] == "succeeded"
    assert "changed" in await small.log(3)
    Path(small.settings["KEDGE_APPS"]).unlink()
    await until(lambda: _problem(small, "cannot read"), "the API says that the config is gone")
    small.config(_saying("mended"))
    await until(lambda: _fine(small), "the mended config is in force")
    small.deploy("preview")
    assert (await small.ended(4))["state"] == "succeeded"
    assert "mended" in await small.log(4)
    assert "timeout" not in await small.page(small.url)


def _saying(word: str) -> str:
    return f"hello: {{{{repository: acme/hello, deploy: 'echo {word}', checks: [], environments: [preview]}}}}\n"


async def _has(world: World, environment: str) -> bool:
    return environment in [one["name"] for one in (await world.get("/api/0/hello"))["environments"]]


async def _problem(world: World, word: str = "") -> str | None:
    problem: str | None = (await world.get("/api/0/apps"))["problem"]
    return problem if problem and word in problem else None


async def _fine(world: World) -> bool:
    return await _problem(world) is None


async def test_a_deploy_keeps_the_config_it_was_asked_with(small: World) -> None:
    """It waits; the config changes meanwhile; what was asked for is what runs."""
    small.script(HELD)
    small.go()
    small.github.set_status(REPOSITORY, "main", "ci", "pending")
    small.deploy("production")
    await small.blocked(1, "ci")
    small.config(_saying("changed"))
    await until(lambda: _has(small, "preview"), "the changed config is in force")
    small.github.set_status(REPOSITORY, "main", "ci", "success")
    assert (await small.ended(1))["state"] == "succeeded"
    assert small.executed == ["1"]

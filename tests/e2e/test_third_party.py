"""The provider of `docs/providers.md`, exactly as it stands there, with the app and a runner as processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from ghapp.sandbox.children import Child, free_port
from tests.contract.provider.scenes import TarballScene, from_the_document
from tests.e2e.people import ADMIN, AS_ADMIN, WITHIN_S, until

RUNNER = "runner-token-for-the-tests-00000"
APPS = """
shop:
  via: "tarballs:Tarballs"
  deploy: "ls -A; echo to {env}"
  environments:
    staging: {auto: {branch: main, after: push}}
    production: {}
"""


class Shop:
    def __init__(self, url: str, session: aiohttp.ClientSession, builds: TarballScene) -> None:
        self.url, self.session, self.builds = url, session, builds

    async def get(self, path: str) -> object:
        async with self.session.get(f"{self.url}/api/0/shop{path}", headers=AS_ADMIN) as response:
            return await response.json() if response.content_type.endswith("json") else await response.text()

    async def ended(self, number: int) -> dict[str, object]:
        async def over() -> object:
            found = await self.get(f"/deploys/{number}")
            assert isinstance(found, dict)
            return found if found.get("state") in {"succeeded", "failed", "errored", "rejected"} else None

        found = await until(over, f"deploy {number} ends")
        assert isinstance(found, dict)
        return found


async def test_one_that_cannot_be_opened_is_told_of(tmp_path: Path) -> None:
    from_the_document(tmp_path)
    (tmp_path / "apps.yml").write_text(APPS)
    settings = {
        "PYTHONPATH": str(tmp_path),
        "PORT": str(free_port()),
        "KEDGE_DATA": str(tmp_path / "data"),
        "KEDGE_APPS": str(tmp_path / "apps.yml"),
        "KEDGE_ADMIN_TOKEN": ADMIN,
        "KEDGE_RUNNER_TOKEN": RUNNER,
    }
    app = Child("app", "ghapp", ["serve"], settings, tmp_path / "app.log")
    await app.start()
    assert await app.wait() == 2
    said = app.log.read_text()
    assert "The provider tarballs:Tarballs cannot be opened: KeyError: 'TARBALLS'." in said and "Traceback" not in said


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    from_the_document(tmp_path)
    (tmp_path / "apps.yml").write_text(APPS)
    url = f"http://127.0.0.1:{free_port()}"
    theirs = {"PYTHONPATH": str(tmp_path), "TARBALLS": str(tmp_path / "builds")}
    serve = {
        **theirs,
        "PORT": url.rpartition(":")[2],
        "KEDGE_URL": url,
        "KEDGE_DATA": str(tmp_path / "data"),
        "KEDGE_APPS": str(tmp_path / "apps.yml"),
        "KEDGE_ADMIN_TOKEN": ADMIN,
        "KEDGE_RUNNER_TOKEN": RUNNER,
    }
    work = {**theirs, "KEDGE_URL": url, "KEDGE_RUNNER_TOKEN": RUNNER, "KEDGE_WORKDIR": str(tmp_path / "work")}
    app = Child("app", "ghapp", ["serve"], serve, tmp_path / "app.log")
    runner = Child("runner", "runner", [], work, tmp_path / "runner.log")
    builds = TarballScene(None, tmp_path / "builds")  # type: ignore[arg-type]
    async with aiohttp.ClientSession() as session:
        try:
            await app.start()
            await runner.start()

            async def answers() -> bool:
                assert app.ended is None, app.last_lines()
                try:
                    async with session.get(f"{url}/readyz") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await until(answers, "the app answers", WITHIN_S)
            yield Shop(url, session, builds)
            assert "Traceback" not in (tmp_path / "app.log").read_text() + (tmp_path / "runner.log").read_text()
        finally:
            for child in (runner, app):
                await child.stop(patience_s=5)


async def test_a_deploy_of_what_git_knows_nothing_of(shop: Shop) -> None:
    sha = shop.builds.commit("main", "deployed.txt")
    async with shop.session.post(f"{shop.url}/api/0/shop/deploy?env=production", headers=AS_ADMIN) as response:
        made = await response.json()
        assert response.status == 201, made
    assert (made["sha"], made["ref"]) == (sha, "main")
    assert (await shop.ended(1))["state"] == "succeeded", await shop.get("/deploys/1/log")
    assert str(await shop.get("/deploys/1/log")).endswith("\ndeployed.txt\nto production\n")


async def test_a_new_build_goes_to_staging_by_itself(shop: Shop) -> None:
    shop.builds.commit("main", "first.txt")

    async def known() -> bool:
        async with shop.session.get(f"{shop.url}/readyz") as response:
            return (await response.json()).get("reconciler_lag_s") is not None

    await until(known, "the branches were looked at")
    sha = shop.builds.commit("main", "second.txt")

    async def there() -> object:
        listed = await shop.get("/deploys")
        assert isinstance(listed, dict)
        return listed["items"]

    [made] = await until(there, "there is a deploy")
    assert (made["sha"], made["environment"], made["door"]) == (sha, "staging", "automatic")
    assert (await shop.ended(1))["state"] == "succeeded"
    assert str(await shop.get("/deploys/1/log")).endswith("\nsecond.txt\nto staging\n")

"""Heroku: what the button starts works as it is, from a checkout with the buildpack's installed requirements."""

import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ghapp.config import SETTINGS
from ghapp.sandbox.children import free_port
from tests.conftest import PostgresServer
from tests.e2e.people import WITHIN_S, until
from tests.e2e.rig import World

ROOT = Path(__file__).parents[2]
MANIFEST: dict[str, Any] = json.loads((ROOT / "app.json").read_text())
PROCESSES = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def test_the_manifest_keeps_to_its_schema() -> None:
    """https://devcenter.heroku.com/articles/app-json-schema"""
    texts = {"name", "description", "website", "repository", "success_url"}
    assert set(MANIFEST) == texts | {"keywords", "buildpacks", "addons", "formation", "env"}
    assert all(isinstance(MANIFEST[name], str) for name in texts)
    assert 3 <= len(MANIFEST["name"]) <= 30 and len(MANIFEST["description"]) <= 140
    assert all(MANIFEST[name].startswith("https://") for name in ("website", "repository"))
    assert MANIFEST["success_url"].startswith("/")
    assert all(isinstance(word, str) for word in MANIFEST["keywords"])
    assert [set(one) for one in MANIFEST["buildpacks"]] == [{"url"}]
    assert [one["plan"].partition(":")[0] for one in MANIFEST["addons"]] == ["heroku-postgresql"]
    assert MANIFEST["formation"] == {"web": {"quantity": 1, "size": "basic"}}
    for name, one in MANIFEST["env"].items():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
        assert set(one) <= {"description", "value", "required", "generator"} and one["description"].endswith(".")
        assert one.get("generator", "secret") == "secret" and isinstance(one.get("value", ""), str)
        given = len({"value", "generator"} & set(one)) + (one.get("required") is False)
        assert given == 1, f"{name} would have to be filled in by whoever presses the button"


def test_the_manifest_sets_what_the_app_reads() -> None:
    assert set(MANIFEST["env"]) <= {setting.name for setting in SETTINGS}
    assert set(PROCESSES) == {"web", "release"}
    assert set(MANIFEST["formation"]) <= set(PROCESSES)


def config_vars() -> dict[str, str]:
    """What Heroku sets when the button is pressed and nothing is filled in; its secrets have 64 hexadecimal digits."""
    made = {}
    for name, one in MANIFEST["env"].items():
        if "generator" in one:
            made[name] = secrets.token_hex(32)
        elif "value" in one:
            made[name] = one["value"]
    return made


@dataclass(frozen=True, slots=True)
class Dyno:
    """Runs the Procfile's commands in a checkout that is not installed, as the buildpack leaves it."""

    checkout: Path
    home: Path

    async def start(self, process: str, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", PROCESSES[process]),
            cwd=self.checkout,
            env={"PATH": path, "HOME": str(self.home), "DYNO": f"{process}.1", **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def ends(self, process: str, settings: Mapping[str, str]) -> tuple[int | None, str]:
        """Its exit code, and what it said."""
        running = await self.start(process, settings)
        async with asyncio.timeout(WITHIN_S):
            said, _ = await running.communicate()
        return running.returncode, said.decode()


@pytest.fixture
def dyno(tmp_path: Path) -> Dyno:
    checkout, home = tmp_path / "app", tmp_path / "home"
    home.mkdir()
    for package in ("ghapp", "runner"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    return Dyno(checkout, home)


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The address of an empty database, written as Heroku writes it."""
    name = f"heroku_{uuid.uuid4().hex}"
    await postgres.run(f"CREATE DATABASE {name}")
    yield postgres.url(name).replace("postgresql://", "postgres://")
    await postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def serving(dyno: Dyno, world: World, settings: Mapping[str, str]) -> AsyncIterator[None]:
    """The web process, ready for requests; it must end well on SIGTERM, as when a dyno is restarted."""
    web = await dyno.start("web", settings)
    try:
        await until(lambda: _ready(world), "the app answers")
        yield
    finally:
        os.killpg(web.pid, signal.SIGTERM)
        said, _ = await web.communicate()
    assert (web.returncode, b"Traceback" in said) == (0, False), said.decode()


async def test_what_the_button_starts_migrates_leads_to_set_up_and_deploys(
    quiet: World, dyno: Dyno, database: str
) -> None:
    pressed = {**config_vars(), "DATABASE_URL": database, "PORT": quiet.settings["PORT"], "KEDGE_URL": quiet.url}
    assert await dyno.ends("release", pressed) == (0, "The database is up to date.\n")
    async with serving(dyno, quiet, pressed), quiet.session.get(quiet.url) as page:
        assert (str(page.url), page.status) == (f"{quiet.url}/setup", 200)

    github = {name: value for name, value in quiet.settings.items() if name.startswith("GITHUB_")}
    async with serving(dyno, quiet, {**pressed, **github}):
        signed_in = {"Authorization": f"Bearer {pressed['KEDGE_ADMIN_TOKEN']}"}
        async with quiet.session.get(f"{quiet.url}/hello", headers=signed_in) as page:
            assert (page.status, "staging" in await page.text()) == (200, True)
        quiet.runner_settings["KEDGE_RUNNER_TOKEN"] = pressed["KEDGE_RUNNER_TOKEN"]
        runner = await quiet.start_runner()
        await quiet.shows(quiet.deploy(), "success")
        await runner.stop(patience_s=5)
    assert not [path for path in dyno.home.rglob("*") if path.is_file()], "nothing is kept where no disk lasts"


async def _ready(world: World) -> bool:
    try:
        async with world.session.get(f"{world.url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.parametrize("process", ["web", "release"])
async def test_sqlite_is_refused_where_the_disk_does_not_last(dyno: Dyno, process: str) -> None:
    settings = {**config_vars(), "PORT": str(free_port()), "KEDGE_URL": "https://kedge.example.com"}
    code, said = await dyno.ends(process, settings)
    assert code == 2
    (problem,) = [line for line in said.splitlines() if line.startswith("  - ")]
    assert "SQLite would lose everything at each restart. Add Heroku Postgres." in problem
    assert not list(dyno.home.rglob("*"))

"""`python -m runner doctor`, with a real app: every finding, what is wrong said with what to do."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ghapp.core.settings import Network
from ghapp.store.stores import Stores
from runner import doctor
from runner.client import AppClient, Refused
from runner.config import Settings
from runner.doctor import Finding
from runner.secrets import Source
from tests.integration.kedge_world import ADMIN_TOKEN, World
from tests.integration.token_calls import RUNNER, make, pushing


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with pushing(stores) as made:
        made.now[0] = int(time.time() * 1000)
        yield made


@pytest.fixture
def settings(kedge: World, tmp_path: Path) -> Settings:
    return Settings(
        url=str(kedge.client.make_url("")).rstrip("/"),
        token=RUNNER,
        name="box",
        labels=(),
        apps=None,
        shared=(),
        workdir=tmp_path / "work",
        slots=1,
        network=Network(),
    )


async def found(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding async for finding in doctor.examine(settings)}


async def test_where_all_is_well(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    findings = await found(settings)
    assert {name for name, finding in findings.items() if finding.fix} <= {"disk"}
    assert list(findings) == ["app", "token", "clock", "git", "work folder", "disk", "git-lfs", "secrets", "supervisor"]
    assert findings["token"].found == "may take whatever this runner accepts"
    assert await doctor.report(settings) == bool(findings["disk"].fix)
    assert "supervisor" in capsys.readouterr().out


async def test_what_a_runners_token_grants(kedge: World, settings: Settings) -> None:
    given = await make(kedge, "runner", apps=["shop"], environments=["staging"], labels=["eu"])
    findings = await found(replace(settings, token=given["token"]))
    assert findings["token"].found == "may take labels eu; apps shop; environments staging"


@pytest.mark.parametrize(
    ("apps", "labels", "fix"),
    [
        (("other",), (), "KEDGE_RUNNER_APPS is other, for which the token is no good"),
        (None, ("prod",), "KEDGE_RUNNER_LABELS is prod, for which the token is no good"),
        (("shop", "other"), ("eu", "prod"), ""),
        (None, (), ""),
    ],
)
async def test_settings_that_the_token_excludes(
    kedge: World, settings: Settings, apps: tuple[str, ...] | None, labels: tuple[str, ...], fix: str
) -> None:
    given = await make(kedge, "runner", apps=["shop"], labels=["eu"])
    finding = (await found(replace(settings, token=given["token"], apps=apps, labels=labels)))["token"]
    assert finding.fix.startswith(fix) and bool(finding.fix) == bool(fix)


@pytest.mark.parametrize(("status", "fix"), [(429, "Wait a minute"), (503, "own log"), (404, "the same release")])
async def test_what_the_app_refuses_comes_with_its_fix(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int, fix: str
) -> None:
    async def refuses(_client: AppClient) -> None:
        raise Refused("code", "No.", status)

    monkeypatch.setattr(AppClient, "hello", refuses)
    assert fix in (await found(settings))["app"].fix


Change = Callable[[World, Settings], Settings]


def _nobody(_: World, settings: Settings) -> Settings:
    return replace(settings, url="http://127.0.0.1:9")


def _wrong_token(_: World, settings: Settings) -> Settings:
    return replace(settings, token="x" * 30)


def _admins_token(_: World, settings: Settings) -> Settings:
    return replace(settings, token=ADMIN_TOKEN)


def _slow_clock(kedge: World, settings: Settings) -> Settings:
    kedge.now[0] += 60_000
    return settings


def _no_folder(_: World, settings: Settings) -> Settings:
    return replace(settings, workdir=Path("/dev/null/work"))


def _no_secret(_: World, settings: Settings) -> Settings:
    return replace(settings, bindings={("shop", "*"): {"KEY": Source("file", "/nowhere/key")}})


@pytest.mark.parametrize(
    ("change", "what", "says", "fix"),
    [
        (_nobody, "app", "does not answer", "KEDGE_URL"),
        (_wrong_token, "app", "unauthorized", "KEDGE_RUNNER_TOKEN"),
        (_admins_token, "app", "unauthorized", "kedge token create --scope runner"),
        (_slow_clock, "clock", "behind the app's", "NTP"),
        (_no_folder, "work folder", "Not a directory", "KEDGE_WORKDIR"),
        (_no_secret, "secrets", "KEY (/nowhere/key)", "KEDGE_SECRETS"),
    ],
)
async def test_what_is_wrong_comes_with_its_fix(
    kedge: World, settings: Settings, change: Change, what: str, says: str, fix: str
) -> None:
    finding = (await found(change(kedge, settings)))[what]
    assert says in finding.found and fix in finding.fix


def test_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runner", "doctor"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 2 and "KEDGE_URL is not set" in done.stderr

"""What Heroku's rate limit and broken connections do, with a client whose waits are short."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ghapp.vcs.session import open_session
from runner.heroku import Deployer
from runner.heroku_api import TRIES, Heroku, HerokuError
from tests.integration.heroku.stand_in import APP, KEY, StandIn, serving

SHA = "a" * 40


@asynccontextmanager
async def deployer(folder: Path) -> AsyncIterator[tuple[StandIn, Deployer]]:
    (folder / "Procfile").write_text("web: true\n")
    async with serving() as heroku, open_session() as session:
        client = Heroku(session, url=heroku.url, key=KEY, app=APP, try_again_s=0.0001)
        yield heroku, Deployer(client, folder, SHA, poll_s=0.001)
    assert heroku.violations == []


@pytest.mark.parametrize("limited", [1, TRIES - 1])
async def test_a_limit_is_waited_for(limited: int) -> None:
    async with serving() as heroku, open_session() as session:
        heroku.limited = limited
        client = Heroku(session, url=heroku.url, key=KEY, app=APP, try_again_s=0.0001)
        assert "source_blob" in await client.ask("POST", "/sources")


async def test_a_limit_that_lasts_is_told() -> None:
    async with serving() as heroku, open_session() as session:
        heroku.limited = TRIES
        client = Heroku(session, url=heroku.url, key=KEY, app=APP, try_again_s=0.0001)
        with pytest.raises(HerokuError, match="rate limit is used up"):
            await client.ask("POST", "/sources")


async def test_a_build_that_was_asked_for_is_cancelled_although_its_id_was_not_known_yet(tmp_path: Path) -> None:
    """Else it would be released, after its deploy has ended as cancelled."""
    async with deployer(tmp_path) as (heroku, deploying):
        heroku.held = heroku.answering = asyncio.Event()
        work = asyncio.ensure_future(deploying.deploy())
        await heroku.asked.wait()
        work.cancel()
        await asyncio.wait({work}, timeout=0.05)
        heroku.answering.set()
        with pytest.raises(asyncio.CancelledError):
            await work
        await deploying.cancel()
        assert heroku.cancelled == [heroku.builds[0]["id"]] and heroku.releases == []


async def test_what_cannot_be_stopped_any_more_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with deployer(tmp_path) as (_, deploying):
        await deploying.deploy()
        await deploying.cancel()
    assert "could not be stopped any more" in capsys.readouterr().out


async def test_an_outage_in_mid_build_is_sat_out(tmp_path: Path) -> None:
    async with deployer(tmp_path) as (heroku, deploying):
        heroku.held = asyncio.Event()
        work = asyncio.ensure_future(deploying.deploy())
        await heroku.building.wait()
        heroku.cut["GET"] = 3 * TRIES
        heroku.held.set()
        await work
        assert (heroku.cut["GET"], heroku.releases[0]["status"]) == (0, "succeeded")


@pytest.mark.parametrize("passing", ["/builds/", "/releases/"])
async def test_what_goes_live_is_not_lost_to_a_limit(tmp_path: Path, passing: str) -> None:
    """Other tools use up the same key's limit, while a build is followed or when its release is asked for."""
    async with deployer(tmp_path) as (heroku, deploying):
        heroku.limited, heroku.limited_at = 3 * TRIES, passing
        await deploying.deploy()
        assert (heroku.limited, heroku.releases[0]["status"]) == (0, "succeeded")


async def test_a_limit_is_waited_for_as_long_as_heroku_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def waited(seconds: float) -> None:
        if seconds:
            waits.append(seconds)

    async with serving() as heroku, open_session() as session:
        heroku.limited, heroku.retry_after = 2, "7"
        monkeypatch.setattr(asyncio, "sleep", waited)
        await Heroku(session, url=heroku.url, key=KEY, app=APP).ask("POST", "/sources")
    assert waits == [7, 7]


async def test_a_stream_that_breaks_shows_nothing_twice(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with deployer(tmp_path) as (heroku, deploying):
        heroku.cut["stream"] = 2
        await deploying.deploy()
    assert capfdbinary.readouterr().out.count(b"-----> Building on") == 1


async def test_an_upload_that_breaks_is_told_without_its_address(tmp_path: Path) -> None:
    async with deployer(tmp_path) as (heroku, deploying):
        heroku.cut["PUT"] = 2  # what went over a kept connection is sent once more by itself
        with pytest.raises(HerokuError, match=r"could not be uploaded to 127\.0\.0\.1 \(\w+\); deploy again") as caught:
            await deploying.deploy()
        assert "/upload/" not in str(caught.value)

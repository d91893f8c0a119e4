"""Set-up, from the one-time code to the first deployment heard: pages, GitHub and app as people meet them."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ghapp.app import serve
from ghapp.config import load
from ghapp.credentials import CredentialsError
from ghapp.sandbox.children import free_port
from ghapp.sandbox.faults import Answer as Fault
from ghapp.sandbox.faults import Drop, Wait
from ghapp.sandbox.server import Sandbox
from ghapp.store.credentials import keep
from tests.conftest import PostgresServer
from tests.integration.browser import Browser, Page

ADMIN = "admin-token-0123456789abcdef"
APPS = "hello: {repository: acme/hello, deploy: ./deploy.sh, environments: [staging]}"
WITHIN_S = 20.0


@dataclass
class House:
    """A sandbox GitHub, and Kedge as ``kedge setup`` or ``kedge serve`` would start it."""

    gh: Sandbox
    session: aiohttp.ClientSession
    environ: dict[str, str]
    codes: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environ['PORT']}"

    @property
    def kept(self) -> Path:
        return Path(self.environ["KEDGE_DATA"]) / "github-app.json"

    @asynccontextmanager
    async def kedge(self, *, setup: bool = True) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(serve(load(self.environ, setup=setup), stop, self.codes.append))
        try:
            while not task.done():
                try:
                    async with self.session.get(f"{self.url}/healthz"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
            if task.done():
                await task
            yield
        finally:
            stop.set()
            await task

    async def page(self, path: str = "/setup") -> Page:
        return await self.browser.open(f"{self.url}{path}")

    def __post_init__(self) -> None:
        self.browser = Browser(self.session)

    async def begin(self) -> Page:
        """The code is entered."""
        await self.page()
        return await self.browser.send({"code": self.codes[-1]})

    async def at_github(self, **who: str) -> Page:
        """GitHub's page that asks for the name."""
        await self.begin()
        page = await self.browser.send(who or {"owner": "organization", "organization": "acme"})
        assert page.status == 200, page.text
        return await self.browser.send()

    async def shows(self, text: str, path: str = "/setup") -> Page:
        """Look at the page until it says so."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                page = await self.page(path)
                if text in page.text:
                    return page
                await asyncio.sleep(0.05)

    async def api(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with self.session.get(f"{self.url}/api/0{path}", headers=headers) as answer:
            return await answer.json()


@asynccontextmanager
async def opened(folder: Path, **environ: str) -> AsyncIterator[House]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with Sandbox(folder / "github") as gh, aiohttp.ClientSession(cookie_jar=jar) as session:
        gh.add_organization("acme", ["olga"])
        gh.add_repository("acme/hello", private=True)
        gh.set_permission("acme/hello", "ana", "write")
        settings = {
            "PORT": str(free_port()),
            "KEDGE_DATA": str(folder / "data"),
            "KEDGE_APPS": APPS,
            "KEDGE_ADMIN_TOKEN": ADMIN,
            "KEDGE_ANONYMOUS_READ": "1",
            "KEDGE_RUNNER_TOKEN": "runner-token-0123456789abcdef",
            "GITHUB_API_URL": gh.api_url,
            **environ,
        }
        yield House(gh, session, settings)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as house:
        yield house


@pytest.mark.parametrize("enterprise", [True, False])
async def test_from_the_code_to_the_first_deployment(
    house: House, enterprise: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    gh, browser = house.gh, house.browser
    house.environ["GITHUB_API_URL"] = gh.api_url if enterprise else gh.url
    async with house.kedge():
        assert (await house.page("/")).url.endswith("/setup"), "every page leads there"
        assert (await house.api("/apps"))["error"]["code"] == "unavailable"
        page = await house.at_github()
        assert "Create GitHub App for acme" in page.text
        page = await browser.send({"name": "Kedge of Acme"})
        assert page.url == f"{house.url}/setup", "GitHub's code is gone from the address"
        page = await house.shows("Its first ping came in")
        assert "hello needs acme/hello" in page.text
        await browser.open(page.link("/installations/new"))
        page = await browser.send({"acme/hello": "on"})
        page = await house.shows("GitHub told of it")
        assert "On acme/hello" in page.text
        assert "hello needs" not in page.text
        gh.create_deployment("acme/hello", environment="staging")
        await gh.settled()
        page = await house.shows("ana", "/hello")
    kept = json.loads(house.kept.read_text())
    assert stat.S_IMODE(house.kept.stat().st_mode) == 0o600
    assert (kept["slug"], kept["owner"], kept["api_url"]) == ("kedge-of-acme", "acme", house.environ["GITHUB_API_URL"])
    app = gh.world.app(kept["app_id"])
    assert not app.public
    seen = capfd.readouterr()
    for secret in (kept["private_key"], kept["webhook_secret"], kept["client_secret"], house.codes[0]):
        assert not any(secret in address for address in browser.visited)
        assert secret not in seen.out + seen.err
    async with house.kedge(setup=False):  # and ever after
        assert [one["name"] for one in (await house.api("/apps"))["items"]] == ["hello"]
        assert "The GitHub App is created" in (await house.page()).text, "this browser's hour is not over"
        house.session.cookie_jar.clear()
        assert "The GitHub App is set up." in (await house.page()).text
        assert (await house.page("/setup/created?code=x&state=y")).url.endswith("/setup")


async def test_an_app_of_ones_own(house: House) -> None:
    house.gh.add_repository("olga/hello")
    async with house.kedge():
        page = await house.at_github(owner="person")
        assert "Create GitHub App for olga" in page.text
        await house.browser.send()
        await house.shows("The GitHub App is created")
    assert json.loads(house.kept.read_text())["owner"] == "olga"


async def test_the_organization_must_be_named_and_ones_own(house: House) -> None:
    house.gh.add_organization("others", ["eve"])
    async with house.kedge():
        await house.begin()
        page = await house.browser.send({"owner": "organization", "organization": "a/b"})
        assert (page.status, "as it stands in its address" in page.text) == (422, True)
        page = await house.browser.send({"owner": "organization", "organization": "others"})
        assert (await house.browser.send()).status == 404, "GitHub's own answer"
    assert not house.kept.exists()


async def test_the_code_is_good_once_and_for_an_hour(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.kedge():
        await house.page()
        page = await house.browser.send({"code": "AAAA-BBBB-CCCC"})
        assert (page.status, "not the code" in page.text) == (403, True)
        page = await house.browser.send(form=1)
        assert "still good" in page.text
        assert len(house.codes) == 1
        await house.begin()
        assert "Create the GitHub App" in (await house.page()).text
        house.session.cookie_jar.clear()
        page = await house.begin()
        assert page.status == 403, "used up"
        assert "new code" in (await house.browser.send(form=1)).text
        page = await house.browser.send({"code": f" {house.codes[-1].lower().replace('-', ' ')} "})
        assert (len(house.codes), "Create the GitHub App" in page.text) == (2, True)


async def test_codes_are_not_guessed(house: House) -> None:
    async with house.kedge():
        await house.page()
        statuses = [(await house.browser.send({"code": f"GUESS-{n}"})).status for n in range(20)]
        await house.page()
        assert (await house.browser.send({"code": "GUESS"})).status == 429
        assert set(statuses) == {403}


async def test_forms_of_other_sites_do_nothing(house: House) -> None:
    async with house.kedge():
        for path in ("/setup/code", "/setup/new-code"):
            headers = {"Sec-Fetch-Site": "cross-site"}
            async with house.session.post(
                f"{house.url}{path}", data={"code": house.codes[0]}, headers=headers
            ) as answer:
                assert answer.status == 403
        await house.begin()
        async with house.session.post(f"{house.url}/setup/create", data={"owner": "person"}) as answer:
            assert answer.status == 403, "no seal of this browser"


@pytest.mark.parametrize("what", ["another browser", "another state", "no state", "no code"])
async def test_an_answer_that_is_not_to_this_question(house: House, what: str) -> None:
    async with house.kedge():
        page = await house.at_github()
        state = page.forms[0].fields["state"]
        if what == "another browser":
            house.session.cookie_jar.clear()
        if what == "another state":
            state = state[:-8] + "AAAAAAA="
        query = {"no state": "code=abc", "no code": f"state={state}"}.get(what, f"code=abc&state={state}")
        page = await house.page(f"/setup/created?{query}")
        assert page.status == (400 if what == "no code" else 403), page.text
        assert "Begin again" in page.text
        assert not [one for one in house.gh.requests if "conversions" in one.path]
    assert not house.kept.exists()


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Fault(500, "Server Error"), "Server Error"),
        (Fault(403, "forbidden by a proxy"), "403"),
        (Fault(201, "no App"), "cannot be understood"),
        (Drop(after=True), "GitHub"),
    ],
    ids=["500", "403", "nonsense", "lost answer"],
)
async def test_github_does_not_give_the_credentials(house: House, effect: Any, said: str) -> None:
    async with house.kedge():
        await house.at_github()
        house.gh.faults.order("POST", "/app-manifests/.*", effect)
        page = await house.browser.send()
        assert page.status == 502
        assert said in page.text
        assert page.url.partition("code=")[2].partition("&")[0] not in page.text, "the code may still be good"
        page = await house.page(page.url.removeprefix(house.url))
        if isinstance(effect, Drop):
            assert "good once" in page.text, "the App was made and its key is lost: begin again"
            await house.page()
            await house.browser.send({"owner": "organization", "organization": "acme"})
            await house.browser.send()
            page = await house.browser.send({"name": "another"})
        assert "The GitHub App is created" in (await house.shows("is created")).text


async def test_of_two_apps_that_are_made_at_once_one_is_kept(house: House) -> None:
    other = Browser(house.session)
    async with house.kedge():
        await house.at_github()
        await other.open(f"{house.url}/setup")
        await other.send({"owner": "person"})
        await other.send()
        fault = house.gh.faults.order("POST", "/app-manifests/.*", Wait())
        first = asyncio.create_task(house.browser.send({"name": "first"}))
        await fault.reached.wait()
        second = asyncio.create_task(other.send({"name": "second"}))
        await asyncio.wait({second}, timeout=0.5)
        fault.release()
        pages = await asyncio.gather(first, second)
        assert [page.status for page in pages] == [200, 200]
        await house.shows("is created")
    assert len([one for one in house.gh.requests if "conversions" in one.path]) == 1
    assert json.loads(house.kept.read_text())["slug"] == "first"


async def test_a_browser_that_goes_while_github_answers_costs_nothing(house: House) -> None:
    async with house.kedge():
        await house.at_github()
        fault = house.gh.faults.order("POST", "/app-manifests/.*", Wait(after=True))
        gone = asyncio.create_task(house.browser.send())
        await fault.reached.wait()
        gone.cancel()
        await asyncio.wait({gone})
        await asyncio.sleep(0.1)  # the connection is seen to be closed
        fault.release()
        await house.shows("is created")


async def test_another_set_up_that_was_faster_is_not_overwritten(house: House) -> None:
    async with house.kedge():
        await house.at_github()
        house.kept.write_text("of another one")
        page = await house.browser.send()
        assert (page.status, "Another set-up" in page.text, "start it again" in page.text) == (409, True, True)
    assert house.kept.read_text() == "of another one"
    assert [path.name for path in house.kept.parent.glob("*github-app*")] == [house.kept.name]


async def test_what_cannot_be_kept_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with house.kedge():
        await house.at_github()
        monkeypatch.setattr("ghapp.app.write", full)
        page = await house.browser.send()
        assert (page.status, "No space left on device" in page.text) == (503, True)
        assert "Create the GitHub App" in (await house.page()).text, "set-up is still open"


async def test_without_inbound_traffic(tmp_path: Path) -> None:
    async with opened(tmp_path, KEDGE_INBOUND="none") as house:
        house.gh.world.public_internet = True
        async with house.kedge():
            await house.at_github()
            await house.browser.send({"name": "quiet"})
            page = await house.shows("Kedge reaches GitHub")
            assert "ping" not in page.text
        app = house.gh.world.app(json.loads(house.kept.read_text())["app_id"])
        assert app.webhook_url == "https://kedge.invalid/webhooks/github"


async def test_where_no_disk_lasts_the_database_keeps_it_sealed(tmp_path: Path, postgres: PostgresServer) -> None:
    from ghapp.store.stores import MIGRATIONS, open_stores

    async with postgres.database(MIGRATIONS) as database:
        dyno = {"DYNO": "web.1", "KEDGE_HOST": "127.0.0.1", "DATABASE_URL": database, "KEDGE_SECRET_KEY": "k" * 32}
        async with opened(tmp_path, **dyno) as house:
            async with house.kedge(setup=False):
                await house.at_github()
                await house.browser.send({"name": "on a dyno"})
                await house.shows("Its first ping came in")
            assert not Path(house.environ["KEDGE_DATA"]).exists()
            stores = await open_stores(database)
            assert not await stores.main.write(lambda tx: keep(tx, "github", b"of another set-up", 1))
            row = await stores.main.read(lambda tx: tx.one("SELECT sealed FROM credentials"))
            await stores.close()
            assert row
            assert b"PRIVATE KEY" not in bytes(row["sealed"])
            house.environ["KEDGE_SECRET_KEY"] = f"{'n' * 32},{'k' * 32}"
            async with house.kedge(setup=False):
                assert "The GitHub App is created" in (await house.page()).text
                assert len(house.codes) == 1, "set-up is not open again"
            house.environ["KEDGE_SECRET_KEY"] = "n" * 32
            with pytest.raises(CredentialsError, match="sealed with another KEDGE_SECRET_KEY"):
                async with house.kedge(setup=False):
                    pass

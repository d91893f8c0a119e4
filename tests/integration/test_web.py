"""The pages through HTTP: what they show, how it is escaped, and their headers."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import pytest
from structlog.testing import capture_logs

from ghapp.core.values import Blocker, BlockerKind, Lock
from ghapp.service import acting, seeing
from ghapp.service.context import Apps
from ghapp.store import deploys, places
from ghapp.store.stores import Stores
from ghapp.web.pages import TAIL
from tests.integration.kedge_world import BEARER, NOON, World, world

NASTY = "<script>alert('x')</script>\"&"


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


_BLOCKS = frozenset({"br", "dd", "dt", "h1", "h2", "li", "p", "td", "th", "title"})


class _Text(HTMLParser):
    """What a reader without styles would read, and the tags that it came with."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in _BLOCKS:
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data


async def read(kedge: World, path: str, status: int = 200) -> tuple[str, _Text]:
    """The page's text with its white space made single, and its tags."""
    async with kedge.client.get(path, headers=BEARER, allow_redirects=False) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        found = _Text()
        found.feed(await answer.text())
        return " ".join(found.text.split()), found


def links(page: _Text) -> list[str | None]:
    return [attributes.get("href") for tag, attributes in page.tags if tag == "a"]


async def test_the_overview_answers_what_is_live_what_runs_what_waits_and_why(kedge: World) -> None:
    await kedge.finish(await kedge.running())
    running = await kedge.running()
    waiting = await kedge.ask(user="bob", on_behalf_of="carol")
    text, page = await read(kedge, "/")
    assert f"shop#1 {running.previous_sha[:7]} since Nov 23, 14:00 UTC by alice" in text  # type: ignore[index]
    assert f"shop#2 {running.sha[:7]} running on r1 since Nov 23, 14:00 UTC (1 s) by alice" in text
    assert f"shop#3 {waiting.sha[:7]} by bob for carol, asked Nov 23, 14:00 UTC" in text
    assert "shop#2 by alice is running since Nov 23, 14:00 UTC." in text
    assert "staging nothing yet nothing nothing" in text
    assert {"/shop", "/blog", "/shop/deploys/1", "/shop/deploys/2", "/shop/deploys/3"} <= set(links(page))


async def test_blockers_are_shown_verbatim_with_links_that_are_safe(kedge: World) -> None:
    await kedge.ask()
    deploy = await kedge.claim()
    good = Blocker(BlockerKind.CHECKS, "Waiting for check ci/<b>.", "https://ci.example/?a=1&b=2")
    bad = Blocker(BlockerKind.CHECKS, "Waiting for check evil.", "javascript:alert(1)")
    await kedge.hold(deploy, good, bad)
    for path in ("/", "/shop", "/shop/deploys/1"):
        text, page = await read(kedge, path)
        assert "Waiting for check ci/<b>." in text and "Waiting for check evil." in text
        assert "https://ci.example/?a=1&b=2" in links(page)
        assert not [link for link in links(page) if link and link.startswith("javascript")]


async def test_locks_say_who_why_since_and_until_when(kedge: World) -> None:
    lock = Lock("carol", f"inventory {NASTY}", NOON, NOON + 3_600_000)
    await kedge.ctx.decide(lambda tx: acting.lock(tx, kedge.ctx, None, None, lock))
    await kedge.ask()
    for path in ("/", "/shop"):
        text, _ = await read(kedge, path)
        assert "(everything) by carol since Nov 23, 14:00 UTC until Nov 23, 15:00 UTC: inventory <script>" in text


async def test_a_lost_runner_is_told_in_words(kedge: World) -> None:
    deploy = await kedge.running()
    await kedge.ctx.stores.main.write(lambda tx: deploys.save(tx, deploy.id, lost_since=NOON))
    for path in ("/", "/shop", "/shop/deploys/1"):
        text, _ = await read(kedge, path)
        assert "running lost" in text
    assert "Its runner was last heard before Nov 23, 14:00 UTC" in text


async def test_a_broken_config_is_told_on_every_page(kedge: World) -> None:
    await kedge.ask()
    kedge.ctx.apps = Apps(kedge.ctx.apps.configs, f"line 3: {NASTY}")
    for path in ("/", "/shop", "/shop/deploys/1"):
        text, _ = await read(kedge, path)
        assert f"The changed config was not taken; the one before stays in force. line 3: {NASTY}" in text


async def test_an_app_shows_its_history_page_by_page(kedge: World) -> None:
    for _ in range(31):
        await kedge.ask()
    _, page = await read(kedge, "/shop")
    assert {f"/shop/deploys/{number}" for number in range(2, 32)} <= set(links(page))
    [older] = [link for link in links(page) if link and link.startswith("?cursor=")]
    text, page = await read(kedge, f"/shop{older}")
    assert "Deploys Deploy Environment State Asked By Why shop#1 " in text
    assert "Older deploys" not in text


async def test_a_deploy_shows_facts_events_and_log(kedge: World) -> None:
    deploy = await kedge.running(on_behalf_of="bob")
    size = await kedge.log(deploy, f"building {NASTY}\r\ndone\n".encode())
    text, page = await read(kedge, "/shop/deploys/1")
    assert "shop#1 running" in text and f"Commit {deploy.sha} from main of acme/shop" in text
    assert "alice asked for it as a GitHub deployment." in text
    assert "The command started on runner r1." in text
    [log] = [attributes for tag, attributes in page.tags if tag == "pre"]
    assert page.text.rpartition("Follow the end")[2].rpartition("Runners")[0].strip() == f"building {NASTY}\ndone"
    assert (log["data-url"], log["data-offset"]) == ("/api/0/shop/deploys/1/log", str(size))
    assert "data-whole" not in log
    await kedge.finish(deploy, 3, log_end=size)
    text, page = await read(kedge, "/shop/deploys/1")
    assert "Failed after 1 s: the command ended with exit code 3" in text
    assert "Exit code 3" in text
    assert [attributes for tag, attributes in page.tags if tag == "pre" and "data-whole" in attributes]


async def test_what_went_wrong_in_telling_the_provider_is_shown(kedge: World) -> None:
    deploy = await kedge.ask()
    await kedge.ctx.stores.main.write(lambda tx: deploys.save(tx, deploy.id, status_problem="It answered 422."))
    text, _ = await read(kedge, "/shop/deploys/1")
    assert "The provider was not told: It answered 422." in text


async def test_of_a_long_log_the_tail_is_shown_from_a_whole_line_on(kedge: World) -> None:
    data = b"".join(b"line %07d \xc3\xa4\n" % number for number in range(40_000))
    deploy = await kedge.running()
    await kedge.log(deploy, data[:400_000])
    await kedge.log(deploy, data[400_000:], 400_000)
    text, page = await read(kedge, "/shop/deploys/1")
    shown = page.text.rpartition("Follow the end")[2].rpartition("Runners")[0].partition("\n")[2].lstrip("\n")
    start = len(data) - TAIL
    start = data.index(b"\n", start) + 1
    assert shown.rstrip("\n") == data[start:].decode().rstrip("\n")
    assert "The last 256.0 KiB of 625.0 KiB. The whole log" in text
    assert "/api/0/shop/deploys/1/log" in links(page)


@pytest.mark.parametrize("data", [b"\x80" * 300_000, b"x" * 300_000, b"\n" * 300_000, b"", b"\r"])
async def test_logs_without_lines_or_characters_are_shown_none_the_less(kedge: World, data: bytes) -> None:
    deploy = await kedge.running()
    await kedge.log(deploy, data)
    await read(kedge, "/shop/deploys/1")
    await kedge.finish(deploy, log_end=len(data))
    await read(kedge, "/shop/deploys/1")


@pytest.mark.parametrize("field", ["user", "ref", "on_behalf_of", "task"])
async def test_whatever_people_may_choose_is_escaped(kedge: World, field: str) -> None:
    await kedge.ask(**{field: NASTY})  # a task or ref of that name is refused, and shown none the less
    for path in ("/", "/shop", "/shop/deploys/1"):
        async with kedge.client.get(path, headers=BEARER) as answer:
            html = await answer.text()
        assert answer.status == 200 and "<script>alert" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/shp", "There is no app shp. Did you mean shop?"),
        (f"/{'%3Cscript%3E'}", "There is no app <script>."),
        ("/shop/deploys/7", "shop has no deploy 7."),
        ("/shop/deploys/x", "shop has no deploy x;"),
        ("/shp/deploys/7", "Did you mean shop?"),
        ("/shop/nothing", "There is no such page."),
    ],
)
async def test_what_is_unknown_is_answered_by_a_page_with_what_is_near(kedge: World, path: str, sentence: str) -> None:
    text, _ = await read(kedge, path, 404)
    assert sentence in text


async def test_an_unreachable_database_is_told_on_a_page(kedge: World) -> None:
    await kedge.ctx.stores.main.close()
    text, _ = await read(kedge, "/", 503)
    assert "The database cannot be reached now." in text


async def test_a_wrong_method_is_told_on_a_page(kedge: World) -> None:
    async with kedge.client.delete("/shop", headers=BEARER) as answer:
        assert answer.status == 405 and "GET" in answer.headers["Allow"]
        assert "This page cannot be asked for in that way." in await answer.text()


async def test_a_defect_shows_no_text_of_its_own(kedge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(seeing, "apps", broken)
    with capture_logs() as logged:
        async with kedge.client.get("/", headers=BEARER) as answer:
            assert answer.status == 500 and "secret" not in await answer.text()
    assert logged[0]["event"] == "page failed"


@pytest.mark.parametrize(
    "path", ["/", "/shop", "/shop/deploys/1", "/login", "/nothing", "/static/live.js", "/api/0/apps"]
)
async def test_every_answer_has_the_headers_and_nothing_inline(kedge: World, path: str) -> None:
    await kedge.ask()
    headers = {} if path == "/login" else BEARER
    async with kedge.client.get(path, headers=headers) as answer:
        text = await answer.text()
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert ("Cache-Control" in answer.headers) == (not path.startswith("/static/"))
    if answer.content_type == "text/html":
        assert not re.search(r"<script(?![^>]* src=\"/static/)|\son\w+=|\sstyle=|<style", text)
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


@pytest.mark.parametrize("name", ["kedge.css", "live.js", "icon.svg"])
async def test_what_is_static_is_open(kedge: World, name: str) -> None:
    async with kedge.client.get(f"/static/{name}") as answer:
        assert answer.status == 200 and await answer.read()


async def test_pages_are_built_for_everybody(kedge: World) -> None:
    await kedge.running()
    await kedge.ask()
    for path in ("/", "/shop", "/shop/deploys/1", "/login"):
        headers = {} if path == "/login" else BEARER
        async with kedge.client.get(path, headers=headers) as answer:
            page = _Text()
            page.feed(await answer.text())
        tags = [tag for tag, _ in page.tags]
        assert ("html", {"lang": "en"}) in page.tags
        assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
        labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
        for tag, attributes in page.tags:
            if tag == "input" and attributes.get("type") not in {"hidden", "checkbox"}:
                assert attributes["id"] in labels
            if tag == "th":
                assert attributes["scope"] in {"row", "col"}
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))


async def test_apps_of_odd_names_are_linked_by_encoded_paths(kedge: World) -> None:
    """History may hold names that the config would not take today."""
    odd = "a b/ü?#&\"'"
    shop = kedge.ctx.apps.configs["shop"]
    kedge.ctx.apps = Apps({odd: shop, **kedge.ctx.apps.configs})
    await kedge.ask(odd)
    _, page = await read(kedge, "/")
    path = "/a%20b%2F%C3%BC%3F%23%26%22%27"
    assert {path, f"{path}/deploys/1"} <= set(links(page))
    text, _ = await read(kedge, f"{path}/deploys/1")
    assert f"{odd}#1 queued" in text
    row = next(one for one in await kedge.ctx.stores.main.read(places.apps) if one.name == odd)
    assert row.id


async def test_runners_what_they_may_take_and_what_they_run(kedge: World) -> None:
    text, _ = await read(kedge, "/runners")
    assert "No runner has come yet." in text and "python -m runner doctor" in text
    await kedge.ask()
    deploy = await kedge.claim("eu-1", labels=("prod", "eu"))
    kedge.now[0] += 120_000
    await kedge.claim_nothing("us-1")
    text, page = await read(kedge, "/runners")
    assert f"{deploy.name} {deploy.sha[:7]} claimed" in text and "prod, eu" in text
    assert f"/shop/deploys/{deploy.number}" in links(page)
    assert "us-1 just now nothing none every app of the operator's config 1" in text
    assert "/runners" in links((await read(kedge, "/"))[1])

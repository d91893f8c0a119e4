"""What people who signed in with GitHub see and may do: it follows from the repositories they can read and push to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp.api import streaming
from ghapp.api.auth import CSRF_HEADER
from ghapp.api.sessions import ByProvider, new_session, sign_in
from ghapp.core.values import Lock
from ghapp.service import acting, permissions
from ghapp.service import people as service
from ghapp.service.context import Apps
from tests.integration.kedge_world import settings
from tests.integration.people_world import Answer, People, people


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[People]:
    async with people(tmp_path) as made:
        yield made


async def api(town: People, method: str, path: str, **more: object) -> Answer:
    headers = {CSRF_HEADER: await town.csrf()} if method != "GET" else {}
    return await town.call(method, f"/api/0{path}", headers=headers, **more)


async def sees(town: People) -> list[str]:
    page = (await town.get("/")).text
    return [name for name in ("shop", "blog", "site") if f'href="/{name}"' in page]


@pytest.mark.parametrize(
    ("login", "apps"),
    [
        ("ana", ["shop"]),
        ("bob", ["shop", "site"]),  # a collaborator of what is public
        ("dora", ["blog"]),
        ("eve", []),  # reads acme/site, as everybody does
    ],
)
async def test_one_sees_the_apps_whose_repositories_one_can_read(town: People, login: str, apps: list[str]) -> None:
    town.gh.add_user(login)
    await town.enter(login, "/")
    assert await sees(town) == apps
    for name in ("shop", "blog", "site", "nowhere"):
        for path in (f"/{name}", f"/api/0/{name}"):
            answer = await town.get(path)
            assert answer.status == (200 if name in apps else 403), path
            assert name in apps or f"There is no app {name} whose repository {login} can read." in answer.text.replace(
                "&#39;", "'"
            )
    shown = (await town.get("/")).text
    assert ("There is no app whose repository eve can read." in shown) == (login == "eve")


@pytest.mark.parametrize("login", ["dora", "eve"])
async def test_no_read_tells_of_an_app_whose_repository_one_cannot_read(town: People, login: str) -> None:
    """Every GET of the route table, whoever adds one."""
    await town.kedge.running(ref="told-to-nobody")
    await town.kedge.ask(ref="told-to-nobody")
    lock = Lock("ana", "told-to-nobody", town.kedge.now[0])
    await town.kedge.ctx.decide(lambda tx: acting.lock(tx, town.kedge.ctx, 1, None, lock))
    if login == "eve":  # what concerns everything is nothing for strangers
        await town.kedge.ctx.decide(lambda tx: acting.lock(tx, town.kedge.ctx, None, None, lock))
    town.kedge.ctx.apps = Apps(town.kedge.ctx.apps.configs, "told-to-nobody")
    town.gh.add_user(login)
    await town.enter(login)
    resources = {route.resource.canonical for route in town.kedge.client.app.router.routes() if route.resource}
    walked = 0
    for path in sorted(resources - {"/static", "/api/0/events"}):
        if "{id}" in path or path.startswith(("/auth", "/webhooks")):
            continue
        answer = await town.get(path.format(app="shop", number=1, env="production", sha="a" * 40))
        assert answer.status < 500, path
        walked += answer.status == 200
        assert "told-to-nobody" not in answer.text and "shop#1" not in answer.text, path
    assert walked >= 3
    for query in ("?after=0", "?after=0&app=blog"):
        assert "told-to-nobody" not in await heard(town, f"/api/0/events{query}")
    assert (await town.get("/api/0/events?app=shop")).status == 403


async def heard(town: People, path: str) -> str:
    """What an event stream says at once."""
    async with town.kedge.client.get(path) as answer:
        if answer.status != 200:
            return ""
        said = b""
        while b": still there" not in said:
            data = await answer.content.readany()
            if not data:
                break
            said += data
        return said.decode()


async def test_one_hears_of_what_one_sees(town: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "COMMENT_EVERY_S", 0.05)
    await town.kedge.ask(environment="staging")
    await town.enter("bob")
    assert '"app":"shop"' in await heard(town, "/api/0/events?after=0")
    assert '"app":"shop"' in await heard(town, "/api/0/events?after=0&app=shop")
    for path in ("/queue", "/deploys", "/deploys/1", "/deploys/1/log", "/locks", "/commits/main"):
        assert (await town.get(f"/api/0/shop{path}")).status == 200, path
    for path in ("/audit", "/tokens", "/runners"):
        answer = await town.get(f"/api/0{path}")
        assert answer.status == 403 and "token" in answer.text, path


async def test_reading_is_no_pushing(town: People) -> None:
    await town.kedge.ask(environment="staging")
    await town.enter("bob")
    assert "Cancel this deploy" not in (await town.get("/shop/deploys/1")).text
    refused = await town.post("/shop/deploys/1/cancel")
    assert refused.status == 403 and "bob" in refused.text
    for method, path in (("POST", "/shop/deploy?env=staging"), ("PUT", "/shop/locks/staging?reason=x")):
        assert (await api(town, method, path)).status == 403
    assert (await api(town, "GET", "/shop/deploys/1")).text.count('"state":"queued"') == 1


async def test_who_may_push_deploys_locks_and_cancels_and_is_named(town: People) -> None:
    await town.kedge.ask(environment="staging")
    await town.enter("ana")
    assert "Cancel this deploy" in (await town.get("/shop/deploys/1")).text
    assert (await town.post("/shop/deploys/1/cancel")).status == 303
    assert "by ana" in (await town.get("/shop/deploys/1")).text
    asked = await api(town, "POST", "/shop/deploy?env=staging")
    assert asked.status == 201 and '"user":"ana"' in asked.text
    assert (await api(town, "PUT", "/shop/locks/staging?reason=x")).status == 201
    assert (await api(town, "DELETE", "/shop/locks/staging")).status == 204
    for method, path in (
        ("PUT", "/shop/locks?reason=x"),
        ("PUT", "/locks?reason=x"),
        ("POST", "/blog/deploy"),
        ("POST", "/shop/deploys/2/declare-dead"),
        ("POST", "/tokens"),
    ):
        more = {"json": {"name": "x", "owner": "ana", "scopes": ["admin"]}} if path == "/tokens" else {}
        assert (await api(town, method, path, **more)).status == 403, path


async def test_who_administers_the_repository_is_admin_of_its_app_and_of_nothing_else(town: People) -> None:
    await town.kedge.ask(environment="staging")
    await town.enter("carol")
    assert (await api(town, "PUT", "/shop/locks?reason=x")).status == 201
    assert (await api(town, "POST", "/shop/deploys/1/declare-dead")).status == 409  # it is not lost
    for method, path in (("PUT", "/locks?reason=x"), ("GET", "/audit"), ("PUT", "/blog/locks?reason=x")):
        assert (await api(town, method, path)).status == 403, path


async def test_who_may_deploy_by_name_must_still_be_able_to_read(town: People) -> None:
    await town.enter("carol")
    town.gh.set_permission("acme/shop", "carol", "none")
    town.later()
    assert (await api(town, "POST", "/shop/deploy?env=production")).status == 403


async def test_access_that_was_lost_is_lost_also_by_who_is_still_being_told(
    town: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.kedge.running(environment="staging")
    await town.enter("bob")
    async with town.kedge.client.get("/api/0/shop/deploys/1/log", headers={"Accept": "text/event-stream"}) as following:
        assert await following.content.readany()
        town.gh.set_permission("acme/shop", "bob", "none")
        assert await sees(town) == ["shop", "site"]  # remembered for half a minute
        town.later()
        assert await sees(town) == ["site"]
        monkeypatch.setattr(streaming, "READMIT_EVERY_S", 0.0)
        town.kedge.ctx.signals.send("changes")
        while await following.content.readany():
            pass
    assert (await town.get("/shop/deploys/1")).status == 403


async def test_whoever_takes_the_login_of_another_sees_nothing_of_theirs(town: People) -> None:
    """And neither does the old session: its login is somebody else's, who may well read the repository too."""
    await town.enter("ana")
    town.gh.rename_user("ana", "anna")
    town.gh.set_permission("acme/shop", "ana", "admin")
    town.later()
    assert await sees(town) == []
    await town.enter("anna")
    assert await sees(town) == ["shop"]


async def test_where_github_cannot_be_asked_everything_stays_closed_and_says_so(town: People) -> None:
    await town.enter("bob")
    town.gh.faults.answer("GET", "/repos/acme/shop/.*", 503, times=None)
    closed = "It cannot be asked now who can read the repository of shop, so it stays closed."
    for path in ("/shop", "/api/0/shop"):
        answer = await town.get(path)
        assert answer.status == 502 and closed in answer.text
    page = (await town.get("/")).text
    assert "some may be missing here" in page and "acme/shop" not in page
    assert await sees(town) == ["site"]
    assert (await town.get("/api/0/apps")).text.count('"name":"shop"') == 0
    assert (await town.post("/logout")).status == 303


async def test_no_page_waits_long_for_its_turn_to_ask(town: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others are being asked about at a GitHub that does not answer."""
    monkeypatch.setattr(service, "PATIENCE_S", 0.05)
    monkeypatch.setattr(permissions, "AT_ONCE", 0)
    town.kedge.ctx.permissions = permissions.Permissions()
    await town.enter("bob")
    assert "some may be missing here" in (await town.get("/")).text
    town.kedge.ctx.permissions = permissions.Permissions()


async def test_the_last_calls_are_left_to_deploys(town: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often strangers look, each of whom is asked about."""
    await town.enter("bob")
    assert await sees(town) == ["shop", "site"]
    monkeypatch.setattr(service, "RESERVED_CALLS", 1 << 20)
    town.kedge.ctx.permissions = permissions.Permissions()
    town.gh.requests.clear()
    assert "some may be missing here" in (await town.get("/")).text
    assert town.gh.requests == []


async def test_an_account_that_is_called_admin_is_no_admin(town: People) -> None:
    """Even with a session that no sign-in would have given."""
    forged = new_session(ByProvider("github", "admin", town.gh.add_user("admin").id))
    response = Response()
    sign_in(response, settings(), forged)  # type: ignore[arg-type]
    town.keep_only(**response.cookies)
    assert await sees(town) == ["shop"]
    for method, path in (("GET", "/tokens"), ("GET", "/audit"), ("PUT", "/locks?reason=x")):
        assert (await api(town, method, path)).status == 403, path


class Response:
    """As much of an answer as a cookie needs."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def set_cookie(self, name: str, value: str, **_: object) -> None:
        self.cookies[name] = value


async def test_where_everybody_may_read_signing_in_adds_what_one_may_do(tmp_path: Path) -> None:
    async with people(tmp_path, anonymous_read=True) as town:
        await town.kedge.ask(environment="staging")
        town.gh.faults.answer("GET", "/repos/acme/blog/.*", 503, times=None)
        await town.enter("ana")
        assert await sees(town) == ["shop", "blog", "site"]
        assert "some may be missing" not in (await town.get("/")).text
        assert "Cancel this deploy" in (await town.get("/shop/deploys/1")).text
        assert (await town.post("/shop/deploys/1/cancel")).status == 303


async def test_people_are_counted_each_for_themselves(town: People) -> None:
    await town.enter("bob")
    town.kedge.ctx.limits.token = type(town.kedge.ctx.limits.token)(0.1, 2)
    assert [(await town.get("/")).status for _ in range(3)] == [200, 200, 429]
    town.keep_only()
    await town.enter("ana")
    assert (await town.get("/")).status == 200

"""Signing in and out, and changes made from pages: cookies, CSRF, redirects."""

import re
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest
from aiohttp import ClientResponse

from ghapp.api.auth import CSRF_HEADER
from ghapp.api.common import SETTINGS
from ghapp.api.sessions import SESSION_S
from ghapp.store.stores import Stores
from tests.integration.kedge_world import ADMIN_TOKEN, BEARER, World, settings, world


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


def token_in(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found
    return found[1]


async def page(kedge: World, path: str) -> str:
    async with kedge.client.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


async def send(kedge: World, path: str, **fields: str) -> ClientResponse:
    async with kedge.client.post(path, data=fields, allow_redirects=False) as answer:
        await answer.read()
        return answer


async def enter(kedge: World, token: str = ADMIN_TOKEN, **fields: str) -> ClientResponse:
    csrf = token_in(await page(kedge, "/login"))
    return await send(kedge, "/login", **{"csrf": csrf, "token": token, **fields})


async def entered(kedge: World) -> str:
    """Sign in; the CSRF token of the session."""
    assert (await enter(kedge)).status == 303
    return token_in(await page(kedge, "/"))


async def is_in(kedge: World) -> bool:
    async with kedge.client.get("/", allow_redirects=False) as answer:
        return answer.status == 200


async def test_pages_send_to_sign_in_and_back(kedge: World) -> None:
    await kedge.ask()
    async with kedge.client.get("/shop/deploys/1?a=b&c=%20", allow_redirects=False) as answer:
        assert answer.status == 303
        location = answer.headers["Location"]
        assert location == "/login?next=/shop/deploys/1%3Fa%3Db%26c%3D%2520"
    html = await page(kedge, location)
    assert 'name="next" value="/shop/deploys/1?a=b&amp;c=%20"' in html
    answer = await enter(kedge, next="/shop/deploys/1?a=b&c=%20")
    assert (answer.status, answer.headers["Location"]) == (303, "/shop/deploys/1?a=b&c=%20")
    assert await is_in(kedge)
    async with kedge.client.get("/api/0/apps") as answer:
        assert answer.status == 200


async def test_the_cookie_is_signed_and_kept_from_scripts_and_other_sites(kedge: World) -> None:
    answer = await enter(kedge)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("kedge=") and ADMIN_TOKEN not in cookie
    assert {"HttpOnly", "Path=/", "SameSite=Lax", f"Max-Age={SESSION_S}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


async def test_over_https_the_cookie_is_for_https_and_this_host_only(stores: Stores) -> None:
    async with world(stores, url="https://kedge.example") as kedge:
        async with kedge.client.get("/login") as answer:
            cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-kedge=") and "Secure" in cookie.split("; ")
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    "token", ["", "wrong", ADMIN_TOKEN[:-1], f"{ADMIN_TOKEN}x", "ü", "runner-token-0123456789abcdef"]
)
async def test_a_wrong_token_is_told_and_lets_nobody_in(kedge: World, token: str) -> None:
    csrf = token_in(await page(kedge, "/login"))
    async with kedge.client.post("/login", data={"csrf": csrf, "token": token, "next": "/shop"}) as answer:
        assert answer.status == 401
        html = await answer.text()
    assert "This token is not known." in html and 'value="/shop"' in html
    assert not token or token not in html.replace(token_in(html), "")
    assert not await is_in(kedge)
    answer = await send(kedge, "/login", csrf=token_in(html), token=f" {ADMIN_TOKEN}\n", next="/shop")
    assert (answer.status, answer.headers["Location"]) == (303, "/shop")


@pytest.mark.parametrize(
    "after",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/\t/evil", "/%0a\n", "/ü", "\\\\x"],
)
async def test_after_sign_in_only_paths_of_this_app_are_gone_to(kedge: World, after: str) -> None:
    answer = await enter(kedge, next=after)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    async with kedge.client.get("/login", params={"next": after}, allow_redirects=False) as again:
        assert (again.status, again.headers["Location"]) == (303, "/")


async def test_sign_out_ends_it(kedge: World) -> None:
    csrf = await entered(kedge)
    answer = await send(kedge, "/logout", csrf=csrf)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert not await is_in(kedge)


@pytest.mark.parametrize("csrf", [None, "", "x", "of another session"])
async def test_forms_without_the_session_s_token_change_nothing(kedge: World, csrf: str | None) -> None:
    await kedge.ask()
    own = await entered(kedge)
    if csrf == "of another session":
        kedge.client.session.cookie_jar.clear()
        await entered(kedge)
        csrf = own
    fields = {} if csrf is None else {"csrf": csrf}
    for path in ("/shop/deploys/1/cancel", "/logout", "/login"):
        answer = await send(kedge, path, token=ADMIN_TOKEN, **fields)
        assert answer.status == 403, path
    headers = {} if csrf is None else {CSRF_HEADER: csrf}
    async with kedge.client.post("/api/0/shop/deploys/1/cancel", headers=headers) as refused:
        assert refused.status == 403
        assert (await refused.json())["error"]["code"] == "forbidden"
    assert await is_in(kedge)
    async with kedge.client.get("/api/0/shop/deploys/1") as shown:
        assert (await shown.json())["state"] == "queued"


async def test_the_sign_in_form_of_another_browser_is_refused(kedge: World) -> None:
    csrf = token_in(await page(kedge, "/login"))
    kedge.client.session.cookie_jar.clear()
    assert (await send(kedge, "/login", csrf=csrf, token=ADMIN_TOKEN)).status == 403
    await page(kedge, "/login")
    assert (await send(kedge, "/login", csrf=csrf, token=ADMIN_TOKEN)).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_site_sends_is_refused(kedge: World, site: str) -> None:
    await kedge.ask()
    csrf = await entered(kedge)
    headers = {"Sec-Fetch-Site": site}
    async with kedge.client.post("/shop/deploys/1/cancel", data={"csrf": csrf}, headers=headers) as answer:
        assert answer.status == 403


async def test_the_id_of_a_session_changes_at_sign_in(kedge: World) -> None:
    before = token_in(await page(kedge, "/login"))
    await enter(kedge)
    assert (await send(kedge, "/logout", csrf=before)).status == 403


async def test_cancel_from_the_page(kedge: World) -> None:
    await kedge.ask()
    await entered(kedge)
    html = await page(kedge, "/shop/deploys/1")
    assert "Cancel this deploy" in html
    answer = await send(kedge, "/shop/deploys/1/cancel", csrf=token_in(html))
    assert (answer.status, answer.headers["Location"]) == (303, "/shop/deploys/1")
    html = await page(kedge, "/shop/deploys/1")
    assert "Cancelled: by admin" in html and "Cancel this deploy" not in html
    async with kedge.client.post("/shop/deploys/1/cancel", data={"csrf": token_in(html)}) as late:
        assert late.status == 409
        assert "Too late: shop#1 " in await late.text()
    async with kedge.client.post("/shop/deploys/9/cancel", data={"csrf": token_in(html)}) as unknown:
        assert unknown.status == 404 and "shop has no deploy 9." in await unknown.text()


async def test_cancel_of_a_running_one_is_shown_until_its_runner_ends_it(kedge: World) -> None:
    await kedge.running()
    await entered(kedge)
    html = await page(kedge, "/shop/deploys/1")
    await send(kedge, "/shop/deploys/1/cancel", csrf=token_in(html))
    html = await page(kedge, "/shop/deploys/1")
    assert "admin asked to cancel it at" in html and "Cancel this deploy" not in html


async def test_the_api_takes_the_cookie_with_the_token_in_a_header(kedge: World) -> None:
    await kedge.ask()
    csrf = await entered(kedge)
    async with kedge.client.post("/api/0/shop/deploys/1/cancel", headers={CSRF_HEADER: csrf}) as answer:
        assert answer.status == 200


async def test_a_bearer_token_needs_no_csrf_token_on_a_page_either(kedge: World) -> None:
    await kedge.ask()
    async with kedge.client.post("/shop/deploys/1/cancel", headers=BEARER, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_wrong_bearer_token_is_not_saved_by_a_cookie(kedge: World) -> None:
    await entered(kedge)
    for path in ("/", "/api/0/apps"):
        async with kedge.client.get(path, headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401 and "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("body", [b"\xff=\xfe", b"csrf=%ff", b"&" * 100])
async def test_a_form_that_cannot_be_read_is_refused(kedge: World, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    async with kedge.client.post("/login", data=body, headers=headers) as answer:
        assert answer.status in {400, 403}


async def rotated(kedge: World, **changes: object) -> None:
    """Restart with other settings, as far as a session can tell."""
    kedge.client.app._state[SETTINGS] = settings(**changes)  # an app that serves takes no new keys


async def test_a_session_outlives_the_rotation_of_keys_and_not_their_removal(kedge: World) -> None:
    csrf = await entered(kedge)
    await rotated(kedge, secret_keys=("n" * 32, "k" * 32))
    assert await is_in(kedge)
    assert (await send(kedge, "/shop", csrf=csrf)).status == 405  # past the check of the form
    await rotated(kedge, secret_keys=("n" * 32,))
    assert not await is_in(kedge)


async def test_another_admin_token_ends_every_session(kedge: World) -> None:
    await entered(kedge)
    await rotated(kedge, admin_token="another-token-0123456789abcdef")
    assert not await is_in(kedge)


@pytest.mark.parametrize("change", [lambda value: value[:-2] + "xx", lambda value: "", lambda value: "W10.x.y"])
async def test_a_forged_cookie_is_none(kedge: World, change: object) -> None:
    answer = await enter(kedge)
    value = SimpleCookie(answer.headers["Set-Cookie"])["kedge"].value
    kedge.client.session.cookie_jar.clear()
    headers = {"Cookie": f"kedge={change(value)}"}  # type: ignore[operator]
    async with kedge.client.get("/api/0/apps", headers=headers) as refused:
        assert refused.status == 401
    async with kedge.client.get("/api/0/apps", headers={"Cookie": f"kedge={value}"}) as taken:
        assert taken.status == 200


async def test_the_cookie_of_the_form_alone_opens_nothing(kedge: World) -> None:
    await page(kedge, "/login")
    assert not await is_in(kedge)
    async with kedge.client.get("/api/0/apps") as answer:
        assert answer.status == 401


async def test_anonymous_readers_see_pages_and_no_buttons(stores: Stores) -> None:
    async with world(stores, anonymous_read=True) as kedge:
        await kedge.ask()
        html = await page(kedge, "/shop/deploys/1")
        assert "Cancel this deploy" not in html and '<a href="/login">Sign in</a>' in html
        async with kedge.client.post("/shop/deploys/1/cancel", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        await entered(kedge)
        assert "Cancel this deploy" in await page(kedge, "/shop/deploys/1")

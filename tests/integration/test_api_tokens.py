"""Tokens through HTTP, on SQLite and PostgreSQL: made once, ended for good, used not too often."""

import json
from collections.abc import AsyncIterator

import pytest

from ghapp import wire
from ghapp.core.limits import Rate
from ghapp.service import tokens
from ghapp.service.limits import Limits
from ghapp.store.base import Row, Tx
from ghapp.store.stores import Stores
from tests.integration.kedge_world import NOON, World
from tests.integration.test_web_sign_in import enter, is_in
from tests.integration.token_calls import DAY_MS, RUNNER, call, claim, listed, make, pushing


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with pushing(stores) as made:
        yield made


async def test_a_token_is_shown_once_and_listed_without_its_secret(kedge: World) -> None:
    answer = await call(
        kedge,
        "POST",
        "/api/0/tokens",
        body={
            "name": "ci",
            "owner": "ana",
            "scopes": ["deploy", "read", "read"],
            "apps": ["shop"],
            "environments": ["staging"],
            "expires": "90d",
        },
    )
    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
    made = await answer.json()
    secret = made.pop("token")
    assert secret.startswith("kedge_") and len(secret) == 49
    assert made == {
        "id": made["id"],
        "name": "ci",
        "owner": "ana",
        "scopes": ["read", "deploy"],
        "apps": ["shop"],
        "environments": ["staging"],
        "labels": None,
        "created_at": "2026-11-23T14:00:00.000Z",
        "created_by": "admin",
        "expires_at": "2027-02-21T14:00:00.000Z",
        "last_used_at": None,
        "revoked_at": None,
    }
    assert await listed(kedge) == [made]


async def test_the_secret_is_nowhere_in_the_database(kedge: World, stores: Stores) -> None:
    made = await make(kedge, "read")
    assert (await call(kedge, "GET", "/api/0/apps", made["token"])).status == 200
    await tokens.keep_uses(kedge.ctx)

    async def everything(tx: Tx) -> list[Row]:
        return [*await tx.all("SELECT * FROM tokens"), *await tx.all("SELECT * FROM events")]

    rows = await stores.main.read(everything)
    assert len(rows) == 2
    text = json.dumps([dict(row) for row in rows])
    assert made["token"] not in text and made["token"].removeprefix("kedge_") not in text
    created = next(row for row in rows if row.get("kind") == "token_created")
    assert created["who"] == "admin" and json.loads(created["data"])["owner"] == "ana"


async def test_pages_of_the_list_and_cursors(kedge: World) -> None:
    made = [(await make(kedge, "read", name=f"t{number}"))["id"] for number in range(5)]
    seen: list[int] = []
    path = "/api/0/tokens?limit=2"
    while path:
        page = await (await call(kedge, "GET", path)).json()
        seen += [one["id"] for one in page["items"]]
        path = f"/api/0/tokens?limit=2&cursor={page['next']}" if page["next"] else ""
    assert seen == made[::-1]


async def test_expiry_ends_a_token_and_the_session_begun_with_it(kedge: World) -> None:
    given = await make(kedge, "read", expires="1d")
    kedge.now[0] = NOON + DAY_MS - 1
    assert (await call(kedge, "GET", "/api/0/apps", given["token"])).status == 200
    assert (await enter(kedge, given["token"])).status == 303
    assert await is_in(kedge)
    kedge.now[0] += 1
    answer = await call(kedge, "GET", "/api/0/apps", given["token"])
    assert answer.status == 401 and "expired on Nov 24, 14:00 UTC" in await answer.text()
    assert not await is_in(kedge)


async def test_revocation_ends_a_token_and_the_session_begun_with_it_at_once(kedge: World) -> None:
    given = await make(kedge, "read")
    assert (await enter(kedge, given["token"])).status == 303
    assert await is_in(kedge)
    kedge.now[0] += 60_000
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{given['id']}")).status == 204
    answer = await call(kedge, "GET", "/api/0/apps", given["token"])
    assert answer.status == 401 and "revoked on Nov 23, 14:01 UTC" in await answer.text()
    assert "WWW-Authenticate" in answer.headers
    assert not await is_in(kedge)
    async with kedge.client.get("/login", allow_redirects=False) as form:
        assert form.status == 200  # not sent back and forth
    kedge.now[0] += 60_000
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{given['id']}")).status == 204
    assert (await listed(kedge))[0]["revoked_at"] == "2026-11-23T14:01:00.000Z"


async def test_anybody_may_revoke_the_token_they_use_and_no_other(kedge: World) -> None:
    own, other = await make(kedge, "runner", apps=["blog"]), await make(kedge, "read")
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{other['id']}", own["token"])).status == 403
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{own['id']}", own["token"])).status == 204
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{own['id']}", own["token"])).status == 401
    assert [one["revoked_at"] is None for one in await listed(kedge)] == [True, False]


@pytest.mark.parametrize("identity", ["0", "999", "x", "-1", "1.5", "9" * 30, "%00", "٣"])
async def test_a_token_that_is_not_there_cannot_be_revoked(kedge: World, identity: str) -> None:
    assert (await call(kedge, "DELETE", f"/api/0/tokens/{identity}")).status == 404


async def test_a_session_has_the_scopes_of_its_token(kedge: World) -> None:
    await kedge.ask()
    assert (await enter(kedge, (await make(kedge, "deploy"))["token"])).status == 401
    assert (await enter(kedge, (await make(kedge, "read", owner="bob"))["token"])).status == 303
    async with kedge.client.get("/shop/deploys/1") as page:
        html = await page.text()
    assert "Signed in as bob" in html
    csrf = html.partition('name="csrf" value="')[2].partition('"')[0]
    async with kedge.client.post("/shop/deploys/1/cancel", data={"csrf": csrf}) as answer:
        assert answer.status == 403 and "scope deploy" in await answer.text()


async def test_last_use_is_kept_and_written_once_a_minute(kedge: World, stores: Stores) -> None:
    given = await make(kedge, "read")

    async def saved() -> int | None:
        row = await stores.main.read(lambda tx: tx.one("SELECT last_used_at FROM tokens"))
        assert row
        return row["last_used_at"]  # type: ignore[no-any-return]

    for _ in range(3):
        kedge.now[0] += 1000
        await call(kedge, "GET", "/api/0/apps", given["token"])
        assert await saved() is None
    assert (await listed(kedge))[0]["last_used_at"] == "2026-11-23T14:00:03.000Z"
    await tokens.keep_uses(kedge.ctx)
    assert await saved() == NOON + 3000 and kedge.ctx.token_uses == {}
    assert (await listed(kedge))[0]["last_used_at"] == "2026-11-23T14:00:03.000Z"
    assert tokens.KEEP_USES_MS == 60_000


async def test_a_token_used_too_often_has_to_wait(kedge: World) -> None:
    kedge.ctx.limits = Limits(token=Rate(2, 3))
    given, other = await make(kedge, "read"), await make(kedge, "read")
    statuses = [(await call(kedge, "GET", "/api/0/apps", given["token"])).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    answer = await call(kedge, "GET", "/api/0/apps", given["token"])
    assert answer.headers["Retry-After"] == "1"
    assert (await answer.json())["error"]["code"] == "rate_limited"
    assert (await call(kedge, "GET", "/", given["token"])).headers["Retry-After"] == "1"
    assert (await call(kedge, "GET", "/api/0/apps", other["token"])).status == 200
    assert (await call(kedge, "GET", "/api/0/apps")).status == 200
    kedge.now[0] += 1000
    statuses = [(await call(kedge, "GET", "/api/0/apps", given["token"])).status for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_who_tries_tokens_has_to_wait_and_locks_nobody_out(kedge: World) -> None:
    kedge.ctx.limits = Limits(failed=Rate(1, 2))
    given = await make(kedge, "read")
    assert [(await call(kedge, "GET", "/api/0/apps", f"kedge_{n}")).status for n in range(3)] == [401, 401, 429]
    assert (await claim(kedge, "wrong")).status == 429
    assert (await enter(kedge, "wrong")).status == 429
    assert (await call(kedge, "GET", "/api/0/apps", given["token"])).status == 200
    assert (await claim(kedge, RUNNER)).status == 204
    kedge.now[0] += 1000
    assert (await call(kedge, "GET", "/api/0/apps", "wrong")).status == 401


async def test_a_lease_knows_no_limit(kedge: World) -> None:
    given = await make(kedge, "runner")
    await kedge.ask()
    job = await (await claim(kedge, given["token"])).json()
    kedge.ctx.limits = Limits(token=Rate(1, 1))
    assert (await claim(kedge, given["token"])).status == 204
    assert (await claim(kedge, given["token"])).status == 429
    for _ in range(5):
        path = wire.DEPLOY_PATH.format(id=job["id"], call="beat")
        assert (await call(kedge, "POST", path, job["lease"], {"phase": "gating", "wait_s": 0})).status == 200

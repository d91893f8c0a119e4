"""Nonsense about tokens is refused and changes nothing."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from ghapp.store.stores import Stores
from tests.integration.kedge_world import BEARER, World
from tests.integration.token_calls import call, listed, make, pushing


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with pushing(stores) as made:
        yield made


async def refused(kedge: World, status: int, body: Mapping[str, object]) -> dict[str, Any]:
    answer = await call(kedge, "POST", "/api/0/tokens", body=body)
    assert answer.status == status, await answer.text()
    error: dict[str, Any] = (await answer.json())["error"]
    return error


GOOD: dict[str, object] = {"name": "ci", "owner": "ana", "scopes": ["read"]}


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"name": ""}, "name", ""),
        ({"name": "x" * 101}, "name", ""),
        ({"name": "a\nb"}, "name", "printable"),
        ({"name": 1}, "name", ""),
        ({"owner": "a b"}, "owner", "login"),
        ({"owner": "-x"}, "owner", "login"),
        ({"owner": "ana\u202e"}, "owner", ""),
        ({"scopes": []}, "scopes", ""),
        ({"scopes": "read"}, "scopes", ""),
        ({"scopes": ["deply"]}, "scopes", "Did you mean deploy?"),
        ({"scopes": ["READ"]}, "scopes", "Did you mean read?"),
        ({"scopes": ["read"] * 101}, "scopes", ""),
        ({"scopes": None}, "scopes", ""),
        ({"apps": []}, "apps", ""),
        ({"apps": ["shp"]}, "apps", "Did you mean shop?"),
        ({"apps": ["acme/shop"]}, "apps", "There is no app"),
        ({"apps": ["a\x00"]}, "apps", ""),
        ({"environments": ["prduction"]}, "environments", "Did you mean production?"),
        ({"environments": ["stg"]}, "environments", "There is no environment"),
        ({"apps": ["blog"], "environments": ["staging"]}, "environments", "There is no environment"),
        ({"labels": ["prod"]}, "labels", "runner"),
        ({"scopes": ["runner"], "labels": ["a b"]}, "labels", "no label"),
        ({"expires": "soon"}, "expires", "90d"),
        ({"expires": "0d"}, "expires", ""),
        ({"expires": "-1d"}, "expires", ""),
        ({"expires": "99999d"}, "expires", ""),
        ({"expires": "9" * 100_000}, "expires", ""),
        ({"expire": "90d"}, "expire", "Did you mean expires?"),
        ({"id": 7}, "id", ""),
    ],
)
async def test_nonsense_is_refused_naming_the_field(
    kedge: World, changes: dict[str, object], field: str, said: str
) -> None:
    error = await refused(kedge, 422, {**GOOD, **changes})
    assert (error["code"], error["field"]) == ("invalid", field)
    assert said in error["message"]
    assert await listed(kedge) == []


@pytest.mark.parametrize("missing", GOOD)
async def test_what_is_required_is_asked_for(kedge: World, missing: str) -> None:
    error = await refused(kedge, 422, {name: value for name, value in GOOD.items() if name != missing})
    assert missing in error["message"]


@pytest.mark.parametrize(
    ("body", "status"), [(b"[]", 400), (b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"1" * (3 << 20), 413)]
)
async def test_a_body_that_is_none_is_refused(kedge: World, body: bytes, status: int) -> None:
    headers = {**BEARER, "Content-Type": "application/json"}
    async with kedge.client.post("/api/0/tokens", data=body, headers=headers) as answer:
        assert answer.status == status, await answer.text()


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=201", "cursor=x", "cursor=", "offset=1"])
async def test_nonsense_in_the_query_is_refused(kedge: World, query: str) -> None:
    assert (await call(kedge, "GET", f"/api/0/tokens?{query}")).status == 422


@pytest.mark.parametrize("token", ["kedge_", "kedge_ü", "Kedge_x", "kedge_" + "x" * 100_000, "' OR 1=1 --"])
async def test_nonsense_as_a_token_is_not_known(kedge: World, token: str) -> None:
    await make(kedge, "read")
    assert (await call(kedge, "GET", "/api/0/apps", token)).status in {400, 401}

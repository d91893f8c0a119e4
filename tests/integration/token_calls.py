"""What tests of tokens share: calls with a token, making one, claiming with one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientResponse

from ghapp import wire
from ghapp.store.stores import Stores
from tests.integration.commit_graph import Commits
from tests.integration.kedge_world import ADMIN_TOKEN, World, world

RUNNER = "runner-token-0123456789abcdef"
DAY_MS = 86_400_000


@asynccontextmanager
async def pushing(stores: Stores) -> AsyncIterator[World]:
    """A world where everybody may push; its repository has the commits a to d."""
    async with world(stores) as made:
        provider = Commits()
        provider.grow("abcd")
        made.ctx.providers = {"github": provider}
        yield made


async def call(kedge: World, method: str, path: str, token: str = ADMIN_TOKEN, body: object = None) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with kedge.client.request(method, path, headers=headers, json=body, allow_redirects=False) as answer:
        await answer.read()
        return answer


async def make(kedge: World, *scopes: str, **more: object) -> dict[str, Any]:
    body = {"name": "ci", "owner": "ana", "scopes": scopes, **more}
    answer = await call(kedge, "POST", "/api/0/tokens", body=body)
    assert answer.status == 201, await answer.text()
    made: dict[str, Any] = await answer.json()
    return made


async def listed(kedge: World) -> list[dict[str, Any]]:
    answer = await call(kedge, "GET", "/api/0/tokens")
    assert answer.status == 200
    items: list[dict[str, Any]] = (await answer.json())["items"]
    return items


async def claim(kedge: World, token: str, **wish: object) -> ClientResponse:
    kedge.now[0] += 1
    body = {"claim_id": f"claim-{kedge.now[0]}", "runner": "r1", "wait_s": 0, **wish}
    return await call(kedge, "POST", wire.CLAIM_PATH, token, body)

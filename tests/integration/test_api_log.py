"""A deploy's log as text through HTTP: from any byte, and by Range."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ghapp.store.deploys import Deploy
from ghapp.store.stores import Stores
from tests.integration.kedge_world import BEARER, World, world

LOG = "/api/0/shop/deploys/1/log"
TEXT = b"".join(b"line %d\n" % number for number in range(400))


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def fetch(kedge: World, query: str = "", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    async with kedge.client.get(LOG + query, headers={**BEARER, **headers}) as answer:
        return answer.status, await answer.read(), dict(answer.headers)


async def logged(kedge: World, data: bytes = TEXT, chunk: int = 1000) -> Deploy:
    """A running deploy with that log, in chunks that overlap and are compressed or not in turn."""
    deploy = await kedge.running()
    for number, start in enumerate(range(0, len(data), chunk)):
        codec = "identity" if number % 2 else "zstd"
        await kedge.log(deploy, data[start : start + chunk + chunk // 5], start, codec=codec)
    return deploy


async def test_the_log_is_plain_text_that_no_browser_takes_for_anything_else(kedge: World) -> None:
    await logged(kedge)
    status, body, headers = await fetch(kedge)
    assert (status, body) == (200, TEXT)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Length"] == str(len(TEXT))


async def test_before_there_is_a_log_it_is_empty(kedge: World) -> None:
    await kedge.ask()
    assert (await fetch(kedge))[:2] == (200, b"")


async def test_what_is_there_now_ends_at_the_first_gap(kedge: World) -> None:
    deploy = await kedge.running()
    await kedge.log(deploy, b"first\n")
    await kedge.log(deploy, b"third\n", 13)
    assert (await fetch(kedge))[1] == b"first\n"
    await kedge.log(deploy, b"second\n", 6)
    assert (await fetch(kedge))[1] == b"first\nsecond\nthird\n"


@pytest.mark.parametrize("offset", [0, 1, 999, 1000, 1001, 1199, 1200, len(TEXT) - 1, len(TEXT)])
async def test_from_any_byte(kedge: World, offset: int) -> None:
    await logged(kedge)
    assert (await fetch(kedge, f"?offset={offset}"))[:2] == (200, TEXT[offset:])


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "", "9" * 30])
async def test_an_offset_that_is_no_number(kedge: World, offset: str) -> None:
    await kedge.ask()
    status, body, _ = await fetch(kedge, f"?offset={offset}")
    assert status == 422 and b'"field":"offset"' in body


async def test_an_offset_beyond_the_end(kedge: World) -> None:
    await logged(kedge)
    status, body, headers = await fetch(kedge, f"?offset={len(TEXT) + 1}")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(TEXT)}")
    assert b'"code":"range_not_satisfiable"' in body


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-1099", 10, 1100),
        ("bytes=990-", 990, len(TEXT)),
        ("bytes=-5", len(TEXT) - 5, len(TEXT)),
        ("bytes=-999999", 0, len(TEXT)),
        ("bytes=0-999999", 0, len(TEXT)),
        ("bytes=0-", 0, len(TEXT)),
    ],
)
async def test_range(kedge: World, asked: str, start: int, stop: int) -> None:
    await logged(kedge)
    status, body, headers = await fetch(kedge, Range=asked)
    assert (status, body) == (206, TEXT[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(TEXT)}"


@pytest.mark.parametrize("asked", [f"bytes={len(TEXT)}-", "bytes=99999-100000"])
async def test_a_range_outside(kedge: World, asked: str) -> None:
    await logged(kedge)
    status, _, headers = await fetch(kedge, Range=asked)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(TEXT)}")


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=5-1", "bytes=0-1,4-5", "bytes", "bytes=-", "bytes=a-b"])
async def test_what_is_no_single_range_of_bytes_counts_for_nothing(kedge: World, asked: str) -> None:
    await logged(kedge)
    assert (await fetch(kedge, Range=asked))[:2] == (200, TEXT)


async def test_range_with_a_validator_that_no_log_has(kedge: World) -> None:
    await logged(kedge)
    assert (await fetch(kedge, Range="bytes=0-0", **{"If-Range": '"x"'}))[:2] == (200, TEXT)


async def test_a_range_counts_from_the_offset(kedge: World) -> None:
    await logged(kedge)
    status, body, headers = await fetch(kedge, "?offset=100", Range="bytes=10-19")
    assert (status, body) == (206, TEXT[110:120])
    assert headers["Content-Range"] == f"bytes 10-19/{len(TEXT) - 100}"


async def test_head_tells_the_length(kedge: World) -> None:
    await logged(kedge)
    async with kedge.client.head(LOG, headers=BEARER) as answer:
        assert (answer.status, answer.content_length, await answer.read()) == (200, len(TEXT), b"")


async def test_a_damaged_chunk_breaks_the_answer_instead_of_ending_it(kedge: World) -> None:
    deploy = await logged(kedge)
    await kedge.ctx.stores.logs.write(
        lambda tx: tx.run(
            "UPDATE log_chunks SET body = :body WHERE deploy_id = :id AND start = 2000", body=b"?", id=deploy.id
        )
    )
    with pytest.raises(aiohttp.ClientError):
        await fetch(kedge)

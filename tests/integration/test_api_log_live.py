"""A deploy's log followed live by server-sent events, in any weather."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ghapp.api import log as log_api
from ghapp.api import streaming
from ghapp.service import logs
from ghapp.store.stores import Stores
from tests.integration.event_stream import LOG, Event, follow
from tests.integration.kedge_world import BEARER, World, world

TEXT = b"".join(b"line %d\n" % number for number in range(400))


@pytest.fixture
async def kedge(stores: Stores) -> AsyncIterator[World]:
    async with world(stores) as made:
        yield made


async def ended(kedge: World) -> None:
    deploy = await kedge.running()
    for start in range(0, len(TEXT), 1000):
        await kedge.log(deploy, TEXT[start : start + 1200], start)
    await kedge.finish(deploy, log_end=len(TEXT))


async def test_a_follower_gets_what_is_there_what_comes_and_the_end(kedge: World) -> None:
    deploy = await kedge.running()
    await kedge.log(deploy, b"one\n")
    async with follow(kedge) as stream:
        assert await stream.next() == Event(data="one\n", id="4")
        await kedge.log(deploy, b"two\nthree", 4)
        assert await stream.next() == Event(data="two\nthree", id="13")
        await kedge.log(deploy, b"\n", 13)
        assert await stream.next() == Event(data="\n", id="14")
        await kedge.finish(deploy, log_end=14)
        assert await stream.next() == Event("end", "succeeded", "14")
        assert not await stream.answer.content.read()


async def test_the_end_waits_for_the_last_byte_that_the_runner_named(kedge: World) -> None:
    deploy = await kedge.running()
    await kedge.log(deploy, b"one\n")
    await kedge.finish(deploy, 1, log_end=8)
    async with follow(kedge) as stream:
        assert (await stream.next()).data == "one\n"
        await kedge.log(deploy, b"two\n", 4)
        assert (await stream.next()).data == "two\n"
        assert await stream.next() == Event("end", "failed", "8")


async def test_an_end_without_a_log_is_told_as_well(kedge: World) -> None:
    await kedge.ask()
    async with follow(kedge) as stream:
        async with kedge.client.post("/api/0/shop/deploys/1/cancel", headers=BEARER) as answer:
            assert answer.status == 200
        assert await stream.next() == Event("end", "cancelled", "")


@pytest.mark.parametrize("from_header", [True, False])
async def test_a_follower_goes_on_where_it_was(kedge: World, from_header: bool) -> None:
    await ended(kedge)
    where = {"Last-Event-ID": "1234"} if from_header else {}
    async with follow(kedge, "?offset=5" if from_header else "?offset=1234", **where) as stream:
        text, events = await stream.to_end()
    assert text.encode() == TEXT[1234:]
    assert events[-1].id == str(len(TEXT))


@pytest.mark.parametrize("last", ["x", "-1", "٣", "", "9" * 40])
async def test_nonsense_in_last_event_id_counts_for_nothing(kedge: World, last: str) -> None:
    await ended(kedge)
    async with follow(kedge, "?offset=3998", **{"Last-Event-ID": last}) as stream:
        assert (await stream.to_end())[0].encode() == TEXT[3998:]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_characters_and_line_breaks_cut_by_chunks_come_whole(kedge: World, size: int) -> None:
    data = "äöü\r\n→ 50 %\r75 %\r\n🚢 done\r\r\n\n".encode() + b"\xff bad \xc3( end \xf0\x9f"
    deploy = await kedge.running()
    async with follow(kedge) as stream:
        for start in range(0, len(data), size):
            await kedge.log(deploy, data[start : start + size], start)
        await kedge.finish(deploy, log_end=len(data))
        text, events = await stream.to_end()
    assert text == "äöü\n→ 50 %\n75 %\n🚢 done\n\n\n\ufffd bad \ufffd( end \ufffd"
    assert int(events[-1].id) == len(data)
    # Whoever comes back with any of the ids misses nothing and gets nothing twice.
    for number, event in list(enumerate(events[:-1]))[::5]:
        async with follow(kedge, **{"Last-Event-ID": event.id}) as again:
            assert (await again.to_end())[0] == "".join(one.data for one in events[number + 1 : -1])


async def test_an_incomplete_character_is_not_lost_while_the_rest_is_awaited(kedge: World) -> None:
    deploy = await kedge.running()
    async with follow(kedge) as stream:
        await kedge.log(deploy, b"ab\xe2\x82")
        assert await stream.next() == Event(data="ab", id="2")
        await kedge.log(deploy, b"\xac\n", 4)
        assert await stream.next() == Event(data="€\n", id="6")


async def test_lines_that_look_like_fields_stay_data(kedge: World) -> None:
    data = b"data: x\nid: 7\n\nevent: end\n: comment\n leading\n\n\n"
    deploy = await kedge.running()
    await kedge.log(deploy, data)
    await kedge.finish(deploy, log_end=len(data))
    async with follow(kedge) as stream:
        assert (await stream.to_end())[0].encode() == data


async def test_many_followers_of_a_long_log_each_get_all_of_it(kedge: World) -> None:
    data = b"".join(b"%07d\n" % number for number in range(40_000))
    deploy = await kedge.running()

    async def one() -> str:
        async with follow(kedge) as stream:
            return (await stream.to_end())[0]

    followers = [asyncio.create_task(one()) for _ in range(5)]
    for start in range(0, len(data), 100_000):
        await kedge.log(deploy, data[start : start + 100_000], start)
    await kedge.finish(deploy, log_end=len(data))
    for text in await asyncio.gather(*followers):
        assert text.encode() == data


async def test_a_comment_comes_where_nothing_else_does(kedge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "COMMENT_EVERY_S", 0.05)
    deploy = await kedge.running()
    async with follow(kedge) as stream:
        waiting = asyncio.create_task(stream.next())
        async with asyncio.timeout(20):
            while stream.comments < 3:  # noqa: ASYNC110  counted by the task above
                await asyncio.sleep(0.01)
        await kedge.log(deploy, b"at last\n")
        assert (await waiting).data == "at last\n"


async def test_a_follower_looks_by_itself_where_no_call_reaches_it(
    kedge: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have stored it."""
    monkeypatch.setattr(streaming, "LOOK_EVERY_S", 0.05)
    deploy = await kedge.running()
    async with follow(kedge) as stream:
        waiting = asyncio.create_task(stream.next())
        monkeypatch.setattr(kedge.ctx.signals, "send", lambda topic: None)
        await kedge.log(deploy, b"unheard\n")
        assert (await waiting).data == "unheard\n"


async def test_a_follower_that_hangs_up_is_let_go(kedge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = asyncio.Event()
    run = streaming._until_all_is_sent

    async def watched(*given: Any) -> None:
        try:
            await run(*given)
        finally:
            gone.set()

    monkeypatch.setattr(streaming, "_until_all_is_sent", watched)
    deploy = await kedge.running()
    await kedge.log(deploy, b"one\n")
    async with follow(kedge) as stream:
        await stream.next()
        assert not gone.is_set()
    async with asyncio.timeout(20):
        await gone.wait()


async def test_a_follower_that_takes_nothing_is_dropped_and_holds_one_piece_only(
    kedge: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.3)
    data = b"x" * (24 << 20)  # more than any socket buffers
    deploy = await kedge.running()
    for start in range(0, len(data), 1 << 20):
        await kedge.log(deploy, data[start : start + (1 << 20)], start)
    read: list[int] = []
    piece = logs.piece

    async def counted(*given: Any) -> bytes:
        found = await piece(*given)
        read.append(len(found))
        return found

    monkeypatch.setattr(logs, "piece", counted)
    reader, writer = await asyncio.open_connection(kedge.client.host, kedge.client.port, limit=1 << 10)
    writer.write(
        f"GET {LOG} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: {BEARER['Authorization']}\r\n\r\n".encode()
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        while await _still_growing(read):
            pass
    assert sum(read) < len(data)
    assert max(read) <= log_api.EVENT_SIZE
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(20):
            while await reader.read(1 << 20):
                pass
            raise ConnectionResetError("closed")
    writer.close()


async def _still_growing(read: list[int]) -> bool:
    before = len(read)
    await asyncio.sleep(streaming.STALLED_S * 2)
    return not read or len(read) != before


async def test_followers_end_when_the_app_stops(stores: Stores) -> None:
    async with world(stores) as kedge:
        deploy = await kedge.running()
        await kedge.log(deploy, b"one\n")
        async with follow(kedge) as stream:
            await stream.next()
            await streaming.stop_following(kedge.client.app)
            async with asyncio.timeout(20):
                assert not await stream.answer.content.read()

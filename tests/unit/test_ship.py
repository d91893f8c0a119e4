"""What becomes of a log's spool while the app is away."""

import asyncio
from pathlib import Path

import pytest
import structlog

from ghapp import wire
from runner import outgoing, ship
from runner.backoff import Pace
from runner.client import Unanswered
from runner.journal import Entry
from runner.masking import Masks
from runner.outgoing import OutgoingLog
from runner.ship import Growth, Shipper


def test_growth_is_measured_over_a_while() -> None:
    growth = Growth(apart_s=0.05)
    looks = ((0, 100.0), (900, 100.04), (1000, 100.0625), (9000, 100.0626), (1500, 100.125), (1500, 100.25))
    assert [growth.rate(size, now) for size, now in looks] == [0, 0, 16_000, 16_000, 8_000, 0]


class Near:
    """A lease of an app that stores everything at once."""

    log = structlog.get_logger()
    pace = Pace(poll_s=0.001, small_chunks_s=600)
    log_end = 0
    stored = 0

    async def send_log(self, offset: int, data: bytes) -> int:
        assert offset <= self.stored
        self.stored = max(self.stored, offset + len(data))
        return self.stored


class Watched(OutgoingLog):
    """Counts how often somebody asks how much there is."""

    asked = 0

    @property
    def spooled(self) -> int:
        self.asked += 1
        return super().spooled


@pytest.mark.parametrize(("flood", "pieces"), [(-1, 1), (1 << 60, 8)])
async def test_a_flood_goes_out_now_and_then_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: int, pieces: int
) -> None:
    monkeypatch.setattr(ship, "FLOOD", flood)
    entry, lease = Entry(tmp_path), Near()
    size = 8 * wire.LOG_CHUNK
    entry.output.write_bytes(b"x" * size)
    log = Watched(entry, Masks(), size * 4)
    shipper = Shipper(lease, log)  # type: ignore[arg-type]
    shipping = asyncio.ensure_future(shipper.run())
    async with asyncio.timeout(20):
        while lease.stored < pieces * wire.LOG_CHUNK or log.asked < 100:
            assert lease.stored <= pieces * wire.LOG_CHUNK
            await asyncio.sleep(0)
        shipper.close()
        await shipping
    assert lease.stored == size


class Away:
    """A lease of an app that does not answer."""

    log = structlog.get_logger()
    pace = Pace(first_s=600, most_s=600, poll_s=0.001)
    log_end = 0

    async def send_log(self, offset: int, data: bytes) -> int:
        raise Unanswered("not here")


async def test_what_is_left_out_is_given_back_while_the_app_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`log_limit` bounds the disk too, however much is written between two tries."""
    step = 1 << 16
    for name, value in (("STEP", step), ("KEPT_BEHIND", step), ("STEPS_AT_ONCE", 2)):
        monkeypatch.setattr(outgoing, name, value)
    entry = Entry(tmp_path)
    entry.output.write_bytes(b"x" * 64 * step)
    shipping = asyncio.ensure_future(Shipper(Away(), OutgoingLog(entry, Masks(), 8 * step)).run())  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(20):
            while entry.output.stat().st_blocks * 512 > 16 * step:  # noqa: ASYNC110  the disk sets no event
                await asyncio.sleep(0.01)
    finally:
        shipping.cancel()
        await asyncio.gather(shipping, return_exceptions=True)

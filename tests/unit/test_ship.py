"""What becomes of a log's spool while the app is away."""

import asyncio
from pathlib import Path

import pytest
import structlog

from runner import outgoing
from runner.backoff import Pace
from runner.client import Unanswered
from runner.journal import Entry
from runner.masking import Masks
from runner.outgoing import OutgoingLog
from runner.ship import Shipper


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

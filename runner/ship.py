"""Ship the log: follow it as it grows and hand it to the app, by byte offset, in any weather."""

import asyncio
from collections.abc import Sequence

from ghapp import wire
from runner.backoff import Backoff
from runner.client import Refused, Unanswered
from runner.lease import Lease
from runner.outgoing import OutgoingLog

IN_FLIGHT = 3
"""Requests under way at a time."""

FLOOD = 200 << 20
"""Bytes a second that are more than can be shipped: a log that grows faster goes out a piece now and then, and leaves
processor and memory to the command until it pauses or ends."""

SMALLEST = 1 << 14
"""A proxy that finds a chunk too large (413) gets smaller ones, down to this."""


class Growth:
    """How fast a file grows, measured over ``apart_s`` or a little more."""

    def __init__(self, apart_s: float) -> None:
        self._apart_s = apart_s
        self._seen_at = 0.0
        self._seen = 0
        self._rate = 0.0

    def rate(self, size: int, now: float) -> float:
        """Bytes a second, now that it has that size; ``now`` is a clock's, in seconds."""
        took_s = now - self._seen_at
        if took_s >= self._apart_s:
            self._rate = (size - self._seen) / took_s
            self._seen_at, self._seen = now, size
        return self._rate


class Shipper:
    """One log on its way. `run` ends when everything up to the end given to `close` is with the app.

    It keeps one number, the app's contiguous end, and after any doubt goes on from there: sending twice is harmless.
    """

    def __init__(self, lease: Lease, log: OutgoingLog) -> None:
        self._lease = lease
        self._log = log
        self._pace = lease.pace
        self._stored = 0
        self._sent = 0
        self._end: int | None = None
        self._chunk = wire.LOG_CHUNK
        self._lanes = 1
        self._flying: set[asyncio.Task[int]] = set()
        self._next_at = 0.0
        self._growth = Growth(self._pace.poll_s)
        self._backoff = Backoff(self._pace.first_s, self._pace.most_s)

    def close(self) -> int:
        """What there is now is all: returns the log's end."""
        self._end = self._log.close()
        return self._end

    async def run(self) -> None:
        """Raises LeaseOver."""
        tending = asyncio.ensure_future(self._tend())
        try:
            if self._log.given_back:
                await self._find_end()
            while self._end is None or self._stored < self._end:
                self._launch()
                await self._land()
                if tending.done():
                    tending.result()
        finally:
            for request in (tending, *self._flying):
                request.cancel()
            await asyncio.gather(tending, *self._flying, return_exceptions=True)

    async def _tend(self) -> None:
        """Beside the shipping: while the app is away a command that writes much must not fill the disk."""
        while True:
            self._log.tend(self._stored)
            await asyncio.sleep(self._pace.poll_s)

    async def _find_end(self) -> None:
        """Where the app is, asked with nothing: what it has may not be here any more. Raises LeaseOver."""
        while True:
            try:
                self._stored = self._sent = await self._lease.send_log(0, b"")
                return
            except Unanswered as error:
                self._lease.log.warning("log not stored yet", reason=str(error))
                await asyncio.sleep(self._backoff.next())

    def _launch(self) -> None:
        """Send what there is. A small piece, or one of a flood, waits for its turn; until one was answered there is
        only one."""
        while len(self._flying) < self._lanes:
            self._lease.log_end = self._log.end
            waiting = self._lease.log_end - self._sent
            now = asyncio.get_running_loop().time()
            flood = self._growth.rate(self._log.spooled, now) > FLOOD
            if waiting <= 0 or ((flood or waiting < self._chunk) and self._end is None and now < self._next_at):
                return
            data = self._log.read(self._sent, self._chunk)
            if not data:
                return
            if flood or len(data) < self._chunk:
                self._next_at = now + self._pace.small_chunks_s
            self._flying.add(asyncio.ensure_future(self._lease.send_log(self._sent, data)))
            self._sent += len(data)

    async def _land(self) -> None:
        """Take the answers that are there, or wait a moment."""
        if not self._flying:
            await asyncio.sleep(self._pace.poll_s)
            return
        done, flying = await asyncio.wait(self._flying, timeout=self._pace.poll_s, return_when=asyncio.FIRST_COMPLETED)
        if any(request.exception() for request in done):
            await self._doubt(await asyncio.gather(*self._flying, return_exceptions=True))
        elif done:
            self._flying = flying
            await self._advance(max(request.result() for request in done))

    async def _advance(self, end: int) -> None:
        """With nothing under way the last answer is the truth: a restored app may even have less than it had."""
        if self._flying:
            self._stored = max(self._stored, end)
            return
        if end < self._sent and end <= self._stored:
            await self._doubt([end])
            return
        self._stored = self._sent = end
        self._lanes = IN_FLIGHT
        self._backoff.reset()

    async def _doubt(self, answers: Sequence[int | BaseException]) -> None:
        """Something is missing: wait, and go on with one request at a time from where the app surely is."""
        self._flying = set()
        reason = ""
        for answer in answers:
            if isinstance(answer, int):
                continue
            if not isinstance(answer, Unanswered):
                raise answer
            reason = str(answer)
            if isinstance(answer, Refused) and answer.status == 413:
                self._chunk = max(self._chunk // 2, SMALLEST)
        self._stored = max((end for end in answers if isinstance(end, int)), default=self._stored)
        self._lease.log.warning("log not stored yet", end=self._stored, reason=reason)
        self._sent = self._stored
        self._lanes = 1
        await asyncio.sleep(self._backoff.next())

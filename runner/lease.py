"""A runner's right to one deploy: kept by beats, used by calls, ended only by the app's own word."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import structlog

from ghapp import wire
from runner.backoff import Backoff, Pace
from runner.client import AppClient, Bearer, LeaseOver, Unanswered
from runner.masking import Masks

log = structlog.get_logger()

Answer = TypeVar("Answer", bound=msgspec.Struct)


class Lease:
    """One deploy in this runner's hands. `beat` runs beside everything else, until `finish` is accepted.

    ``phase`` and ``log_end`` (bytes of log there are) are what the beats tell; ``cancelled`` is set once the app has
    told of a cancel, ``hushed`` once what is left of the deploy was out of the runner's hands. ``masks`` hides the
    lease and the repository's tokens, also those that come later.
    """

    def __init__(self, client: AppClient, job: wire.Job, pace: Pace) -> None:
        self.job = job
        self.phase = "gating"
        self.log_end = 0
        self.cancelled = asyncio.Event()
        self.hushed = asyncio.Event()
        self.token = job.repo_token
        self.masks = Masks([job.lease])
        if job.repo_token is not None:
            self.masks.add([job.repo_token.value])
        self.pace = pace
        self._client = client
        self._bearer = Bearer(job.id, job.lease)
        self._unconfirmed: str | None = None
        self._poke = asyncio.Event()
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._finishing = False
        self.log = log.bind(deploy=f"{job.app}#{job.number}", environment=job.environment)

    async def beat(self) -> None:
        """Beat for as long as the lease lives. The first goes at once and confirms the claim (rule 6).

        Raises LeaseOver. While `finish` is under way it only returns then: `finish` has the better answer.
        """
        backoff = Backoff(self.pace.first_s, self.pace.beat_most_s)
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        while True:
            await self._speaking.wait()
            sent_at = loop.time()
            asked_s = 0.0 if self._unconfirmed else wait_s
            try:
                interrupted = await self._beat_once(asked_s)
            except LeaseOver:
                if self._finishing:
                    return
                raise
            except Unanswered as error:
                self.log.warning("beat unanswered", reason=str(error))
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            wait_s = self.job.beat_s
            if asked_s and not interrupted:  # one that the app answered early may be followed by many
                await self._pause(sent_at + self.pace.beat_apart_s - loop.time())

    def confirm(self, state: str) -> None:
        """Tell the app at once that a granted status was written (rule 16); `finish` tells it too."""
        self._unconfirmed = state
        self._poke.set()

    def hush(self) -> None:
        """Send no beats until `speak`: what is left of the deploy is out of the runner's hands."""
        self._speaking.clear()
        self.hushed.set()
        self._poke.set()

    def speak(self) -> None:
        """Beat again."""
        self._speaking.set()

    async def call(self, name: str, body: msgspec.Struct, kind: type[Answer]) -> Answer:
        """Repeat a call until it is answered. Raises LeaseOver."""
        backoff = Backoff(self.pace.first_s, self.pace.most_s)
        while True:
            try:
                return await self.call_once(name, body, kind)
            except Unanswered as error:
                self.log.warning("call unanswered", call=name, reason=str(error))
                await asyncio.sleep(backoff.next())

    async def call_once(self, name: str, body: msgspec.Struct, kind: type[Answer]) -> Answer:
        """One try of a call. Raises LeaseOver, Unanswered, Refused."""
        return await self._client.call(self._bearer, name, body, kind)

    async def finish_once(self, finish: wire.Finish) -> wire.FinishAnswer:
        """One try of `finish`, which confirms what is not confirmed yet. Raises LeaseOver, Unanswered, Refused."""
        self._finishing = True
        confirming = finish.status_written or self._unconfirmed
        body = msgspec.structs.replace(finish, status_written=confirming)
        return await self.call_once("finish", body, wire.FinishAnswer)

    def send_log(self, offset: int, data: bytes) -> Coroutine[Any, Any, int]:
        """One try to hand over a piece of the log. Raises LeaseOver, Unanswered, Refused."""
        return self._client.log(self._bearer, offset, data)

    async def _beat_once(self, wait_s: float) -> bool:
        """One beat; True where it was given up because there is something to tell at once."""
        self._poke.clear()
        confirming = self._unconfirmed
        beat = wire.Beat(
            phase=self.phase,
            log_end=self.log_end,
            status_written=confirming,
            wait_s=wait_s,
        )
        request = asyncio.ensure_future(self._client.call(self._bearer, "beat", beat, wire.BeatAnswer, wait_s=wait_s))
        poked = asyncio.ensure_future(self._poke.wait())
        try:
            await asyncio.wait({request, poked}, return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                return True
            self._heard(request.result(), confirming)
            return False
        finally:
            request.cancel()
            poked.cancel()
            await asyncio.gather(request, poked, return_exceptions=True)

    def _heard(self, answer: wire.BeatAnswer, confirmed: str | None) -> None:
        if confirmed is not None and confirmed == self._unconfirmed:
            self._unconfirmed = None
        if answer.repo_token is not None:
            self.token = answer.repo_token
            self.masks.add([answer.repo_token.value])
        if answer.cancel_requested is not None and not self.cancelled.is_set():
            self.log.info("cancel requested", who=answer.cancel_requested.who)
            self.cancelled.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._poke.wait()
        except TimeoutError:
            return

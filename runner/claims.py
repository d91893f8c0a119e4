"""Ask the app for work: one long poll at a time for each free slot (protocol rule 5)."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, Literal

import structlog

from ghapp import wire
from runner import journal
from runner.backoff import Backoff
from runner.client import ClaimOver, Unanswered
from runner.tools import Tools

log = structlog.get_logger()


async def next_job(tools: Tools, stopping: asyncio.Event) -> wire.Job | None:
    """The next job; None once the runner is to stop. A lost answer is asked for again, with the same claim_id."""
    backoff = Backoff(tools.pace.first_s, tools.pace.most_s)
    stop = asyncio.ensure_future(stopping.wait())
    claim_id = secrets.token_hex(16)
    try:
        while not stopping.is_set():
            try:
                job = await _unless(stop, tools.client.claim(_claim(tools, claim_id)))
            except ClaimOver:
                claim_id = secrets.token_hex(16)
                await asyncio.wait({stop}, timeout=backoff.next())
                continue
            except Unanswered as error:
                log.warning("claim unanswered", reason=str(error))
                await asyncio.wait({stop}, timeout=backoff.next())
                continue
            if job is not None:
                return job
            backoff.reset()
            claim_id = secrets.token_hex(16)
        return None
    finally:
        stop.cancel()


async def _unless(stop: asyncio.Task[Literal[True]], claim: Coroutine[None, None, wire.Job | None]) -> wire.Job | None:
    """The claim's answer; None where the runner is to stop before it comes."""
    asking = asyncio.ensure_future(claim)
    either: set[asyncio.Task[Any]] = {asking, stop}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()


def _claim(tools: Tools, claim_id: str) -> wire.Claim:
    return wire.Claim(
        claim_id=claim_id,
        runner=tools.name,
        labels=list(tools.labels),
        apps=None if tools.apps is None else list(tools.apps),
        boot_id=journal.boot_id(),
        wait_s=tools.pace.claim_wait_s,
        version=tools.version,
    )

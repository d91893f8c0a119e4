"""The runner itself: slots that claim, deploys taken up again after a restart, and how it stops."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, Literal

import msgspec
import structlog

from ghapp import wire
from runner import follow, journal, processes, work
from runner.backoff import Backoff
from runner.client import ClaimOver, LeaseOver, Unanswered
from runner.follow import Ended
from runner.journal import Entry
from runner.lease import Lease
from runner.processes import Action
from runner.tools import Held, Tools

log = structlog.get_logger()

REBOOTED = "The runner's machine was restarted while it ran; how far it came is not known."
NEVER_RAN = "The runner was restarted before the command began; nothing ran."


async def run(tools: Tools, slots: int, stopping: asyncio.Event) -> None:
    """Deploy until ``stopping`` is set and every deploy that was begun has ended.

    Cancelled, it leaves at once; commands go on below their supervisors, and the next run takes them up again.
    """
    found = tools.journal.entries()
    async with asyncio.TaskGroup() as group:
        for number in range(slots):
            group.create_task(_slot(tools, found[number::slots], stopping))


async def _slot(tools: Tools, found: list[Entry], stopping: asyncio.Event) -> None:
    """What an earlier run left comes first; then one deploy after the other."""
    await asyncio.gather(*(_take_up(tools, entry) for entry in found))
    backoff = Backoff(tools.pace.first_s, tools.pace.most_s)
    while (job := await _next(tools, stopping)) is not None:
        try:
            entry = tools.journal.create(str(job.id), job.lease, msgspec.json.encode(job))
        except OSError as error:  # not confirmed by a beat, it goes back into the line
            log.error("could not take the job", deploy=f"{job.app}#{job.number}", reason=str(error))
            await asyncio.sleep(backoff.next())
            continue
        backoff.reset()
        held = Held(tools, Lease(tools.client, job, tools.pace), entry)
        held.lease.log.info("claimed", sha=job.sha, ref=job.ref, user=job.user)
        await _see_through(held, fresh=True)


async def _next(tools: Tools, stopping: asyncio.Event) -> wire.Job | None:
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


async def _take_up(tools: Tools, entry: Entry) -> None:
    """Go on with what an earlier run left in the journal."""
    raw = entry.read_job()
    try:
        job = msgspec.json.decode(raw or b"", type=wire.Job)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("an entry of the journal cannot be read and is dropped", entry=entry.path.name, reason=str(error))
        tools.journal.remove(entry)
        return
    held = Held(tools, Lease(tools.client, job, tools.pace), entry)
    held.lease.log.info("taken up again")
    await _see_through(held, fresh=False)


async def _see_through(held: Held, *, fresh: bool) -> None:
    """One deploy to its end, by way of the journal if something here goes wrong on the way."""
    backoff = Backoff(held.tools.pace.first_s, held.tools.pace.most_s)
    while True:
        try:
            await _with_beats(held, fresh=fresh)
            held.tools.journal.remove(held.entry)
            return
        except Exception:
            held.lease.log.exception("something went wrong in the runner; going on by the journal")
            fresh = False
            await asyncio.sleep(backoff.next())


async def _with_beats(held: Held, *, fresh: bool) -> None:
    over: list[LeaseOver] = []
    try:
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(held.lease.beat())
            await (work.deploy(held) if fresh else _resume(held))
            beats.cancel()
    except* LeaseOver as ended:
        over += _leaves(ended)
    if over:
        await follow.abandon(held, over[0])


async def _resume(held: Held) -> None:
    """Protocol rules 13 and 14. Raises LeaseOver."""
    entry = held.entry
    match processes.decide_after_crash(processes.gather(entry)):
        case Action.FORGET if entry.finished:
            return
        case Action.FORGET:  # nothing was asked yet: as if the runner had only been slow
            await work.deploy(held)
        case Action.FINISH_REBOOTED:
            await follow.finish_without_result(held, Ended("error", REBOOTED, started=_begun(entry)))
        case Action.TRY_NEVER if not entry.claim_never_started():
            await _resume(held)
        case Action.TRY_NEVER | Action.FINISH_NOT_STARTED:
            await follow.finish_without_result(held, Ended("error", NEVER_RAN))
        case Action.REPORT_RESULT | Action.FOLLOW | Action.SWEEP_THEN_ERROR:
            await follow.to_the_end(held, None)


def _begun(entry: Entry) -> bool:
    started = entry.read_started()
    return started is not None and not started.never


def _leaves(group: BaseExceptionGroup[LeaseOver]) -> list[LeaseOver]:
    leaves: list[LeaseOver] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves

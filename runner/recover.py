"""One deploy from its claim to its end, whatever happens to the runner on the way (protocol rules 13 and 14)."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import msgspec
import structlog

from ghapp import wire
from runner import follow, processes, work
from runner.backoff import Backoff
from runner.client import LeaseOver
from runner.follow import Ended
from runner.journal import Entry
from runner.lease import Lease
from runner.outgoing import reopen
from runner.processes import Action
from runner.tools import Held, Tools

log = structlog.get_logger()

REBOOTED = "The runner's machine was restarted while it ran; how far it came is not known."
NEVER_RAN = "The runner stopped before the command began; nothing ran."


async def take_up(tools: Tools, entry: Entry, group: asyncio.TaskGroup) -> None:
    """Go on with what an earlier run left in the journal, as `see_through` does."""
    raw = entry.read_job()
    try:
        job = msgspec.json.decode(raw or b"", type=wire.Job)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error(
            "a journal entry cannot be read; end by hand what may run of it", entry=str(entry.path), reason=str(error)
        )
        if entry.read_starting() is None:
            tools.journal.remove(entry)
        return
    held = Held(tools, Lease(tools.client, job, tools.pace), entry)
    held.lease.log.info("taken up again")
    await see_through(held, group, fresh=False)


async def see_through(held: Held, group: asyncio.TaskGroup, *, fresh: bool) -> None:
    """Until it has ended, or what is left of it is out of the runner's hands: a task of the group goes on with that,
    and it holds no slot. ``fresh``: it comes from a claim."""
    ending = group.create_task(_to_the_end(held, fresh=fresh))
    hushed = asyncio.ensure_future(held.lease.hushed.wait())
    try:
        await asyncio.wait({ending, hushed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hushed.cancel()


async def _to_the_end(held: Held, *, fresh: bool) -> None:
    """By way of the journal if something here goes wrong."""
    backoff = Backoff(held.tools.pace.first_s, held.tools.pace.most_s)
    async with aclosing(held):
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
            reopen(entry)
            async with aclosing(replace(held)) as anew:  # what was known of the log is of before, without the secrets
                await work.deploy(anew)
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

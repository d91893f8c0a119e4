"""The slots of a runner: each takes up what an earlier run left, then claims one deploy after the other."""

import asyncio

import msgspec
import structlog

from runner.backoff import Backoff
from runner.claims import next_job
from runner.journal import Entry
from runner.lease import Lease
from runner.recover import see_through, take_up
from runner.tools import Held, Tools

log = structlog.get_logger()


async def run(tools: Tools, slots: int, stopping: asyncio.Event) -> None:
    """Deploy until ``stopping`` is set and every deploy that was begun has ended.

    Cancelled, it leaves at once; commands go on below their supervisors, and the next run takes them up again.
    """
    found = tools.journal.entries()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(slots):
                group.create_task(_slot(tools, found[number::slots], stopping, group))
    finally:
        await tools.ahead.dismiss()


async def _slot(tools: Tools, found: list[Entry], stopping: asyncio.Event, group: asyncio.TaskGroup) -> None:
    """What an earlier run left comes first; then one deploy after the other."""
    await asyncio.gather(*(take_up(tools, entry, group) for entry in found))
    backoff = Backoff(tools.pace.first_s, tools.pace.most_s)
    tools.ahead.get()
    while (job := await next_job(tools, stopping)) is not None:
        try:
            entry = tools.journal.create(str(job.id), job.lease, msgspec.json.encode(job))
        except OSError as error:  # not confirmed by a beat, it goes back into the line
            log.error("could not take the job", deploy=f"{job.app}#{job.number}", reason=str(error))
            await asyncio.sleep(backoff.next())
            continue
        backoff.reset()
        held = Held(tools, Lease(tools.client, job, tools.pace), entry)
        held.lease.log.info("claimed", sha=job.sha, ref=job.ref, user=job.user)
        await see_through(held, group, fresh=True)

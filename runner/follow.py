"""One deploy from its start to its end: follow the supervisor, ship the log, finish, write what was granted."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from ghapp import wire
from ghapp.core.sentences import joined
from ghapp.core.times import rfc3339
from runner import durable, journal, processes, statuses
from runner.backoff import Backoff
from runner.client import LeaseOver, Refused, Unanswered
from runner.journal import Left, Result
from runner.masking import SHORTEST
from runner.ship import Shipper
from runner.statuses import Grant
from runner.tools import Held

EndedBy = Literal["exit", "cancel", "timeout", "silence", "error"]

CONFIRM_WITHIN_S = 30.0
"""By then a grant has ended by itself, and the app looks at what the provider shows (protocol rule 16)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a deploy ends without a command that ran; ``started`` where it is unknown what it did."""

    ended_by: EndedBy
    reason: str
    started: bool = False


async def finish_without_result(held: Held, ended: Ended) -> None:
    """End a deploy whose command did not run, or of which nothing can be known. Raises LeaseOver."""
    held.note_last(ended.reason)
    await _end(
        held,
        Result(
            ended_by=ended.ended_by,
            started=ended.started,
            ended_at=_now(),
            reason=ended.reason,
        ),
    )


async def to_the_end(held: Held, grant: Grant | None) -> None:
    """Follow the supervisor, whoever launched it, and report how it ended. Raises LeaseOver."""
    held.lease.phase = "running"
    shipper = Shipper(held.lease, held.log)
    async with asyncio.TaskGroup() as group:
        shipping = group.create_task(shipper.run())
        cancelling = group.create_task(_pass_on_cancel(held))
        writing = group.create_task(_write(held, grant))
        result = await processes.wait(held.entry)
        if result is None or result.unkillable:
            await _sweep(held)
        result = result or _without_result(held)
        _tell(held, result)
        held.lease.phase = "finishing"
        cancelling.cancel()
        end = shipper.close()
        await shipping
        await writing
    await _finish(held, result, end)


async def abandon(held: Held, why: LeaseOver) -> None:
    """The lease is over: kill what is left of the command, and write nothing (protocol rules 8 and 10)."""
    held.lease.log.warning("lease over", reason=str(why), declared_dead=why.dead)
    started = held.entry.read_started()
    if started is None and held.entry.claim_never_started():
        return
    result = held.entry.read_result()
    if result is None:
        processes.cancel(held.entry)
        result = await processes.wait(held.entry)
    if (result is None or result.unkillable) and (left := await processes.sweep(held.mark, held.entry.read_started())):
        held.lease.log.error("could not be killed; look after them by hand", processes=_names(left))


async def _end(held: Held, result: Result) -> None:
    held.lease.phase = "finishing"
    shipper = Shipper(held.lease, held.log)
    end = shipper.close()
    await shipper.run()
    await _finish(held, result, end)


async def _pass_on_cancel(held: Held) -> None:
    await held.lease.cancelled.wait()
    processes.cancel(held.entry)


async def _write(held: Held, grant: Grant | None) -> None:
    if grant and held.deployments and await statuses.write(grant, held.deployments, held.tools.pace.first_s):
        held.lease.confirm(grant.status.state)


async def _sweep(held: Held) -> None:
    """Nothing of the command may be left. Until that is so nothing is reported and no beat is sent: the deploy
    shows as lost, and a person decides (protocol rule 14)."""
    told = False
    while left := await processes.sweep(held.mark, held.entry.read_started()):
        held.lease.log.error("could not be killed; the deploy stays held", processes=_names(left))
        if not told:
            held.note(f"These processes could not be killed: {_names(left)}. End them by hand on the runner's machine.")
            told = True
            held.lease.hush()
        await asyncio.sleep(held.tools.pace.sweep_again_s)
    held.lease.speak()


def _without_result(held: Held) -> Result:
    """The supervisor is gone. Before it took `started` it executed nothing, and now nobody will (protocol rule 13)."""
    held.entry.claim_never_started()
    started = held.entry.read_started()
    if started is not None and started.never:
        reason = " ".join(["The supervisor died before the command began; nothing ran.", *_last_words(held)])
        return Result(ended_by="error", started=False, ended_at=_now(), reason=reason)
    return Result(
        ended_by="error",
        started=True,
        ended_at=_now(),
        reason="The supervisor of the command died, so nobody knows how it would have ended; what could be found was "
        "killed.",
    )


def _last_words(held: Held) -> list[str]:
    said = durable.read(held.entry.path / "supervisor.log") or b""
    return said.decode(errors="replace").splitlines()[-1:]


def _tell(held: Held, result: Result) -> None:
    """The end in the log, where it says more than an exit code. An earlier run of the runner may have told it."""
    if held.log.closed:
        return
    if result.reason:
        held.note_last(result.reason)
    if result.dropped_bytes:
        held.note_last(f"{result.dropped_bytes} bytes of output were lost: the runner's disk was full.")
    if result.daemons:
        held.note_last(f"Still running, as the command left them: {_names(result.daemons)}.")
    if held.log.too_short:
        held.note_last(
            f"Not masked, because shorter than {SHORTEST} bytes: {held.log.too_short} of its ::add-mask:: values."
        )


async def _finish(held: Held, result: Result, log_end: int) -> None:
    """Report until it is accepted; then write the status that the answer grants, and say so."""
    finish = wire.Finish(
        ended_by=cast(EndedBy, result.ended_by),
        started=result.started,
        ended_at=rfc3339(result.ended_at),
        exit_code=result.exit_code,
        signal=result.signal,
        reason=held.log.masks.text(result.reason) if result.ended_by == "error" else "",  # the app knows the others
        log_end=log_end,
    )
    backoff = Backoff(held.tools.pace.first_s, held.tools.pace.most_s)
    while True:
        sent_ns = journal.boottime_ns()
        try:
            answer = await held.lease.finish_once(finish)
            break
        except Unanswered as error:
            if isinstance(error, Refused) and error.code == "too_late":
                held.lease.log.warning("ended otherwise before", reason=str(error))
                return
            held.lease.log.warning("call unanswered", call="finish", reason=str(error))
            await asyncio.sleep(backoff.next())
    held.entry.write_finished()
    held.lease.log.info("finished", state=answer.state, ended_by=result.ended_by, exit_code=result.exit_code)
    grant = statuses.granted(held.job, answer.status, sent_ns)
    if grant and held.deployments and await statuses.write(grant, held.deployments, held.tools.pace.first_s):
        await _confirm(held, msgspec.structs.replace(finish, status_written=grant.status.state))


async def _confirm(held: Held, finish: wire.Finish) -> None:
    """Finish again, with what was written. Nothing is owed any more: after a while the app looks by itself."""
    backoff = Backoff(held.tools.pace.first_s, held.tools.pace.most_s)
    with contextlib.suppress(TimeoutError, LeaseOver):
        async with asyncio.timeout(CONFIRM_WITHIN_S):
            while True:
                try:
                    await held.lease.finish_once(finish)
                    return
                except Unanswered as error:
                    held.lease.log.warning("call unanswered", call="finish", reason=str(error))
                    await asyncio.sleep(backoff.next())


def _names(left: Sequence[Left]) -> str:
    return joined(f"{one.comm} (pid {one.pid})" for one in left)


def _now() -> int:
    return time.time_ns() // 1_000_000

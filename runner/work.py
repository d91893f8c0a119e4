"""One deploy up to its start: gate, prepare, ask whether to start. What runs is followed in `runner.follow`."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from ghapp import wire
from ghapp.core.values import Blocker
from runner import admission, checks, environment, exported, follow, heroku, journal, processes, statuses
from runner.backoff import Backoff
from runner.checks import Gated
from runner.client import LeaseOver, Unanswered
from runner.follow import Ended
from runner.journal import Command
from runner.secrets import NoSecret
from runner.tools import Held
from runner.workspace import Source, WorkspaceError


class NotRun(Exception):
    """It cannot be run, and nothing ran: the deploy ends with this sentence."""


async def deploy(held: Held) -> None:
    """From the claim to the end. Raises LeaseOver where the app ended the lease."""
    try:
        gated = await _get_ready(held)
        if gated is None:
            return
        yes = await _start(held, gated)
    except NotRun as error:
        await follow.finish_without_result(held, Ended("error", str(error)))
        return
    if yes is not None:
        await _execute(held, *yes)


async def _get_ready(held: Held) -> Gated | None:
    """Through the gate and prepared; None where it was given back. Raises NotRun."""
    try:
        gated = await _gate(held)
        if gated is None:
            return None
        await _prepare(held)
        return await _gate_again(held, gated)
    except (NotRun, LeaseOver):
        raise
    except Exception as error:
        held.lease.log.exception("something went wrong in the runner")
        held.note(f"{type(error).__name__}: {error}")
        raise NotRun("Something went wrong in the runner while it prepared; the end of the log says what.") from None


async def _gate(held: Held) -> Gated | None:
    """Open, or None: then the deploy was given back."""
    tools, job = held.tools, held.job
    held.lease.phase = "gating"
    refused = admission.refusals(job, runner=tools.name, accepted=tools.apps, secrets=tools.secrets)
    if refused:
        await _give_back(held, "reject", refused, None)
        return None
    return await _decided(held, await checks.ask(job, held.checks, tools.pace.first_s))


async def _gate_again(held: Held, gated: Gated) -> Gated | None:
    """Before `start`, what was fetched must be fresh."""
    if gated.fresh:
        return gated
    return await _decided(held, await checks.ask(held.job, held.checks, held.tools.pace.first_s))


async def _decided(held: Held, gated: Gated) -> Gated | None:
    if gated.open:
        return gated
    await _give_back(held, "reject" if gated.refused else "hold", gated.decision.blockers, gated)
    return None


async def _give_back(held: Held, call: str, blockers: tuple[Blocker, ...] | list[Blocker], gated: Gated | None) -> None:
    body = wire.Hold(
        check_counter=held.job.check_counter,
        blockers=[checks.blocker_to_wire(blocker) for blocker in blockers],
        checks=[checks.to_wire(check) for check in gated.fetched] if gated else [],
    )
    answer = await held.lease.call(call, body, wire.HoldAnswer)
    held.lease.log.info(call, state=answer.state, because=" ".join(blocker.message for blocker in blockers))


async def _prepare(held: Held) -> None:
    """Bring the checkout to the sha and write down the command. Raises NotRun."""
    job, lease = held.job, held.lease
    lease.phase = "preparing"
    held.note(f"Preparing {job.app} {job.sha} for {job.environment}.")
    try:
        secrets = await held.tools.secrets.values(job)
    except NoSecret as error:
        raise NotRun(str(error)) from None
    try:
        folder = await _workspace(held)
    except WorkspaceError as error:
        held.note(error.message)
        raise NotRun(error.message.partition("\n")[0]) from None
    held.entry.write_command(
        Command(
            deploy_id=held.mark,
            argv=heroku.argv(job.task, job.heroku, job.sha) if job.heroku else journal.shell_argv(job.command),
            cwd=str(folder),
            env=environment.build(job, environ=held.tools.environ, shared=held.tools.shared, secrets=secrets),
            timeout_s=job.timeout,
            silence_s=job.silence,
            grace_s=job.grace,
        )
    )


async def _workspace(held: Held) -> Path:
    """The folder with the files of the sha. Raises WorkspaceError."""
    job, lease, workspaces = held.job, held.lease, held.tools.workspaces
    if tree := held.provider.tree(held.repository):
        place = {"app": job.app, "environment": job.environment}
        return await exported.export(tree, job.sha, workspaces.folder, **place, progress=held.note)
    host = urlsplit(job.repository.api_url).hostname or job.repository.provider
    return await workspaces.prepare(
        Source(
            key=f"{host}/{job.repository.id}",
            clone_url=job.repository.clone_url,
            sha=job.sha,
            ref=job.ref,
            username=lease.token.username if lease.token else "",
        ),
        app=job.app,
        environment=job.environment,
        token=lambda: lease.token.value if lease.token else None,
        progress=held.note,
    )


async def _start(held: Held, gated: Gated) -> tuple[wire.StartAnswer, int] | None:
    """Ask until there is an answer that is still good; with it, when it was asked. None where the answer is no.

    From the first request on the deploy may count as running, so that it can no longer be given back, only ended.
    """
    held.lease.phase = "starting"
    backoff = Backoff(held.tools.pace.first_s, held.tools.pace.most_s)
    boot_id = journal.boot_id()
    while True:
        sent_ns = journal.boottime_ns()
        longest_ns = sent_ns + wire.START_GOOD_FOR_S * 10**9
        held.entry.write_starting(boot_id, longest_ns)
        body = wire.Start(check_counter=held.job.check_counter, checks_age_s=gated.age_s, boot_id=boot_id)
        try:
            answer = await held.lease.call_once("start", body, wire.StartAnswer)
        except Unanswered as error:
            held.lease.log.warning("call unanswered", call="start", reason=str(error))
            await asyncio.sleep(backoff.next())
            gated = await _still_open(held, gated, backoff)
            continue
        if answer.answer == "no":
            reasons = " ".join(blocker.message for blocker in answer.blockers)
            held.lease.log.info("not started", state=answer.state, because=reasons)
            return None
        deadline_ns = min(longest_ns, sent_ns + round((answer.good_for_s or wire.START_GOOD_FOR_S) * 1e9))
        if journal.boottime_ns() < deadline_ns:
            if deadline_ns < longest_ns:
                held.entry.write_starting(boot_id, deadline_ns)
            return answer, sent_ns
        held.lease.log.warning("the answer to start came too late to be used; asking again")


async def _still_open(held: Held, gated: Gated, backoff: Backoff) -> Gated:
    """Fresh and open, whatever time that takes. Raises NotRun where the provider says otherwise."""
    while not (gated.fresh and gated.open):
        gated = await checks.ask(held.job, held.checks, held.tools.pace.first_s)
        if gated.unknown:
            await asyncio.sleep(backoff.next())
        elif not gated.open:
            reasons = " ".join(blocker.message for blocker in gated.decision.blockers)
            raise NotRun(f"The checks changed while the app could not be reached to start it. {reasons}")
    return gated


async def _execute(held: Held, answer: wire.StartAnswer, sent_ns: int) -> None:
    lease = held.lease
    cancelled = answer.cancel_requested is not None or lease.cancelled.is_set()
    if cancelled and held.entry.claim_never_started():
        await follow.finish_without_result(held, Ended("cancel", "It was cancelled before the command began."))
        return
    lease.phase = "running"
    try:
        await processes.launch(held.entry, held.tools.ahead)
    except processes.LaunchFailed as error:
        lease.log.error("no supervisor", reason=str(error))
        if held.entry.claim_never_started():
            held.note(str(error))
            await follow.finish_without_result(held, Ended("error", "The runner could not start the command."))
            return
    held.tools.ahead.get()
    lease.log.info("running", task=held.job.task, sha=held.job.sha)
    await follow.to_the_end(held, statuses.granted(held.job, answer.status, sent_ns))

"""Write the one status that an answer to `start` or `finish` granted, within its time (protocol rules 16 to 18)."""

import asyncio
from dataclasses import dataclass

import structlog

from ghapp import wire
from ghapp.core.remote import RateLimited, RemoteError, Unauthorized, Unavailable
from ghapp.core.values import DeploymentStatus
from ghapp.vcs.provider import Deployments
from runner import journal

log = structlog.get_logger()

LEAST_S = 0.5
"""With less left than this no request is begun."""

TRY_S = 8.0
"""One request may take so long, so that there is time to look and to repeat it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to write ``status`` of a deployment until ``until_ns`` (CLOCK_BOOTTIME)."""

    deployment_id: int
    status: DeploymentStatus
    until_ns: int

    @property
    def left_s(self) -> float:
        return (self.until_ns - journal.boottime_ns()) / 1e9


def granted(job: wire.Job, status: wire.WireStatus | None, sent_ns: int) -> Grant | None:
    """The grant in an answer, counted from when its request was sent; None where there is nothing to write."""
    if status is None or job.deployment_id is None:
        return None
    wanted = DeploymentStatus(
        state=status.state,
        description=status.description,
        log_url=status.log_url,
        environment_url=status.environment_url,
    )
    return Grant(job.deployment_id, wanted, sent_ns + round(status.write_within_s * 1e9))


async def write(grant: Grant, deployments: Deployments, retry_s: float) -> bool:
    """Write it; True where the provider has it. False where the time passed or it was refused: the app sees to it.

    Where an answer was lost it looks first whether the status is there.
    """
    doubtful = False
    while grant.left_s > LEAST_S:
        pause_s = retry_s
        try:
            async with asyncio.timeout(min(grant.left_s, TRY_S)):
                if doubtful and await _shown(grant, deployments):
                    return True
                await deployments.create_status(grant.deployment_id, grant.status)
                return True
        except (TimeoutError, Unavailable) as error:
            reason, doubtful = str(error) or "no answer in time", True
        except RateLimited as error:
            if error.retry_after_s >= grant.left_s:
                break
            reason, pause_s = error.message, error.retry_after_s
        except Unauthorized as error:  # a new token may come with a beat
            reason = error.message
        except RemoteError as error:
            log.warning("status refused", deployment=grant.deployment_id, reason=error.message)
            return False
        log.warning("status not written yet", deployment=grant.deployment_id, reason=reason)
        await asyncio.sleep(max(0.0, min(pause_s, grant.left_s)))
    log.warning("status left to the app: its time has passed", deployment=grant.deployment_id)
    return False


async def _shown(grant: Grant, deployments: Deployments) -> bool:
    newest = await deployments.newest_status(grant.deployment_id)
    return newest is not None and (newest.state, newest.description) == (grant.status.state, grant.status.description)

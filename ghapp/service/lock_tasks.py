"""The tasks ``deploy:lock`` and ``deploy:unlock`` of chat: a deployment that holds or frees its environment.

As Heaven did, they are answered with a success whose description says who holds it; nothing is deployed.
"""

from dataclasses import dataclass

from ghapp.core import payloads, sentences
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.values import Chat, Lock
from ghapp.service import answering, holding, locking, permits
from ghapp.service.apps import bind, environment_of
from ghapp.service.context import Context
from ghapp.service.locking import Reach
from ghapp.service.problems import Problem
from ghapp.store import locks
from ghapp.store.base import Tx
from ghapp.store.places import Environment
from ghapp.vcs.events import DeploymentEvent

LOCK, UNLOCK = "deploy:lock", "deploy:unlock"
TASKS = frozenset({LOCK, UNLOCK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One of the tasks, with what had to be asked of the provider: ``refused`` is the sentence where its creator may
    not, ``reach`` whose locks they may change."""

    provider: str
    event: DeploymentEvent
    app: AppConfig
    config: EnvironmentConfig
    reason: str
    refused: str | None
    reach: Reach


async def prepare(
    ctx: Context,
    provider: str,
    event: DeploymentEvent,
    app: AppConfig,
    config: EnvironmentConfig,
    chat: Chat | None,
) -> Wanted:
    """Ask who may. Raises RemoteError."""
    refused = None
    if not await permits.passes_allow(ctx, provider, event.repository, event.creator, config):
        refused = sentences.not_allowed(event.creator, config.name, config.allow.users, config.allow.teams)
    admin = await permits.administers(ctx, provider, event.repository, event.creator)
    return Wanted(
        provider=provider,
        event=event,
        app=app,
        config=config,
        reason=_reason(event, chat),
        refused=refused,
        reach=Reach.APP if admin else Reach.NONE,
    )


def _reason(event: DeploymentEvent, chat: Chat | None) -> str:
    """What was said, in one printable line; hubot-deploy's own description says nothing that the lock does not."""
    sent = event.payload.get("reason")
    own = f"{event.task} on {event.environment} from hubot-deploy"
    said = sent if isinstance(sent, str) else "" if event.description.startswith(own) else event.description
    line = " ".join("".join(char if char.isprintable() else " " for char in said).split())
    return line[: holding.REASON_LIMIT] or sentences.locked_in_chat(payloads.asked_by(chat))


async def carry_out(tx: Tx, ctx: Context, wanted: Wanted) -> bool:
    """Lock or unlock, and owe the answer; once, however often the deployment is heard of."""
    event = wanted.event
    repository_id = await answering.unanswered(tx, wanted.provider, event)
    if repository_id is None:
        return True
    environment = await environment_of(tx, wanted.app, wanted.config)
    await bind(tx, wanted.app, environment, repository_id)
    state, text = "failure", wanted.refused
    if text is None:
        state, text = await _done(tx, ctx, wanted, environment)
    await answering.answer(tx, ctx, repository_id, event, state, text, f"{ctx.url}/{environment.app}")
    return True


async def _done(tx: Tx, ctx: Context, wanted: Wanted, environment: Environment) -> tuple[str, str]:
    """The state and the description of the answer."""
    scope, who = (environment.app_id, environment.id), wanted.event.creator
    try:
        if wanted.event.task == LOCK:
            await locking.lock(tx, ctx, *scope, Lock(who, wanted.reason, ctx.now()), wanted.reach)
            held = await locks.of_scope(tx, *scope)
            return "success", sentences.locked(held) if held else ""
        await locking.unlock(tx, ctx, *scope, who, wanted.reach)
    except Problem as problem:  # somebody else's lock; refused before anything was changed
        return "failure", problem.message
    wider = await locks.on(tx, environment.id, ctx.now())
    return "success", sentences.unlocked(environment.name, wider)

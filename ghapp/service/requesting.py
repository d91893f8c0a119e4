"""Asking for a deploy at a door that answers at once: the gate first, then the provider, then the line."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ghapp.core import gate, sentences
from ghapp.core.actors import Actor
from ghapp.core.checks import Evaluation, Policy, evaluate
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.remote import NotFound, RemoteError
from ghapp.core.values import Blocker, Chat, Door, Lock, Repository
from ghapp.service import asking, commit_checks, locking, permits
from ghapp.service.apps import bind, environment_of
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import deploys, locks, places
from ghapp.store.base import Conflict, Tx
from ghapp.store.deploys import Deploy
from ghapp.vcs.provider import Checks, Code

#: Raises Problem where what was decided on before the transaction is no longer so.
Guard = Callable[[Tx], Awaitable[None]]

FORCES = {"checks": "checks", "true": "checks", "1": "checks", "lock": "lock", "all": "all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for; what is None is derived. ``key`` makes asking again safe. ``was_live``: the ``sha`` was
    live there, so that it exists and its checks were asked. ``chat``: who asked where, if it was in one."""

    environment: str | None = None
    ref: str | None = None
    sha: str | None = None
    task: str = "deploy"
    force: frozenset[str] = frozenset()
    wait: bool = False
    key: str | None = None
    door: Door
    was_live: bool = False
    chat: Chat | None = None


def forced(text: str | None) -> frozenset[str]:
    """``checks`` (also ``true``), ``lock`` or ``all``; nothing for false. Raises Problem ``invalid``."""
    if text is None or text.casefold() in {"", "false", "0"}:
        return frozenset()
    if text.casefold() not in FORCES:
        raise Problem("invalid", "force must be checks, lock or all.", field="force")
    return frozenset({FORCES[text.casefold()]})


def app_of(ctx: Context, name: str) -> AppConfig:
    """Raises Problem ``not_found`` with the nearest names."""
    app = ctx.apps.configs.get(name)
    if app is None:
        raise Problem("not_found", f"There is no app {name}.{sentences.nearest(name, list(ctx.apps.configs))}")
    return app


def environment_in(app: AppConfig, name: str | None) -> EnvironmentConfig:
    """The environment of that name; without one the only one, else production. Raises Problem ``not_found`` or
    ``invalid``."""
    names = [one.name for one in app.environments]
    if name is None:
        name = names[0] if len(names) == 1 else "production" if "production" in names else None
    if name is None:
        raise Problem("invalid", f"Say which environment: {sentences.joined(names, 8)}.", field="env")
    environment = app.environment(name)
    if environment is None:
        raise Problem("not_found", sentences.unknown_environment(name, names), field="env")
    return environment


async def request(ctx: Context, actor: Actor, app_name: str, wish: Wish) -> Deploy:
    """Ask for a deploy; the deploy as it waits. Raises Problem: ``checks_failed``, ``locked``, ``forbidden``,
    ``not_found``, ``invalid``, ``provider``; then nothing was created."""
    app = app_of(ctx, app_name)
    environment = environment_in(app, wish.environment)
    if environment.command(wish.task) is None:
        raise Problem("invalid", sentences.unknown_task(wish.task, environment.task_names), field="task")
    return await request_in(ctx, actor, app, environment, wish)


async def request_in(
    ctx: Context,
    actor: Actor,
    app: AppConfig,
    environment: EnvironmentConfig,
    wish: Wish,
    guard: Guard | None = None,
) -> Deploy:
    """As `request`, in an environment whose config knows the task. ``guard`` is asked last, in the transaction that
    records the deploy."""
    await permits.require(ctx, actor, "deploy", app, environment)
    identity = _identity(actor, app, wish)
    if known := await ctx.stores.main.read(lambda tx: deploys.by_request(tx, identity)):
        return known
    repository = await permits.repository_of(ctx, app)
    provider = ctx.providers[app.via]
    client = provider.code(repository)
    try:
        ref, sha = await _resolve(client, repository, environment, wish)
        await _check_refs(client, sha, environment)
        source = commit_checks.source(ctx, app.name, app.via, repository, environment, sha=sha, ref=ref)
        blockers = await _ask_checks(ctx, source, sha, environment, wish)
    except RemoteError as error:
        raise Problem("provider", error.message) from error
    reach = locking.Reach.NONE
    if wish.force & {"lock", "all"}:
        reach = await locking.reach_of(ctx, actor, app, environment.name)
    asked = asking.Request(
        request=identity,
        config=environment,
        repository_id=0,
        door=wish.door,
        task=wish.task,
        ref=ref,
        sha=sha,
        user=actor.name,
        asked_at=ctx.now(),
        registering=provider.deployments(repository) is not None,
        forced=wish.force,
        own=blockers,
        chat=wish.chat,
    )
    return await _record(ctx, actor, app, repository, asked, wish, reach, guard)


async def known(tx: Tx, actor: Actor, app: AppConfig, wish: Wish) -> Deploy | None:
    """The deploy of the app that this actor asked for with the same Idempotency-Key."""
    return await deploys.by_request(tx, _identity(actor, app, wish))


def _identity(actor: Actor, app: AppConfig, wish: Wish) -> str:
    """The same for the same actor, app and Idempotency-Key, else random."""
    if wish.key is None:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{actor.name}\0{app.name}\0{wish.key}".encode()).hexdigest()


async def _resolve(client: Code, repository: Repository, environment: EnvironmentConfig, wish: Wish) -> tuple[str, str]:
    """The ref and the sha that are meant. Raises Problem ``invalid``."""
    if wish.was_live and wish.sha:
        return wish.sha, wish.sha
    default = environment.default_ref
    ref = wish.ref or (None if wish.sha else default or repository.default_branch or await client.default_branch())
    try:
        commit = await client.commit(wish.sha or ref or "HEAD")
    except NotFound as error:
        field = "sha" if wish.sha else "ref"
        raise Problem("invalid", sentences.no_commit(wish.sha or ref or ""), field=field) from error
    if wish.sha and not commit.sha.startswith(wish.sha.lower()):
        raise Problem("invalid", sentences.no_commit(wish.sha), field="sha")
    if wish.sha and wish.ref:
        try:
            comparison = await client.compare(wish.ref, commit.sha)
        except NotFound as error:
            raise Problem("invalid", sentences.no_commit(wish.ref), field="ref") from error
        if comparison.status not in {"behind", "identical"}:
            raise Problem("invalid", sentences.disagree(commit.sha, wish.ref), field="sha")
    return ref or commit.sha, commit.sha


async def _check_refs(client: Code, sha: str, environment: EnvironmentConfig) -> None:
    if environment.refs and not await client.reachable(sha, environment.refs):
        raise Problem("forbidden", sentences.wrong_ref(sha, environment.name, environment.refs), field="ref")


async def _ask_checks(
    ctx: Context, source: Checks | None, sha: str, environment: EnvironmentConfig, wish: Wish
) -> tuple[Blocker, ...]:
    """What is still pending. Raises Problem ``checks_failed`` with each failing check and its link."""
    if wish.was_live or wish.force & {"checks", "all"} or environment.checks == ():
        return ()
    found = await source.checks(sha) if source else ()
    evaluation: Evaluation = evaluate(found, Policy(environment.checks, ctx.own_checks))
    decision = gate.decide(gate.Facts(user="", evaluation=evaluation))
    if decision.verdict is gate.Verdict.REFUSE:
        checks = [{"name": one.name, "state": one.state.value, "url": one.url} for one in evaluation.failed]
        message = " ".join(blocker.message for blocker in decision.blockers)
        raise Problem("checks_failed", message, hint="Fix them, or ask again with force=checks.", checks=checks)
    return decision.blockers


async def _record(
    ctx: Context,
    actor: Actor,
    app: AppConfig,
    repository: Repository,
    asked: asking.Request,
    wish: Wish,
    reach: locking.Reach,
    guard: Guard | None,
) -> Deploy:
    async def work(tx: Tx) -> Deploy:
        environment = await environment_of(tx, app, asked.config)
        repository_id = await places.keep_repository(tx, app.via, repository)  # before the environment, as events do
        await places.hold_environment(tx, environment.id)
        await bind(tx, app, environment, repository_id)
        if already := await deploys.by_request(tx, asked.request):
            return already
        if guard:
            await guard(tx)
        held_by = await locks.on(tx, environment.id, ctx.now())
        if wish.force & {"lock", "all"}:
            await locking.take_over(tx, ctx, held_by, actor.name, reach)
        elif held_by and not wish.wait:
            raise _locked(held_by[0])
        return await asking.ask(tx, ctx, environment, replace(asked, repository_id=repository_id))

    try:
        return await ctx.decide(work)
    except Conflict:
        already = await ctx.stores.main.read(lambda tx: deploys.by_request(tx, asked.request))
        if already is None:
            raise
        return already


def _locked(lock: Lock) -> Problem:
    hint = "Unlock it, ask again with wait=true to wait for it, or with force=lock to take it over."
    return Problem("locked", sentences.locked(lock), hint=hint, who=lock.who)

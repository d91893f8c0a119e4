"""What a provider's events mean: deployments become deploys, check events make waiting ones ready.

Each event is handled in two steps: `prepare` asks the provider what has to be known (no transaction is open
then), and the plan it returns is carried out in the transaction that marks the delivery as done.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ghapp.core import payloads, sentences
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.values import Blocker, BlockerKind, Door, Repository, State
from ghapp.service import (
    accounts,
    acting,
    answering,
    asking,
    commenting,
    discovering,
    judging,
    lock_tasks,
    locking,
    permits,
    pushing,
    registering,
    requesting,
)
from ghapp.service.apps import bind, environment_of
from ghapp.service.context import Context
from ghapp.service.locking import Reach
from ghapp.service.problems import Problem
from ghapp.store import checks, deploys, locks, places
from ghapp.store.base import Tx
from ghapp.vcs.base import Registered
from ghapp.vcs.events import (
    CheckEvent,
    CommentEvent,
    DeploymentEvent,
    Event,
    HeadEvent,
    InactiveEvent,
    InstallationEvent,
    PushEvent,
)

#: Carried out in the delivery's own transaction; True if the event was work, False if it is history.
Plan = Callable[[Tx], Awaitable[bool]]


async def prepare(ctx: Context, provider: str, event: Event) -> Plan:
    """What is to be done about an event. Raises RemoteError where the provider could not be asked (try later)."""
    if isinstance(event, DeploymentEvent):
        return await _deployment(ctx, provider, event)
    if isinstance(event, InactiveEvent):
        own = await ctx.providers[provider].login() == event.who
        return _history if own else lambda tx: _inactive(tx, ctx, provider, event)
    if isinstance(event, CheckEvent):
        return lambda tx: _check(tx, ctx, provider, event)
    if isinstance(event, PushEvent):
        begun = await pushing.prepare(ctx, provider, event, await _apps_of(ctx, provider, event.repository))
        return lambda tx: _pushed(tx, ctx, provider, event, begun)
    if isinstance(event, CommentEvent):
        apps = await _apps_of(ctx, provider, event.repository) if commenting.asks(event) else []
        return await commenting.prepare(ctx, provider, event, apps) if apps else _history
    if isinstance(event, HeadEvent):
        known = await _apps_of(ctx, provider, event.repository)
        return (lambda tx: commenting.see_head(tx, provider, event)) if known else _history
    return lambda tx: _installation(tx, ctx, provider, event)


async def _pushed(tx: Tx, ctx: Context, provider: str, event: PushEvent, begun: Plan) -> bool:
    """It may change what the repository defines, and start deploys."""
    concerned = await discovering.heard(tx, ctx, provider, event)
    return await begun(tx) or concerned


# Deployments


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A deployment that is Kedge's to answer: with a deploy, or with the ``problem`` as an error status. ``forced``
    is what its creator asks to pass."""

    app: AppConfig | None = None
    environment: EnvironmentConfig | None = None
    problem: str | None = None
    forced: frozenset[str] = frozenset()


async def _deployment(ctx: Context, provider: str, event: DeploymentEvent) -> Plan:
    if event.request is not None and event.creator == await ctx.providers[provider].login():
        request, registered = event.request, Registered(event.deployment_id, event.created_at)
        return lambda tx: registering.bind(tx, ctx, request, registered)
    candidates = await _apps_of(ctx, provider, event.repository)
    if not candidates or not _is_ours(event, candidates):
        return _history
    addressed = address(event, candidates)
    if addressed.problem or addressed.app is None or addressed.environment is None:
        problem = addressed.problem or "Kedge could not tell which app this is for."
        return lambda tx: _answer(tx, ctx, provider, event, problem)
    app, environment = addressed.app, addressed.environment
    if event.task in lock_tasks.TASKS:
        chat = payloads.chat_of(event.payload)
        wanted = await lock_tasks.prepare(ctx, provider, event, app, environment, chat)
        return lambda tx: lock_tasks.carry_out(tx, ctx, wanted)
    refused = await _refusals(ctx, provider, event, environment)
    reach = await _reach(ctx, provider, event) if addressed.forced & {"lock", "all"} else Reach.NONE
    return lambda tx: _ask(tx, ctx, provider, event, app, environment, refused, addressed.forced, reach)


async def _history(_tx: Tx) -> bool:
    return False


async def _apps_of(ctx: Context, provider: str, repository: Repository) -> list[AppConfig]:
    """The apps that live in the repository: those that it defines itself, and the operator's, bound by its id, else
    by the name in the config."""
    bound = await ctx.stores.main.read(lambda tx: places.apps_bound_to(tx, provider, repository.id))
    found = []
    for app in ctx.apps.configs.values():
        if app.via != provider:
            continue
        if app.own_id is not None:
            if app.own_id == repository.id:
                found.append(app)
        elif app.repository:
            if app.repository.casefold() == repository.full_name.casefold() or app.name in bound:
                found.append(app)
        elif app.name in bound or await _is_only_one(ctx, provider, app.name, repository):
            found.append(app)
    return found


async def _is_only_one(ctx: Context, provider: str, name: str, repository: Repository) -> bool:
    """An app without a repository means the only installed one of its name."""
    if repository.full_name.rpartition("/")[2].casefold() != name.casefold():
        return False
    return [one.id for one in await accounts.named(ctx, provider, name)] == [repository.id]


def _is_ours(event: DeploymentEvent, candidates: list[AppConfig]) -> bool:
    """Addressed to Kedge: made by a person, or by a bot that the app names. Anything else is history."""
    if event.creator_is_person:
        return True
    named = {user.casefold() for app in candidates for each in app.environments for user in each.allow.users}
    return event.creator.casefold() in named


def address(event: DeploymentEvent, candidates: list[AppConfig]) -> _Addressed:
    """Which app and environment a deployment is for, or the sentence that says why that is unclear."""
    if event.problem:
        return _Addressed(problem=event.problem)
    named = event.payload.get("app") or event.payload.get("name")
    names = [app.name for app in candidates]
    if len(candidates) == 1 and (named is None or event.payload.get("app") is None):
        app = candidates[0]
    else:
        chosen = [one for one in candidates if isinstance(named, str) and one.name == named]
        if not chosen:
            text = named if isinstance(named, str) else None
            return _Addressed(problem=sentences.which_app(event.repository.full_name, names, text))
        app = chosen[0]
    environment = app.environment(event.environment)
    if environment is None:
        known = [each.name for each in app.environments]
        return _Addressed(problem=sentences.unknown_environment(event.environment, known))
    task = payloads.task_named(event.task, environment.task_names)
    if environment.command(task) is None and event.task not in lock_tasks.TASKS:
        return _Addressed(problem=sentences.unknown_task(task, environment.task_names))
    force = event.payload.get("force")
    try:
        forced = requesting.forced(None if force is None else str(force))
    except Problem as problem:
        return _Addressed(problem=problem.message)
    return _Addressed(app, environment, forced=forced)


async def _reach(ctx: Context, provider: str, event: DeploymentEvent) -> Reach:
    """Whose locks the creator may take over."""
    return Reach.APP if await permits.administers(ctx, provider, event.repository, event.creator) else Reach.NONE


async def _refusals(
    ctx: Context, provider: str, event: DeploymentEvent, environment: EnvironmentConfig
) -> tuple[Blocker, ...]:
    client = ctx.providers[provider].code(event.repository)
    refused: list[Blocker] = []
    allow = environment.allow
    if not await permits.passes_allow(ctx, provider, event.repository, event.creator, environment):
        message = sentences.not_allowed(event.creator, environment.name, allow.users, allow.teams)
        refused.append(Blocker(BlockerKind.PERMISSION, message, who=event.creator))
    if environment.refs and not await client.reachable(event.sha, environment.refs):
        message = sentences.wrong_ref(event.sha, environment.name, environment.refs)
        refused.append(Blocker(BlockerKind.REF, message))
    return tuple(refused)


async def _ask(
    tx: Tx,
    ctx: Context,
    provider: str,
    event: DeploymentEvent,
    app: AppConfig,
    config: EnvironmentConfig,
    refused: tuple[Blocker, ...],
    forced: frozenset[str],
    reach: Reach,
) -> bool:
    repository_id = await places.keep_repository(tx, provider, event.repository, event.installation_id)
    if await deploys.by_deployment(tx, repository_id, event.deployment_id):
        return True
    environment = await environment_of(tx, app, config)
    await bind(tx, app, environment, repository_id)
    hosts = event.payload.get("hosts")
    chat = payloads.chat_of(event.payload)
    request = asking.Request(
        request=f"{provider}:{event.repository.id}:{event.deployment_id}",
        config=config,
        repository_id=repository_id,
        door=Door.DEPLOYMENT,
        task=payloads.task_named(event.task, config.task_names),
        ref=event.ref,
        sha=event.sha,
        user=event.creator,
        asked_at=event.created_at,
        deployment_id=event.deployment_id,
        forced=forced,
        on_behalf_of=payloads.asked_by(chat),
        chat=chat,
        hosts=hosts if isinstance(hosts, str) else "",
        refused=refused,
    )
    if forced & {"lock", "all"} and not refused:
        await _take_over(tx, ctx, environment.id, event.creator, reach)
    await asking.ask(tx, ctx, environment, request)
    return True


async def _take_over(tx: Tx, ctx: Context, environment_id: int, who: str, reach: Reach) -> None:
    """Of all locks or none; what may not be taken over holds the deploy, and says who may."""
    await places.hold_environment(tx, environment_id)
    held_by = await locks.on(tx, environment_id, ctx.now())
    if all(locking.may_change(lock, who, reach) for lock in held_by):
        await locking.take_over(tx, ctx, held_by, who, reach)


async def _answer(tx: Tx, ctx: Context, provider: str, event: DeploymentEvent, problem: str) -> bool:
    """No deploy can be made of it: the answer is an error status that says what to do."""
    repository_id = await answering.unanswered(tx, provider, event)
    if repository_id is not None:
        await answering.answer(tx, ctx, repository_id, event, "error", problem)
    return True


async def _inactive(tx: Tx, ctx: Context, provider: str, event: InactiveEvent) -> bool:
    """Nobody wants it any more: what still waits is cancelled, what runs or has ended stays as it is."""
    repository_id = await places.repository_by_provider_id(tx, provider, event.repository.id)
    deploy = await deploys.by_deployment(tx, repository_id or 0, event.deployment_id)
    if deploy is None:
        return False
    deploy = await acting.held(tx, deploy.id)
    if deploy.state is State.QUEUED:
        reason = sentences.made_inactive(event.who)
        await asking.end(tx, ctx, deploy, State.CANCELLED, reason=reason, who=event.who, lease_hash=None)
    return True


# Checks and installations


async def _check(tx: Tx, ctx: Context, provider: str, event: CheckEvent) -> bool:
    """Count the event for its sha and make the deploys that wait for it ready (protocol rules 3 and 15)."""
    repository_id = await places.repository_by_provider_id(tx, provider, event.repository.id)
    if repository_id is None:
        if not any(_named(app, event.repository) for app in ctx.apps.configs.values()):
            return False
        repository_id = await places.keep_repository(tx, provider, event.repository)
    await places.hold_repository(tx, repository_id)
    now = ctx.now()
    await checks.see(tx, repository_id, event.sha, event.check, now)
    for environment_id in sorted({one.environment_id for one in await deploys.of_sha(tx, repository_id, event.sha)}):
        await places.hold_environment(tx, environment_id)
    for deploy in await deploys.of_sha(tx, repository_id, event.sha):
        if deploy.state is State.QUEUED and deploy.ready_at:
            await deploys.save(tx, deploy.id, ready_at=now)
        elif deploy.state is State.QUEUED and deploy.out_of_line:
            await deploys.save(tx, deploy.id, judge_at=judging.next_look(ctx, deploy))
    return True


def _named(app: AppConfig, repository: Repository) -> bool:
    name = app.repository or app.name
    full_name = repository.full_name.casefold()
    return name.casefold() in {full_name, full_name.rpartition("/")[2]}


async def _installation(tx: Tx, ctx: Context, provider: str, event: InstallationEvent) -> bool:
    """Remember under which installation a repository is; it is looked up where this was not heard of."""
    for provider_id, _full_name in event.added:
        await places.set_installation(tx, provider, provider_id, event.installation_id)
    for provider_id in event.removed:
        await places.set_installation(tx, provider, provider_id, None)
    ctx.signals.send(discovering.INSTALLATIONS)
    return True

"""The app judges automatic deploys by itself: out of the line until their checks are green, in it whenever what is
live has changed (protocol rule 4). What is asked of the provider is asked before the transaction that decides; where
something has changed meanwhile, that is found there and it is asked again.
"""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import structlog

from ghapp.core import automatic
from ghapp.core.automatic import Verdict
from ghapp.core.checks import Check, evaluate
from ghapp.core.limits import take
from ghapp.core.remote import RateLimited, RemoteError
from ghapp.core.values import Repository, State
from ghapp.service import acting, asking, commit_checks, lines, workers
from ghapp.service.ancestry import on_branch
from ghapp.service.context import Context
from ghapp.service.leases import STALE_RETRY_MS, policy_of
from ghapp.store import automatic as stored
from ghapp.store import checks, deploys, places, releases
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

log = structlog.get_logger(__name__)

BATCH = 20
#: Provider clients speak to one host; a few at a time keeps within its secondary limits.
AT_ONCE = 4


async def judge_forever(ctx: Context) -> None:
    """Until cancelled."""
    await workers.forever(ctx, "judging", judge_due, stored.next_at)


async def judge_due(ctx: Context) -> int:
    """Judge those whose time has come; how many they were."""
    now = ctx.now()
    due = await ctx.stores.main.read(lambda tx: stored.due(tx, now, BATCH))

    async def one(deploy_id: int) -> None:
        try:
            await _judge(ctx, deploy_id)
        except Exception:  # it keeps no other waiting
            log.exception("judging failed", deploy_id=deploy_id)
            await ctx.decide(lambda tx: deploys.save(tx, deploy_id, judge_at=lines.slow_net(now)))

    await workers.beside(due, one, AT_ONCE)
    return len(due)


@dataclass(frozen=True, slots=True)
class _Around:
    """A waiting automatic deploy at one moment, with ids and shas: ``live`` (0: nothing is), those that go before it
    or went (``ahead``, live first), all others that wait (``others``), and the ``newest`` of those out of the line,
    where too many of them have come since."""

    deploy: Deploy
    live: int
    ahead: tuple[tuple[int, str], ...]
    others: tuple[tuple[int, str], ...]
    newest: tuple[int, str] | None


async def _around(tx: Tx, deploy_id: int) -> _Around | None:
    """None where there is nothing to judge (any more)."""
    deploy = await deploys.get(tx, deploy_id)
    if deploy is None or deploy.state is not State.QUEUED or not deploy.automatic:
        return None
    live = [(one.id, one.sha) for one in await releases.newest(tx, deploy.environment_id, 1)]
    active = await deploys.active(tx, deploy.environment_id)
    running = [(active.id, active.sha)] if active and active.automatic else []
    others = [one for one in await stored.waiting(tx, deploy.environment_id) if one.id != deploy.id and one.automatic]
    in_line = [(one.id, one.sha) for one in others if not one.out_of_line]
    waiting = tuple((one.id, one.sha) for one in others)
    since = [(one.id, one.sha) for one in others if one.out_of_line and one.id > deploy.id]
    newest = since[-1] if len(since) >= automatic.MOST_WAITING else None
    return _Around(deploy, live[0][0] if live else 0, (*live, *running, *in_line), waiting, newest)


@dataclass(slots=True)
class _Told:
    """What the provider said of the deploy ``of`` which was asked: ``has`` of two commits whether the first contains
    the second, ``on_branch``, ``on_refs``, the checks as ``fetched``; or the ``problem``, and how long it wants to be
    left alone."""

    of: Deploy | None
    has: dict[tuple[str, str], bool] = field(default_factory=dict)
    on_branch: bool = True
    on_refs: bool = True
    fetched: tuple[Check, ...] = ()
    problem: str | None = None
    wait_ms: int = 0


def next_look(ctx: Context, deploy: Deploy) -> int:
    """When (ms) to judge a deploy of whose checks an event has just told: now, or soon where there are many."""
    now = ctx.now()
    _, wait_s = take(automatic.LOOKS, ctx.looked.get(deploy.id, 0), now)
    look_at = now + wait_s * 1000
    return look_at if deploy.judge_at is None else min(look_at, deploy.judge_at)


async def _judge(ctx: Context, deploy_id: int) -> None:
    ctx.looked[deploy_id], _ = take(automatic.LOOKS, ctx.looked.get(deploy_id, 0), ctx.now())
    around = await ctx.stores.main.read(lambda tx: _around(tx, deploy_id))
    told = _Told(around.deploy if around else None)
    if around:
        try:
            await _ask(ctx, around, told)
        except RemoteError as error:
            told.problem = error.message
            told.wait_ms = int(error.retry_after_s * 1000) if isinstance(error, RateLimited) else 0
    await ctx.decide(lambda tx: _decide(tx, ctx, deploy_id, told))


async def _ask(ctx: Context, around: _Around, told: _Told) -> None:
    """As much as is needed to decide. Raises RemoteError; what was told until then counts. Who wants to be left alone
    is asked for nobody until then."""
    provider, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, around.deploy.repository_id))
    account = (provider, repository.full_name.partition("/")[0])
    quiet_s = (ctx.quiet_until.get(account, 0) - ctx.now()) / 1000
    if quiet_s > 0:
        raise RateLimited(automatic.left_alone(quiet_s), retry_after_s=quiet_s)
    try:
        await _compare(ctx, provider, repository, around, told)
    except RateLimited as limited:
        ctx.quiet_until[account] = ctx.now() + int(limited.retry_after_s * 1000)
        raise


async def _compare(ctx: Context, provider: str, repository: Repository, around: _Around, told: _Told) -> None:
    """With those around it, its branch, its refs and its checks."""
    deploy = around.deploy
    client = ctx.providers[provider].code(repository)

    async def compare(sha: str, commit: str) -> bool:
        told.has[sha, commit] = await ctx.ancestry.has(provider, client, repository, sha, commit)
        return told.has[sha, commit]

    for _, sha in around.ahead:
        if await compare(sha, deploy.sha):
            return
    told.on_branch = await on_branch(client, deploy.sha, deploy.ref)
    if not deploy.out_of_line or not told.on_branch:
        return
    refs = deploy.config.refs
    if refs and not any(fnmatchcase(deploy.ref, ref) for ref in refs):
        told.on_refs = await client.reachable(deploy.sha, refs)
    if deploy.config.checks != ():
        source = commit_checks.source(
            ctx, deploy.app, provider, repository, deploy.config, sha=deploy.sha, ref=deploy.ref
        )
        told.fetched = tuple(await source.checks(deploy.sha)) if source else ()
    if evaluate(told.fetched, policy_of(ctx, deploy)).green:
        for _, sha in around.others:
            await compare(deploy.sha, sha)
    elif around.newest:
        await compare(around.newest[1], deploy.sha)


async def _decide(tx: Tx, ctx: Context, deploy_id: int, told: _Told) -> None:
    deploy = await acting.held(tx, deploy_id)
    around = await _around(tx, deploy_id)
    if around is None:
        await deploys.save(tx, deploy_id, judge_at=None)
        return
    if told.of is None or told.of.out_of_line != deploy.out_of_line:  # something else was asked of the provider
        await deploys.save(tx, deploy_id, judge_at=ctx.now())
        return
    if deploy.out_of_line and await _configured_anew(tx, ctx, deploy):
        return
    passed_by = next((one for one, sha in around.ahead if told.has.get((sha, deploy.sha))), None)
    judgement = automatic.judge(await _facts(tx, ctx, deploy, told), ctx.now())
    if judgement.verdict is Verdict.WAIT and around.newest and told.has.get((around.newest[1], deploy.sha)):
        passed_by = around.newest[0]
    if passed_by is not None and (by := await deploys.get(tx, passed_by)):
        await acting.supersede(tx, ctx, deploy_id, by)
        return
    match judgement.verdict:
        case Verdict.GONE:
            await asking.end(tx, ctx, deploy, State.CANCELLED, blockers=judgement.blockers)
        case Verdict.REFUSED:
            await asking.end(tx, ctx, deploy, State.REJECTED, blockers=judgement.blockers)
        case Verdict.WAIT:
            await _wait(tx, ctx, deploy, told, judgement)
        case Verdict.GO:
            await _go(tx, ctx, around, told)


async def _configured_anew(tx: Tx, ctx: Context, deploy: Deploy) -> bool:
    """It will be asked for when it takes its place: by the config that is in force then. One whose app a repository
    does not define any more waits for that (`lines.undefined`)."""
    app = ctx.apps.configs.get(deploy.app)
    if (app.defined_in if app else "operator") != deploy.defined_in:
        return False
    config = automatic.in_force(app, deploy.environment, deploy.ref)
    if config == deploy.config:
        return False
    if config:
        await asking.reconfigure(tx, ctx, deploy, config)
    else:
        blockers = (automatic.not_in_force(deploy.app, deploy.environment, deploy.ref),)
        await asking.end(tx, ctx, deploy, State.CANCELLED, blockers=blockers)
    return True


async def _facts(tx: Tx, ctx: Context, deploy: Deploy, told: _Told) -> automatic.Facts:
    """In line only its commit counts; out of it the checks too, with what events have told of them since."""
    facts = automatic.Facts(
        user=deploy.user,
        sha=deploy.sha,
        branch=deploy.ref,
        environment=deploy.environment,
        problem=told.problem,
        on_branch=told.on_branch,
        off_refs=() if told.on_refs else deploy.config.refs,
        pushed_at=deploy.created_at,
    )
    if told.problem or not deploy.out_of_line:
        return facts
    events = await checks.newest(tx, deploy.repository_id, deploy.sha)
    changed_at = None
    if deploy.config.checks is None:
        now = ctx.now()
        heard_at = await checks.last_seen(tx, deploy.repository_id, deploy.sha)
        changed_at = max(deploy.created_at, heard_at, *(min(check.at, now) for check in told.fetched))
    return replace(facts, evaluation=evaluate(told.fetched, policy_of(ctx, deploy), events), changed_at=changed_at)


async def _wait(tx: Tx, ctx: Context, deploy: Deploy, told: _Told, judgement: automatic.Judgement) -> None:
    """Looked at again when a moment has come that is known; soon where the answer was old or missing; else at the
    next event, or by the slow net."""
    now = ctx.now()
    tries = deploy.stale_holds + 1 if told.problem or judgement.stale else 0
    look_at = judgement.look_at or lines.slow_net(now)
    if 0 < tries <= len(STALE_RETRY_MS):
        look_at = now + STALE_RETRY_MS[tries - 1]
    look_at = max(look_at, now + told.wait_ms)
    await deploys.save(tx, deploy.id, own_blockers=judgement.blockers, judge_at=look_at, stale_holds=tries)
    await lines.settle(tx, ctx, deploy.environment_id, deploy.id)


async def _go(tx: Tx, ctx: Context, around: _Around, told: _Told) -> None:
    """It takes its place, those that it contains give way; or it keeps it, being no part of what is live now."""
    deploy = around.deploy
    needed = [(sha, deploy.sha) for _, sha in around.ahead]
    if deploy.out_of_line:
        needed += [(deploy.sha, sha) for _, sha in around.others]
    if any(pair not in told.has for pair in needed):  # somebody has come since the provider was asked
        await deploys.save(tx, deploy.id, judge_at=ctx.now())
        return
    if deploy.out_of_line:
        for one, sha in around.others:
            if told.has[deploy.sha, sha]:
                await acting.supersede(tx, ctx, one, deploy)
        await asking.take_place(tx, ctx, deploy, compared_with=around.live)
    else:
        await deploys.save(tx, deploy.id, compared_with=around.live, judge_at=None, stale_holds=0, own_blockers=())
    await lines.settle(tx, ctx, deploy.environment_id, deploy.id)

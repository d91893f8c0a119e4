"""A runner asks for work (protocol rules 2, 5, 6)."""

import itertools
from dataclasses import dataclass, field

from ghapp.core import sentences, states
from ghapp.core.actors import ANYTHING, Grant
from ghapp.core.checks import Check
from ghapp.core.remote import RemoteError
from ghapp.core.values import STATUS_OF, Blocker, BlockerKind, Repository, State
from ghapp.service import lines, measuring, statuses
from ghapp.service.context import Context, Signals, lease_hash
from ghapp.service.problems import Problem
from ghapp.store import checks, deploys, events, places, waiting
from ghapp.store.base import Conflict, Tx
from ghapp.store.deploys import Deploy
from ghapp.store.waiting import Head
from ghapp.vcs.base import RepoToken

#: A claim that no call confirms within this time is void; afterwards a lease lasts `LEASE_MS` from the last call.
CONFIRM_MS = 5_000
LEASE_MS = 60_000
#: How long to leave a deploy alone whose repository token could not be had.
TOKEN_RETRY_MS = 15_000
#: Deploys that are looked at together for one that a runner may take.
CANDIDATES = 20
#: Lines that are told at once of a runner that has come; the others hear of it by the slow net.
TOLD_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a runner asks for. ``apps`` None: every app of the operator's config. ``token`` is the id of the token
    that it presents, None for KEDGE_RUNNER_TOKEN, and ``grant`` is how much of the wish that one allows."""

    claim_id: str
    runner: str
    labels: tuple[str, ...]
    apps: tuple[str, ...] | None
    boot_id: str
    version: str
    wait_s: float
    token: int | None = None
    grant: Grant = ANYTHING

    @property
    def granted_labels(self) -> tuple[str, ...]:
        return self.grant.labels_of(self.labels)

    def takes(self, deploy: lines.Claimable) -> bool:
        return lines.accepts(deploy, self.granted_labels, self.apps, self.grant)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A deploy given to a runner, with what belongs to its job. ``token`` is None where the runner brings its own
    credentials."""

    deploy: Deploy
    lease: str = field(repr=False)
    provider: str
    repository: Repository
    token: RepoToken | None
    newest: list[Check]


async def claim(ctx: Context, wish: Wish) -> Claimed | None:
    """The next deploy this runner may take, waiting for one up to ``wait_s``; None if there is none.

    The same claim id again gives the same job while its lease lives; afterwards Problem ``claim_over``.
    """
    await _present(ctx, wish)
    if again := await _repeated(ctx, wish):
        return await _job(ctx, again, wish)
    deadline = ctx.now() + int(wish.wait_s * 1000)
    while True:
        woken = ctx.signals.watch("claims")
        if taken := await _take_first(ctx, wish):
            return taken
        now = ctx.now()
        if now >= deadline or ctx.stopping:
            return None
        ready_at = await ctx.stores.main.read(lambda tx, now=now: waiting.next_ready_at(tx, now))  # type: ignore[misc]
        await Signals.wait(woken, (min(deadline, ready_at or deadline) - now) / 1000)


async def _present(ctx: Context, wish: Wish) -> None:
    runner = places.Runner(
        wish.runner, wish.granted_labels, wish.apps, wish.version, wish.boot_id, ctx.now(), wish.grant
    )

    async def work(tx: Tx) -> None:
        known = {one.name: one for one in await places.runners(tx)}.get(runner.name)
        await places.keep_runner(tx, runner)
        present = known and known.seen_at >= runner.seen_at - lines.RUNNER_SEEN_MS
        before = (known.labels, known.apps, known.grant) if known and present else None
        if before != (runner.labels, runner.apps, runner.grant):
            first = await _acceptable(tx, ctx.now(), wish, most=TOLD_AT_ONCE)
            for environment_id in sorted({one.environment_id for one in first}):
                await places.hold_environment(tx, environment_id)
                await lines.settle(tx, ctx, environment_id)

    await ctx.stores.main.write(work)


async def _repeated(ctx: Context, wish: Wish) -> Deploy | None:
    deploy = await ctx.stores.main.read(lambda tx: deploys.by_claim(tx, wish.claim_id))
    if deploy is None:
        return None
    step = states.step(states.Event.CLAIM_AGAIN, states.Facts(deploy.state, lost=deploy.lost_since is not None))
    lease = ctx.lease(deploy.id, deploy.claims, wish.claim_id, wish.token)
    if step.error or deploy.lease_hash != lease_hash(lease):
        raise Problem("claim_over", f"This claim of {deploy.name} is over; claim with a new id.", deploy=deploy.name)
    return deploy


async def _take_first(ctx: Context, wish: Wish) -> Claimed | None:
    now = ctx.now()
    for candidate in await ctx.stores.main.read(lambda tx: _acceptable(tx, now, wish, most=CANDIDATES)):
        if not await _has_token(ctx, candidate):
            continue
        try:
            taken = await ctx.decide(lambda tx, one=candidate: take(tx, ctx, one, wish))  # type: ignore[misc]
        except Conflict:  # the same claim was made twice at once, and the other was first
            taken = await _repeated(ctx, wish)
        if taken:
            return await _job(ctx, taken, wish)
    return None


async def _acceptable(tx: Tx, now: int, wish: Wish, *, most: int) -> list[Head]:
    """What the runner may take, longest waiting first."""
    found: list[Head] = []
    for skip in itertools.count(step=CANDIDATES):
        heads = await waiting.heads(tx, now, limit=CANDIDATES, skip=skip)
        found += [head for head in heads if wish.takes(head)]
        if len(found) >= most or len(heads) < CANDIDATES:
            break
    return found[:most]


async def take(tx: Tx, ctx: Context, candidate: Head, wish: Wish) -> Deploy | None:
    """Claim the deploy if it is still its turn; the same question that `start` will ask."""
    await places.hold_environment(tx, candidate.environment_id)
    placed = await lines.front_of(tx, ctx, candidate.environment_id)
    deploy = next((one for one, place in placed if one.id == candidate.id and place.next), None)
    if deploy is None:
        await lines.settle(tx, ctx, candidate.environment_id)
        return None
    now = ctx.now()
    live = await deploys.live(tx, deploy.environment_id)
    await deploys.save(
        tx,
        deploy.id,
        state=states.step(states.Event.CLAIM, states.Facts(deploy.state)).to,
        claims=deploy.claims + 1,
        claim_id=wish.claim_id,
        lease_hash=lease_hash(ctx.lease(deploy.id, deploy.claims + 1, wish.claim_id, wish.token)),
        lease_until=now + CONFIRM_MS,
        confirmed=0,
        runner=wish.runner,
        claimed_at=now,
        ready_at=None,
        blockers=(),
        previous_sha=live.sha if live else None,
        check_counter=await checks.counter(tx, deploy.repository_id, deploy.sha),
    )
    await deploys.remember_claim(tx, wish.claim_id, deploy.id, now)
    await events.record(tx, now, "claimed", who=wish.runner, deploy=deploy.id)
    await measuring.claimed(tx, deploy, now)
    await lines.settle(tx, ctx, deploy.environment_id)
    claimed = await deploys.get(tx, deploy.id)
    if claimed and deploy.claims == 0:
        text = sentences.claimed(wish.runner)
        await statuses.want(tx, ctx, claimed, statuses.status_for(ctx, claimed, STATUS_OF[State.CLAIMED], text))
    return claimed


async def _has_token(ctx: Context, deploy: Head) -> bool:
    """Is there a token for the job, or is none needed? Where none can be had, the deploy says why and is left alone for
    a while."""
    provider, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, deploy.repository_id))
    try:
        token = await ctx.providers[provider].repo_token(repository)
    except RemoteError as error:
        blocker = Blocker(BlockerKind.PROVIDER, sentences.no_access(error.message))
    else:
        if token is None or not token.missing:
            return True
        blocker = Blocker(BlockerKind.TOKEN_PERMISSION, sentences.token_permission(token.missing))
    await ctx.decide(lambda tx: _park(tx, ctx, deploy, blocker))
    return False


async def _park(tx: Tx, ctx: Context, deploy: Head, blocker: Blocker) -> None:
    await places.hold_environment(tx, deploy.environment_id)
    known = await deploys.get(tx, deploy.id)
    if known and known.state is State.QUEUED:
        await deploys.save(tx, deploy.id, own_blockers=(blocker,), ready_at=ctx.now() + TOKEN_RETRY_MS)
        await lines.settle(tx, ctx, deploy.environment_id)


async def _job(ctx: Context, deploy: Deploy, wish: Wish) -> Claimed:
    async def facts(tx: Tx) -> tuple[str, Repository, list[Check]]:
        provider, repository = await places.repository(tx, deploy.repository_id)
        return provider, repository, await checks.newest(tx, deploy.repository_id, deploy.sha)

    provider, repository, newest = await ctx.stores.main.read(facts)
    try:
        token = await ctx.providers[provider].repo_token(repository)
    except RemoteError as error:
        raise Problem("unavailable", error.message) from error
    if token:
        ctx.handed_out[deploy.id] = token.expires_at
    lease = ctx.lease(deploy.id, deploy.claims, wish.claim_id, wish.token)
    return Claimed(deploy, lease, provider, repository, token, newest)

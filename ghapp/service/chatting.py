"""Commands that people write, carried out for any door where they are written: the functions of the API do the work.

No rule stands here, only which function a command means and what is answered.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches

from ghapp.core import answers, chat, sentences
from ghapp.core.actors import Actor
from ghapp.core.answers import Answer, Line, said
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.remote import RemoteError
from ghapp.core.values import Chat, Door, State
from ghapp.service import commanding, holding, permits, queueing, requesting, rollback, seeing
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.service.seeing import Seen, SeenEnvironment
from ghapp.store.deploys import Deploy
from ghapp.store.events import ORIGIN, Origin

#: Of a line, the first so many are listed.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is to be deployed: a ref, a sha, or a sha and the ref it is called by."""

    ref: str | None
    sha: str | None


class Refused(Exception):
    """The door itself refuses, with what is to be answered."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(" ".join(line.text for line in answer.lines))
        self.answer = answer


async def as_written(command: chat.Deploy, _environment: EnvironmentConfig) -> Pinned:
    """What the words mean where the place stands for no commit."""
    return Pinned(None, command.sha) if command.sha else Pinned(command.ref, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a command was written. ``key`` makes carrying it out again safe. ``apps`` are those that can be meant.
    ``reason`` stands for that of a lock where none is given. ``pin`` tells what a deploy is of, or raises `Refused`.
    ``chat``: who asked where, if it was in one."""

    door: Door
    key: str
    apps: tuple[str, ...]
    reason: str
    pin: Callable[[chat.Deploy, EnvironmentConfig], Awaitable[Pinned]] = as_written
    chat: Chat | None = None


@contextmanager
def heard_at(door: Door) -> Iterator[None]:
    """For what is carried out as a delivery, which is tried again where a provider could not be asked: a Problem is
    the RemoteError that it came from."""
    token = ORIGIN.set(Origin(door.value))
    try:
        yield
    except Problem as problem:
        if isinstance(problem.__cause__, RemoteError):  # its kind tells whether and when to try again
            raise problem.__cause__ from None
        raise RemoteError(problem.message) from problem
    finally:
        ORIGIN.reset(token)


async def carry_out(ctx: Context, actor: Actor, command: chat.Command, place: Place) -> Answer:
    """Do what is asked for, and say what came of it. Raises Problem ``provider`` where that may work later."""
    try:
        if isinstance(command, chat.Status | chat.Queue | chat.Why):
            return await _look(ctx, actor, command, place)
        return await _act(ctx, actor, _with_app(command, place), place)
    except Refused as refused:
        return refused.answer
    except Problem as problem:
        if problem.code in {"provider", "unavailable"}:
            raise
        return refusal(ctx, problem, command, place)


def refusal(ctx: Context, problem: Problem, command: chat.Command, place: Place) -> Answer:
    """A refusal, with the command that gets past it."""
    config = ctx.apps.configs.get(_app(command, place))
    wanted = getattr(command, "environment", None)
    environment = config.environment(wanted) if config and wanted else None
    ways: list[chat.Command] = []
    if problem.code == "checks_failed" and isinstance(command, chat.Deploy):
        ways = [command, replace(command, force=True)]
    elif problem.code == "forbidden" and problem.facts.get("field") == "ref" and isinstance(command, chat.Deploy):
        plain = [ref for ref in (environment.refs if environment else ()) if not set(ref) & set("*?[")]
        ways = [replace(command, ref=plain[0])] if plain else []
    elif problem.code == "forbidden":
        return said(problem.message, answers.somebody_else(), ways=[chat.written(command)], done=False)
    elif config and wanted and environment is None:
        names = [one.name for one in config.environments]
        near = get_close_matches(wanted.casefold(), names) or names[:5]
        ways = [replace(command, environment=name) for name in near]  # type: ignore[call-arg]
    return said(problem.message, ways=[chat.written(one) for one in ways] or ["status", "help"], done=False)


def _with_app(command: chat.Command, place: Place) -> chat.Command:
    if command.app is None and len(place.apps) > 1:
        named = [chat.written(replace(command, app=app)) for app in place.apps[:5]]
        raise Refused(said(answers.which_app(place.apps), ways=named, done=False))
    return command


def _app(command: chat.Command, place: Place) -> str:
    return command.app or place.apps[0]


async def _act(ctx: Context, actor: Actor, command: chat.Command, place: Place) -> Answer:
    app = _app(command, place)
    match command:
        case chat.Deploy():
            return _of(await _deploy(ctx, actor, app, command, place))
        case chat.Rollback():
            asked = rollback.Wish(
                environment=command.environment, wait=True, key=place.key, door=place.door, chat=place.chat
            )
            return _of(await rollback.roll_back(ctx, actor, app, asked))
        case chat.Lock():
            return await _lock(ctx, actor, app, command, place)
        case chat.Unlock():
            await holding.unlock(ctx, actor, app, command.environment)
            return said(answers.unlocked(command.environment))
        case chat.Resume():
            environment = await rollback.resume(ctx, actor, app, command.environment)
            return said(answers.resumed(environment.name))
        case chat.Cancel():
            deploy = await commanding.cancel(ctx, actor, app, command.number)
            return said(answers.cancelled(deploy.name, deploy.state.terminal))
        case chat.Force():
            deploy = await commanding.force(ctx, actor, app, command.number, frozenset({command.what}))
            return said(answers.forced(deploy.name, command.what))
    raise TypeError(f"no command is a {type(command).__name__}")


def _of(deploy: Deploy) -> Answer:
    return Answer(deploy.state is not State.REJECTED, deploy=deploy.id)


async def _deploy(ctx: Context, actor: Actor, app_name: str, command: chat.Deploy, place: Place) -> Deploy:
    """Who may is asked first, and what is meant only of those who may."""
    app = requesting.app_of(ctx, app_name)
    environment = requesting.environment_in(app, command.environment)
    force = frozenset({"checks"}) if command.force else frozenset()
    wish = requesting.Wish(
        environment=environment.name, force=force, wait=True, key=place.key, door=place.door, chat=place.chat
    )
    if known := await ctx.stores.main.read(lambda tx: requesting.known(tx, actor, app, wish)):
        return known
    await permits.require(ctx, actor, "deploy", app, environment)
    pinned = await place.pin(command, environment)
    return await requesting.request(ctx, actor, app_name, replace(wish, ref=pinned.ref, sha=pinned.sha))


async def _lock(ctx: Context, actor: Actor, app: str, command: chat.Lock, place: Place) -> Answer:
    until = holding.until_of(ctx, None, command.lasting)
    held = await holding.lock(ctx, actor, app, command.environment, command.reason or place.reason, until)
    running = [one.deploy.name for one in held.running]
    way = chat.Unlock(app=command.app, environment=command.environment)
    return said(*answers.locked(held.lock, running), ways=[chat.written(way)])


# What only looks


async def _look(ctx: Context, actor: Actor, command: chat.Command, place: Place) -> Answer:
    if isinstance(command, chat.Why) and command.number is not None:
        return await _why_one(ctx, actor, _app(_with_app(command, place), place), command.number)
    lines: list[Line] = []
    for name in (command.app,) if command.app else _with_environment(ctx, place, command):
        app = await ctx.stores.main.read(lambda tx, name=name: seeing.app(tx, ctx, name, actor))  # type: ignore[misc]
        for environment in _chosen(ctx, name, app.environments, command):
            if isinstance(command, chat.Status):
                lines += _status(ctx, environment)
            elif isinstance(command, chat.Queue):
                lines += await _queue(ctx, actor, name, environment)
            else:
                lines += _why(ctx, environment)
    return Answer(True, tuple(lines))


def _with_environment(ctx: Context, place: Place, command: chat.Command) -> tuple[str, ...]:
    """The apps that have the environment which is named; all where none has, or none is."""
    wanted = getattr(command, "environment", None)
    having = tuple(name for name in place.apps if wanted and requesting.app_of(ctx, name).environment(wanted))
    return having or place.apps


def _chosen(
    ctx: Context, app: str, environments: tuple[SeenEnvironment, ...], command: chat.Command
) -> tuple[SeenEnvironment, ...]:
    """The environment that is named, or all."""
    wanted = getattr(command, "environment", None)
    if wanted is None:
        return environments
    name = requesting.environment_in(requesting.app_of(ctx, app), wanted).name
    return tuple(one for one in environments if one.name == name)


def _status(ctx: Context, one: SeenEnvironment) -> list[Line]:
    live = one.live
    first = answers.live(one.name, live.name, live.sha, live.user, live.ended_at) if live else None
    lines = [Line(first or answers.nothing_live(one.name), ctx.page(live.app, live.number) if live else None)]
    lines += [_running(ctx, one.active)] if one.active else []
    lines += [Line(answers.more_wait(one.waiting))] if one.waiting else []
    return lines + [Line(sentences.locked(lock)) for lock in one.locks]


async def _queue(ctx: Context, actor: Actor, app: str, one: SeenEnvironment) -> list[Line]:
    found = await ctx.stores.main.read(lambda tx: queueing.queue(tx, ctx, app, SHOWN, one.name, actor))
    lines = [
        _waiting(ctx, each.seen) if each.seen.deploy.state is State.QUEUED else _running(ctx, each.seen.deploy)
        for each in found[:SHOWN]
    ]
    return lines or [Line(answers.nothing_waits(one.name))]


def _why(ctx: Context, one: SeenEnvironment) -> list[Line]:
    """The first in line, or what is there instead."""
    if one.queue:
        return [_waiting(ctx, one.queue[0])]
    return [Line(answers.nothing_waits(one.name)), *_status(ctx, one)]


async def _why_one(ctx: Context, actor: Actor, app: str, number: int) -> Answer:
    seen = await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, app, number, actor))
    deploy = seen.deploy
    if deploy.state is State.QUEUED:
        lines = [_waiting(ctx, seen), *(Line(one.message, one.url) for one in deploy.blockers if one.url)]
    elif not deploy.state.terminal:
        lines = [_running(ctx, deploy)]
    else:
        ended = sentences.ended(deploy.state, None, deploy.reason)
        lines = [Line(f"{deploy.name} ({sentences.short(deploy.sha)}): {ended}", ctx.page(deploy.app, deploy.number))]
    ways = answers.ways_of(app, deploy.environment, number, deploy.sha, deploy.state, deploy.blockers)
    return Answer(True, tuple(lines), ways)


def _waiting(ctx: Context, seen: Seen) -> Line:
    deploy = seen.deploy
    told = [blocker.message for blocker in deploy.blockers]
    page = ctx.page(deploy.app, deploy.number)
    return Line(answers.waits(deploy.name, deploy.sha, deploy.user, seen.position, told), page)


def _running(ctx: Context, deploy: Deploy) -> Line:
    since = deploy.started_at or deploy.claimed_at or deploy.asked_at
    text = answers.runs(deploy.name, deploy.sha, deploy.user, deploy.state, since)
    if deploy.lost_since is not None:
        text = sentences.turn_lost(deploy.name, deploy.lost_since, deploy.number)
    return Line(text, ctx.page(deploy.app, deploy.number))


def listed(apps: list[AppConfig]) -> list[str]:
    """Each app with its environments, for a page of help."""
    return [f"{app.name}: {', '.join(one.name for one in app.environments)}" for app in apps]


def names_of(apps: list[AppConfig]) -> chat.Names:
    """What a place with these apps knows."""
    environments = [name for app in apps for one in app.environments for name in (one.name, *one.aliases)]
    return chat.Names(tuple(app.name for app in apps), tuple(dict.fromkeys(environments)))

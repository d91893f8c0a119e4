"""Rows as the JSON that the API shows. Pure; times become RFC 3339 here and nowhere deeper."""

from collections.abc import Iterable
from dataclasses import asdict
from urllib.parse import quote

import msgspec

from ghapp.core import own_config, releases, timeline, values
from ghapp.core.times import rfc3339
from ghapp.core.values import State
from ghapp.service.seeing import Seen, SeenApp, SeenEnvironment
from ghapp.store import deploys
from ghapp.store.events import Recorded
from ghapp.store.own_configs import OwnConfig


class Blocker(msgspec.Struct, frozen=True):
    kind: str
    message: str
    url: str | None
    since: str | None
    who: str | None
    until: str | None


class Lock(msgspec.Struct, frozen=True):
    """``environment`` is null for a lock on the app, ``app`` too for one on everything."""

    app: str | None
    environment: str | None
    who: str
    reason: str
    since: str | None
    until: str | None


class RolledBack(msgspec.Struct, frozen=True):
    """Since somebody rolled back from that deploy, automatic ones wait."""

    name: str
    sha: str
    who: str
    since: str | None
    message: str


class Chat(msgspec.Struct, frozen=True):
    """Where in a chat it was asked for, as the bot told it."""

    adapter: str | None
    room: str | None
    user: str | None
    user_name: str | None
    message_id: str | None
    thread_id: str | None


class CancelRequested(msgspec.Struct, frozen=True):
    who: str
    at: str | None


class Event(msgspec.Struct, frozen=True):
    """``message`` says in words what happened."""

    at: str | None
    kind: str
    who: str | None
    message: str


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` counts from 1 and is null unless it waits in line: an automatic deploy has none until its checks are
    green. ``status_problem`` says what went wrong in telling the provider."""

    id: int
    app: str
    number: int
    environment: str
    sha: str
    ref: str
    task: str
    state: str
    blockers: list[Blocker]
    position: int | None
    url: str
    log_url: str
    asked_at: str | None
    user: str
    door: str
    on_behalf_of: str | None
    chat: Chat | None
    repository: str
    deployment_id: int | None
    forced_by: str | None
    forced: list[str]
    runner: str | None
    claimed_at: str | None
    started_at: str | None
    lost_since: str | None
    cancel_requested: CancelRequested | None
    ended_at: str | None
    ended_by: str | None
    exit_code: int | None
    signal: int | None
    reason: str
    previous_sha: str | None
    status_problem: str | None


class DeployWithEvents(Deploy, frozen=True, kw_only=True):
    events: list[Event]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """``live`` is the deploy that brought what is live, ``live_since`` when it did. ``running`` is the deploy that is
    claimed or running. ``queue`` is the front of the line, in order; ``waiting`` is how many there are in it, and
    ``/api/0/{app}/queue`` lists them all. ``default_ref`` is deployed where none is named; null: the repository's
    default branch."""

    name: str
    aliases: list[str]
    default_ref: str | None
    live: Deploy | None
    live_since: str | None
    running: Deploy | None
    queue: list[Deploy]
    waiting: int
    locks: list[Lock]
    rolled_back: RolledBack | None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """``via`` and ``defined_in`` (``operator`` or ``repository``) are null for an app that the config in force does
    not name. ``problem`` says why a changed config was not taken; what is shown is then the one before."""

    name: str
    via: str | None
    defined_in: str | None
    repository: str | None
    url: str
    environments: list[Environment]
    problem: str | None


class DeployPage(msgspec.Struct, frozen=True):
    items: list[Deploy]
    next: str | None


class ConfigProblem(msgspec.Struct, frozen=True):
    """Why what a repository defines itself was not taken: what the file at ``sha`` says, or that it cannot be read."""

    repository: str
    path: str
    sha: str | None
    message: str


class AppPage(msgspec.Struct, frozen=True):
    """``problem`` is that of the operator's config, ``repository_problems`` are those of what repositories define."""

    items: list[App]
    next: str | None
    problem: str | None
    repository_problems: list[ConfigProblem]


def shown_blockers(row: deploys.Deploy) -> tuple[values.Blocker, ...]:
    """Once a runner has it, what kept it from being claimed is past."""
    return () if row.state is State.CLAIMED else row.blockers


def blocker(one: values.Blocker) -> Blocker:
    return Blocker(one.kind.value, one.message, one.url, rfc3339(one.since), one.who, rfc3339(one.until))


def lock(one: values.Lock) -> Lock:
    return Lock(one.app, one.environment, one.who, one.reason, rfc3339(one.since), rfc3339(one.until))


def rolled_back(one: values.RolledBack) -> RolledBack:
    return RolledBack(one.name, one.sha, one.who, rfc3339(one.since), releases.rolled_back(one))


def event(one: Recorded) -> Event:
    return Event(rfc3339(one.at), one.kind, one.who, timeline.told(one.kind, one.who, one.data))


def deploy(base_url: str, seen: Seen) -> Deploy:
    """``base_url`` is the app's own, from which all links are made."""
    return Deploy(**_deploy(base_url, seen))  # type: ignore[arg-type]


def deploy_with_events(base_url: str, seen: Seen, events: Iterable[Recorded]) -> DeployWithEvents:
    return DeployWithEvents(**_deploy(base_url, seen), events=[event(one) for one in events])  # type: ignore[arg-type]


def _deploy(base_url: str, seen: Seen) -> dict[str, object]:
    row = seen.deploy
    path = f"{quote(row.app, safe='')}/deploys/{row.number}"
    asked_to_cancel = (
        CancelRequested(row.cancel_requested_by, rfc3339(row.cancel_requested_at)) if row.cancel_requested_by else None
    )
    return {
        "id": row.id,
        "app": row.app,
        "number": row.number,
        "environment": row.environment,
        "sha": row.sha,
        "ref": row.ref,
        "task": row.task,
        "state": row.state.value,
        "blockers": [blocker(one) for one in shown_blockers(row)],
        "position": seen.position,
        "url": f"{base_url}/{path}",
        "log_url": f"{base_url}/api/0/{path}/log",
        "asked_at": rfc3339(row.asked_at),
        "user": row.user,
        "door": row.door,
        "on_behalf_of": row.on_behalf_of,
        "chat": Chat(**asdict(row.chat)) if row.chat else None,
        "repository": row.repository,
        "deployment_id": row.deployment_id,
        "forced_by": row.forced_by,
        "forced": sorted(row.forced),
        "runner": row.runner,
        "claimed_at": rfc3339(row.claimed_at),
        "started_at": rfc3339(row.started_at),
        "lost_since": rfc3339(row.lost_since),
        "cancel_requested": asked_to_cancel,
        "ended_at": rfc3339(row.ended_at),
        "ended_by": row.ended_by.value if row.ended_by else None,
        "exit_code": row.exit_code,
        "signal": row.signal,
        "reason": row.reason,
        "previous_sha": row.previous_sha,
        "status_problem": row.status_problem,
    }


def environment(base_url: str, seen: SeenEnvironment) -> Environment:
    return Environment(
        name=seen.name,
        aliases=list(seen.aliases),
        default_ref=seen.default_ref,
        live=deploy(base_url, Seen(seen.live)) if seen.live else None,
        live_since=rfc3339(seen.live.ended_at) if seen.live else None,
        running=deploy(base_url, Seen(seen.active)) if seen.active else None,
        queue=[deploy(base_url, one) for one in seen.queue],
        waiting=seen.waiting,
        locks=[lock(one) for one in seen.locks],
        rolled_back=rolled_back(seen.rolled_back) if seen.rolled_back else None,
    )


def config_problem(one: OwnConfig) -> ConfigProblem:
    return ConfigProblem(one.repository.full_name, own_config.PATH, one.judged_sha, one.said)


def app(base_url: str, seen: SeenApp, operators_problem: str | None) -> App:
    return App(
        name=seen.name,
        via=seen.via,
        defined_in=seen.defined_in,
        repository=seen.repository,
        url=f"{base_url}/{quote(seen.name, safe='')}",
        environments=[environment(base_url, one) for one in seen.environments],
        problem=seen.problem if seen.own else operators_problem,
    )

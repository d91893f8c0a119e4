"""What people who write commands are answered: sentences, and commands that lead on. Each door gives them its form."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ghapp.core import chat, sentences
from ghapp.core.values import Blocker, BlockerKind, Lock, State


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, and where more is to be seen."""

    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """``done``: what was asked for was done. ``ways`` are commands, as `chat.parse` reads them. ``deploy`` is the id of
    the one that was asked for, where there is one; it is told of by itself."""

    done: bool
    lines: tuple[Line, ...] = ()
    ways: tuple[str, ...] = ()
    deploy: int | None = None


def said(*texts: str, ways: Sequence[str] = (), done: bool = True) -> Answer:
    return Answer(done, tuple(Line(text) for text in texts if text), tuple(ways))


def ways_of(
    app: str | None, environment: str, number: int, sha: str, state: State, blockers: Sequence[Blocker]
) -> tuple[str, ...]:
    """The commands that lead on from where a deploy stands. ``app`` is None where it need not be said."""
    kinds = {blocker.kind for blocker in blockers}
    again = chat.Deploy(app=app, environment=environment, ref=sha)
    found: list[chat.Command] = []
    if state in {State.QUEUED, State.CLAIMED}:
        if BlockerKind.LOCK in kinds:
            found += [chat.Unlock(app=app, environment=environment), chat.Force(app=app, number=number, what="lock")]
        if BlockerKind.CHECKS in kinds:
            found.append(chat.Force(app=app, number=number))
        found.append(chat.Cancel(app=app, number=number))
    elif state is State.RUNNING:
        found.append(chat.Cancel(app=app, number=number))
    elif state is State.SUCCEEDED:
        found.append(chat.Rollback(app=app, environment=environment))
    elif state is State.REJECTED and BlockerKind.CHECKS in kinds:
        found += [again, chat.Deploy(app=app, environment=environment, ref=sha, force=True)]
    else:
        found.append(again)
    return tuple(chat.written(command) for command in found)


class Action(StrEnum):
    """What can be done about a deploy with one press, where people see it."""

    CANCEL = "cancel"
    RETRY = "retry"
    ROLLBACK = "rollback"
    FORCE = "force"
    UNLOCK = "unlock"


def actions_of(state: State, blockers: Sequence[Blocker], *, own_lock: bool) -> tuple[Action, ...]:
    """Those that make sense where a deploy stands. ``own_lock``: what holds it is a lock of its environment alone."""
    kinds = {blocker.kind for blocker in blockers}
    if state is State.QUEUED:
        unlock = [Action.UNLOCK] if BlockerKind.LOCK in kinds and own_lock else []
        force = [Action.FORCE] if kinds & {BlockerKind.LOCK, BlockerKind.CHECKS} else []
        return (*unlock, *force, Action.CANCEL)
    if state in {State.CLAIMED, State.RUNNING}:
        return (Action.CANCEL,)
    if state is State.SUCCEEDED:
        return (Action.ROLLBACK,)
    return (Action.RETRY,) if kinds <= {BlockerKind.CHECKS} else ()


# What was done


def locked(lock: Lock, running: Sequence[str]) -> tuple[str, ...]:
    goes_on = f"{sentences.joined(running)} is running there and goes on." if running else ""
    return sentences.locked(lock), goes_on


def unlocked(environment: str) -> str:
    return f"The lock on {environment} is released."


def cancelled(name: str, ended: bool) -> str:
    return f"{name} is cancelled." if ended else f"{name} is running; its command was asked to end."


def forced(name: str, what: str) -> str:
    passed = {"checks": "checks", "lock": "locks", "all": "checks and locks"}[what]
    return f"{name} passes {passed}, from the front of the line."


def resumed(environment: str) -> str:
    return f"Automatic deploys to {environment} go on."


def done_before() -> str:
    return "It was done. Kedge was restarted before it could say so."


def not_live_any_more(name: str, environment: str, live: str | None) -> str:
    now = f"{live} is" if live else "nothing is"
    return f"{name} is not what is live in {environment}: {now}. Nothing was rolled back."


def asked_for(name: str, environment: str, standing: str) -> str:
    return f"{name} to {environment}: {standing}"


# What is refused before anybody is asked


def nobody_in_slack(user_id: str) -> str:
    return (
        f"Kedge does not know whose login you are. Whoever runs it can say so: KEDGE_SLACK_USERS=login={user_id}, or "
        "login=your e-mail address."
    )


def no_app_for(login: str) -> str:
    return f"There is no app whose repository {login} can read."


def hosts_away(hosts: Sequence[str]) -> str:
    """``hosts`` are called as in the config."""
    return (
        f"{sentences.joined(hosts)} cannot be asked now who can read which repository, so that apps from there may be "
        "missing here. Try again in a minute, or name an app from elsewhere."
    )


def one_at_a_time() -> str:
    return "There are several commands in this comment, and none was carried out: write each in a comment of its own."


def no_pull_request() -> str:
    return "This is an issue. Kedge listens to commands on pull requests, because they say what is to be deployed."


def too_old(minutes: int) -> str:
    return f"This was written {minutes} minutes before Kedge heard of it; much may have changed. Nothing was done."


def pushed_later(sha: str) -> str:
    return (
        f"The head is {sentences.short(sha)} now, and nothing shows that it was so before this was written: you may "
        "have seen another one. Nothing was done. If it is what you mean, name it."
    )


def of_a_fork(sha: str) -> str:
    return (
        f"The head {sentences.short(sha)} comes from a fork, whose owner decides what it holds. Read it; if it is to "
        "be deployed, name its whole sha."
    )


def somebody_else() -> str:
    return "Somebody who may can write it again."


def which_app(apps: Sequence[str]) -> str:
    return f"There are several apps here: say which ({sentences.joined(apps, 8)})."


# What is


def nothing_waits(environment: str) -> str:
    return f"Nothing waits in {environment}."


def waits(name: str, sha: str, user: str, position: int | None, blockers: Sequence[str]) -> str:
    place = f" is number {position} in line" if position else " waits"
    return f"{name} ({sentences.short(sha)}, by {user}){place}: {' '.join(blockers) or sentences.queued()}"


def runs(name: str, sha: str, user: str, state: State, since: int) -> str:
    verb = "is running" if state is State.RUNNING else "is being prepared"
    return f"{name} ({sentences.short(sha)}, by {user}) {verb} since {sentences.clock(since)}."


def live(environment: str, name: str, sha: str, user: str, since: int | None) -> str:
    when = f" since {sentences.clock(since)}" if since else ""
    return f"{environment}: {name} ({sentences.short(sha)}, by {user}) is live{when}."


def nothing_live(environment: str) -> str:
    return f"{environment}: nothing has been deployed yet."


def more_wait(count: int) -> str:
    return f"{count} wait{'s' if count == 1 else ''} in line."

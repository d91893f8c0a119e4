"""What a config means, in sentences: what is deployed where, by which command, who may, after which checks."""

from collections.abc import Iterator
from dataclasses import dataclass

from ghapp.core import sentences
from ghapp.core.config import AppConfig, EnvironmentConfig

#: Names that people give what must not break.
_SERIOUS = ("prod", "live")


@dataclass(frozen=True, slots=True)
class Explained:
    """One environment: lines of (what, sentence), and what is doubtful about it."""

    environment: str
    lines: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """What the host of an app's code can be asked: who may push, and how the checks of a commit are."""

    people: bool
    checks: bool


def explain(app: AppConfig, host: Host) -> tuple[Explained, ...]:
    return tuple(Explained(each.name, tuple(_lines(each, host)), tuple(_doubts(each))) for each in app.environments)


def repository(app: AppConfig) -> str:
    """Where the app comes from."""
    return f"{app.repository or f'the only installed repository called {app.name}'}, via {app.via}"


def _lines(one: EnvironmentConfig, host: Host) -> Iterator[tuple[str, str]]:
    if one.aliases:
        yield "also called", ", ".join(one.aliases)
    yield "command", one.deploy
    for task, command in sorted(one.tasks.items()):
        yield f"task {task}", command
    yield "who may", _who(one, host)
    yield "which commits", f"those on {' or '.join(one.refs)}" if one.refs else "any"
    yield "after", _checks(one, host)
    if one.auto:
        when = "once its checks are green" if one.auto.after == "checks" else "after each push"
        yield "by itself", f"{one.auto.branch}, {when}"
    yield "ends", _limits(one)
    yield "runs on", f"a runner with the labels {', '.join(one.runner)}" if one.runner else "any runner"
    if one.env:
        yield "variables", ", ".join(sorted(one.env))
    if one.secrets:
        yield "secrets", f"{', '.join(one.secrets)}; the runner has their values"
    if one.url:
        yield "is at", one.url
    if one.notify.rooms:
        yield "told in", f"Slack: {', '.join(one.notify.rooms)}"


def _who(one: EnvironmentConfig, host: Host) -> str:
    anybody = "whoever may push to the repository" if host.people else "whoever has a token with the scope deploy"
    named = [*one.allow.users, *(f"team {team}" for team in one.allow.teams)]
    people = [name for name in named if not name.endswith("[bot]")]
    bots = [name for name in named if name.endswith("[bot]")]
    return ", ".join([*(people or [anybody]), *bots])


def _checks(one: EnvironmentConfig, host: Host) -> str:
    if one.checks == ():
        return "nothing: no check is asked for"
    if not (host.checks or one.checks_command):
        return "nothing: the host of its code knows of no checks"
    what = f"the checks {', '.join(one.checks)}" if one.checks else "every check that the commit has"
    return f"{what}; waits for them at most {sentences.duration(one.checks_timeout_s)}"


def _limits(one: EnvironmentConfig) -> str:
    silence = f", or {sentences.duration(one.silence_s)} without output" if one.silence_s else ""
    grace = f"{sentences.duration(one.grace_s)} between TERM and KILL"
    return f"after {sentences.duration(one.timeout_s)} at most{silence}; {grace}"


def _doubts(one: EnvironmentConfig) -> Iterator[str]:
    serious = any(word in one.name.casefold() for word in _SERIOUS)
    commands = (one.deploy, *one.env.values())
    if not any(word in command for command in commands for word in ("{sha}", "{ref}", "KEDGE_SHA", "KEDGE_REF")):
        yield (
            "its command names neither {sha} nor $KEDGE_SHA: it runs in a checkout of the right commit, but what it "
            "fetches by itself may be another one"
        )
    if one.checks == ():
        yield "`checks: []` lets red commits through"
    if serious and one.auto:
        yield f"it is deployed by itself whenever {one.auto.branch} moves; is that meant?"
    if serious and not (one.refs or one.auto):
        yield "a commit of any branch may be deployed; name those that may under `refs`"
    if one.auto and one.refs and one.auto.branch not in one.refs and not any("*" in ref for ref in one.refs):
        yield f"`auto` deploys {one.auto.branch}, which `refs` does not let pass: every automatic deploy is refused"
    if one.runner:
        yield f"no runner is asked here: make sure that one has the labels {', '.join(one.runner)}"

"""Every sentence that tells people where a deploy stands. Each exists once and is shown verbatim at every door."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

from ghapp.core.actors import Actor
from ghapp.core.checks import Check
from ghapp.core.values import DESCRIPTION_LIMIT, Lock, State


def clock(at: int) -> str:
    """``Nov 23, 14:02 UTC``."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%b %-d, %H:%M UTC")


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def joined(words: Iterable[str], most: int = 5) -> str:
    """``a, b and c``; what is more than ``most`` is counted."""
    every = list(words)
    shown = every[:most] if len(every) <= most else [*every[: most - 1], f"{len(every) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def short(sha: str) -> str:
    return sha[:7]


def description(text: str) -> str:
    """A text as a deployment status description: one line, cut with an ellipsis at the provider's limit."""
    line = " ".join(text.split())
    return line if len(line) <= DESCRIPTION_LIMIT else line[: DESCRIPTION_LIMIT - 1].rstrip() + "…"


def nearest(name: str, names: Sequence[str]) -> str:
    """`` Did you mean …?`` or the whole list, to follow a sentence about an unknown name."""
    by_fold = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(name.casefold(), by_fold, n=2, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(by_fold[match] for match in close)}?"
    return f" There is: {joined(names, 8)}." if names else ""


# The gate


def turn(ahead: str, what_it_waits_for: str, number: int) -> str:
    return f"Behind {ahead}: {what_it_waits_for} To pass it: cancel {number}."


def turn_running(ahead: str, who: str, since: int) -> str:
    return f"{ahead} by {who} is running since {clock(since)}."


def turn_lost(ahead: str, since: int, number: int) -> str:
    return (
        f"{ahead} has lost its runner since {clock(since)}; the environment stays held until the runner is heard "
        f"again or somebody declares it dead (declare-dead {number})."
    )


def turn_preparing(ahead: str) -> str:
    return f"{ahead} is being prepared."


def locked(lock: Lock) -> str:
    what = lock.environment or lock.app or "Everything"
    until = f" until {clock(lock.until)}" if lock.until else ""
    return f"{what} is locked by {lock.who} since {clock(lock.since)}{until}: {lock.reason.rstrip('.')}."


def locked_in_chat(who: str | None) -> str:
    """The reason of a lock for which none was given."""
    return f"asked for in chat by {who}" if who else "no reason given"


def unlocked(environment: str, wider: Sequence[Lock]) -> str:
    return " ".join([f"{environment} has no lock of its own.", *map(locked, wider)])


def check_failed(check: Check) -> str:
    return f"Check {check.name} failed{_detail(check)}."


def check_pending(check: Check) -> str:
    return f"Waiting for check {check.name}{_detail(check)}."


def check_missing(name: str) -> str:
    return f"Waiting for check {name}: it has not reported yet."


def check_stale(check: Check) -> str:
    return f"Check {check.name} has just changed to {check.state}; asking again."


def _detail(check: Check) -> str:
    return f" ({check.detail})" if check.detail and len(check.detail) <= 60 else ""


def no_checks() -> str:
    return "The commit has no checks yet; an automatic deploy waits for the first."


def checks_unknown(problem: str) -> str:
    return f"The checks could not be read, so the gate stays closed: {problem}"


def checks_timed_out(waited_s: float, told: Sequence[str]) -> str:
    """``told`` are the sentences that it was waiting with."""
    said = [f"Waited {duration(waited_s)} for checks.", *told, "Deploy again once they are green, or force it."]
    return " ".join(said)


def token_permission(missing: Sequence[str]) -> str:
    return (
        f"The installation does not grant {joined(missing)}; an owner can accept the permission request in the "
        "app's installation settings."
    )


def no_runner(labels: Sequence[str], seen: int | None, now: int | None = None) -> str:
    """For how long by the clock of who reads it (``now``). Where it is kept or sent it says since when instead: a
    sentence that changes by itself would be written again and again."""
    wanted = f" with label{'s' if len(labels) > 1 else ''} {joined(labels)}" if labels else ""
    if seen is None:
        return f"No runner{wanted} has been seen yet; start one with `python -m runner`."
    if now is not None:
        return f"No runner{wanted} has been seen for {duration((now - seen) / 1000)}."
    return f"No runner{wanted} has been seen since {clock(seen)}."


def no_access(problem: str) -> str:
    return f"The provider gives no access to the repository now: {problem}"


def runner_takes_no_app(runner: str, app: str) -> str:
    return f"Runner {runner} does not accept {app}; to allow it, add {app} to its KEDGE_RUNNER_APPS."


def runner_takes_no_repository(runner: str, repository: str) -> str:
    return (
        f"Runner {runner} does not run what {repository} defines itself; to allow it, add {repository} to its "
        "KEDGE_RUNNER_APPS."
    )


def foreign_provider(runner: str, provider: str, repository: str) -> str:
    return (
        f"Runner {runner} loads provider {provider} for the operator's apps only, not for what {repository} defines "
        "itself."
    )


def no_secrets(runner: str, where: str, names: Sequence[str]) -> str:
    return f"Runner {runner} has no secret {joined(names)} bound to {where}; bind it in the runner's KEDGE_SECRETS."


def ready() -> str:
    return "Ready; waiting for a runner to take it."


def cancelled(who: str) -> str:
    return f"Cancelled by {who}."


def not_over(name: str) -> str:
    return f"{name} has not ended, so that there is nothing to be tried again."


def no_deployments(provider: str) -> str:
    return f"{provider} keeps no deployments; Kedge's page is the record."


def registering() -> str:
    return "Being registered as a deployment with the provider."


def not_registered(problem: str) -> str:
    return f"It could not be registered with the provider: {problem}"


def deployment_gone() -> str:
    return "its deployment was deleted at the provider"


def made_inactive(who: str) -> str:
    return f"its deployment was made inactive by {who}"


def not_allowed(who: str, environment: str, users: Sequence[str], teams: Sequence[str]) -> str:
    allowed = joined([*users, *(f"team {team}" for team in teams)], 8)
    return f"{who} may not deploy to {environment}; it takes {allowed or 'push permission on the repository'}."


def foreign_account(account: str, counted: Sequence[str]) -> str:
    return f"This comes from {account}; what counts comes from {joined(counted, 8)} (KEDGE_ACCOUNTS)."


def wrong_ref(sha: str, environment: str, refs: Sequence[str]) -> str:
    return f"{short(sha)} is not on {' or '.join(refs)}; {environment} takes commits from there only."


def unknown_environment(name: str, names: Sequence[str]) -> str:
    return f"There is no environment {name}.{nearest(name, names)}"


def unknown_task(name: str, names: Sequence[str]) -> str:
    return f"There is no task {name}.{nearest(name, names)}"


def which_app(repository: str, names: Sequence[str], named: str | None = None) -> str:
    if named:
        return f"{repository} has no app {named}.{nearest(named, names)}"
    return f"{repository} has several apps: say which in payload.app ({joined(names, 8)})."


def which_repository(app: str, name: str, found: Sequence[str]) -> str:
    if found:
        return f"Several installed repositories are called {name} ({joined(found)}); set `repository` of {app}."
    return f"No repository {name} is installed for {app}; install the app on it, or set `repository` of {app}."


def small_token(scope: str) -> str:
    return f"This takes a token with the scope {scope}."


def not_covered(actor: Actor, app: str | None = None) -> str:
    """What a narrowed token is for, where it was used for something else; or what somebody does not see."""
    if actor.provider:
        if app is None:
            return f"This takes a token: {actor.name} is signed in for the apps whose repositories they can read, only."
        return f"There is no app {app} whose repository {actor.name} can read."
    whole = "all apps" if actor.apps is None else joined(actor.apps, 8)
    where = f" in {joined(actor.environments, 8)}" if actor.environments is not None else ""
    return f"This token is only for {whole}{where}."


def unasked(app: str) -> str:
    """Where a provider did not tell who can read the repository of an app."""
    return f"It cannot be asked now who can read the repository of {app}, so it stays closed."


def admins_only(what: str) -> str:
    return f"{what} takes admin permission on the repository, or a token with the scope admin."


def not_your_lock(lock: Lock) -> str:
    return f"{locked(lock)} {taking_over()}"


def taking_over() -> str:
    return "Taking it over takes admin permission on the repository, or the scope admin."


def force_checks(app: str, number: int) -> str:
    return f"To force it: kedge force {app} {number}."


def force_lock(app: str, number: int) -> str:
    return f"To force it: kedge force {app} {number} --past lock."


def force_again(app: str, environment: str, sha: str, task: str) -> str:
    other = "" if task == "deploy" else f" --task {task}"
    return f"To force it: kedge deploy {app} --env {environment} --sha {short(sha)}{other} --force checks."


def no_commit(name: str) -> str:
    return f"There is no commit {name} in the repository."


def disagree(sha: str, ref: str) -> str:
    return f"{short(sha)} is not on {ref}; give the one or the other, or a ref that contains it."


# How it goes and ends


def queued() -> str:
    return "In line."


def waited(seconds: float) -> str:
    return f"It has waited for {duration(seconds)}."


def claimed(runner: str) -> str:
    return f"Runner {runner} asks the checks and prepares."


def running(runner: str) -> str:
    return f"Running on {runner}."


def cancelling(runner: str, who: str) -> str:
    return f"{who} asked to end it; it is running on {runner}."


def ended(state: State, seconds: float | None, reason: str) -> str:
    """How a deploy ended, as status description and on the page."""
    took = f" after {duration(seconds)}" if seconds is not None else ""
    words = {
        State.SUCCEEDED: f"Succeeded{took}.",
        State.FAILED: f"Failed{took}",
        State.ERRORED: f"Could not be run to an end{took}",
        State.CANCELLED: "Cancelled",
        State.REJECTED: "Rejected",
    }[state]
    return words if state is State.SUCCEEDED else f"{words}: {reason}" if reason else f"{words}."


def exit_code(code: int | None, signal: int | None) -> str:
    if signal is not None:
        return f"the command was ended by signal {signal}"
    return f"the command ended with exit code {code}"


def timed_out(limit_s: int) -> str:
    return f"it ran longer than its timeout of {duration(limit_s)}"


def silent(limit_s: int) -> str:
    return f"it wrote nothing for {duration(limit_s)}"


def too_late(deploy: str, state: State) -> str:
    verb = "has" if state in {State.SUCCEEDED, State.FAILED, State.ERRORED} else "was"
    return f"Too late: {deploy} {verb} already {state.value}."


def declared_dead(who: str) -> str:
    return f"declared dead by {who} after its runner was lost"


def superseded(by: str) -> str:
    return f"Superseded by {by}."

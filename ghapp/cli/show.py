"""Answers of the API as tables and lines for a terminal. Pure: values in, what rich prints out."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ghapp.cli import times
from ghapp.cli.shapes import App, Deploy, Environment, InLine, Line, Lock
from ghapp.core import sentences
from ghapp.core.values import Lock as CoreLock

STYLES = {
    "queued": "blue",
    "claimed": "cyan",
    "running": "yellow",
    "succeeded": "green",
    "failed": "red",
    "errored": "red",
    "rejected": "red",
    "cancelled": "magenta",
}
#: Called so where people read it; `claimed` is the API's word.
WORDS = {"claimed": "preparing"}


def table(*columns: str) -> Table:
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def state(deploy: Deploy) -> Text:
    word = WORDS.get(deploy.state, deploy.state)
    if deploy.state == "running" and deploy.lost_since:
        return Text("lost", style="bold red")
    return Text(word, style=STYLES.get(deploy.state, ""))


def commit(deploy: Deploy) -> str:
    """``a1b2c3d (main)``; a ref that is the sha itself is not repeated."""
    short = sentences.short(deploy.sha)
    return short if deploy.sha.startswith(deploy.ref) else f"{short} ({deploy.ref})"


def headline(deploy: Deploy) -> Text:
    """``hello#3 queued: a1b2c3d (main) to staging, asked for by ana``."""
    task = "" if deploy.task == "deploy" else f"{deploy.task} of "
    past = sentences.joined(f"the {one}" if one != "all" else "everything" for one in deploy.forced)
    forced = f", forced past {past} by {deploy.forced_by}" if deploy.forced_by else ""
    return Text.assemble(
        (deploy.name, "bold"),
        " ",
        state(deploy),
        f": {task}{commit(deploy)} to ",
        (deploy.environment, "bold"),
        f", asked for by {deploy.user}{forced}",
    )


def blockers(deploy: Deploy) -> Iterator[Text]:
    """One line for each reason why it does not run, with its link."""
    for one in deploy.blockers:
        link = f"  {one.url}" if one.url else ""
        yield Text.assemble("  ", ("•", STYLES.get(deploy.state, "")), f" {one.message}", (link, "dim"))


def outcome(deploy: Deploy) -> Text:
    """How it ended: ``hello#3 failed after 12 s: the command ended with exit code 3.``"""
    return Text.assemble((deploy.name, "bold"), " ", state(deploy), f"{_took(deploy)}{_reason(deploy)}.")


def whole(deploy: Deploy, now: datetime) -> Iterator[Text]:
    """A deploy, why it waits or how it ended, and its page."""
    yield headline(deploy)
    yield from blockers(deploy)
    if deploy.runner and deploy.state in {"claimed", "running"}:
        lost = f"; not heard any more since {times.ago(deploy.lost_since, now)}" if deploy.lost_since else ""
        yield Text(f"  Runner {deploy.runner} took it {times.ago(deploy.claimed_at, now)}{lost}.")
    if deploy.ended:
        yield Text(f"  Ended {times.ago(deploy.ended_at, now)}{_took(deploy)}{_reason(deploy)}.")
    yield Text(f"  {deploy.url}", style="dim")


def _took(deploy: Deploy) -> str:
    if not (deploy.started_at and deploy.ended_at):
        return ""
    return f" after {sentences.duration(times.seconds_since(deploy.started_at, times.at(deploy.ended_at)))}"


def _reason(deploy: Deploy) -> str:
    """What the blockers do not say already."""
    known = {one.message.rstrip(".") for one in deploy.blockers}
    reason = deploy.reason.rstrip(".")
    return f": {reason}" if reason and reason not in known else ""


def lock(one: Lock) -> Text:
    """The same sentence as everywhere."""
    known = CoreLock(
        one.who,
        one.reason,
        times.milliseconds(one.since),
        times.milliseconds(one.until) if one.until else None,
        one.app,
        one.environment,
    )
    return Text(sentences.locked(known), style="magenta")


def overview(apps: Iterable[App], now: datetime) -> Iterator[RenderableType]:
    """What is live, what runs, what waits and why, and what is locked."""
    made = table("App", "Environment", "Live", "Now", "Waiting")
    every = list(apps)
    for app in every:
        for place, environment in enumerate(app.environments):
            made.add_row(
                Text("" if place else app.name, style="bold"),
                _name(environment),
                _live(environment, now),
                _now(environment, now),
                _waiting(environment),
            )
    yield made if made.row_count else Text("There are no apps yet.")
    for app in every:
        for environment in app.environments:
            if environment.rolled_back:
                yield Text.assemble((f"{app.name}: ", "bold"), (environment.rolled_back.message, "yellow"))
    locks = [one for app in every for environment in app.environments for one in environment.locks]
    for one in dict.fromkeys(locks):
        where = f"{one.app}: " if one.app and one.environment else ""
        yield Text.assemble((where, "bold"), lock(one))


def line(found: Line, now: datetime) -> Iterator[RenderableType]:
    """What runs and what waits, in order, and for what."""
    if not found.items:
        yield Text("Nothing runs and nothing waits.")
        return
    made = table("Environment", "", "Deploy", "Commit", "Asked for", "Estimate", "Waits for")
    before = ""
    for one in found.items:
        made.add_row(
            Text("" if one.environment == before else one.environment, style="bold"),
            f"{one.position or ''}",
            Text(one.name, style="bold"),
            commit(one),
            f"{times.ago(one.asked_at, now)} by {one.user}",
            _estimate(one, now),
            Text("\n").join([Text(each.message) for each in one.blockers]) if one.state == "queued" else state(one),
        )
        before = one.environment
    yield made
    if found.next:
        yield Text("There are more; --env shows one environment alone, --json a cursor.", style="dim")


def _estimate(one: InLine, now: datetime) -> Text:
    if one.estimate is None:
        return Text("–", style="dim")
    if one.position:
        return Text(f"begins {times.soon(one.estimate.starts_at, now)}")
    return Text(f"ends {times.soon(one.estimate.ends_at, now)}")


def _name(environment: Environment) -> Text:
    return Text.assemble(environment.name, (" locked", "magenta") if environment.locks else "")


def _live(environment: Environment, now: datetime) -> Text:
    live = environment.live
    if live is None:
        return Text("–", style="dim")
    return Text.assemble(sentences.short(live.sha), f"  #{live.number}", (f"  {times.ago(live.ended_at, now)}", "dim"))


def _now(environment: Environment, now: datetime) -> Text:
    running = environment.running
    if running is None:
        return Text("–", style="dim")
    since = times.seconds_since(running.started_at, now) if running.started_at else None
    took = f" {sentences.duration(since)}" if since is not None else ""
    return Text.assemble(state(running), f"{took}  #{running.number} by {running.user}")


def _waiting(environment: Environment) -> Text:
    if not environment.queue:
        return Text("–", style="dim")
    first = environment.queue[0]
    why = first.blockers[0].message if first.blockers else ""
    return Text.assemble((f"{environment.waiting}", "blue"), f"  #{first.number}: {why}" if why else "")

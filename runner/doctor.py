"""`python -m runner doctor`: is everything there that a deploy will need? Each finding says what to do about it."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ghapp import wire
from ghapp.core.sentences import joined
from ghapp.core.version import VERSION
from ghapp.vcs.session import open_session
from runner import housekeeping, journal, processes
from runner.client import AppClient, Refused, Unanswered
from runner.config import Settings
from runner.journal import Command, Entry, Journal, WorkdirBusy, lock_workdir
from runner.secrets import Bindings

OLDEST_GIT = (2, 34)
LEAST_FREE = 1 << 30
"""Bytes: a clone and a build need more than they leave behind."""
MOST_SKEW_S = 30.0
"""Tokens and grants are good for minutes; App tokens are refused when clocks differ by more than about a minute."""
WRITTEN = "written by the command"


@dataclass(frozen=True, slots=True)
class Finding:
    """``fix`` says what to do; empty where all is well."""

    what: str
    found: str
    fix: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """One finding after the other, as each is known."""
    async for finding in _app(settings):
        yield finding
    yield _git()
    for finding in _folder(settings.workdir):
        yield finding
    yield _extras()
    yield _secrets(settings.bindings)
    yield await _supervisor()
    for warning in settings.warnings:
        yield Finding("settings", warning, "See above.")


async def report(settings: Settings) -> int:
    """Print the findings; exit code 1 if anything needs to be mended."""
    wrong = 0
    async for finding in examine(settings):
        wrong += bool(finding.fix)
        print(f"{'WRONG' if finding.fix else 'ok':5}  {finding.what:12}  {finding.found}")
        if finding.fix:
            print(f"{'':5}  {'':12}  → {finding.fix}")
    print(f"{wrong} to mend." if wrong else "Everything is there that a deploy needs.")
    return 1 if wrong else 0


async def _app(settings: Settings) -> AsyncIterator[Finding]:
    async with open_session() as session:
        sent = time.time()
        try:
            hello = await AppClient(session, settings.url, settings.token).hello()
        except Refused as error:
            yield Finding("app", f"{settings.url}: {error}", _way_on(error.status))
            return
        except Unanswered as error:
            yield Finding("app", str(error), "See that KEDGE_URL is right and reachable from here (HTTPS_PROXY?).")
            return
        took_s = time.time() - sent
    found = f"{settings.url} answers in {took_s * 1000:.0f} ms; Kedge {hello.version}, this runner {VERSION}"
    yield Finding("app", found)
    yield Finding("token", _good_for(hello), _never(settings, hello))
    yield _clock(datetime.fromisoformat(hello.now).timestamp(), sent + took_s / 2)


def _way_on(status: int) -> str:
    if status == 401:
        return "Set KEDGE_RUNNER_TOKEN to the app's own, or to what `kedge token create --scope runner` prints."
    if status == 403:
        return "This token is no runner's: make one with `kedge token create --scope runner`."
    if status == 429:
        return (
            "Wait a minute. A runner here with a wrong KEDGE_RUNNER_TOKEN is likely to have used up the tries: mend it."
        )
    if status >= 500:
        return "The app's own log says what is wrong with it."
    return "Bring app and runner to the same release."


def _never(settings: Settings, hello: wire.Hello) -> str:
    """What to do where this runner can be given nothing, for token and settings exclude each other."""
    for name, wished, granted in (
        ("KEDGE_RUNNER_APPS", settings.apps, hello.apps),
        ("KEDGE_RUNNER_LABELS", settings.labels or None, hello.labels),
    ):
        if wished is not None and granted is not None and not set(wished) & set(granted):
            return f"{name} is {joined(wished)}, for which the token is no good: mend it, or make another token."
    return ""


def _good_for(hello: wire.Hello) -> str:
    parts = [
        f"{name} {joined(values)}"
        for name, values in (("labels", hello.labels), ("apps", hello.apps), ("environments", hello.environments))
        if values is not None
    ]
    return "may take " + ("; ".join(parts) if parts else "whatever this runner accepts")


def _clock(theirs: float, ours: float) -> Finding:
    skew_s = ours - theirs
    found = f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the app's"
    fix = "Set this machine's clock, or the app's, by NTP." if abs(skew_s) > MOST_SKEW_S else ""
    return Finding("clock", found, fix)


def _git() -> Finding:
    oldest = ".".join(map(str, OLDEST_GIT))
    if shutil.which("git") is None:
        return Finding("git", "not in PATH", f"Install git {oldest} or newer.")
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    numbers = [int(part) for part in said.removeprefix("git version ").split(".")[:2] if part.isdigit()]
    return Finding("git", said, "" if tuple(numbers) >= OLDEST_GIT else f"Install git {oldest} or newer.")


def _folder(workdir: Path) -> Iterator[Finding]:
    try:
        with lock_workdir(workdir):
            busy = ""
    except WorkdirBusy:
        busy = ", a runner works in it now"
    except OSError as error:
        yield Finding("work folder", f"{workdir}: {error.strerror}", "Let this user write to it, or set KEDGE_WORKDIR.")
        return
    kept = housekeeping.survey(workdir)
    used = sum(one.size for one in kept)
    yield Finding("work folder", f"{workdir}: {len(kept)} mirrors and checkouts, {used / 1e6:.0f} MB{busy}")
    disk = housekeeping.disk_of(workdir)
    least = max(LEAST_FREE, int(disk.total * housekeeping.LEAST_FREE_SHARE))
    found = f"{disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB are free"
    yield Finding("disk", found, "Make room, or put KEDGE_WORKDIR on a larger disk." if disk.free < least else "")


def _extras() -> Finding:
    lfs = shutil.which("git-lfs")
    return Finding("git-lfs", lfs or "not installed: files kept in it stay pointers, which is fine where none are")


def _secrets(bindings: Bindings) -> Finding:
    """Files are looked at; commands are not run, they may cost something."""
    bound = [(name, source) for names in bindings.values() for name, source in names.items()]
    unreadable = [
        f"{name} ({source.text})"
        for name, source in bound
        if source.kind == "file" and not os.access(source.text, os.R_OK)
    ]
    if unreadable:
        return Finding(
            "secrets", f"cannot be read: {joined(unreadable)}", "Let this user read them, or mend KEDGE_SECRETS."
        )
    return Finding("secrets", f"{len(bound)} bound by KEDGE_SECRETS" if bound else "none bound (KEDGE_SECRETS)")


async def _supervisor() -> Finding:
    """A real one, of a real command, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="kedge-doctor-") as folder:
        entry = Journal(Path(folder)).create("doctor", uuid.uuid4().hex, b"{}")
        wrong = await _supervised(entry, folder)
    found = wrong or "starts, follows and records a command on this kernel"
    return Finding("supervisor", found, "Linux 5.4 or newer with /proc mounted is needed." if wrong else "")


async def _supervised(entry: Entry, folder: str) -> str:
    """What went wrong; empty where nothing did."""
    command = Command(
        deploy_id=entry.path.name,
        argv=journal.shell_argv(f"echo {WRITTEN}; (sleep 60 &) ; exit 7"),
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        timeout_s=20,
        silence_s=None,
        grace_s=1,
    )
    entry.write_command(command)
    entry.write_starting(journal.boot_id(), journal.boottime_ns() + wire.START_GOOD_FOR_S * 10**9)
    try:
        await processes.launch(entry)
    except processes.LaunchFailed as error:
        return str(error)
    result = await processes.wait(entry)
    left = await processes.sweep(entry.path.name, entry.read_started())
    written = entry.output.read_text().strip()
    if result is None or (result.exit_code, written, len(result.daemons)) != (7, WRITTEN, 1) or left:
        return f"a command that ends with 7 and leaves one process was recorded as {result}, with {written!r} written"
    return ""

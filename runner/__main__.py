"""`python -m runner`: claims deploys from an app and executes them here."""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

import structlog

from ghapp.core.settings import SettingsError, help_text
from ghapp.core.version import VERSION
from ghapp.vcs.session import open_session
from runner import config, doctor, housekeeping
from runner.client import AppClient
from runner.config import Settings
from runner.journal import Journal, WorkdirBusy, lock_workdir
from runner.secrets import Secrets
from runner.slots import run
from runner.tools import Tools
from runner.workspace import Workspaces

PR_SET_DUMPABLE = 4
"""prctl(2)."""

ABOUT = """\
Claims deploys from a Kedge app and executes them on this machine. It is set up by
environment variables only. SIGTERM lets running deploys end and takes nothing new;
a second one leaves at once: the commands go on, and the next start takes them up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 stopped, 1 left in a hurry with commands running (doctor: something to mend), 2 cannot work like
    this."""
    harden()
    parser = argparse.ArgumentParser(
        prog="python -m runner",
        description=ABOUT,
        epilog="environment variables:\n" + help_text(config.SETTINGS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", choices=["doctor"], help="check that everything is there that a deploy needs, and end"
    )
    asked = parser.parse_args(arguments)
    _log_to_stderr()
    try:
        settings = config.load(os.environ)
        if asked.command == "doctor":
            return asyncio.run(doctor.report(settings))
        with contextlib.ExitStack() as stack:
            _enter(settings, stack)
            return asyncio.run(_run(settings))
    except (SettingsError, WorkdirBusy) as error:
        print(error, file=sys.stderr)
        return 2


def _enter(settings: Settings, stack: contextlib.ExitStack) -> None:
    """Hold the work folder. Raises WorkdirBusy, SettingsError."""
    try:
        stack.enter_context(lock_workdir(settings.workdir))
    except OSError as error:
        raise SettingsError([f"KEDGE_WORKDIR: {settings.workdir} cannot be used: {error.strerror}."]) from None


async def _run(settings: Settings) -> int:
    stopping = asyncio.Event()
    work = asyncio.ensure_future(_work(settings, stopping))
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, _stop, stopping, work)
    try:
        await work
    except asyncio.CancelledError:
        return 1
    return 0


def _stop(stopping: asyncio.Event, work: asyncio.Future[None]) -> None:
    log = structlog.get_logger()
    if stopping.is_set():
        log.warning("leaving at once; running commands go on and are taken up at the next start")
        work.cancel()
        return
    log.info("stopping: taking nothing new, letting running deploys end; once more to leave at once")
    stopping.set()


async def _work(settings: Settings, stopping: asyncio.Event) -> None:
    async with open_session() as session:
        tools = Tools(
            name=settings.name,
            labels=settings.labels,
            apps=settings.apps,
            shared=settings.shared,
            environ=os.environ,
            session=session,
            client=AppClient(session, settings.url, settings.token),
            journal=Journal(settings.workdir),
            workspaces=Workspaces(settings.workdir, environ=os.environ),
            providers=settings.workdir / "providers",
            secrets=Secrets(settings.bindings, os.environ),
            version=VERSION,
        )
        log = structlog.get_logger()
        for warning in settings.warnings:
            log.warning(warning)
        log.info("runner ready", name=settings.name, app=settings.url, slots=settings.slots)
        tidying = asyncio.create_task(housekeeping.tidy_forever(settings.workdir, tools.journal))
        try:
            await run(tools, settings.slots, stopping)
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, return_exceptions=True)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def harden() -> None:
    """Let no other process of this user read this one's memory or environment."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())

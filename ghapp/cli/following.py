"""``log`` and ``--follow``: a deploy as it goes until it has ended, and how it ended as exit code."""

import argparse
import queue
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from ghapp.cli.client import Client, decoded, path
from ghapp.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from ghapp.cli.progress import Teller, View, teller_on
from ghapp.cli.shapes import Deploy
from ghapp.cli.stream import Broken, LogEnded, LogReader, Trouble, Written
from ghapp.cli.targets import one_deploy
from ghapp.cli.terminal import Kit, harmless
from ghapp.cli.watching import Looked, Watcher

#: A deploy that has ended may keep its log open, for a daemon that still writes: then this long after the last words.
LINGER_S = 10.0
TICK_S = 0.1


def log(arguments: argparse.Namespace, kit: Kit) -> int:
    """What there is of a log, or with ``-f`` all of it as it comes."""
    app, number = one_deploy(arguments)
    if not arguments.follow:
        with kit.client.open(path(app, "deploys", number, "log"), {"Accept": "text/plain"}) as answer:
            _print(answer)
        return EXIT_OK
    deploy = decoded(kit.client.get(path(app, "deploys", number)), Deploy)
    _, code = follow(kit, deploy)
    return EXIT_INTERRUPTED if code == EXIT_INTERRUPTED else EXIT_OK


def _print(log: IO[bytes]) -> None:
    """As it is; on a terminal without what a terminal would obey."""
    if not sys.stdout.isatty():
        shutil.copyfileobj(log, sys.stdout.buffer)
        return
    for line in log:
        sys.stdout.write(harmless(line.decode(errors="replace")))


def follow(kit: Kit, deploy: Deploy) -> tuple[Deploy, int]:
    """Show it until it has ended; how it ended, and the exit code. Ctrl-C leaves it as it is, and says so."""
    teller = teller_on(kit.terminal)
    try:
        with teller:
            ended = _Follower(kit.client, deploy, teller).run()
    except KeyboardInterrupt:
        kit.terminal.note(f"{deploy.name} goes on without you.")
        kit.terminal.note(f"To cancel it: kedge cancel {deploy.name}   To follow it again: kedge log -f {deploy.name}")
        return deploy, EXIT_INTERRUPTED
    teller.ended(ended)
    return ended, exit_code(ended)


def exit_code(deploy: Deploy) -> int:
    """0 if it succeeded, the command's own if it failed with one, else 1. Above 125 they mean something to shells:
    https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html"""
    if deploy.state == "succeeded":
        return EXIT_OK
    if deploy.state == "failed" and deploy.exit_code is not None and 1 <= deploy.exit_code <= 125:
        return deploy.exit_code
    return EXIT_FAILED


class _CtrlC:
    """Somebody wants to stop following."""


@contextmanager
def _ctrl_c(put: Callable[[object], None]) -> Iterator[None]:
    """Ctrl-C is heard in its turn: raised amid a write to the terminal it would leave that locked. The second one is
    raised wherever it comes."""

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        put(_CtrlC())

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Follower:
    """Puts together what both threads tell."""

    def __init__(self, client: Client, deploy: Deploy, teller: Teller) -> None:
        self._heard: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._log = LogReader(client, deploy.app, deploy.number, self._heard.put)
        self._watcher = Watcher(client, deploy, self._heard.put)
        self._teller = teller
        self._view = View(deploy)
        self._troubles: dict[str, str] = {}
        self._log_ended = False
        self._quiet_since = time.monotonic()

    def run(self) -> Deploy:
        """Until deploy and log have ended. Raises `CommandError` where it cannot be followed."""
        self._log.start()
        self._watcher.start()
        with _ctrl_c(self._heard.put):
            while not self._over():
                self._take()
                self._teller.show(replace(self._view, trouble=" ".join(dict.fromkeys(self._troubles.values()))))
        return self._view.deploy

    def _over(self) -> bool:
        lingering = time.monotonic() - self._quiet_since > LINGER_S
        return self._view.deploy.ended and (self._log_ended or lingering)

    def _take(self) -> None:
        """What has been told since, the pieces of the log in one."""
        pieces: list[str] = []
        try:
            item = self._heard.get(timeout=TICK_S)
            while True:
                if isinstance(item, Written):
                    pieces.append(item.text)
                else:
                    self._hear(item)
                item = self._heard.get_nowait()
        except queue.Empty:
            if pieces:
                self._quiet_since = time.monotonic()
                self._teller.log("".join(pieces))
                if self._view.deploy.state != "running":
                    self._watcher.look_now()

    def _hear(self, item: object) -> None:
        match item:
            case Looked(deploy, estimate):
                if deploy.state != self._view.deploy.state:
                    self._quiet_since = time.monotonic()
                self._view = View(deploy, estimate)
            case LogEnded():
                self._log_ended = True
                self._watcher.look_now()
            case Trouble(of, None):
                self._troubles.pop(of, None)
            case Trouble(of, str() as message):
                self._troubles[of] = message
            case Broken(error):
                raise error
            case _CtrlC():
                raise KeyboardInterrupt

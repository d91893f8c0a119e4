"""How a followed deploy is shown: on a terminal with a line that lives below the log, elsewhere line by line."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.ansi import AnsiDecoder
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ghapp.cli import show, times
from ghapp.cli.shapes import Deploy, Estimate
from ghapp.cli.terminal import Terminal, harmless

_BAR = 24


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a deploy now."""

    deploy: Deploy
    estimate: Estimate | None = None
    trouble: str = ""


class Teller(ABC):
    """A context: inside it the deploy goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def log(self, text: str) -> None:
        """A piece of the log, which may end amid a line."""

    @abstractmethod
    def show(self, view: View) -> None:
        """How it stands; called several times a second."""

    @abstractmethod
    def ended(self, deploy: Deploy) -> None:
        """How it ended; called after the context."""


def teller_on(terminal: Terminal) -> Teller:
    if terminal.out.is_terminal and not terminal.out.is_dumb_terminal and not terminal.as_json:
        return _OnTerminal(terminal.out)
    return _InLines(terminal)


def sentence(deploy: Deploy) -> str:
    """How it stands, where there is one line for it."""
    if deploy.lost_since:
        return f"lost its runner {deploy.runner}; it goes on when the runner is heard again"
    match deploy.state:
        case "queued":
            place = f", number {deploy.position} in line" if deploy.position else ""
            return f"waits{place}. {' '.join(one.message for one in deploy.blockers)}".rstrip()
        case "claimed":
            return f"is being prepared by runner {deploy.runner}."
        case "running":
            return f"runs on runner {deploy.runner}."
        case _:
            return f"{deploy.state}."


class _InLines(Teller):
    """The log as it is on stdout; what Kedge says, once each time it changes, on stderr.

    Where JSON is asked for, stdout is left to it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._out = sys.stderr if terminal.asked_for_json else sys.stdout
        self._said = ""

    def log(self, text: str) -> None:
        self._out.write(harmless(text) if self._out.isatty() else text)
        self._out.flush()

    def show(self, view: View) -> None:
        text = view.trouble or sentence(view.deploy)
        if text != self._said and not view.deploy.ended:
            self._said = text
            self._terminal.note(text if view.trouble else f"{view.deploy.name} {text}")

    def ended(self, deploy: Deploy) -> None:
        self._terminal.note(show.outcome(deploy))


class _OnTerminal(Teller):
    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._view: View | None = None
        self._state = ""
        self._rest = ""
        self._colours = AnsiDecoder()  # a colour may last for many lines
        self._live = Live(console=console, transient=True, refresh_per_second=8, get_renderable=self._renderable)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rest:
            self._print(self._rest)
            self._rest = ""
        self._view = None
        self._live.stop()

    def log(self, text: str) -> None:
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._print(whole)

    def show(self, view: View) -> None:
        self._view = view
        deploy = view.deploy
        if deploy.state != self._state and not deploy.ended:
            if deploy.state == "running":
                self._console.print(Text.assemble((deploy.name, "bold"), f" {sentence(deploy)}"))
            self._state = deploy.state

    def ended(self, deploy: Deploy) -> None:
        self._console.print(show.outcome(deploy), soft_wrap=True)

    def _print(self, text: str) -> None:
        lines = self._colours.decode(harmless(text))
        self._console.print(Text("\n").join(lines), soft_wrap=True)

    def _renderable(self) -> Group:
        if self._view is None:
            return Group()
        rest = [Text.from_ansi(harmless(self._rest), no_wrap=True, overflow="ellipsis")] if self._rest else []
        return Group(*rest, self._line(self._view, datetime.now(UTC)))

    def _line(self, view: View, now: datetime) -> Table:
        grid = Table.grid(padding=(0, 1))
        deploy = view.deploy
        name = Text(deploy.name, style="bold")
        if view.trouble:
            grid.add_row(self._spinner, name, Text(f"goes on, but: {view.trouble} Trying again.", style="yellow"))
        elif deploy.state == "running" and deploy.started_at and not deploy.lost_since:
            elapsed = times.seconds_since(deploy.started_at, now)
            grid.add_row(self._spinner, name, Text(f"runs {times.stopwatch(elapsed)}"), *_bar(elapsed, view.estimate))
        else:
            grid.add_row(self._spinner, name, Text(f"{sentence(deploy)}{_begins(view, now)}"))
        return grid


def _bar(elapsed_s: float, estimate: Estimate | None) -> list[Text | ProgressBar]:
    """How much of the time that it usually takes is over."""
    whole_s = times.between(estimate.starts_at, estimate.ends_at) if estimate else 0
    if whole_s <= 0:
        return []
    bar = ProgressBar(total=whole_s, completed=min(elapsed_s, whole_s), width=_BAR)
    return [bar, Text(f"of about {times.stopwatch(whole_s)}", style="dim")]


def _begins(view: View, now: datetime) -> str:
    return f" Begins {times.soon(view.estimate.starts_at, now)}." if view.estimate and view.deploy.position else ""

"""A log as it is written, read by server-sent events, and taken up again where the connection broke."""

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ghapp.cli.client import Client, path
from ghapp.cli.errors import CommandError, Refused, Unreachable

#: The app sends a comment every 15 s; silence for three times as long is a dead connection.
SILENCE_S = 45.0
#: Pauses before trying again; the last one is repeated.
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of the log."""

    text: str


@dataclass(frozen=True, slots=True)
class LogEnded:
    """There will be no more of it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing is heard now; None: it is heard again. ``of`` names who tells it."""

    of: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Broken:
    """It makes no sense to try again."""

    error: CommandError


def events(lines: Iterable[bytes]) -> Iterator[Event]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html; an event that is cut off is none."""
    name, data, last = "message", list[str](), ""
    for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and raw:
            if data:
                yield Event(name, "\n".join(data), last)
            name, data = "message", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            last = value


class LogReader:
    """Tells what is written, from the beginning to the end, in a thread of its own."""

    def __init__(self, client: Client, app: str, number: int, tell: Callable[[object], None]) -> None:
        self._client = client
        self._path = path(app, "deploys", number, "log")
        self._tell = tell
        self._last_id = ""
        self._failures = 0
        self._pause = threading.Event()

    def start(self) -> None:
        """A daemon: where nobody listens any more, nothing waits for it."""
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                if self._read():
                    self._tell(LogEnded())
                    return
                self._failed(Trouble("log", "The connection ended."), None)
            except Refused as error:
                if not error.passing:
                    self._tell(Broken(error))
                    return
                self._failed(Trouble("log", error.message), error.retry_after_s)
            except (Unreachable, OSError, http.client.HTTPException) as error:
                self._failed(Trouble("log", str(error)), None)
            except CommandError as error:
                self._tell(Broken(error))
                return

    def _failed(self, trouble: Trouble, pause_s: float | None) -> None:
        if self._failures:  # the first time it may be a proxy that ends long answers
            self._tell(trouble)
        self._pause.wait(pause_s or PAUSES_S[min(self._failures, len(PAUSES_S) - 1)])
        self._failures += 1

    def _read(self) -> bool:
        """Has the log ended? Otherwise the connection did."""
        headers = {"Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        with self._client.open(self._path, headers, SILENCE_S) as answer:
            for event in events(self._heard(answer)):
                if event.name == "end":
                    return True
                self._last_id = event.id or self._last_id
                self._tell(Written(event.data))
        return False

    def _heard(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            if self._failures:
                self._failures = 0
                self._tell(Trouble("log", None))
            yield line

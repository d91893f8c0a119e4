"""What the command line says instead of a traceback: what went wrong, and what to do next."""

from collections.abc import Mapping
from http import HTTPStatus

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
#: As shells have it for what Ctrl-C ended: https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """A sentence for people, with what they can do next. ``code`` is the exit code."""

    def __init__(self, message: str, *, hint: str | None = None, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Unreachable(CommandError):
    """Nothing was answered; what was asked may have been done or not."""


class Refused(CommandError):
    """The app answered no. ``reason`` is its code (``locked``, ``checks_failed`` …), ``facts`` all that it said,
    ``retry_after_s`` when it may be asked again."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        hint: str | None,
        facts: Mapping[str, object],
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.status = status
        self.reason = reason
        self.facts = facts

    @property
    def passing(self) -> bool:
        """May the same be answered otherwise a little later?"""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

"""An argument parser that answers typos with the nearest name, and shows an example with every command."""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from ghapp.cli.errors import EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """``late`` gives what ``--help`` shows at the end, if it takes long to make."""

    def __init__(self, *arguments: Any, late: Callable[[], str] | None = None, **options: Any) -> None:
        super().__init__(
            *arguments, **{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **options}
        )
        self._late = late
        self._given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class, but what is left over is an error here, where the command's own options are known."""
        if args is not None:
            self._given = args
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"not understood: {' '.join(rest)}")
        return found, rest

    def format_help(self) -> str:
        if self._late and self.epilog is None:
            self.epilog = self._late()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Exit code 2, with what was probably meant."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}.{self._meant()}\n{self.prog} --help shows an example.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            raise argparse.ArgumentError(None, f"there is no command {value}")
        super()._check_value(action, value)

    def _meant(self) -> str:
        commands = self._commands()
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for word in (one.partition("=")[0] for one in self._given):
            names = known if word.startswith("--") else commands
            if names and word not in names and (close := get_close_matches(word, names, n=1)):
                return f" Did you mean {close[0]}?"
            if not word.startswith("-"):
                commands = []  # only the first word is a command
        return ""

    def _commands(self) -> list[str]:
        groups = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        return [name for group in groups for name in group.choices]

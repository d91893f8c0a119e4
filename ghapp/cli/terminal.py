"""What is printed where: results on stdout, as tables or as JSON; all that Kedge says beside them on stderr."""

import json
import re
import sys
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.text import Text

from ghapp.cli.client import Client
from ghapp.cli.errors import CommandError, Refused

#: All escape sequences but those for colours, and all other control characters but tab and line feed:
#: https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
_OBEYED = re.compile(
    r"\x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_].*?(?:\x1b\\|\x07|\x9c|(?=\n)|$)|\x1b(?!\[)[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]"
)


class Terminal:
    """``as_json`` None: JSON where stdout is no terminal."""

    def __init__(self, as_json: bool | None) -> None:
        self.as_json = as_json if as_json is not None else not sys.stdout.isatty()
        self.asked_for_json = as_json is True
        # Names of branches and people are no markup: https://rich.readthedocs.io/en/stable/markup.html
        self.out = Console(highlight=False, markup=False, emoji=False)
        self.err = Console(highlight=False, markup=False, emoji=False, stderr=True)

    def result(self, body: bytes, shown: Callable[[], Iterable[RenderableType]]) -> None:
        """What a command was asked for: the API's answer as it is, or as people read it."""
        if self.as_json:
            self._json(json.loads(body))
            return
        for one in shown():
            self.out.print(one, soft_wrap=isinstance(one, Text))

    def note(self, text: str | Text, style: str = "") -> None:
        """Beside the result, for people."""
        self.err.print(Text(text) if isinstance(text, str) else text, style=style, soft_wrap=True)

    def error(self, error: CommandError) -> None:
        """What went wrong, and what to do next; as JSON in the shape of the API's errors besides."""
        self.err.print(Text.assemble(("kedge: ", "bold red"), error.message), soft_wrap=True)
        for line in _checks(error):
            self.err.print(line, soft_wrap=True)
        if error.hint:
            self.err.print(Text(error.hint, style="dim"), soft_wrap=True)
        if self.as_json:
            said = error.facts if isinstance(error, Refused) else {"code": "failed", "message": error.message}
            self._json({"error": {"hint": error.hint, **said}})

    def _json(self, value: object) -> None:
        indent = 2 if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


class Kit:
    """What every command is given."""

    def __init__(self, client: Client, terminal: Terminal) -> None:
        self.client = client
        self.terminal = terminal


def harmless(text: str) -> str:
    """A log without what would move the cursor, ring, or rename the window; colours stay."""
    return _OBEYED.sub("", text)


def _checks(error: CommandError) -> list[Text]:
    """The failing checks of a refusal, with their links."""
    checks = error.facts.get("checks") if isinstance(error, Refused) else None
    lines = []
    for check in checks if isinstance(checks, list) else []:
        if isinstance(check, dict):
            name, state, url = check.get("name"), check.get("state"), check.get("url")
            lines.append(Text.assemble("  ", (f"{name}", "bold"), f" {state}", f"  {url}" if url else ""))
    return lines

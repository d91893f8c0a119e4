"""Command templates: ``fab -R {env} deploy:sha={sha}`` with its variables replaced as plain text.

There is no quoting, because no quoting survives a second shell (``ssh host "…"``, ``sh -c``, ``eval``). Instead
a value that may replace a variable consists only of characters that no shell gives a meaning to, and does not
begin with ``-``, so that no program takes it for an option. Every value stands raw in the environment too.
"""

import re
from dataclasses import dataclass, fields
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the variables of one deploy stand for; the fields' names are the variables' names.

    ``hosts`` and ``previous_sha`` are empty where there are none.
    """

    app: str
    env: str
    sha: str
    ref: str
    task: str
    user: str
    number: int
    hosts: str = ""
    previous_sha: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What the variables of ``checks_command`` stand for: it is run for a commit, whether a deploy of it exists or
    not."""

    app: str
    env: str
    sha: str
    ref: str


class UnsafeValue(ValueError):
    """A value may not go where it was to go. The text is a sentence for people, with the way on."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(message)
        self.variable = variable
        self.message = message


BASE = ("PATH", "HOME", "LANG")
"""What a command sees of the own environment of who runs it."""

VARIABLES = tuple(sorted(field.name for field in fields(Values)))
COMMIT_VARIABLES = tuple(sorted(field.name for field in fields(Commit)))

# In POSIX shells none of these is special, quoted or not:
# https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02
_SAFE = re.compile(r"(?!-)[A-Za-z0-9._/@:+,%-]*")
_KNOWN = "|".join(VARIABLES)
# ${name} is the shell's own, {{name}} some other template language's; both are matched in order to be left alone.
_PLACE = re.compile(rf"\{{\{{(?:{_KNOWN})\}}\}}|(?<!\$)\{{({_KNOWN})\}}")
_WORD = re.compile(r"(?<![${])(\{\{?\s*([A-Za-z][A-Za-z0-9_-]{0,40})\s*\}\}?)")


def render(template: str, values: Values | Commit) -> str:
    """The command with its variables replaced. A ref that is not safe is handed on as the sha.

    Raises `UnsafeValue` for any other value that is not safe, if the template uses it.
    """
    known = {field.name for field in fields(values)}
    return _PLACE.sub(lambda match: _value(match[1], values) if match[1] in known else match[0], template)


def used(template: str) -> set[str]:
    """The variables that a template uses."""
    return {match[1] for match in _PLACE.finditer(template) if match[1]}


def _value(variable: str, values: Values | Commit) -> str:
    value = str(getattr(values, variable))
    if _SAFE.fullmatch(value) and (value or variable != "ref"):
        return value
    if variable == "ref":
        return _value("sha", values)
    raise UnsafeValue(
        variable,
        f"The command uses {{{variable}}}, which may consist only of letters, digits and ._/@:+,%- and not begin "
        f"with -, but it is {_shown(value)}. In the command, “$KEDGE_{variable.upper()}” in double quotes "
        "takes any value.",
    )


def environment(values: Values | Commit) -> dict[str, str]:
    """The values as they are, for the command's environment: ``KEDGE_APP``, ``KEDGE_REF`` …

    Raises `UnsafeValue` for what no environment can hold: NUL, and what is not Unicode text.
    """
    names = sorted(field.name for field in fields(values))
    return {f"KEDGE_{name.upper()}": _raw(name, str(getattr(values, name))) for name in names}


def _raw(variable: str, value: str) -> str:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data:
        message = f"The value of {{{variable}}} contains NUL or is not Unicode text; ask again without it."
        raise UnsafeValue(variable, message)
    return value


def near_misses(template: str) -> list[str]:
    """Sentences on braces that look like variables and are not replaced, such as ``{enviroment}`` or ``{SHA}``."""
    rest = _PLACE.sub(lambda match: " " if match[1] else match[0], template)
    return list(dict.fromkeys(sentence for match in _WORD.finditer(rest) if (sentence := _near_miss(*match.groups()))))


def _near_miss(written: str, word: str) -> str | None:
    if written.startswith("{{"):
        return f"{written} is left as it is; only {{{word}}} is replaced" if word in VARIABLES else None
    likely = _likely(word.lower())
    way_on = f"did you mean {{{likely}}}?" if likely else f"known are {{{'} {'.join(VARIABLES)}}}"
    return f"{written} is no variable and is left as it is; {way_on}"


def _likely(word: str) -> str | None:
    close = get_close_matches(word, VARIABLES, n=1)
    return close[0] if close else next((name for name in VARIABLES if word.startswith(name)), None)


def _shown(value: str) -> str:
    """A value that may be anything, fit to stand in a sentence."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
    return f"“{printable}”" if len(printable) <= 60 else f"“{printable[:60]}…”"

"""What people write to Kedge in a comment or a chat: a text becomes a command, or a sentence that helps.

One grammar for every such door. The names of apps decide what a word is; whether an environment, a commit or a deploy
exists is not asked here. Words are compared without case, and characters that nobody sees count for nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

from ghapp.core import durations, sentences

#: More than that is no command.
LENGTH_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Names:
    """What the place knows: its apps, and the environments of these (aliases too)."""

    apps: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    def app(self, word: str) -> str | None:
        return next((app for app in self.apps if app.casefold() == word.casefold()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where ``app`` is None it is the only one of the place."""

    app: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy(Command):
    """``ref`` is a branch, a tag or a sha; None: what the place stands for. ``force`` passes red checks."""

    environment: str | None = None
    ref: str | None = None
    force: bool = False

    @property
    def sha(self) -> str | None:
        """The ref, where it is the sha of a commit, whole or abbreviated."""
        return self.ref.lower() if self.ref and _SHA.fullmatch(self.ref) else None

    @property
    def exact(self) -> bool:
        """Is it a whole sha, which names one commit for ever?"""
        return bool(self.sha and len(self.sha) >= 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock(Command):
    """``lasting`` is a duration as `core.durations` reads it."""

    environment: str
    lasting: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock(Command):
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(Command):
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Command):
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command):
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Force(Command):
    """``what`` is ``checks``, ``lock`` or ``all``."""

    number: int
    what: str = "checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Why(Command):
    """Of a deploy, or of the first in line of an environment."""

    number: int | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Help(Command):
    pass


@dataclass(frozen=True, slots=True)
class Wrong:
    """No command: ``message`` says why, ``ways`` are commands as they should be written. ``verb`` is the one that was
    meant; None where nobody can tell."""

    message: str
    ways: tuple[str, ...] = ()
    verb: str | None = None


#: verb -> how it is written, what it does.
USAGE: Mapping[str, tuple[str, str]] = {
    "deploy": ("deploy [app] [to env] [ref or sha]", "deploy; without a ref the head of this pull request"),
    "deploy!": ("deploy! [app] [to env] [ref or sha]", "deploy although checks are red or pending"),
    "lock": ("lock env [for 2h] [reason]", "hold deploys to an environment"),
    "unlock": ("unlock env", "let them go on"),
    "queue": ("queue [env]", "what runs, and who waits for what"),
    "cancel": ("cancel n", "end deploy n"),
    "rollback": ("rollback env", "deploy what was live before"),
    "resume": ("resume env", "let automatic deploys go on after a rollback"),
    "force": ("force n [checks, lock or all]", "let deploy n pass red checks, a lock or both"),
    "status": ("status", "what is live in each environment"),
    "why": ("why [n or env]", "why it is not deployed yet"),
    "help": ("help", "this list"),
}

_SHA = re.compile(r"[0-9a-f]{7,40}|[0-9a-f]{64}", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"#?([0-9]{1,18})", re.ASCII)
#: https://git-scm.com/docs/git-check-ref-format, and what names a pull request's head without saying whose it is.
_NO_REF = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]$|\.lock$|^@$|^refs/|^(?:remotes/)?pull/[0-9]+/", re.IGNORECASE
)
#: Zero-width space, joiners, marks of direction, byte order mark.
_UNSEEN = dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF])
_TO = frozenset({"to", "in", "on"})
_FORCES = ("checks", "lock", "all")


class _Unclear(Exception):
    """The words make no command."""


class _Words:
    """The words after the verb, taken one by one from the front."""

    def __init__(self, words: list[str], names: Names) -> None:
        self.left = words
        self.names = names

    def app(self, least: int) -> str | None:
        """The app, if one is named and at least so many words follow."""
        found = self.names.app(self.left[0]) if len(self.left) > least else None
        if found:
            del self.left[0]
        return found

    def take(self, what: str) -> str:
        if not self.left:
            raise _Unclear(f"Say which {what}.")
        return self.left.pop(0)

    def number(self) -> tuple[str | None, int]:
        """A deploy: ``12``, ``#12``, ``app#12``; the app, where it is named so."""
        word = self.take("deploy, by its number")
        app, mark, rest = word.rpartition("#")
        found = _NUMBER.fullmatch(rest if mark else word)
        if not found:
            raise _Unclear(f"{word} is no number of a deploy.")
        return (self._known(app) if app else None), int(found[1])

    def _known(self, app: str) -> str:
        found = self.names.app(app)
        if found is None:
            raise _Unclear(f"There is no app {app} here.{sentences.nearest(app, self.names.apps)}")
        return found

    def end(self) -> None:
        if self.left:
            raise _Unclear(f"“{' '.join(self.left)}” is not understood.")


def parse(text: str, names: Names = Names()) -> Command | Wrong:
    """One line, without the sign that begins a command at some doors."""
    if len(text) > LENGTH_LIMIT:
        return Wrong(f"A command has at most {LENGTH_LIMIT} characters.", ("help",))
    words = text.translate(_UNSEEN).split()
    if not all(word.isprintable() for word in words):
        return Wrong("A command consists of printable characters.", ("help",))
    if not words:
        return Wrong("Say what to do.", ("help",))
    verb = words[0].casefold()
    read = _READERS.get(verb)
    if read is None:
        near = nearest_verb(verb)
        meant = f" Did you mean {near}?" if near else ""
        return Wrong(f"There is no command {words[0]}.{meant}", (USAGE[near][0] if near else "help",), near)
    rest = _Words(words[1:], names)
    try:
        command = read(rest)
        rest.end()
    except _Unclear as unclear:
        return Wrong(str(unclear), (USAGE[verb][0],), verb)
    return command


def nearest_verb(word: str) -> str | None:
    """The verb that a word is, or was most likely meant to be."""
    close = get_close_matches(word.casefold(), USAGE, n=1, cutoff=0.75)
    return close[0] if close else None


def written(command: Command) -> str:
    """A command as `parse` reads it."""
    words = [type(command).__name__.lower()]
    values = {field.name: getattr(command, field.name) for field in fields(command)}
    if values.get("force"):
        words[0] += "!"
    if command.app:
        words.append(command.app)
    environment = values.get("environment")
    if environment:
        words += ["to", environment] if isinstance(command, Deploy) else [environment]
    if values.get("lasting"):
        words += ["for", values["lasting"]]
    number, what = values.get("number"), values.get("what")
    kept = (str(number) if number else None, what if what != "checks" else None, values.get("reason"))
    return " ".join([*words, *(word for word in (*kept, values.get("ref")) if word)])


# Each command


def _deploy(words: _Words, *, force: bool = False) -> Command:
    app, environment, ref = words.app(0), None, None
    while words.left:
        word = words.take("ref")
        if word.casefold() in _TO and environment is None:
            environment = words.take("environment")
        elif ref is None:
            ref = _ref(word)
        else:
            raise _Unclear(_too_much(words.names, app, ref, word))
    if ref and environment is None and ref.casefold() in {name.casefold() for name in words.names.environments}:
        raise _Unclear(f"{ref} is an environment; write “deploy to {ref}”.")
    return Deploy(app=app, environment=environment, ref=ref, force=force)


def _ref(word: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/"):
        word = word.removeprefix(prefix)
    if _NO_REF.search(word):
        raise _Unclear(f"{word} is no branch, tag or sha.")
    return word


def _too_much(names: Names, app: str | None, first: str, second: str) -> str:
    if app is None and len(names.apps) > 1:
        return f"There is no app {first} here.{sentences.nearest(first, names.apps)}"
    return f"There are two refs, {first} and {second}; an environment is named with “to”."


def _lock(words: _Words) -> Command:
    app, environment = words.app(1), words.take("environment")
    lasting = _lasting(words.left, 0) or _lasting(words.left, len(words.left) - 2)
    reason = " ".join(words.left).strip("\"'“”")
    words.left.clear()
    return Lock(app=app, environment=environment, lasting=lasting, reason=reason or None)


def _lasting(words: list[str], at: int) -> str | None:
    """``for 2h`` at that place; what else follows a ``for`` belongs to the reason, unless it begins with a digit."""
    if at < 0 or len(words) < at + 2 or words[at].casefold() != "for" or not words[at + 1][0].isdigit():
        return None
    lasting = words[at + 1].casefold()
    if durations.seconds(lasting) is None:
        raise _Unclear(f"{words[at + 1]} is no duration such as 30m, 2h or 1d.")
    del words[at : at + 2]
    return lasting


def _environment(make: Callable[..., Command]) -> Callable[[_Words], Command]:
    return lambda words: make(app=words.app(1), environment=words.take("environment"))


def _queue(words: _Words) -> Command:
    return Queue(app=words.app(0), environment=words.take("environment") if words.left else None)


def _cancel(words: _Words) -> Command:
    app, (named, number) = words.app(1), words.number()
    return Cancel(app=named or app, number=number)


def _force(words: _Words) -> Command:
    app, (named, number) = words.app(1), words.number()
    what = words.take("checks, lock or all").casefold() if words.left else "checks"
    if what not in _FORCES:
        raise _Unclear(f"What is to be passed is checks, lock or all, not {what}.")
    return Force(app=named or app, number=number, what=what)


def _why(words: _Words) -> Command:
    app = words.app(0)
    if not words.left:
        return Why(app=app)
    if "#" in words.left[0] or _NUMBER.fullmatch(words.left[0]):
        named, number = words.number()
        return Why(app=named or app, number=number)
    return Why(app=app, environment=words.take("environment"))


def _help(words: _Words) -> Command:
    """Whatever it is asked about, there is one page of help."""
    words.left.clear()
    return Help()


_READERS: Mapping[str, Callable[[_Words], Command]] = {
    "deploy": _deploy,
    "deploy!": lambda words: _deploy(words, force=True),
    "lock": _lock,
    "unlock": _environment(Unlock),
    "queue": _queue,
    "cancel": _cancel,
    "rollback": _environment(Rollback),
    "resume": _environment(Resume),
    "force": _force,
    "status": lambda words: Status(app=words.app(0)),
    "why": _why,
    "help": _help,
}

"""Which secrets a deploy gets: those that the runner's operator bound to its app and environment, and no others."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ghapp import wire
from ghapp.core.config import APP_NAME, LABEL, VARIABLE
from ghapp.core.settings import SettingsError
from runner.masking import SHORTEST

HEROKU_KEY = "HEROKU_API_KEY"
"""What a deploy to Heroku needs, whether its config names it or not."""

NEVER = frozenset({"KEDGE_RUNNER_TOKEN", "KEDGE_RUNNER_TOKEN_FILE"})
"""The runner's own credentials: no command ever gets them, whoever asks."""

ANY = "*"
KINDS = ("value", "file", "command")
LONGEST = 1 << 16
"""Bytes of a secret: an environment holds little more (execve(2), MAX_ARG_STRLEN is 128 KiB)."""
COMMAND_S = 30.0
"""How long a command that prints a secret may take."""
LATE_S = 2.0
"""What it left behind, an agent say, may hold its output open: how long to read on after its end."""


class NoSecret(Exception):
    """A secret is bound but cannot be had, or not be used; the message names it and says nothing of its value."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret comes from: a ``value``, the path of a ``file``, or a ``command`` that prints it."""

    kind: str
    text: str = field(repr=False)


Bindings = Mapping[tuple[str, str], Mapping[str, Source]]
"""(app or owner/repo or `ANY`, environment or `ANY`) -> name -> source."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What KEDGE_SECRETS binds. ``environ`` are the runner's own variables, which the operator's apps may name too."""

    bindings: Bindings = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def missing(self, job: wire.Job) -> list[str]:
        """The names that the job wants and that are not bound to its app and environment."""
        return [name for name in wanted(job) if self._source(job, name) is None]

    async def values(self, job: wire.Job) -> dict[str, str]:
        """The secrets of a job of which none is missing. Raises NoSecret."""
        found = {name: self._source(job, name) for name in wanted(job)}
        return {name: await _value(name, source, self.environ) for name, source in found.items() if source}

    def _source(self, job: wire.Job, name: str) -> Source | None:
        """The binding that is nearest to the job; what a repository defines itself gets only what names that
        repository."""
        apps = [job.repository.full_name.casefold()]
        if job.defined_in == "operator":
            apps = [job.app, *apps, ANY]
        for app in apps:
            for environment in (job.environment, ANY):
                if source := self.bindings.get((app, environment), {}).get(name):
                    return source
        own = job.defined_in == "operator" and name in self.environ and name not in NEVER
        return Source("value", self.environ[name]) if own else None


def wanted(job: wire.Job) -> list[str]:
    """The names of the secrets that the job needs."""
    return [*job.secrets, HEROKU_KEY] if job.heroku and HEROKU_KEY not in job.secrets else list(job.secrets)


async def _value(name: str, source: Source, environ: Mapping[str, str]) -> str:
    match source.kind:
        case "file":
            raw = _read(name, source.text)
        case "command":
            raw = await _printed(name, source.text, environ)
        case _:
            raw = os.fsencode(source.text)
    value = os.fsdecode(raw if source.kind == "value" else raw.rstrip(b"\n"))  # as $(cat FILE) and $(COMMAND) read it
    if problem := unusable(value):
        raise NoSecret(f"The secret {name} {problem}")
    return value


def unusable(value: str) -> str | None:
    """Why this cannot be a secret, as the end of a sentence."""
    size = len(os.fsencode(value))
    if size < SHORTEST:
        return f"is shorter than {SHORTEST} bytes, so it could not be masked in the log; give it a longer value."
    if size > LONGEST:
        return f"is longer than {LONGEST} bytes, which is too long for a variable; hand it over in another way."
    if "\0" in value:
        return "contains a NUL byte, which no variable can hold; encode it, with base64 for example."
    return None


def _read(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(LONGEST + 2)
    except OSError as error:
        raise NoSecret(f"The secret {name} cannot be read on the runner: {error.strerror} ({path}).") from None


async def _printed(name: str, command: str, environ: Mapping[str, str]) -> bytes:
    """What it writes to its error output goes to the runner's own, not into the deploy's log."""
    ours, theirs = os.pipe()
    async with _arriving(ours) as (printed, complete):
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                env={name: value for name, value in environ.items() if name not in NEVER},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        try:
            async with asyncio.timeout(COMMAND_S):
                await process.wait()
        except TimeoutError:
            raise NoSecret(f"The command for the secret {name} took longer than {COMMAND_S:g} s.") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        await asyncio.wait({complete}, timeout=LATE_S)
    if process.returncode:
        raise NoSecret(
            f"The command for the secret {name} ended with exit code {process.returncode}; "
            "what it said is in the runner's own output."
        )
    return bytes(printed)


@contextlib.asynccontextmanager
async def _arriving(pipe: int) -> AsyncIterator[tuple[bytearray, asyncio.Future[None]]]:
    """What comes out of a pipe, until it is let go of; the future is done at its end."""
    arrived, reader = bytearray(), asyncio.StreamReader()

    async def read() -> None:
        while part := await reader.read(1 << 16):
            arrived.extend(part)

    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
    )
    reading = asyncio.ensure_future(read())
    try:
        yield arrived, reading
    finally:
        reading.cancel()
        transport.close()


def load(path: Path) -> Bindings:
    """Read KEDGE_SECRETS. Raises SettingsError with every problem at once, none of which tells a value."""
    try:
        if path.stat().st_mode & 0o007:
            raise SettingsError([f"KEDGE_SECRETS: everybody on this machine can read {path}; run: chmod o-rwx {path}"])
        text = path.read_text()
        problems = list(_twice(yaml.compose(text, Loader=yaml.SafeLoader)))
        tree = yaml.safe_load(text)
    except OSError as error:
        raise SettingsError([f"KEDGE_SECRETS: {path} cannot be read: {error.strerror}."]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError([f"KEDGE_SECRETS: {path}{where} is no YAML."]) from None
    bindings = dict(_bindings(tree, problems))
    if problems:
        raise SettingsError([f"KEDGE_SECRETS: {path}: {problem}" for problem in problems])
    return bindings


def _twice(node: yaml.Node | None, levels: int = 3) -> Iterator[str]:
    """A key that stands twice in one mapping: YAML would drop the first without a word."""
    if not isinstance(node, yaml.MappingNode) or not levels:
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in lines:
                yield f"{key.value} stands twice, on lines {lines[key.value]} and {line}; make one of the two."
            lines[key.value] = line
        yield from _twice(value, levels - 1)


def _bindings(tree: Any, problems: list[str]) -> Iterator[tuple[tuple[str, str], dict[str, Source]]]:
    if not isinstance(tree, dict):
        problems.append("it must be a mapping such as `app/environment: {NAME: {file: /path}}`.")
        return
    keys: dict[tuple[str, str], str] = {}
    for key, names in tree.items():
        app, _, environment = str(key).rpartition("/")
        where = (app.casefold() if "/" in app else app, environment)
        first = keys.setdefault(where, str(key))
        if problem := _names_nothing(app, environment):
            problems.append(f"{key} {problem}")
        elif first != key:
            problems.append(f"{key} is the same as {first}; make one of the two.")
        elif not isinstance(names, dict):
            problems.append(f"{key} must be a mapping from names to sources.")
        else:
            yield where, dict(_sources(key, names, problems))


def _names_nothing(app: str, environment: str) -> str | None:
    """Why a binding to this could never serve a deploy, as the end of a sentence."""
    if not app or not environment:
        return "must be app/environment, owner/repo/environment, or have * for one of them."
    if any(ANY in part and part != ANY for part in (app, environment)):
        return "has a * that is only a part of a name; * stands for a whole one: write each name out, or * alone."
    if "/" not in app and app != ANY and not APP_NAME.fullmatch(app):
        return "names no app: an app's name consists of a-z, 0-9 and ._- only; write it as the config does."
    if environment != ANY and not LABEL.fullmatch(environment):
        return "names no environment: its name consists of letters, digits and ._- only; write it as the config does."
    return None


def _sources(key: str, names: dict[Any, Any], problems: list[str]) -> Iterator[tuple[str, Source]]:
    for name, given in names.items():
        where = f"{key}: {name}"
        source = {"value": given} if isinstance(given, str) else given
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            problems.append(f"{where} is no variable's name, or begins with KEDGE_.")
        elif not isinstance(source, dict) or len(source) != 1 or not isinstance(next(iter(source.values())), str):
            problems.append(
                f"{where} must be text (quote a number), or one of {{value: …}}, {{file: …}}, {{command: …}}."
            )
        elif (kind := str(next(iter(source)))) not in KINDS:
            near = get_close_matches(kind, KINDS, 1)
            problems.append(f"{where} has no source {kind}" + (f"; did you mean {near[0]}?" if near else "."))
        elif kind == "value" and (problem := unusable(source[kind])):
            problems.append(f"{where} {problem}")
        elif kind == "file" and not Path(source[kind]).is_absolute():
            problems.append(f"{where}: the path of a file must begin with /.")
        else:
            yield name, Source(kind, source[kind])

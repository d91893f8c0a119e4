"""``kedge check-config``: is this config right, and what would be deployed where? Asks nobody."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ghapp import providers
from ghapp.apps import Parsed, parse
from ghapp.cli.errors import EXIT_USAGE
from ghapp.config import apps_source
from ghapp.config_notices import untold
from ghapp.config_slack import unheard
from ghapp.core.config import Problem
from ghapp.core.explaining import explain, repository

#: Where a config is looked for when none is named, after KEDGE_APPS.
PLACES = ("apps.yml", ".github/kedge.yml")


def check_config(named: Path | None, variables: Mapping[str, str], as_json: bool | None) -> int:
    """Explain a config on stdout; the exit code: 2 where it is wrong, with every problem and its line on stderr."""
    path, text = _source(named, variables)
    if text is None:
        if path is None:
            return _fail(f"there is no {' or '.join(PLACES)} here and KEDGE_APPS is not set; name a file")
        try:
            text = path.read_bytes().decode()
        except (OSError, ValueError) as error:
            return _fail(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8 text'})")
    place, parsed = str(path) if path else "KEDGE_APPS", parse(text)
    if not any(variables.get(name, "").strip() for name in ("SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL")):
        parsed = replace(parsed, warnings=(*parsed.warnings, *unheard(parsed.apps)))
    missing = untold(parsed.apps, lambda name: bool(variables.get(name, "").strip()))
    parsed = replace(parsed, warnings=(*parsed.warnings, *missing))
    if problems := parsed.problems or providers.problems(parsed.apps):
        for problem in problems:
            print(_located(place, problem), file=sys.stderr)
        return EXIT_USAGE
    if as_json if as_json is not None else not sys.stdout.isatty():
        print(json.dumps(_as_json(place, parsed), indent=2, ensure_ascii=False))
    else:
        _show(place, parsed)
    return 0


def _source(named: Path | None, variables: Mapping[str, str]) -> tuple[Path | None, str | None]:
    if named:
        return named, None
    if value := variables.get("KEDGE_APPS", "").strip():
        return apps_source(value)
    return next((Path(place) for place in PLACES if Path(place).is_file()), None), None


def _fail(message: str) -> int:
    print(f"kedge check-config: {message}.", file=sys.stderr)
    return EXIT_USAGE


def _located(place: str, problem: Problem) -> str:
    """As compilers write it, so that editors find the line."""
    path = f"{problem.path}: " if problem.path else ""
    return f"{place}:{problem.line}: {path}{problem.message}"


def _as_json(place: str, parsed: Parsed) -> dict[str, Any]:
    return {
        "file": place,
        "warnings": [asdict(warning) for warning in parsed.warnings],
        "apps": [
            {
                "name": app.name,
                "line": app.line,
                "repository": repository(app),
                "environments": [
                    {
                        "name": one.environment,
                        **{what.replace(" ", "_"): said for what, said in one.lines},
                        "warnings": one.warnings,
                    }
                    for one in explain(app, providers.host_of(app))
                ],
            }
            for app in parsed.apps
        ],
    }


def _show(place: str, parsed: Parsed) -> None:
    out = Console(highlight=False, markup=False, emoji=False)
    for app in parsed.apps:
        out.print(Text(app.name, style="bold"), f"from {repository(app)}")
        for one in explain(app, providers.host_of(app)):
            out.print(Text(f"  {one.environment}", style="bold"))
            table = Table.grid(padding=(0, 2))
            for what, said in one.lines:
                table.add_row(Text(f"    {what}", style="dim"), Text(said))
            out.print(table)
            for warning in one.warnings:
                out.print(Text(f"    warning: {warning}", style="yellow"), soft_wrap=True)
        out.print()
    for line in _warnings(place, parsed):
        out.print(Text(line, style="yellow"), soft_wrap=True)


def _warnings(place: str, parsed: Parsed) -> Iterator[str]:
    for warning in parsed.warnings:
        yield f"warning: {_located(place, warning)}"

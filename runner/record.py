"""What is remembered about a checkout from one deploy to the next, in files outside of it.

What cannot be read is as if it had not been remembered: more is looked at, or made anew.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.tree import Seen, Stat


def read_stats(path: Path) -> dict[bytes, Stat]:
    """The stat of each file, as :func:`write_stats` has written them."""
    return {os.fsencode(name): tuple(stat) for name, stat in _read(path)}


def write_stats(path: Path, stats: Mapping[bytes, Stat]) -> None:
    _write(path, {os.fsdecode(name): stat for name, stat in stats.items()})


def read_seen(path: Path) -> dict[bytes, Seen]:
    """What each folder was seen to be, as :func:`write_seen` has written it."""
    return {
        os.fsencode(folder): Seen(tuple(stat), tuple(os.fsencode(below) for below in folders))
        for folder, (stat, folders) in _read(path)
    }


def write_seen(path: Path, seen: Mapping[bytes, Seen]) -> None:
    values = {folder: (one.stat, [os.fsdecode(below) for below in one.folders]) for folder, one in seen.items()}
    _write(path, {os.fsdecode(folder): value for folder, value in values.items()})


def _read(path: Path) -> list[tuple[str, Any]]:
    try:
        return list(json.loads(path.read_text()).items())
    except (FileNotFoundError, ValueError):
        return []


def _write(path: Path, values: Mapping[str, object]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(values))
    fresh.replace(path)

"""What is remembered about a checkout from one deploy to the next, in a file outside of it."""

from pathlib import Path

import msgspec

from runner.tree import Seen, Stat


class Record(msgspec.Struct, frozen=True):
    """``swept_s``: the second in which the last sweep began; whatever was written since then was so in it or later.
    ``packs`` are the files that were copied to the checkout's ``.git``, by their names; ``seen`` is for the next
    sweep."""

    swept_s: int = 0
    packs: dict[bytes, Stat] = {}
    seen: dict[bytes, Seen] = {}


def read(path: Path) -> Record:
    """An empty one where there is none, or none that can be read: then everything is looked at, or made anew."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()


def write(path: Path, record: Record) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.msgpack.encode(record))
    fresh.replace(path)

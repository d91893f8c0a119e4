"""Which mirrors and checkouts go when the disk fills, and which stay whatever happens."""

from pathlib import Path

import pytest

from runner.housekeeping import RECENT_S, UNUSED_S, Disk, Kept, to_delete

NOW = 1_000_000_000.0
ROOMY = Disk(total=1000, free=900)


def kept(name: str, unused_s: float, size: int = 100) -> Kept:
    return Kept(Path(name), Path(f"{name}.lock"), Path(f"{name}.trash"), NOW - unused_s, size)


DAYS = 86_400.0


@pytest.mark.parametrize(
    ("found", "disk", "goes"),
    [
        ([kept("old", UNUSED_S), kept("new", UNUSED_S - 1)], ROOMY, ["old"]),
        ([kept("a", 3 * DAYS, 300), kept("b", 2 * DAYS, 150), kept("c", DAYS, 150)], ROOMY, ["a"]),
        ([kept("a", 3 * DAYS, 60), kept("b", 2 * DAYS, 500), kept("c", DAYS, 60)], ROOMY, ["a", "b"]),
        ([kept("a", DAYS), kept("b", 2 * DAYS)], Disk(1000, 49), ["b"]),
        ([kept("a", DAYS, 10), kept("b", 2 * DAYS, 10)], Disk(1000, 20), ["b", "a"]),
        ([kept("busy", RECENT_S - 1, 900)], Disk(1000, 0), []),
        ([], Disk(1000, 0), []),
    ],
)
def test_the_longest_unused_goes_first_and_no_more_than_is_needed(
    found: list[Kept], disk: Disk, goes: list[str]
) -> None:
    assert [one.path.name for one in to_delete(found, disk, NOW)] == goes

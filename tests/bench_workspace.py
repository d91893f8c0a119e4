"""How long ``prepare`` takes on a large repository. Not a test: run ``python -m tests.bench_workspace [files]``.

It compares, for a commit that changes 20 files: the kept checkout, a fresh one in another environment (the
mirror is there already), and by hand ``git fetch && git checkout -f && git clean -ffdx`` in a clone. The by-hand
way checks nothing, and leaves hooks, configuration, flags, pipes and modes as they are.
"""

import asyncio
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from runner.workspace import Source, Workspaces
from tests.integration.workspace.repositories import Repo, git

ROUNDS = 5
Cost = tuple[float, float]


def large_repository(folder: Path, files: int) -> Repo:
    """A repository with files of 200 to 4,000 bytes in about 450 folders."""
    chance = random.Random(1)
    text = "".join(chance.choice("abcdefgh \n") for _ in range(8000))
    repo = Repo.create(folder)
    repo.commit({_name(number): _content(chance, text) for number in range(files)})
    return repo


def change(repo: Repo, files: int, seed: int) -> str:
    """A commit that changes 20 files, and its sha."""
    chance = random.Random(seed)
    return repo.commit({_name(chance.randrange(files)): f"{seed} {number}\n" for number in range(20)})


async def measure(files: int, folder: Path) -> None:
    """Prints one line for each way."""
    repo = large_repository(folder / "repo", files)
    workspaces = Workspaces(folder / "work", environ={"PATH": os.environ["PATH"], "HOME": str(folder)})

    async def prepare(sha: str, environment: str) -> None:
        source = Source("bench/1", repo.url, sha, "main")
        await workspaces.prepare(
            source, app="bench", environment=environment, token=lambda: None, progress=lambda line: None
        )

    await prepare(repo.git("rev-parse", "HEAD"), "kept")
    git(folder, "clone", "-q", repo.url, "by-hand")
    kept: list[Cost] = []
    fresh: list[Cost] = []
    by_hand: list[Cost] = []
    for number in range(ROUNDS):
        sha = change(repo, files, number)
        kept.append(await _timed(lambda sha=sha: prepare(sha, "kept")))  # type: ignore[misc]
        fresh.append(await _timed(lambda sha=sha, number=number: prepare(sha, f"fresh{number}")))  # type: ignore[misc]
        by_hand.append(await _timed(lambda sha=sha: _by_hand(folder / "by-hand", sha)))  # type: ignore[misc]
    base = [statistics.median(each) for each in zip(*kept, strict=True)]
    for name, costs in (("kept checkout", kept), ("fresh checkout", fresh), ("by hand", by_hand)):
        wall, cpu = (statistics.median(each) for each in zip(*costs, strict=True))
        print(f"{name:15} {wall:6.2f} s ({wall / base[0]:4.1f} ×)   processor {cpu:6.2f} s ({cpu / base[1]:4.1f} ×)")


async def _by_hand(clone: Path, sha: str) -> None:
    for command in (("fetch", "-q", "origin", sha), ("checkout", "-q", "-f", sha), ("clean", "-q", "-ffdx")):
        await asyncio.to_thread(git, clone, *command)


async def _timed(work: Callable[[], Awaitable[None]]) -> Cost:
    os.sync()
    begin, begin_cpu = time.perf_counter(), _cpu_s()
    await work()
    return time.perf_counter() - begin, _cpu_s() - begin_cpu


def _cpu_s() -> float:
    """What this process and its ended children have used of the processor; it says more on a busy machine."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _name(number: int) -> str:
    return f"d{number % 40}/e{number % 1000 // 10}/f{number}.txt"


def _content(chance: random.Random, text: str) -> str:
    start = chance.randrange(4000)
    return text[start : start + chance.randrange(200, 4000)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as name:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, Path(name)))

"""From claim to command on a large repository. Not a test: run ``python -m tests.bench_workspace [files] [rounds]``.

It compares, for a commit that changes 20 files: the whole way from the moment at which the app has a deploy to the
first thing that its command does, with a real runner process and its gate, against stand-ins for app and GitHub; the
workspace alone; and by hand ``git fetch && git checkout -f && git clean -ffdx`` in a clone. All fetch by file://, which
is the quickest transport, and so the least for a runner to hide behind. The by-hand way checks nothing, and leaves
hooks, configuration, flags, pipes and modes as they are.
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
from tests.integration.runner_world import World, until, world
from tests.integration.workspace.repositories import Repo, git

WANTED_MS = 60
BY_HAND = "git fetch -q && git checkout -q -f {sha} && git clean -q -ffdx"
Cost = tuple[float, float]  # seconds by the wall clock, seconds of processor
Way = Callable[[str], Awaitable[Cost]]


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


class Bench:
    """The ways to bring one repository's commits to where a command finds them."""

    def __init__(self, made: World, repo: Repo) -> None:
        self.world, self.repo = made, repo
        self.folder = made.folder
        self.workspaces = Workspaces(self.folder / "alone", environ={"PATH": os.environ["PATH"]})
        self.runner_pid = 0

    async def start(self) -> None:
        self.world.repo = self.repo.path
        git(self.folder, "clone", "-q", self.repo.url, "by-hand")
        environ = self.world.environ | {"KEDGE_URL": self.world.app.url, "KEDGE_WORKDIR": str(self.world.workdir)}
        with (self.folder / "runner.log").open("wb") as log:
            runner = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "runner", env=environ | {"KEDGE_RUNNER_NAME": "box"}, stderr=log
            )
        self.world.processes.append(runner)
        self.runner_pid = runner.pid

    async def whole(self, sha: str) -> Cost:
        """The command's first act is to say what time it is; what a deploy owes afterwards does not count."""
        at = self.folder / "at"
        began, began_cpu = time.time(), self._runner_cpu_s()
        deploy = self.world.ask(f"date +%s.%N > {at}", sha=sha, environment="kept")
        await until(lambda: deploy.terminal and not self.world.journal, "the end", within_s=120)
        assert deploy.state == "succeeded", (deploy.state, deploy.log, (self.folder / "runner.log").read_text())
        return float(at.read_text()) - began, self._runner_cpu_s() - began_cpu

    async def alone(self, sha: str) -> Cost:
        source = Source("bench/1", self.repo.url, sha, "main")
        begin, begin_cpu = time.perf_counter(), _cpu_s()
        await self.workspaces.prepare(
            source, app="bench", environment="kept", token=lambda: None, progress=lambda line: None
        )
        return time.perf_counter() - begin, _cpu_s() - begin_cpu

    async def by_hand(self, sha: str) -> Cost:
        begin, begin_cpu = time.perf_counter(), _cpu_s()
        shell = await asyncio.create_subprocess_exec(
            "sh", "-c", BY_HAND.format(sha=sha), cwd=self.folder / "by-hand", env=_plain()
        )
        assert await shell.wait() == 0
        return time.perf_counter() - begin, _cpu_s() - begin_cpu

    def _runner_cpu_s(self) -> float:
        """Of the runner and of what it has waited for; supervisor and command are not its children."""
        fields = Path(f"/proc/{self.runner_pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path, files: int, rounds: int) -> None:
    """Prints one line for each way. They take turns, in another order each round."""
    async with world(folder) as made:
        repo = large_repository(folder / "large", files)
        bench = Bench(made, repo)
        await bench.start()
        ways: dict[str, Way] = {
            "claim to command": bench.whole,
            "workspace alone": bench.alone,
            "by hand": bench.by_hand,
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            sha = change(repo, files, number)
            for name in [*ways][number % 3 :] + [*ways][: number % 3]:
                os.sync()
                cost = await ways[name](sha)
                if number:  # the first makes mirror and checkout
                    costs[name].append(cost)
        report(costs)


def report(costs: dict[str, list[Cost]]) -> None:
    base = statistics.median(wall for wall, _ in costs["by hand"])
    for name, found in costs.items():
        walls, cpus = zip(*found, strict=True)
        wall = statistics.median(walls)
        print(
            f"{name:17} {wall * 1000:6.0f} ms at the median of {len(walls)} ({(wall - base) * 1000:+5.0f}; "
            f"{min(walls) * 1000:.0f} to {max(walls) * 1000:.0f})   processor {statistics.median(cpus) * 1000:6.0f} ms"
        )
    over = statistics.median(wall for wall, _ in costs["claim to command"]) - base
    print(f"claim to command takes {over * 1000:.0f} ms more than by hand ({WANTED_MS} wanted)")


def _plain() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


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
    given = [int(each) for each in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="kedge-bench-", dir=os.environ.get("TMPDIR")) as name:
        asyncio.run(measure(Path(name), *given, *(20_000, 10)[len(given) :]))

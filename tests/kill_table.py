"""The kill table: runner, supervisor, or both are killed at every point of a deploy, and what comes of it is compared.

    python tests/kill_table.py [--only WORDS] [--event WORD] [--at-once 4]

Real runner and supervisor processes stop at exact places (see `kill_points`), are killed with SIGKILL there, and a
new runner is started. The same places meet a cut network, a full disk, a wall clock that jumps a day ahead or back,
and a machine that was suspended for a minute (CLOCK_BOOTTIME cannot be set: the processes are told that it jumped).
Prints a Markdown table; exit code 0 only if each deploy ended as the protocol says, ran its command at most once,
left no process, and has a log that is complete and in order.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner import procfs
from runner.journal import Entry, Journal
from tests import kill_points
from tests.integration.fake_app import LOST_ANSWER, LOST_REQUEST, Deploy
from tests.integration.runner_world import World, until, world
from tests.kill_expected import KILLS, POINTS, Outcome, Point, expected

TROUBLES = ("cut", "full disk", "clock +1 day", "clock -1 day", "suspended")
CALLS = ("claim", "beat", "start", "log", "finish", "hold", "reject")
LINES = 100
HALF = LINES // 2
TROUBLE_S = 3.0
"""Long enough for several tries of everything."""


class Scenario:
    """One deploy that comes to a point, and what happens there."""

    def __init__(self, point: Point, event: str, made: World) -> None:
        self.point, self.event, self.world = point, event, made
        self.folder = made.folder

    async def run(self) -> tuple[Outcome, list[str]]:
        """What came of it, and what is wrong with it."""
        self.prepare()
        runner = await self.start_runner()
        await self.reach(runner)
        spooled = self.spooled()
        if self.event in KILLS:
            await self.kill(runner)
        else:
            await self.trouble(runner)
        (self.folder / "go").touch()
        (self.folder / "git-go").touch()
        await until(lambda: self.deploy.terminal, f"the end of {self.deploy.state}", 90)
        self.let_go()
        await until(lambda: not self.world.journal, "an empty journal", 90)
        outcome = self.deploy.state, self.world.times("runs")
        return outcome, [*self.log_faults(spooled), *await self.left()]

    def prepare(self) -> None:
        point, app = self.point, self.world.app
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "git").write_text(self.git())
        (bin_folder / "git").chmod(0o755)
        self.world.environ["PATH"] = f"{bin_folder}:{os.environ['PATH']}"
        for who in ("runner", "supervisor"):
            place = point.place if who == point.who else ""
            (self.folder / f"run_{who}.py").write_text(kill_points.script(self.folder, who, place))
        if point.who == "app":
            app.faults[point.place].append(LOST_ANSWER)
        if point.phase != "runs":
            (self.folder / "go").touch()
        self.deploy: Deploy = self.world.ask(self.command(), grace=2)

    def git(self) -> str:
        """The real git; the first fetch hangs where it is the point, and on a full disk it fails as it does."""
        real = shutil.which("git")
        hangs = 'if (set -C; echo "git $$" > reached) 2>/dev/null; then while [ ! -e git-go ]; do sleep 0.1; done; fi'
        at_fetch = (
            f'case " $* " in *" fetch "*) (cd {self.folder} && {hangs});; esac' if self.point.who == "git" else ""
        )
        full = f"if [ -e {self.folder}/full ]; then echo 'fatal: No space left on device' >&2; exit 128; fi"
        return f'#!/bin/sh\n{at_fetch}\n{full}\nexec {real} "$@"\n'

    def command(self) -> str:
        says = "for i in $(seq {} {}); do echo line $i; done"
        first, second = says.format(1, HALF), says.format(HALF + 1, LINES)
        if self.point.command == "stubborn":
            return f"trap '' TERM; {self.world.tally()}; {first}; {second}; while :; do sleep 0.05; done"
        daemon = "sleep 600 &" if self.point.command == "daemon" else ""
        return f"{self.world.tally()}; {first}; {self.world.wait_for('go')}; {second}; {daemon}"

    async def start_runner(self, *program: str) -> asyncio.subprocess.Process:
        environ = {"KEDGE_URL": self.world.app.url, "KEDGE_WORKDIR": str(self.world.workdir)}
        with (self.folder / "runner.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(program or (str(self.folder / "run_runner.py"),)),
                env=self.world.environ | environ | {"KEDGE_RUNNER_NAME": "box"},
                cwd=kill_points.ROOT,
                stderr=log,
            )
        self.world.processes.append(process)
        return process

    # The point

    async def reach(self, runner: asyncio.subprocess.Process) -> None:
        """Until it is reached; then the runner stands still."""
        if self.point.command == "stubborn":
            await until(lambda: f"line {LINES}\n" in self.deploy.output, "all lines")
            self.deploy.request_cancel()
        await until(self.reached, f"the point is reached; {self.point.name}")
        if self.point.phase == "runs" and self.point.who == "supervisor":
            await until(lambda: self.world.times("runs"), "the command runs")
        runner.send_signal(signal.SIGSTOP)

    def reached(self) -> bool:
        if self.point.who == "command":
            return f"line {HALF}\n" in self.deploy.output
        if self.point.who == "app":
            called = {"claim": self.deploy.state == "claimed", "start": self.deploy.starts}
            return bool(called.get(self.point.place, self.deploy.finishes))
        pid = self.stopped_pid()
        process = procfs.read(pid) if pid else None
        return process is not None and (process.state == "T" or self.point.who == "git")

    def stopped_pid(self) -> int:
        with suppress(FileNotFoundError, IndexError):
            return int((self.folder / "reached").read_text().split()[1])
        return 0

    def entry(self) -> Entry | None:
        entries = Journal(self.world.workdir).entries()
        return entries[0] if entries else None

    def spooled(self) -> int:
        """How many lines the runner's machine has at this moment."""
        entry = self.entry()
        return entry.output.read_text().count("line ") if entry and entry.output.exists() else 0

    def supervisor(self) -> int:
        if self.point.who == "supervisor":
            return self.stopped_pid()
        entry = self.entry()
        started = entry.read_started() if entry else None
        return started.pid if started else 0

    # What happens there

    async def kill(self, runner: asyncio.subprocess.Process) -> None:
        if self.event in ("supervisor", "both"):
            os.kill(self.supervisor(), signal.SIGKILL)
        if self.event == "supervisor":
            runner.send_signal(signal.SIGCONT)
            return
        runner.kill()
        await runner.wait()
        if self.point.phase == "unwritten":
            self.unconfirmed()
        await self.start_runner("-m", "runner")
        if self.point.phase not in ("launched", "reserved"):  # there the supervisor wakes when it is too late
            self.let_go()

    def unconfirmed(self) -> None:
        """As the app does 5 s after a claim that no beat confirmed."""
        self.deploy.claim_id = ""
        self.world.app.again(self.deploy)

    def let_go(self) -> None:
        """What stands still goes on, if it is still there."""
        if self.point.who == "supervisor":
            with suppress(ProcessLookupError):
                os.kill(self.stopped_pid(), signal.SIGCONT)

    async def trouble(self, runner: asyncio.subprocess.Process) -> None:
        """It begins while everything stands still; the network comes back, and so does the room on the disk."""
        app, full = self.world.app, self.folder / "full"
        if self.event == "cut":
            app.always |= dict.fromkeys(CALLS, LOST_REQUEST)
        elif self.event == "full disk":
            full.touch()
        elif self.event == "suspended":
            (self.folder / "suspend").write_text("60")
        else:
            (self.folder / "clock").write_text(f"{self.event[6]}86400")
        runner.send_signal(signal.SIGCONT)
        self.let_go()
        (self.folder / "go").touch()
        (self.folder / "git-go").touch()
        await asyncio.sleep(TROUBLE_S if self.event in ("cut", "full disk") else 0)
        app.always.clear()
        full.unlink(missing_ok=True)
        if self.event == "full disk" and self.deploy.state == "claimed" and not self.deploy.beaten:
            self.unconfirmed()

    # What came of it

    def log_faults(self, spooled: int) -> Iterator[str]:
        numbers = [int(line[5:]) for line in self.deploy.output.splitlines() if line.startswith("line ")]
        ended = self.deploy.state in ("succeeded", "cancelled")
        if numbers != sorted(set(numbers)):
            yield f"the log is out of order: {numbers}"
        lost = b"bytes of output were lost" in self.deploy.log
        if self.event == "full disk" and lost:
            return
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < (LINES if ended else spooled):
            yield f"the log is not complete: {len(numbers)} lines, {spooled} were spooled"

    async def left(self) -> list[str]:
        """Nothing of the command runs any more, but for the daemon that it left on purpose."""
        mark = f"KEDGE_DEPLOY_ID={self.deploy.job.id}-{hashlib.sha256(self.deploy.lease.encode()).hexdigest()[:12]}"
        spared = "sleep" if self.point.command == "daemon" else ""

        def living() -> list[str]:
            table = procfs.table().values()
            return [p.comm for p in table if p.alive and p.comm != spared and mark.encode() in procfs.environ(p.pid)]

        with suppress(AssertionError):
            await until(lambda: not living(), "a clean process table", 5)
        return [f"still running: {comm}" for comm in living()]


async def judge(point: Point, event: str, folder: Path, turn: asyncio.Semaphore) -> tuple[str, list[str]]:
    """The table's cell, and what is wrong."""
    allowed = expected(point, event)
    if allowed is None:
        return "–", []
    async with turn:
        folder.mkdir()
        try:
            async with world(folder) as made:
                (state, runs), wrong = await Scenario(point, event, made).run()
        except (Exception, AssertionError) as error:
            return "**stuck**", [f"{type(error).__name__}: {error}"]
    if (state, runs) not in allowed:
        wrong.append(f"{state}, executed {runs} times; expected {sorted(allowed)}")
    return f"{state}, {runs}×" + ("" if not wrong else " **wrong**"), wrong


async def main(options: argparse.Namespace, folder: Path) -> int:
    """The exit code."""
    began, turn = time.monotonic(), asyncio.Semaphore(options.at_once)
    events = [event for event in (*KILLS, *TROUBLES) if options.event in event]
    points = [point for point in POINTS if options.only in point.name]
    cells = await asyncio.gather(
        *(
            judge(point, event, folder / f"{POINTS.index(point)}-{event.replace(' ', '-')}", turn)
            for point in points
            for event in events
        )
    )
    print(f"| at | {' | '.join(events)} |\n|---|{'---|' * len(events)}")
    problems = []
    for number, point in enumerate(points):
        row = cells[number * len(events) : (number + 1) * len(events)]
        print(f"| {point.name} | {' | '.join(cell for cell, _ in row)} |")
        problems += [
            f"{point.name}, {event}: {one}" for event, (_, wrong) in zip(events, row, strict=True) for one in wrong
        ]
    print(f"\n{sum(cell != '–' for cell, _ in cells)} deploys, {len(problems)} wrong, {time.monotonic() - began:.0f} s")
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill runner and supervisor at every point of a deploy.")
    parser.add_argument("--only", default="", help="only points whose name contains this")
    parser.add_argument("--event", default="", help="only columns whose name contains this")
    parser.add_argument("--at-once", type=int, default=4, help="how many deploys at a time")
    return parser.parse_args()


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="kedge-kills-"))
    code = asyncio.run(main(arguments(), place))
    if code:
        print(f"everything is kept in {place}")
    else:
        shutil.rmtree(place)
    sys.exit(code)

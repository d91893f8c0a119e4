"""From a click on Cancel to the processes of a command. Not a test: run ``python -m tests.bench_cancel [rounds]``.

Real processes of app (on SQLite), runner and command. The command's processes, one as it was started, one in a session
of its own and one whose parent is gone, each note when TERM comes. In each round it is also measured how long a signal
takes that is sent by hand, which is the least that there is.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.people import until
from tests.e2e.rig import World, world_in

WANTED_MS = 1000
PROCESSES = ("plain", "session", "orphan", "by-hand")

CONFIG = """
hello:
  repository: acme/hello
  deploy: "python3 deploy.py"
  env: {{HERE: {folder}}}
  environments: {{staging: {{checks: [], grace: 20s}}}}
"""

COMMAND = """
import os, signal, time
from pathlib import Path

here = Path(os.environ["HERE"])

def wait(name):
    def note(*_):
        write(name, time.time())
        os._exit(0)
    signal.signal(signal.SIGTERM, note)
    write(f"{name}.pid", os.getpid())
    while True:
        signal.pause()

def write(name, value):
    (here / f".{name}").write_text(str(value))
    (here / f".{name}").rename(here / name)

def apart(name):
    if os.fork() == 0:
        os.setsid()
        wait(name)

apart("session")
apart("by-hand")
if os.fork() == 0:
    apart("orphan")
    os._exit(0)
wait("plain")
"""


async def cancelled(world: World, number: int) -> dict[str, float]:
    """Milliseconds until each process had its TERM."""
    pids = {name: world.folder / f"{name}.pid" for name in PROCESSES}
    world.deploy()
    await until(lambda: all(path.exists() for path in pids.values()), world.says)
    by_hand = time.time()
    os.kill(int(pids["by-hand"].read_text()), signal.SIGTERM)
    await until((world.folder / "by-hand").exists, world.says)
    clicked = time.time()
    status, _ = await world.cancel(number)
    assert status == 202, world.says()
    assert (await world.ended(number))["state"] == "cancelled", world.says()
    began = dict.fromkeys(PROCESSES, clicked) | {"by-hand": by_hand}
    took = {name: (float((world.folder / name).read_text()) - began[name]) * 1000 for name in PROCESSES}
    for name, path in pids.items():
        path.unlink()
        (world.folder / name).unlink()
    return took


async def measure(folder: Path, rounds: int) -> None:
    async with world_in(folder, f"sqlite:///{folder / 'kedge.sqlite'}") as world:
        world.config(CONFIG)
        await world.start_app()
        await world.start_runner()
        world.github.commit("acme/hello", "main", {"deploy.py": COMMAND})
        found = [await cancelled(world, number) for number in range(1, rounds + 1)]
    for name in PROCESSES:
        took = sorted(one[name] for one in found)
        print(f"{name:8} {statistics.median(took):6.0f} ms at the median of {rounds}, {took[-1]:.0f} ms at most")
    worst = max(one[name] for one in found for name in PROCESSES)
    print(f"from the click to the last TERM {worst:.0f} ms at most ({WANTED_MS} wanted)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kedge-bench-", dir=os.environ.get("TMPDIR")) as name:
        asyncio.run(measure(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 20))

"""How fast a log gets from a command to the app. Not a test: run ``python -m tests.bench_log [megabytes]``.

Real processes of app (on SQLite), runner and command, with a secret to be masked. The command writes first to a file
and then to its output, and takes the time of both. Then another one writes a line every 50 ms for somebody who follows.
"""

import asyncio
import hashlib
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ghapp.sandbox.children import Child
from tests.e2e.people import AS_ADMIN, until
from tests.e2e.rig import World, world_in

SECRET = "s3cret-value-of-the-bench"
LINES = 200
PATIENCE_S = 900.0

CONFIG = """
hello:
  repository: acme/hello
  deploy: "python3 deploy.py"
  env: {{HERE: {folder}, MEGABYTES: "%d"}}
  secrets: [KEY]
  log_limit: 4GiB
  environments: {{staging: {{checks: []}}}}
"""

BLOCK = """
lines = b"".join(b"2026-11-23T12:00:00Z step %05d of the deploy, which says a little of what it does\\n" % n
                 for n in range(20000))
block = lines[: (1 << 20) - 100] + b"\\nthe key is " + key + b"\\n"
"""

FLOOD = (
    """
import os, time
key = os.environ["KEY"].encode()
"""
    + BLOCK
    + """
megabytes = int(os.environ["MEGABYTES"])
def write(fd, megabytes):
    begun = time.monotonic()
    for _ in range(megabytes):
        at = 0
        while at < len(block):
            at += os.write(fd, block[at : at + 65536])
    return time.monotonic() - begun
def write_file(megabytes):
    path = os.environ["HERE"] + "/plain"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    took = write(fd, megabytes)
    os.close(fd)
    os.unlink(path)
    return took
write_file(2 * megabytes)  # a virtual machine's memory is slow when it is touched for the first time
plain = write_file(megabytes)
begun = time.time()
took = write(1, megabytes)
open(os.environ["HERE"] + "/took", "w").write(f"{plain} {took} {begun}")
"""
)

DRIP = f"""
import time
for _ in range({LINES}):
    print("at", time.time(), flush=True)
    time.sleep(0.05)
"""


async def flood(world: World, megabytes: int) -> None:
    """Prints what a log at full speed costs."""
    world.github.commit("acme/hello", "main", {"deploy.py": FLOOD})
    before = {name: cpu_s(child) for name, child in children(world).items()}
    world.deploy()
    await until((world.folder / "took").exists, world.says, PATIENCE_S)

    async def over() -> bool:
        return bool((await world.number(1))["state"] != "running")

    await until(over, world.says, PATIENCE_S)
    ended = time.time()
    used = {name: cpu_s(child) - before[name] for name, child in children(world).items()}
    assert (await world.number(1))["state"] == "succeeded", world.says()
    plain_s, took_s, begun = map(float, (world.folder / "took").read_text().split())
    size = await same(world, megabytes)
    assert world.runner and world.runner.pid
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{world.runner.pid}/status").read_text())
    assert peak
    print(f"to a file       {megabytes / plain_s:8.0f} MiB/s")
    print(f"to its output   {megabytes / took_s:8.0f} MiB/s ({plain_s / took_s:.2f} of the file's speed; 0.8 wanted)")
    print(f"into the app    {size / 1e6 / (ended - begun):8.0f} MB/s (100 wanted), the same byte for byte")
    for name, seconds in used.items():
        print(f"{name:15} {size / 1e6 / seconds:8.0f} MB for each second of processor")
    print(f"runner at most  {int(peak[1]) / 1024:8.0f} MiB (60 wanted)")


def children(world: World) -> dict[str, Child]:
    assert world.app and world.runner
    return {"the app": world.app, "the runner": world.runner}


def cpu_s(child: Child) -> float:
    """What it has used of the processor (proc_pid_stat(5)); it says more on a busy machine."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def same(world: World, megabytes: int) -> int:
    """The size of the app's log, which must be the output, masked."""
    made: dict[str, bytes] = {"key": b"*" * len(SECRET)}
    exec(BLOCK, made)  # the command's own text
    expected = hashlib.sha256()
    for _ in range(megabytes):
        expected.update(made["block"])
    found, size, notes = hashlib.sha256(), 0, b""
    async with world.session.get(f"{world.url}/api/0/hello/deploys/1/log", headers=AS_ADMIN) as response:
        while (line := await response.content.readline()).startswith(b"[kedge]"):
            notes += line
        found.update(line)
        size += len(line)
        async for piece in response.content.iter_chunked(1 << 20):
            found.update(piece)
            size += len(piece)
    assert found.digest() == expected.digest(), (size, notes)
    return size


async def drip(world: World) -> None:
    """Prints how long a line takes to somebody who follows."""
    world.github.commit("acme/hello", "main", {"deploy.py": DRIP})
    world.deploy()

    async def there() -> bool:
        return len(await world.deploys()) == 2

    await until(there, world.says)
    url, took = f"{world.url}/api/0/hello/deploys/2/log", []
    async with world.session.get(url, headers=AS_ADMIN | {"Accept": "text/event-stream"}) as response:
        async for line in response.content:
            now = time.time()
            took += [now - float(at) for at in re.findall(rb"at (\d+\.\d+)", line)]
            if line.startswith(b"event: end"):
                break
    assert len(took) == LINES, len(took)
    ordered = sorted(took)
    print(
        f"a line          {statistics.median(ordered) * 1000:8.0f} ms at the median (100 wanted), "
        f"{ordered[int(len(ordered) * 0.95)] * 1000:.0f} ms at 95 of 100"
    )


async def measure(folder: Path, megabytes: int) -> None:
    async with world_in(folder, f"sqlite:///{folder / 'kedge.sqlite'}") as world:
        world.config(CONFIG % megabytes)
        secrets = folder / "secrets.yml"
        secrets.write_text(f"hello/*: {{KEY: {SECRET}}}\n")
        secrets.chmod(0o600)
        await world.start_app()
        await world.start_runner(KEDGE_SECRETS=str(secrets))
        await flood(world, megabytes)
        await drip(world)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kedge-bench-", dir=os.environ.get("TMPDIR")) as name:
        asyncio.run(measure(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 1000))

"""Upgrading app and runner in mid-deploy: in place, as `git pull` does, one after the other, and nothing is lost."""

import os
import shutil
import signal
from pathlib import Path

from tests.e2e.people import until
from tests.e2e.rig import HELD, World

ROOT = Path(__file__).parents[2]

#: What a later release may change: fields that are new on the wire and in the journal, and a table.
NEXT = {
    "ghapp/wire.py": [
        ("    user: str\n    door: str\n", "    user: str\n    door: str\n    priority: int = 7\n"),
        ('    phase: str = ""\n', '    phase: str = ""\n    load: float = 0.5\n'),
    ],
    "runner/journal.py": [
        ("    grace_s: float\n", "    grace_s: float\n    nice: int = 0\n"),
        ('    reason: str = ""\n', '    reason: str = ""\n    cpu_s: float = 1.5\n'),
    ],
}


def checkout(folder: Path) -> Path:
    for package in ("ghapp", "runner"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def upgrade(code: Path) -> None:
    """Replace every file, as a new release does, while processes of the old one run."""
    for path, changes in NEXT.items():
        text = (code / path).read_text()
        for before, after in changes:
            assert before in text, (path, before)
            text = text.replace(before, after, 1)
        (code / path).unlink()
        (code / path).write_text(text)
    migrations = code / "ghapp/store/migrations/main"
    number = len(list(migrations.glob("*.sql"))) + 1
    (migrations / f"{number:04}_next.sql").write_text("CREATE TABLE priorities (id {id});\n")


async def test_upgrading_in_mid_deploy_loses_nothing(quiet: World, tmp_path: Path) -> None:
    quiet.code = checkout(tmp_path / "code")
    await quiet.start()
    quiet.script(HELD)
    running, waiting = quiet.deploy(), quiet.deploy()
    await quiet.command_pid(1)
    upgrade(quiet.code)
    await _runner_again(quiet)
    await quiet.kill(quiet.app)
    await quiet.start_app()
    assert (await quiet.number(1))["state"] == "running"
    quiet.go()
    assert (await quiet.ended(1))["state"] == "succeeded"
    assert (await quiet.ended(2))["state"] == "succeeded"
    await quiet.shows(waiting, "success", within_s=90)
    assert "success" in await quiet.shows(running, "inactive", within_s=90), "the second has taken its place"
    assert quiet.executed == ["1", "2"]
    for number in (1, 2):
        log = await quiet.log(number)
        assert log.count(f"begun {number}") == log.count(f"done {number}") == 1


async def _runner_again(world: World) -> None:
    """Two SIGTERMs leave the command to the next runner, which is of the new release."""
    old = world.runner
    assert old and old.pid
    os.kill(old.pid, signal.SIGTERM)
    await until(lambda: "stopping" in old.log.read_text(), "the runner has heard it")
    os.kill(old.pid, signal.SIGTERM)
    assert await old.wait() == 1
    await world.start_runner()
